#!/usr/bin/env python3
"""Compares what a shared library exports with its version scripts: neither more nor less.

    exports.py LIBRARY VERSION_SCRIPT…
"""

import pathlib
import re
import subprocess
import sys


def listed(script):
    """{symbol: version}, for scripts without patterns but the closing 'local: *'."""
    text = re.sub(r'/\*.*?\*/|#[^\n]*', '', pathlib.Path(script).read_text(encoding='utf-8'),
                  flags=re.DOTALL)
    symbols = {}
    for version, body in re.findall(r'([\w.]*)\s*\{(.*?)\}', text, flags=re.DOTALL):
        section = 'global'
        for word in re.findall(r'[\w*?]+:?', body):
            if word.endswith(':'):
                section = word[:-1]
            elif section == 'global':
                symbols[word] = version
    return symbols


def exported(library):
    lines = subprocess.run(['nm', '-D', '--defined-only', '-P', '--with-symbol-versions', library],
                           check=True, text=True, stdout=subprocess.PIPE).stdout.splitlines()
    symbols = {}
    for line in lines:
        name, kind = line.split()[:2]
        if kind == 'A':
            continue  # the name of a version
        name, _, version = name.partition('@')
        symbols[name] = version.lstrip('@')
    return symbols


def main():
    library, *scripts = sys.argv[1:]
    want = {name: version for script in scripts for name, version in listed(script).items()}
    have = exported(library)
    for name in sorted(want.keys() | have.keys()):
        if want.get(name) != have.get(name):
            print(f'{name}: exported {have.get(name, "not at all")}, '
                  f'version script {want.get(name, "does not list it")}')
    if want != have or not have:
        return 1
    print(f'{len(have)} symbols exported, all in the version script')
    return 0


if __name__ == '__main__':
    sys.exit(main())
