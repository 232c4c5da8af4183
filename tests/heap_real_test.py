"""The heap of real programs: what Hone counts against what heaptrack counts, and that recording it
changes nothing, with several allocators and for programs of many kinds.

Prints one row for each comparison.
"""

import glob
import hashlib
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from collections import Counter, namedtuple

import harness
import servers
from harness import HONE
from pprof import Profile

PYTHON = '''
import collections, json, re
words = [str(i * 7919 % 10007) for i in range(60000)]
print(collections.Counter(words).most_common(3))
tree = {w: [w * 3, {"n": i * .5}] for i, w in enumerate(words[:20000])}
print(len(json.dumps(json.loads(json.dumps(tree)))))
print(len(re.sub("[13]", "abc", " ".join(words))))
'''

SQL = '''
CREATE TABLE t(a INTEGER, b INTEGER, c TEXT);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
  INSERT INTO t SELECT i, (i * 7919) % 10003, 'row ' || (i * 31 % 977) FROM n;
CREATE INDEX t_b ON t(b);
SELECT c, count(*), avg(b) FROM t GROUP BY c ORDER BY 3 DESC LIMIT 5;
SELECT sum(length(replace(c, '1', 'one'))) FROM t;
'''

PERL = '''
my (%n, @rows);
for my $i (1 .. 30000) { $n{$i * 7919 % 1009} .= "x$i"; push @rows, [$i, "row $i"] if $i % 3 }
print join(" ", map { length $n{$_} } sort { $a <=> $b } (keys %n)[0 .. 9]), scalar(@rows), "\\n";
'''

CXX = '''
#include <map>
#include <string>
#include <vector>
int f(int n)
{
    std::map<std::string, std::vector<int>> m;
    for (int i = 0; i < n; i++) m[std::to_string(i % 7)].push_back(i);
    return int(m.size());
}
'''

RUST = '''
use std::collections::HashMap;
fn main() {
    let mut m: HashMap<u64, Vec<String>> = HashMap::new();
    for i in 0..40000u64 { m.entry(i * 7919 % 997).or_default().push(format!("row {}", i)); }
    let mut n: Vec<usize> = m.values().map(|v| v.iter().map(|s| s.len()).sum()).collect();
    n.sort();
    let t: Vec<_> = (0..3).map(|k| std::thread::spawn(move ||
        (0..20000).map(|i| format!("{}{}", i, k)).map(|s| s.len()).sum::<usize>())).collect();
    println!("{:?} {}", &n[..5], t.into_iter().map(|h| h.join().unwrap()).sum::<usize>());
}
'''

ALLOCATORS = {'glibc': None, 'jemalloc': 'libjemalloc.so.2', 'tcmalloc': 'libtcmalloc.so.4',
              'mimalloc': 'libmimalloc.so.2*'}
ENVIRONMENT = {**os.environ, 'PYTHONHASHSEED': '0', 'PERL_HASH_SEED': '0', 'PERL_PERTURB_KEYS': '0',
               'HOME': '/tmp'}


def library(name):
    found = sorted(glob.glob(f'/usr/lib/*/{name}'))
    return found[0] if found else None


def run_with(allocator, command):
    return ['env', f'LD_PRELOAD={library(ALLOCATORS[allocator])}', *command] \
        if ALLOCATORS[allocator] else command


class TestCase(harness.TestCase):
    rows = []

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.inputs = tempfile.mkdtemp(prefix='hone-heap-')
        os.chmod(cls.inputs, 0o755)
        cls.addClassCleanup(shutil.rmtree, cls.inputs, ignore_errors=True)
        for name, text in (('work.py', PYTHON), ('work.sql', SQL), ('work.pl', PERL), ('rows.cpp', CXX),
                           ('work.rs', RUST)):
            with open(os.path.join(cls.inputs, name), 'w', encoding='utf-8') as file:
                file.write(text)
        cls.rows = []

    @classmethod
    def tearDownClass(cls):
        print(file=sys.stderr)
        for row in cls.rows:
            print('  ' + '  '.join(row), file=sys.stderr)
        cls.rows = []

    def record_heap(self, command, *options, **run):
        return self.record(*command, options=('--types', 'heap', *options), cwd=self.inputs,
                           env=ENVIRONMENT, timeout=600, **run)


# --- heaptrack ------------------------------------------------------------------------------------

