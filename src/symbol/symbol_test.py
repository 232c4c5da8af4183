#!/usr/bin/env python3
"""Compares our symbolizer with llvm-symbolizer on thousands of random addresses.

    symbol_test.py SYMBOL_PRINT [unittest options]

Programs are built here by several compilers in many forms; libc comes from Debian with its
separate debug file. Each difference must belong to a class that is explained in `explain`, or
the test fails.
"""

import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from collections import Counter, namedtuple

PRINT = sys.argv.pop(1) if len(sys.argv) > 1 else 'symbol_print'
ADDRESSES = 3000
UNKNOWN = '??'

Frame = namedtuple('Frame', 'name file line column')
Symbol = namedtuple('Symbol', 'address size name')

C_SOURCE = r'''
#include <stdio.h>
#include <stdlib.h>
static inline int square(int x) { return x * x + rand(); }
static inline int cube(int x) { if (x > 7) return square(x) * x; return square(x + 1); }
static int __attribute__((noinline)) split(int x, int unused) {
  if (__builtin_expect(x == 12345, 0)) { puts("rare"); abort(); } return x + cube(x); }
int __attribute__((noinline)) work(int n) {
  int sum = 0; for (int i = 0; i < n; i++) sum += cube(i) ^ square(sum) ^ split(i, 3); return sum; }
int alias(int n) __attribute__((alias("work")));
int nested(int n) { int add(int x) { return x + n; } int (*volatile f)(int) = add; return f(3); }
int main(int argc, char **argv) {
  printf("%d\n", work(argc * 10) + nested(argc) + split(argc, 3)); return argv == 0; }
'''.replace('int nested(int n) {', '#ifndef __clang__\nint nested(int n) {') \
   .replace('int main', '#else\nint nested(int n) { return n; }\n#endif\nint main')

CXX_SOURCE = r'''
#include <algorithm>
#include <functional>
#include <iostream>
#include <map>
#include <regex>
#include <string>
#include <vector>
namespace app {
template <class T> struct Box {
  T v; explicit Box(T x) : v(x) {} T get() const { return v; }
  bool operator<(const Box &o) const { return v < o.v; } };
class Shape { public: virtual ~Shape() {} virtual double area() const = 0; };
class Square : public Shape { double a; public:
  explicit Square(double x) : a(x) {} double area() const override { return a * a; } };
namespace { struct Hidden {
  int run(int n) { int s = 0; for (int i = 0; i < n; i++) s += i * n; return s; } }; }
int hidden(int n) { Hidden h; return h.run(n); }
}
int main(int argc, char **) {
  std::vector<app::Box<int>> v; for (int i = 0; i < 1000; i++) v.emplace_back(rand());
  std::sort(v.begin(), v.end());
  std::map<std::string, std::vector<int>> m;
  for (auto &b : v) m[std::to_string(b.get())].push_back(b.get());
  std::function<int(int)> f = [&](int x) { return x + (int)m.size() + argc; };
  std::regex r("(a|b)*c[0-9]+"); int n = 0;
  for (auto &[k, w] : m) n += std::regex_search(k, r) + f((int)w.size());
  app::Shape *s = new app::Square(n);
  std::stable_sort(v.begin(), v.end(), [](auto &a, auto &b) { return b < a; });
  try { throw n; } catch (int x) { n = x; }
  std::cout << n << s->area() << app::hidden(argc) << v[0].get() << "\n"; }
'''

RUST_SOURCE = r'''
use std::collections::HashMap;
fn fib(n: u64) -> u64 { if n < 2 { n } else { fib(n - 1) + fib(n - 2) } }
struct P { x: f64 }
impl P { fn norm(&self) -> f64 { self.x.abs().sqrt() } }
fn main() {
    let mut m: HashMap<String, Vec<u64>> = HashMap::new();
    for i in 0..30 { m.entry(format!("k{}", i % 7)).or_default().push(fib(i)); }
    let mut v: Vec<_> = m.values().flatten().map(|x| P { x: *x as f64 }.norm()).collect();
    v.sort_by(|a, b| a.partial_cmp(b).unwrap());
    println!("{:?}", v.iter().sum::<f64>());
}
'''


