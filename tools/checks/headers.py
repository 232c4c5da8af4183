#!/usr/bin/env python3
"""Compiles every header alone: in C, and those for users (include/) also in C++.

    headers.py SOURCE_ROOT
"""

import os
import pathlib
import subprocess
import sys

WARNINGS = ['-fsyntax-only', '-Wall', '-Wextra', '-Wpedantic', '-Werror']


def compile_alone(header, root, language):
    # Through a source that includes it twice: a header itself as the main file draws a warning for
    # "#pragma once", and a missing guard would go unseen.
    # What follows: a header of nothing but macros is one, and a file of nothing is not.
    text = f'#include "{header}"\n#include "{header}"\nextern int something;\n'
    compiler = {'c': os.environ.get('CC', 'cc'), 'c++': os.environ.get('CXX', 'c++')}[language]
    standard = {'c': ['-std=gnu17', '-D_GNU_SOURCE'], 'c++': ['-std=c++11']}[language]
    include = [f'-I{root}/src', f'-I{root}/include']
    done = subprocess.run([compiler, *WARNINGS, *standard, *include, '-x', language, '-'],
                          input=text, text=True, stderr=subprocess.PIPE, check=False)
    if done.returncode != 0:
        why = '\n'.join(done.stderr.splitlines()[:5])
        print(f'{header.relative_to(root)} does not compile alone in {language}:\n{why}')
    return done.returncode == 0


def main():
    root = pathlib.Path(sys.argv[1]).resolve()
    public = sorted((root / 'include').rglob('*.h'))
    private = sorted((root / 'src').rglob('*.h'))
    machine = os.uname().machine
    other_machines = [h for h in private if '/arch/' in str(h) and machine not in h.name]
    work = [(h, 'c') for h in public + private if h not in other_machines]
    work += [(h, 'c++') for h in public]
    bad = sum(not compile_alone(header, root, language) for header, language in work)
    print(f'{len(work) - bad} of {len(work)} compile alone')
    return 1 if bad or not work else 0


if __name__ == '__main__':
    sys.exit(main())