class Heaptrack:
    """What heaptrack wrote of one run: its own summary, and what its data adds up to."""

    def __init__(self, case, command):
        out = os.path.join(case.tmp, 'heaptrack')
        done = subprocess.run(['heaptrack', '-o', out, *command], cwd=case.inputs, env=ENVIRONMENT,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=600, check=False)
        file = next((name for name in (out + '.zst', out + '.gz') if os.path.exists(name)), None)
        if done.returncode or not file:
            raise ChildProcessError(f'heaptrack: {done.stderr[-500:]}')
        said = subprocess.run(['heaptrack_print', '-f', file, '-a', '0', '-p', '0', '-l', '0', '-T',
                               '0'], capture_output=True, text=True, errors='replace', timeout=600,
                              check=True).stdout
        self.calls = int(re.search(r'calls to allocation functions: (\d+)', said)[1])
        self.temporary = int(re.search(r'temporary memory allocations: (\d+)', said)[1])
        self.peak_said = re.search(r'peak heap memory consumption: (\S+)', said)[1]
        self.read(file)
        os.unlink(file)

    def read(self, file):
        """Lines "a SIZE STACK" name kinds of allocations, "+ KIND" and "- KIND" are blocks."""
        unpack = 'zstd' if file.endswith('.zst') else 'gzip'
        sizes, live = [], 0
        self.sizes = Counter()
        self.objects = self.bytes = self.peak = 0
        with subprocess.Popen([unpack, '-dc', file], stdout=subprocess.PIPE) as process:
            for line in process.stdout:
                kind = line[:2]
                if kind == b'a ':
                    sizes.append(int(line.split()[1], 16))
                elif kind == b'+ ':
                    size = sizes[int(line[2:], 16)]
                    self.objects += 1
                    self.sizes[size] += 1
                    self.bytes += size
                    live += size
                    self.peak = max(self.peak, live)
                elif kind == b'- ':
                    live -= sizes[int(line[2:], 16)]



def peak_of(recording):
    """What the profile says of the highest live total."""
    for comment in recording.heap.comments:
        found = re.search(r'(\d+) bytes at the peak', comment)
        if found:
            return int(found[1])
    if not recording.heap.samples:
        return 0
    raise AssertionError(f'no peak in {recording.heap.comments}')


@unittest.skipUnless(shutil.which('heaptrack_print'), 'no heaptrack')
class AgreesWithHeaptrack(TestCase):
    """Within 0.1 %, blocks, bytes and the highest live total.

    What differs for a reason is taken into account first. heaptrack's own library brings libstdc++
    into these programs, which are of C: it sets 72 704 bytes aside for exceptions that find no memory.
    And heaptrack sees what is allocated before Hone begins, which Hone counts, too. What is left is
    the environment: the two put different variables into it, which python3 and perl copy."""

    Figures = namedtuple('Figures', 'objects bytes peak')
    RESERVE = 72704

    def theirs(self, command):
        found = Heaptrack(self, command)
        self.assertEqual(found.calls, found.objects)
        self.assertEqual(found.sizes[self.RESERVE], 1)
        return self.Figures(found.objects - 1, found.bytes - self.RESERVE,
                            found.peak - self.RESERVE)

    def ours(self, command):
        recording = self.record_heap(command, '-q', '--heap-rate', '1')
        self.assertEqual(recording.status, 0, recording.stderr[-500:])
        process, = recording.session['heap']['processes']
        early = process['bytes_before_probe']
        return self.Figures(
            recording.heap.total('alloc_objects') + process['allocations_before_probe'],
            recording.heap.total('alloc_space') + early, peak_of(recording) + early)

    def check(self, name, command):
        theirs, ours = self.theirs(command), self.ours(command)
        for what in self.Figures._fields:
            own, other = getattr(ours, what), getattr(theirs, what)
            self.rows.append((f'{name:8} {what:7}', f'{own:12} {other:12} of heaptrack',
                              f'{100 * (own / other - 1):+.4f} %'))
            self.assertLessEqual(abs(own / other - 1), 0.001, f'{what}: {own} of {other}')

    def test_sqlite3(self):
        self.check('sqlite3', ['sqlite3', '-init', '/dev/null', ':memory:', '.read work.sql'])

    def test_python3(self):
        self.check('python3', ['/usr/bin/python3', 'work.py'])

    def test_perl(self):
        self.check('perl', ['perl', 'work.pl'])


# --- nothing is changed ---------------------------------------------------------------------------

