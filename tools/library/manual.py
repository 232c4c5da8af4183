#!/usr/bin/env python3
"""Prints a library's manual page: what its public header says, with an example program.

    manual.py PAGE HEADER SHARED_HEADER EXAMPLE VERSION

SHARED_HEADER has the types of all our libraries. The first line of the header's first comment is the library's name and what it is.
"""

import pathlib
import re
import sys

import header

TEXT = str.maketrans({'…': r'\[u2026]', '–': r'\[en]'})


def escape(line):
    line = line.replace('\\', r'\e').replace('-', r'\-').translate(TEXT)
    return r'\&' + line if line[:1] in ".'" else line


def example(lines):
    return ['.EX', *map(escape, lines), '.EE']


def text(lines):
    """Paragraphs; what is indented by four is code."""
    out, code = ['.PP'], []
    for line in [*lines, '']:
        if line.startswith('    ') or (code and not line.strip()):
            code.append(line[4:])
            continue
        if code:
            while code and not code[-1].strip():
                code.pop()
            out += ['.PP', *example(code), '.PP']
            code = []
        if re.match(r'(Returns|Units|Owner|Errors|Threads|Signals)\b', line):
            out.append('.br')
        out.append(escape(line) if line else '.PP')
    while out and out[-1] == '.PP':
        out.pop()
    return out


def prototype(lines):
    """Without the body of what the header defines itself."""
    whole = '\n'.join(lines)
    if whole.startswith('static inline'):
        whole = re.sub(r'\s*\{.*', ';', whole[len('static inline '):], flags=re.DOTALL)
    return whole.splitlines()


def main():
    page, path, shared, program, version = sys.argv[1:]
    blocks = header.blocks(path)
    first = blocks[0][1]
    name, what = first[0].split(': ', 1)
    out = [f'.TH {page.upper()} 3 "" "hone {version}" "Library Functions Manual"', '.SH NAME',
           escape(f'{name} - {what.split(",")[0]}'), '.SH SYNOPSIS', '.EX',
           escape(f'#include <hone/{pathlib.Path(path).name}>'), '.EE', '.PP', '.EX',
           escape(f'cc PROGRAM.c $(pkg-config --cflags --libs {page})'), '.EE',
           '.SH DESCRIPTION', *text([what[0].upper() + what[1:], *first[1:]])]
    out += ['.SH EXAMPLE', *example(pathlib.Path(program).read_text('utf-8').splitlines())]
    out.append('.SH DATA')
    section = ''
    shared_blocks = [('types of all libraries', *rest) for _, *rest in header.blocks(shared)]
    for part, comment, code in blocks[1:] + shared_blocks:
        if part != section:
            section = part
            out.append(f'.SH {escape(section.upper())}')
        if code:
            out += ['.PP', *example(prototype(code)), '.RS 4', *text(comment), '.RE'] \
                if comment else ['.PP', *example(prototype(code))]
        else:
            out += text(comment)
    out += ['.SH SEE ALSO', r'.BR hone (1),', r'.BR pkg\-config (1)']
    print('\n'.join(out))


if __name__ == '__main__':
    main()
