"""libhone-profile as somebody else finds it installed: its manual page's example compiles by what
pkg-config says, and runs."""

import os
import re
import subprocess

import harness
from harness import BUILD

CORPUS = os.path.join(os.path.dirname(__file__), '..', 'src', 'profile', 'corpus')
STRICT = ['-std=c17', '-Wall', '-Wextra', '-Wpedantic', '-Werror']


def example_of(page):
    """The program of a manual page, as a reader would copy it."""
    with open(page, encoding='utf-8') as file:
        text = file.read()
    lines = text.split('.SH EXAMPLE\n.EX\n', 1)[1].split('\n.EE\n', 1)[0].splitlines()
    return '\n'.join(re.sub(r'^\\&', '', line).replace(r'\-', '-').replace(r'\e', '\\')
                     for line in lines) + '\n'


class Installed(harness.TestCase):
    def setUp(self):
        super().setUp()
        self.root = os.path.join(self.tmp, 'root')
        subprocess.run(['meson', 'install', '-C', BUILD, '--no-rebuild', '--quiet'], check=True,
                       env={**os.environ, 'DESTDIR': self.root}, capture_output=True, timeout=120)
        self.program = os.path.join(self.tmp, 'program')
        self.source = os.path.join(self.tmp, 'program.c')
        with open(self.source, 'w', encoding='utf-8') as file:
            file.write(example_of(self.find('hone-profile.3')))

    def find(self, name):
        found = [os.path.join(directory, name) for directory, _, names in os.walk(self.root)
                 if name in names]
        self.assertEqual(len(found), 1, f'{name}: installed {len(found)} times')
        return found[0]

    def flags(self, *arguments):
        packages = os.path.dirname(self.find('hone-profile.pc'))
        done = subprocess.run(['pkg-config', *arguments, 'hone-profile'], check=True, text=True,
                              capture_output=True, timeout=60,
                              env={**os.environ, 'PKG_CONFIG_PATH': packages,
                                   'PKG_CONFIG_SYSROOT_DIR': self.root})
        return done.stdout.split()

    def compile(self, *arguments, compiler='cc'):
        done = subprocess.run([compiler, '-o', self.program, self.source, *arguments],
                              capture_output=True, text=True, timeout=120, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)

    def run_program(self, *arguments, **environment):
        return subprocess.run([self.program, *arguments], capture_output=True, text=True,
                              timeout=60, check=False, env={**os.environ, **environment})

    def check(self, **environment):
        profile = os.path.join(CORPUS, 'plain.pb')
        done = self.run_program(profile, profile, **environment)
        self.assertEqual((done.returncode, done.stderr), (0, ''))
        # 30 ns of main, twice.
        self.assertEqual(done.stdout, 'cpu in nanoseconds\n             60  main\n')
        done = self.run_program(profile, os.path.join(self.tmp, 'missing'), **environment)
        self.assertEqual(done.returncode, 1)
        self.assertIn("missing': no such file", done.stderr)
        done = self.run_program(os.path.join(CORPUS, 'bad_text.pb'), **environment)
        self.assertEqual(done.returncode, 1)
        self.assertIn('profile.proto', done.stderr)

    def test_example_with_the_shared_library(self):
        self.compile(*STRICT, *self.flags('--cflags', '--libs'))
        self.check(LD_LIBRARY_PATH=os.path.dirname(self.find('libhone-profile.so.0')))

    def test_example_with_the_static_library(self):
        flags = [self.find('libhone-profile.a') if flag == '-lhone-profile' else flag
                 for flag in self.flags('--cflags', '--libs', '--static')]
        self.compile(*STRICT, *flags)
        self.check()

    def test_program_in_cxx(self):
        with open(self.source, 'w', encoding='utf-8') as file:
            file.write('''#include <hone/profile.h>
                int hone_table_add() { return 1; }  // a name that the library uses inside
                int main() {
                    hone_profile *p = hone_profile_new();
                    hone_profile_add_type(p, "samples", "count");
                    int64_t one = 1;
                    hone_profile_add_sample(p, 0, &one, nullptr, 0);
                    int r = hone_profile_validate(p, nullptr);
                    hone_profile_free(p);
                    return r + hone_table_add() - 1;
                }''')
        flags = [self.find('libhone-profile.a') if flag == '-lhone-profile' else flag
                 for flag in self.flags('--cflags', '--libs', '--static')]
        self.compile('-x', 'c++', '-std=c++11', '-Wall', '-Wextra', '-Wpedantic', '-Werror',
                     *[flag for flag in flags if flag.startswith('-I')], '-c', compiler='g++')
        os.rename(self.program, self.program + '.o')
        self.source = self.program + '.o'
        self.compile(*[flag for flag in flags if not flag.startswith('-I')], compiler='g++')
        self.assertEqual(self.run_program().returncode, 0)