class ChangesNothing(TestCase):
    """Sampled and exact, with the program's own allocator and with three that are preloaded."""

    def output_of(self, path):
        if not path:
            return None
        path = os.path.join(self.inputs, path)
        with open(path, 'rb') as file:
            found = hashlib.sha256(file.read()).hexdigest()
        os.unlink(path)
        return found

    def check(self, command, output=None, objects=10000, others=('512KiB', '1')):
        """`others`: rates with other allocators than the program's own."""
        for allocator, name in ALLOCATORS.items():
            if name and not library(name):
                continue
            with self.subTest(allocator):
                self.check_with(allocator, run_with(allocator, command), output, objects,
                                others if name else ('512KiB', '1'))

    def check_with(self, allocator, command, output, objects, rates):
        plain = self.run_plain(*command, cwd=self.inputs, env=ENVIRONMENT, timeout=300)
        written = self.output_of(output)
        heaps = {}
        for rate in rates:
            recording = self.record_heap(command, '-q', '--heap-rate', rate)
            self.assertEqual((recording.status, recording.stdout, recording.stderr),
                             (plain.returncode, plain.stdout, plain.stderr))
            self.assertEqual(self.output_of(output), written)
            heaps[rate] = heap = recording.heap
            self.assertEqual(heap.problems(), [])
            self.assertEqual([c for c in heap.comments if c.startswith('lost')], [])
            if ALLOCATORS[allocator]:
                self.assertTrue(any('# allocator: ' in c and f'lib{allocator}' in c
                                    for c in heap.comments), heap.comments)
        exact, sampled = heaps.get('1'), heaps.get('512KiB')
        if not exact:
            return
        self.assertGreater(exact.total('alloc_objects'), objects)
        for kind in ('inuse_objects', 'inuse_space'):
            self.assertEqual(min((s.values[exact.index(kind)] for s in exact.samples), default=0) < 0,
                             False)
        # Sampled by the rule of each block: within five errors of what was counted.
        variance = 0
        for sample in exact.samples:
            made, space = sample.values[0], sample.values[1]
            if made:
                size = space / made
                p = -math.expm1(-size / (512 << 10))
                variance += made * size * size * (1 - p) / p if p else 0
        if not sampled:
            return
        off = sampled.total('alloc_space') - exact.total('alloc_space')
        self.rows.append((f'{os.path.basename(command[-1])[:24]:24} {allocator:8}',
                          f'{exact.total("alloc_objects"):9} blocks',
                          f'{exact.total("alloc_space") / 1e6:8.2f} MB, sampled {off / 1e6:+8.2f} MB',
                          f'(error {math.sqrt(variance) / 1e6:.2f})'))
        # Blocks of many sizes at one stack have a larger error than their mean says.
        self.assertLessEqual(abs(off), 6 * math.sqrt(variance) + 0.02 * exact.total('alloc_space'))

    def test_sqlite3(self):
        self.check(['sqlite3', '-init', '/dev/null', ':memory:', '.read work.sql'])

    def test_python3(self):
        self.check(['/usr/bin/python3', 'work.py'], objects=3000)

    def test_compiler(self):
        self.check(['g++', '-O1', '-c', 'rows.cpp', '-o', 'rows.o'], output='rows.o')

    @unittest.skipUnless(shutil.which('clang'), 'no clang')
    def test_large_program_in_cxx(self):
        # A hundred megabytes of code, of which each recording looks names up: once in full.
        self.check(['clang', '-O1', '-c', 'rows.cpp', '-o', 'clang.o'], output='clang.o',
                   others=('512KiB',))

    @unittest.skipUnless(shutil.which('rustc'), 'no rustc')
    def test_rust(self):
        subprocess.run(['rustc', '-O', 'work.rs', '-o', 'work-rs'], cwd=self.inputs, check=True,
                       capture_output=True)
        self.check(['./work-rs'])


