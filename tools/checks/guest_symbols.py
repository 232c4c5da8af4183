#!/usr/bin/env python3
"""Refuses guest code that needs a symbol which is not on the short list.

    guest_symbols.py LIST LIBRARY…

Guest code runs in somebody else's process, in signal handlers and inside their malloc: each function
that it calls there must be known to be harmless. LIST has a line for each: symbol, reason. The
libraries are static or shared. A line that nothing needs is told and no error, for compilers and C
libraries differ.
"""

import pathlib
import subprocess
import sys


def allowed_symbols(path):
    reasons = {}
    for line in pathlib.Path(path).read_text(encoding='utf-8').splitlines():
        words = line.split(None, 1)
        if not words or words[0].startswith('#'):
            continue
        if len(words) < 2:
            sys.exit(f'{path}: {words[0]} has no reason')
        reasons[words[0]] = words[1]
    return reasons


def symbols(library):
    """(defined, {undefined: the objects that need it})"""
    dynamic = ['-D'] if '.so' in pathlib.Path(library).suffixes else []
    lines = subprocess.run(['nm', '-P', '-A', *dynamic, library], check=True, text=True,
                           stdout=subprocess.PIPE).stdout.splitlines()
    defined, needed = set(), {}
    for line in lines:
        place, rest = line.split(': ', 1)
        name, kind = rest.split()[:2]
        name = name.partition('@')[0]
        if kind in 'Uvw':
            needed.setdefault(name, set()).add(pathlib.Path(place).name)
        elif kind.isupper() or kind == 'i':
            defined.add(name)
    return defined, {name: places for name, places in needed.items() if name not in defined}


def main():
    allowed, needed = allowed_symbols(sys.argv[1]), {}
    for library in sys.argv[2:]:
        defined, lacking = symbols(library)
        if not defined:
            sys.exit(f'{library} defines nothing')
        for name, places in lacking.items():
            needed.setdefault(name, set()).update(places)
    bad = sorted(needed.keys() - allowed.keys())
    for name in bad:
        print(f'{name} is not on the list, and needed by {", ".join(sorted(needed[name]))}')
    for name in sorted(allowed.keys() - needed.keys()):
        print(f'{name} is on the list and nothing needs it')
    print(f'{len(needed) - len(bad)} of {len(needed)} symbols are on the list')
    return 1 if bad or not needed else 0


if __name__ == '__main__':
    sys.exit(main())
