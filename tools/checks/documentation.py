#!/usr/bin/env python3
"""Runs every command in README.md and docs/: what a reader is told to type must work.

    documentation.py SOURCE_ROOT HONE

The ```sh blocks of one file run in order, in one scratch directory with hone in PATH, our build as
build/ and a ./program of the reader with its source; each must end with status 0. A line "make TARGET" is looked up with make -n instead of being run, for most of them
build or test all of this again. ```c blocks that include a header of ours must compile. Links to
files of the project must lead somewhere.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

BLOCK = re.compile(r'^```(\w+)\n(.*?)^```$', re.MULTILINE | re.DOTALL)
LINK = re.compile(r'\]\((?!https?:|#)([^)#]+)[^)]*\)')


PROGRAM = '''int main(void)
{
    for (volatile long i = 0; i < 100000000; i++) {
    }
    return 0;
}
'''


def prepare(scratch, hone):
    os.symlink(hone.parent, os.path.join(scratch, 'build'))
    (pathlib.Path(scratch) / 'program.c').write_text(PROGRAM, encoding='ascii')
    subprocess.run(['cc', '-O1', '-g', 'program.c', '-o', 'program'], cwd=scratch, check=True)


def run_shell(text, scratch, root, environment):
    lines = [f'make -n -C {root} {line[5:]} >/dev/null' if line.startswith('make ') else line
             for line in text.splitlines()]
    return subprocess.run(['sh', '-eu', '-c', '\n'.join(lines)], cwd=scratch, env=environment,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors='replace', check=False)


def run_compiler(text, scratch, root):
    return subprocess.run(['cc', '-fsyntax-only', '-Wall', '-Wextra', '-Werror', '-std=c11',
                           f'-I{root}/include', '-x', 'c', '-'], cwd=scratch, input=text,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


def check(document, root, hone):
    """(what was run, what failed)"""
    text = document.read_text(encoding='utf-8')
    name = document.relative_to(root)
    ran, failed = 0, []
    for link in LINK.findall(text):
        ran += 1
        if not (document.parent / link).exists():
            failed.append(f'{name}: the link to {link} leads nowhere')
    environment = {**os.environ, 'PATH': f'{hone.parent}:{os.environ["PATH"]}'}
    with tempfile.TemporaryDirectory(prefix='hone-docs-') as scratch:
        prepare(scratch, hone)
        for language, block in BLOCK.findall(text):
            if language == 'sh':
                done = run_shell(block, scratch, root, environment)
            elif language == 'c' and 'hone/' in block:
                done = run_compiler(block, scratch, root)
            else:
                continue
            ran += 1
            if done.returncode != 0:
                failed.append(f'{name}: status {done.returncode} of\n{block}{done.stdout}')
    return ran, failed


def main():
    root, hone = (pathlib.Path(name).resolve() for name in sys.argv[1:])
    documents = [root / 'README.md', *sorted((root / 'docs').rglob('*.md'))]
    total, failures = 0, []
    for document in documents:
        ran, failed = check(document, root, hone)
        total += ran
        failures += failed
    print(*failures, f'{total - len(failures)} of {total} commands, examples and links are good',
          sep='\n')
    return 1 if failures or not total else 0


if __name__ == '__main__':
    sys.exit(main())