class Servers(TestCase):
    """Under load, by clients that are not recorded. Only the server is."""

    def check(self, name, load, comm):
        server = next(s for s in servers.SERVERS if s.name == name)._replace(load=load)
        port = servers.free_port()
        plain = servers.serve(server, self.inputs, port, lambda command: command)
        for allocator, file in ALLOCATORS.items():
            if file and not library(file):
                continue
            for rate in ('512KiB', '1'):
                with self.subTest(allocator=allocator, rate=rate):
                    self.check_with(server, port, plain, comm, allocator, rate)

    def check_with(self, server, port, plain, comm, allocator, rate):
        session = os.path.join(self.tmp, f'{server.name}-{allocator}-{rate}')
        done = servers.serve(server, self.inputs, port, lambda command: [
            HONE, 'record', '-q', '--types', 'cpu,heap', '--heap-rate', rate, '-o', session, '--',
            *run_with(allocator, command)])
        self.assertEqual((done.returncode, done.stdout), (plain.returncode, plain.stdout))
        heap = Profile.read(os.path.join(session, 'heap.prof'))
        self.assertEqual(heap.problems(), [])
        self.assertTrue(any(comm in s.labels['process'] for s in heap.samples))
        self.assertEqual([c for c in heap.comments if c.startswith('lost')], [])
        if ALLOCATORS[allocator]:
            self.assertTrue(any('# allocator: ' in c and f'lib{allocator}' in c
                                for c in heap.comments), heap.comments)
        for kind in ('inuse_objects', 'inuse_space'):
            self.assertGreaterEqual(min(s.values[heap.index(kind)] for s in heap.samples), 0)
        self.rows.append((f'{server.name:9} {allocator:8} {rate:7}',
                          f'{heap.total("alloc_objects"):10} blocks',
                          f'{heap.total("alloc_space") / 1e6:.1f} MB, '
                          f'{heap.total("inuse_space") / 1e6:.1f} MB live'))

    @unittest.skipUnless(shutil.which('redis-server'), 'no redis')
    def test_redis(self):
        def load(_directory, port):
            servers.run('redis-benchmark', '-p', str(port), '-q', '-n', '30000', '-c', '10', '-P',
                        '16', '-t', 'set,lpush,zadd,hset')
            ask = ['redis-cli', '-p', str(port)]
            return b''.join(servers.run(*ask, *words) for words in (
                ['llen', 'mylist'], ['lrange', 'mylist', '0', '3']))
        self.check('redis', load, 'redis-server')

    @unittest.skipUnless(os.getuid() == 0 and servers.POSTGRES, 'no PostgreSQL, or not root')
    def test_postgres(self):
        os.chmod(self.tmp, 0o755)

        def load(directory, port):
            to = ['-h', '127.0.0.1', '-p', str(port), '-U', 'postgres']
            servers.run(servers.tool('pgbench'), *to, '-i', '-q', '-s', '1', 'postgres')
            servers.run(servers.tool('pgbench'), *to, '-S', '-c', '3', '-t', '300', 'postgres')
            return servers.run('psql', *to, '-At', '-c',
                               'select count(*), max(aid) from pgbench_accounts', 'postgres')
        self.check('postgres', load, 'postgres')


@unittest.skipUnless(shutil.which('chromium'), 'no chromium')
class Browser(TestCase):
    def test_a_page_is_the_same(self):
        """Sampled; and every block of all of its processes, of which none is lost."""
        page = os.path.join(self.inputs, 'page.html')
        with open(page, 'w', encoding='utf-8') as file:
            file.write('<body><script>for (let i = 0; i < 2000; i++) document.body.append(i * 7919 '
                       '% 997, document.createElement("hr"))</script>')

        def command(profile):
            return ['chromium', '--headless', '--no-sandbox', '--disable-gpu', '--dump-dom',
                    f'--user-data-dir={os.path.join(self.tmp, profile)}', f'file://{page}']
        plain = self.run_plain(*command('plain'), cwd=self.inputs, env=ENVIRONMENT, timeout=300)
        self.assertEqual(plain.returncode, 0, plain.stderr[-500:])
        for rate in ('512KiB', '1'):
            with self.subTest(rate=rate):
                self.check(command(f'recorded-{rate}'), rate, plain)

    def check(self, command, rate, plain):
        recording = self.record_heap(command, '--heap-rate', rate)
        self.assertEqual((recording.status, recording.stdout), (plain.returncode, plain.stdout))
        self.assertEqual(recording.heap.problems(), [])
        self.assertEqual([c for c in recording.heap.comments if 'for lack of memory' in c], [])
        # Its own malloc() is inside of it, without symbols, and in each of its processes.
        own = [p for p in recording.session['heap']['processes'] if '/chromium' in p['allocator']]
        covered = [p for p in own if p['samples'] or p['peak_bytes']]
        self.assertGreaterEqual(len(covered), 2, recording.heap.comments)
        self.assertEqual([c for c in recording.heap.comments if c.startswith('not covered')
                          and 'malloc' in c], [])
        self.assertGreater(recording.heap.total('alloc_space'), 10 << 20)
        self.rows.append((f'chromium {rate}', f'{len(own)} processes, {len(covered)} with blocks',
                          f'{recording.heap.total("alloc_objects")} blocks',
                          f'{recording.heap.total("alloc_space") / 1e6:.1f} MB'))


if __name__ == '__main__':
    unittest.main()
