#!/usr/bin/env python3
"""Refuses an include that goes the wrong way between the rooms of src/.

    includes.py SOURCE_ROOT

A room may use those above it. The guest rooms, which live in somebody else's process, use each
other only; nothing includes cli. Tests, fuzzers and benchmarks may include anything.
"""

import pathlib
import re
import sys

GUEST = ['core', 'unwind', 'session', 'probe']
ROOMS = GUEST + ['base', 'elf', 'profile', 'symbol', 'convert', 'capture', 'analyse', 'view',
                 'fetch', 'pprof', 'http', 'store', 'agent', 'pgo', 'cli']
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)
BESIDE = re.compile(r'_(test|fuzz|bench)\.c$')


def room_of(path, src):
    return path.relative_to(src).parts[0]


def resolve(name, file, src):
    for base in (file.parent, src):
        found = (base / name).resolve()
        if found.is_file():
            return found
    return None


def complaints(file, src):
    room = room_of(file, src)
    if room not in ROOMS:
        yield f'{file}: {room}/ is not in the list of rooms of {__file__}'
        return
    for name in INCLUDE.findall(file.read_text(encoding='utf-8')):
        found = resolve(name, file, src)
        if not found or not found.is_relative_to(src):
            continue  # include/hone/, or made by the build
        other = room_of(found, src)
        if other not in ROOMS or ROOMS.index(other) > ROOMS.index(room):
            yield f'{file}: {room}/ may not use {other}/ ("{name}"), which comes after it'
        elif other in GUEST and room in GUEST:
            continue
        elif room in GUEST:
            yield f'{file}: {room}/ is guest code and may not use {other}/ ("{name}")'


def main():
    src = (pathlib.Path(sys.argv[1]) / 'src').resolve()
    files = [f for f in sorted(src.rglob('*.[ch]')) if not BESIDE.search(f.name)]
    found = [line for file in files for line in complaints(file, src)]
    print('\n'.join(found) or f'{len(files)} files include in the right direction')
    return 1 if found or not files else 0


if __name__ == '__main__':
    sys.exit(main())
