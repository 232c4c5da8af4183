#!/usr/bin/env python3
"""Prints what a library exports: the functions of its public headers.

    exports.py map|list HEADER…

map is a version script for the linker, list a name a line for objcopy.
"""

import sys

import header


def main():
    names = sorted(name for path in sys.argv[2:] for name in header.functions(path))
    if not names:
        sys.exit('no functions found')
    if sys.argv[1] == 'map':
        print('{\n    global:', *(f'        {name};' for name in names), '    local:\n        *;\n};',
              sep='\n')
    else:
        print(*names, sep='\n')


if __name__ == '__main__':
    main()