def run(*command, **options):
    return subprocess.run(command, check=True, text=True, capture_output=True, **options).stdout


def clean(path):
    """One file has one name; a relative compilation directory is doubled by llvm-symbolizer."""
    if path == UNKNOWN:
        return path
    parts = os.path.normpath(path).split('/')
    for half in range(1, len(parts) // 2 + 1):
        if parts[:half] == parts[half:2 * half] and parts[0]:
            parts = parts[half:]
            break
    return '/'.join(parts)


def parse(text):
    """Blocks of frames, innermost first, as llvm-symbolizer prints them."""
    blocks = []
    for block in text.split('\n\n'):
        lines = block.strip('\n').split('\n')
        if len(lines) < 2:
            continue
        frames = []
        for name, place in zip(lines[::2], lines[1::2]):
            file, line, column = place.rsplit(':', 2)
            frames.append(Frame(name, clean(file), int(line), int(column)))
        blocks.append(frames)
    return blocks


def sections(path):
    """Name, address and size of each section with code."""
    found = []
    for line in run('readelf', '-SW', path).splitlines():
        m = re.match(r'\s*\[\s*\d+\]\s+(\S+)\s+\S+\s+([0-9a-f]{16})\s+[0-9a-f]+\s+([0-9a-f]+)'
                     r'\s+\S+\s+(\S*X\S*)\s', line)
        if m:
            found.append((m[1], int(m[2], 16), int(m[3], 16)))
    return found


def symbols(path):
    found = []
    for options in ([], ['-D']):
        done = subprocess.run(['nm', '-S', '--no-sort', *options, path], check=False, text=True,
                              capture_output=True)
        for line in done.stdout.splitlines():
            words = line.split()
            sized = len(words) == 4
            if len(words) in (3, 4) and words[-2] in 'tTwWi':
                found.append(Symbol(int(words[0], 16), int(words[1], 16) if sized else 0,
                                    words[-1].split('@')[0]))
    return found


COPY = re.compile(r'(\.(part|isra|constprop|cold|lto_priv|localalias|llvm|clone)(\.\d+)?)+$')
CONSTRUCTOR = re.compile(r'(?<=[CD])[0-5](?=E|I)')


class Judge:
    """Knows the symbols of a file and why two answers may rightly differ."""

    def __init__(self, path, symbol_file):
        self.named = {}
        self.covered = []
        for symbol in symbols(symbol_file) + symbols(path):
            self.named.setdefault(symbol.name, set()).add(symbol.address)
            if symbol.size:
                self.covered.append((symbol.address, symbol.address + symbol.size))
        self.plt = [(a, a + s) for name, a, s in sections(path) if name.startswith('.plt')]

    def inside(self, address, ranges):
        return any(low <= address < high for low, high in ranges)

    def same_function(self, ours, theirs):
        """Aliases are one function, and so are copies that a compiler made of it."""
        ours, theirs = COPY.sub('', ours), COPY.sub('', theirs)
        if ours == theirs or self.named.get(ours, set()) & self.named.get(theirs, set()):
            return True
        # A constructor has several symbols (C1, C2), DWARF knows a common one (C4).
        return CONSTRUCTOR.sub('', ours) == CONSTRUCTOR.sub('', theirs)

    def explain(self, address, ours, theirs):
        """The name of the class that this difference belongs to, None: not explained."""
        if self.inside(address, self.plt):
            # llvm-symbolizer names linkage tables by the symbol before them, or not at all.
            if ours[0].name.endswith('@plt') or ours[0].name == UNKNOWN:
                return 'linkage table'
        if ours[0].name == UNKNOWN:
            # We name nothing beyond the end of a symbol: neither padding that has a line nor
            # what follows a symbol without a size.
            if not self.inside(address, self.covered):
                return 'between functions'
            return None
        if theirs[0].name == UNKNOWN and self.inside(address, self.covered):
            # It does not read the symbols of a separate debug file.
            return 'their symbol is missing'
        if len(ours) != len(theirs):
            return None
        reason = 'the same'
        for a, b, outermost in zip(ours, theirs, [False] * (len(ours) - 1) + [True]):
            if a.name != b.name:
                if not outermost or not self.same_function(a.name, b.name):
                    return None
                reason = 'alias or copy'
            if a.line != b.line or a.column != b.column:
                return None
            if a.file != b.file:
                # Without DWARF they print the symbol table's name of a source file.
                if a.file != UNKNOWN or b.line or len(ours) > 1:
                    return None
                reason = 'file without line'
        return reason


class Differential(unittest.TestCase):
    indexed = 0  # programs whose index was used
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.mkdtemp(prefix='hone-symbol-')
        cls.built = {}  # compiling takes longer than all else
        for name, text in (('a.c', C_SOURCE), ('b.cpp', CXX_SOURCE), ('c.rs', RUST_SOURCE)):
            with open(os.path.join(cls.directory, name), 'w', encoding='utf-8') as file:
                file.write(text)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.directory)

    def path(self, name):
        return os.path.join(self.directory, name)

    def compile(self, name, compiler, *options):
        source = {'gcc': 'a.c', 'clang': 'a.c', 'rustc': 'c.rs'}.get(compiler, 'b.cpp')
        if source == 'b.cpp':
            options = ('-std=c++17', *options)
        built = self.built.get((compiler, options))
        if built:
            return shutil.copy(built, self.path(name))
        run(compiler, *options, '-o', self.path(name), source, cwd=self.directory)
        self.built[compiler, options] = shutil.copy(self.path(name), self.path(name) + '.built')
        return self.path(name)

    def compare(self, path, roots=(), reference=None, count=ADDRESSES, least=0.5):
        """reference: what llvm-symbolizer reads, when it cannot find the debug file itself."""
        random.seed(path.rsplit('/', 1)[-1])
        text = sections(path)
        total = sum(size for _, _, size in text)
        addresses = []
        for _ in range(count):
            at = random.randrange(total)
            for _, start, size in text:
                if at < size:
                    addresses.append(start + at)
                    break
                at -= size
        lines = ''.join(f'{address:#x}\n' for address in addresses)
        theirs = parse(run('llvm-symbolizer', '--no-demangle', f'--obj={reference or path}',
                           input=lines))
        options = [word for root in roots for word in ('-r', root)]
        done = subprocess.run([PRINT, *options, path], check=True, text=True, input=lines,
                              capture_output=True)
        ours = parse(done.stdout)
        self.same_through_index(path, options, lines, done.stdout)
        self.assertEqual(len(ours), count)
        self.assertEqual(len(theirs), count)
        debug = re.search(r'debug file (.*?);', done.stderr)[1]
        judge = Judge(path, reference or (path if debug == 'none' else debug))
        classes = Counter()
        for address, a, b in zip(addresses, ours, theirs):
            reason = judge.explain(address, a, b) if a != b else 'the same'
            self.assertIsNotNone(reason, f'{path} {address:#x}\nours   {a}\ntheirs {b}')
            classes[reason] += 1
        print(f'{os.path.basename(path)}: {dict(classes)}', file=sys.stderr)
        self.assertGreater(classes['the same'] + classes['alias or copy'], least * count)
        return ours

    def same_through_index(self, path, options, lines, expected):
        """One after the other, while an index is made, and from that: nothing changes."""
        cache = tempfile.mkdtemp(dir=self.directory)
        for more in (['-1'], ['-c', cache, '-k'], ['-c', cache]):
            done = subprocess.run([PRINT, *more, *options, path], check=True, text=True,
                                  input=lines, capture_output=True)
            self.assertEqual(done.stdout, expected, f'{path} {more}')
        if os.listdir(cache):
            self.assertIn('from index', done.stderr)
            type(self).indexed += 1
        shutil.rmtree(cache)

    def inlined(self, blocks):
        return sum(len(frames) > 1 for frames in blocks)

    def test_dwarf_of_compilers_versions_and_forms(self):
        c = (('-O2', '-gdwarf-5'), ('-O2', '-gdwarf-4'), ('-O2', '-gdwarf-3', '-no-pie'),
             ('-O0', '-g'), ('-O2', '-g', '-static'),
             ('-O2', '-g', '-ffunction-sections', '-Wl,--gc-sections'))
        cases = [('gcc', options) for options in c] + [('clang', options) for options in c]
        cases += [('gcc', ('-O2', '-gdwarf-5', '-gdwarf64')), ('g++', ('-O2', '-gdwarf-5')),
                  ('g++', ('-O2', '-g', '-flto')), ('g++', ('-O2', '-gdwarf-4', '-gz')),
                  ('g++', ('-O0', '-g', '-gz')), ('clang++', ('-O2', '-gdwarf-5')),
                  ('clang++', ('-O3', '-gdwarf-4', '-gz'))]
        for compiler, options in cases:
            with self.subTest(compiler=compiler, options=options):
                name = '_'.join((compiler, *options)).replace('/', '')
                blocks = self.compare(self.compile(name, compiler, *options), least=0.2)
                if '+' in compiler and '-O0' not in options:
                    self.assertGreater(self.inlined(blocks), 0.3 * len(blocks))

    def test_program_without_build_id_has_no_index(self):
        cache = self.path('no_id')
        for option, expected in (('-Wl,--build-id', 1), ('-Wl,--build-id=none', 0)):
            path = self.compile(f'id{expected}', 'g++', '-O2', '-g', option)
            subprocess.run([PRINT, '-c', cache, '-k', path], check=True, text=True,
                           input='0x1234\n', capture_output=True)
            kept = os.listdir(cache) if os.path.exists(cache) else []
            self.assertEqual(len(kept), expected, option)
            shutil.rmtree(cache, ignore_errors=True)

    def test_split_dwarf(self):
        for compiler in ('g++', 'clang++'):
            for version in ('4', '5'):
                with self.subTest(compiler=compiler, version=version):
                    name = f'split_{compiler}_{version}'
                    run(compiler, '-std=c++17', '-O2', f'-gdwarf-{version}', '-gsplit-dwarf', '-c',
                        'b.cpp', '-o', f'{name}.o', cwd=self.directory)
                    run(compiler, f'{name}.o', '-o', name, cwd=self.directory)
                    blocks = self.compare(self.path(name))
                    self.assertGreater(self.inlined(blocks), 0.3 * len(blocks))

    def test_rust_with_both_manglings(self):
        for scheme in ('legacy', 'v0'):
            with self.subTest(scheme=scheme):
                options = ['-C', f'symbol-mangling-version={scheme}']
                if scheme == 'legacy' and 'legacy' not in self.rust_schemes():
                    options = []
                path = self.compile(f'rust_{scheme}', 'rustc', '-g', '-O', *options)
                self.compare(path)

    def rust_schemes(self):
        done = subprocess.run(['rustc', '-C', 'symbol-mangling-version=legacy', '--print',
                               'sysroot'], check=False, capture_output=True)
        return ('legacy', 'v0') if done.returncode == 0 else ('v0',)

    def test_debug_file_by_link_beside_and_below(self):
        for where in ('', '.debug', 'root'):
            with self.subTest(where=where):
                whole = self.compile(f'link{where}', 'g++', '-O2', '-gdwarf-5',
                                     '-Wl,--build-id=none')
                folder = self.path(where) if where != 'root' else self.path('root') + self.directory
                os.makedirs(folder, exist_ok=True)
                debug = os.path.join(folder, f'link{where}.dbg')
                kept = shutil.copy(whole, whole + '.whole')
                run('objcopy', '--only-keep-debug', whole, debug)
                run('strip', whole)
                run('objcopy', f'--add-gnu-debuglink={debug}', whole)
                self.compare(whole, roots=[self.path('root')], reference=kept)
                # Another file under the same name has another checksum.
                with open(debug, 'ab') as file:
                    file.write(b'x')
                self.assertIn('debug file none', self.facts(whole, self.path('root')))

    def facts(self, path, *roots):
        options = [word for root in roots for word in ('-r', root)]
        return subprocess.run([PRINT, *options, path], check=True, text=True, input='',
                              capture_output=True).stderr

    def install_debug(self, debug, root):
        build_id = re.search(r'Build ID: (\w+)', run('readelf', '-n', debug))[1]
        folder = os.path.join(root, '.build-id', build_id[:2])
        os.makedirs(folder, exist_ok=True)
        return shutil.move(debug, os.path.join(folder, build_id[2:] + '.debug'))

    def stripped(self, name, *options):
        """A stripped program, a whole copy and its debug file, not yet where it belongs."""
        whole = self.compile(name, 'g++', '-O2', *options, '-Wl,--build-id')
        kept = shutil.copy(whole, whole + '.whole')
        run('objcopy', '--only-keep-debug', whole, whole + '.debug')
        run('strip', whole)
        return whole, kept, whole + '.debug'

    def test_debug_file_by_build_id(self):
        for options in (('-gdwarf-5',), ('-gdwarf-4',)):
            with self.subTest(options=options):
                path, kept, debug = self.stripped('id' + ''.join(options), *options)
                root = self.path('ids')
                self.assertIn('exported functions only', self.facts(path, root))
                self.install_debug(debug, root)
                self.compare(path, roots=[self.path('empty'), root], reference=kept)

    def test_dwz_alone_and_with_a_shared_file(self):
        root = self.path('dwz')
        for version in ('4', '5'):
            with self.subTest(version=version):
                one, kept_one, debug_one = self.stripped(f'one{version}', f'-gdwarf-{version}')
                two, kept_two, debug_two = self.stripped(f'two{version}', f'-gdwarf-{version}',
                                                         '-fno-inline-small-functions')
                run('dwz', '-m', self.path(f'common{version}'), debug_one, debug_two)
                self.assertIn('.gnu_debugaltlink', run('readelf', '-SW', debug_one))
                self.install_debug(self.path(f'common{version}'), root)
                self.install_debug(debug_one, root)
                self.install_debug(debug_two, root)
                self.compare(one, roots=[root], reference=kept_one)
                self.compare(two, roots=[root], reference=kept_two)
        alone = self.compile('alone', 'g++', '-O2', '-gdwarf-5')
        kept = shutil.copy(alone, alone + '.whole')
        run('dwz', alone)
        self.compare(alone, reference=kept)

    def test_stripped_program_gives_exports_and_nothing_between(self):
        path = self.compile('exports', 'g++', '-O2', '-rdynamic')
        before = {s.name: s for s in symbols(path) if s.size}
        run('strip', path)
        exported = {s.name for s in symbols(path)}
        lines, expected = [], []
        for symbol in before.values():
            if symbol.address and symbol.name not in exported:
                lines.append(f'{symbol.address:#x}\n')
        self.assertGreater(len(lines), 3)
        done = subprocess.run([PRINT, path], check=True, text=True, input=''.join(lines),
                              capture_output=True)
        exported_ranges = [(s.address, s.address + s.size) for s in symbols(path) if s.size]
        for line, frames in zip(lines, parse(done.stdout)):
            address = int(line, 16)
            if not any(low <= address < high for low, high in exported_ranges):
                expected.append(address)
                self.assertEqual(frames[0].name, UNKNOWN, line)
        self.assertGreater(len(expected), 3)

    def test_libc_with_its_debug_package(self):
        libc = os.path.realpath('/lib/x86_64-linux-gnu/libc.so.6')
        before = self.indexed
        blocks = self.compare(libc, count=20000, least=0.9)
        self.assertEqual(self.indexed, before + 1)
        self.assertGreater(self.inlined(blocks), 1000)

    def test_mini_debug_info_names_local_functions(self):
        path = self.compile('mini', 'g++', '-O2', '-gdwarf-5')
        before = [s for s in symbols(path) if s.size > 8]
        judge = Judge(path, path)
        mini = path + '.mini'
        with open(path + '.names', 'w', encoding='utf-8') as names:
            names.writelines(f'{symbol.name}\n' for symbol in before)
        run('objcopy', '-S', f'--keep-symbols={path}.names', path, mini)
        run('xz', '--check=crc32', mini)
        run('strip', path)
        run('objcopy', '--add-section', f'.gnu_debugdata={mini}.xz', path)
        lines = ''.join(f'{s.address + 4:#x}\n' for s in before)
        done = subprocess.run([PRINT, path], check=True, text=True, input=lines,
                              capture_output=True)
        self.assertIn('no debug information', done.stderr)
        for symbol, frames in zip(before, parse(done.stdout)):
            self.assertTrue(judge.same_function(frames[0].name, symbol.name), (symbol, frames))


if __name__ == '__main__':
    unittest.main(verbosity=2)
