#!/usr/bin/env python3
"""Refuses guest code that needs a symbol which is not on the short list.

    guest_symbols.py LIST ARCHIVE…

Guest code runs in somebody else's process, in signal handlers and inside their malloc: each function
that it calls there must be known to be harmless. LIST has a line for each: symbol, reason.
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


def symbols(archives):
    """(defined, {undefined: the members that need it}) of all archives together."""
    defined, needed = set(), {}
    for archive in archives:
        lines = subprocess.run(['nm', '-P', '-A', archive], check=True, text=True,
                               stdout=subprocess.PIPE).stdout.splitlines()
        for line in lines:
            place, rest = line.split(': ', 1)
            name, kind = rest.split()[:2]
            if kind in 'Uvw':
                needed.setdefault(name, set()).add(place)
            elif kind.isupper() or kind == 'i':
                defined.add(name)
    return defined, {name: places for name, places in needed.items() if name not in defined}


def main():
    allowed = allowed_symbols(sys.argv[1])
    defined, needed = symbols(sys.argv[2:])
    if not defined:
        sys.exit('the archives define nothing')
    for name in sorted(needed.keys() - allowed.keys()):
        print(f'{name} is not on the list, and needed by {", ".join(sorted(needed[name]))}')
    for name in sorted(allowed.keys() - needed.keys()):
        print(f'{name} is on the list and nothing needs it: please take it off')
    if needed.keys() != allowed.keys():
        return 1
    print(f'{len(needed)} symbols needed, all on the list')
    return 0


if __name__ == '__main__':
    sys.exit(main())
