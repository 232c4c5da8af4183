"""Real programs with threads under `--types mutex,block,threads`, the server alone recorded: its answers
and its exit status are the right ones, what its threads waited agrees with what the kernel counts, its
locks have names, and nobody in it is accused."""

import json
import os
import re
import shutil
import socket
import subprocess
import threading
import unittest
import urllib.request

import deadlock_test
import harness
import servers
from harness import BUILD, HONE, NS, Profile, Usage, workload
from wall_test import SLACK_NS, perf_is_permitted, states

EXACT = ('--mutex-fraction', '1', '--block-rate', '1')


class Looks(threading.Thread):
    """Looks for deadlocks in a program while it is busy, again and again."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.over, self.looks, self.accused = pid, threading.Event(), 0, []

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()

    def run(self):
        while not self.over.wait(0.3 if self.looks else 0):
            try:
                status, text = deadlock_test.deadlocks(self.pid, '--json')
            except ProcessLookupError:
                return
            self.looks += 1
            if status or json.loads(text)['findings']:
                self.accused.append(text)


@unittest.skipUnless(perf_is_permitted() and os.geteuid() == 0, 'needs root')
class Servers(harness.TestCase):

    def serve(self, name, load, command=lambda words: words, prepare=None):
        """One run under load, by a server that is there. What the load returns is its answer."""
        server = next(s for s in servers.SERVERS if s.name == name)
        if not servers.installed(server):
            self.skipTest(f'no {name}')
        made, times = (os.path.join(self.tmp, kind) for kind in ('made', 'times'))
        looks = []

        def loaded(directory, port):
            me = subprocess.CompletedProcess([], 0)
            me.pid = os.getpid()
            with Looks(servers.server_pid(me, server.comm)) as watch:
                looks.append(watch)
                return load(directory, port)

        done = servers.serve(
            server._replace(load=loaded, prepare=prepare or server.prepare), self.tmp,
            servers.free_port(), lambda words: [
                HONE, 'record', '-q', '--types', 'mutex,block,threads', *EXACT, '-o', made, '--',
                workload('stopwatch'), times, *command(words)])
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(looks[0].accused, [])
        self.assertGreater(looks[0].looks, 0)
        recording = harness.Recording(done, made, Usage(times))
        block, mutex = (Profile.read(os.path.join(made, file)) for file in ('block.prof', 'mutex.prof'))
        for profile in block, mutex:
            self.assertEqual(profile.problems(), [])
            self.assertEqual([c for c in profile.comments if c.startswith('lost')], [])
        self.judge_time(name, recording, block)
        self.judge_locks(recording, mutex)
        self.judge_threads(made)
        return recording, block, mutex

    def judge_time(self, name, recording, block):
        """Off-CPU is what the kernel did not count as time on a CPU."""
        facts = recording.session['block']
        off_ns = facts['lifetime_ns'] - recording.usage.cpu_ns
        hone_ns = facts['delay_ns'] + facts['runnable_ns']
        print(f'\n{name}: off-CPU {hone_ns / NS:.3f} s, the kernel says {off_ns / NS:.3f} s '
              f'({100 * hone_ns / off_ns - 100:+.2f} %), on a CPU {facts["on_cpu_ns"] / NS:.3f} s and '
              f'{recording.usage.cpu_ns / NS:.3f} s', end=' ', flush=True)
        self.assertAlmostEqual(hone_ns / off_ns, 1, delta=0.02)
        self.assertAlmostEqual(block.total('delay') / facts['delay_ns'], 1, delta=0.01)

    def judge_locks(self, recording, mutex):
        """Who waited and who is charged were seen by different threads: they agree. What is under way
        at the end is a wait that nobody has written; and what needed to get going after a release that
        nobody saw, among very short holds, is charged to nobody."""
        locks = recording.session['locks']
        under_way = locks['contentions'] - locks['wait_records']
        self.assertGreaterEqual(under_way, 0)
        self.assertLessEqual(under_way, recording.session['threads']['created'] // 2)
        uses = [lock[mode] for lock in locks['list'] for mode in ('exclusive', 'shared') if lock[mode]]
        waited_ns = sum(use['waited_ns']['value'] for use in uses if use['waited_ns'])
        charged_ns = sum(lock['delay_ns']['value'] for lock in locks['list'])
        print(f'waited {waited_ns / NS:.4f} s in {locks["contentions"]} waits, charged '
              f'{charged_ns / NS:.4f} s', end=' ', flush=True)
        for told_ns in charged_ns, mutex.total('delay'):
            self.assertLessEqual(abs(told_ns - waited_ns),
                                 0.06 * waited_ns + 100_000 + 15_000 * locks['contentions'])

    def judge_threads(self, made):
        done = self.run_plain(HONE, 'threads', '--json', made)
        self.assertEqual(done.returncode, 0, done.stderr)
        places = json.loads(done.stdout)['places']
        self.assertEqual([place for place in places if place['leaks']], [])

    def assert_waits(self, block, *kinds):
        told = {s.labels['wait'][0] for s in block.samples}
        self.assertLessEqual(set(kinds), told)

    def named(self, recording, pattern):
        """Locks whose name somebody gave them, or their place in a file or a function."""
        names = [lock['name'] for lock in recording.session['locks']['list'] if lock['named_by']]
        self.assertTrue([name for name in names if re.search(pattern, name)], names)

    def test_nginx_with_threads(self):
        page = b''.join(b'%07d\n' % i for i in range(8000))
        os.mkdir(os.path.join(self.tmp, 'www'))
        with open(os.path.join(self.tmp, 'www', 'index.html'), 'wb') as file:
            file.write(page)

        def prepare(directory, port):
            text = servers.NGINX.replace('gzip on;', 'gzip off; sendfile off; aio threads;')
            with open(os.path.join(directory, 'nginx.conf'), 'w', encoding='utf-8') as file:
                file.write('thread_pool default threads=4;' + text.format(port=port))

        def load(_directory, port):
            url = f'http://127.0.0.1:{port}/index.html'
            said = servers.run('ab', '-n', '6000', '-c', '8', '-k', url).decode()
            counts = dict(re.findall(r'^(.*?): +(\d+)', said, re.MULTILINE))
            with urllib.request.urlopen(url, timeout=30) as answer:
                return counts, answer.read()

        recording, block, _ = self.serve('nginx', load, prepare=prepare)
        counts, answer = recording.stdout
        self.assertEqual(answer, page)
        self.assertEqual((counts['Complete requests'], counts['Failed requests'],
                          counts['HTML transferred']), ('6000', '0', str(6000 * len(page))))
        self.assert_waits(block, 'epoll', 'condition')
        self.named(recording, 'nginx|ngx_')
        self.assertGreaterEqual(recording.session['threads']['created'], 4)

    def test_redis_with_threads(self):
        def load(_directory, port):
            servers.run('redis-benchmark', '-p', str(port), '-q', '-n', '8000', '-c', '8', '-P', '16',
                        '-t', 'lpush,zadd')
            ask = ['redis-cli', '-p', str(port)]
            return b''.join(servers.run(*ask, *words) for words in (
                ['llen', 'mylist'], ['zcard', 'myzset'], ['lrange', 'mylist', '0', '1']))

        recording, block, mutex = self.serve('redis', load, lambda words: [
            *words, '--io-threads', '2', '--io-threads-do-reads', 'yes'])
        self.assertEqual(recording.stdout, b'8000\n1\nVXK\nVXK\n')
        # While there is little to do, the first thread keeps the others out by their locks.
        self.assert_waits(block, 'epoll', 'condition', 'mutex')
        self.assertGreater(mutex.total('delay'), 0)
        self.named(recording, 'io_threads_mutex|redis')
        self.assertGreaterEqual(recording.session['threads']['created'], 1 + 3)

    def test_memcached(self):
        wrong = []

        def client(port, mine):
            keys = [b'key%d.%d' % (mine, i) for i in range(200)]
            values = {key: key.rjust(100, b'.') for key in keys}
            wanted = b''.join(b'VALUE %s 0 100\r\n%s\r\n' % item for item in values.items()) + b'END\r\n'
            with socket.create_connection(('127.0.0.1', port)) as connection:
                stream = connection.makefile('rwb')
                for key, value in values.items():
                    stream.write(b'set %s 0 0 100 noreply\r\n%s\r\n' % (key, value))
                for turn in range(300):
                    key = keys[turn % len(keys)]
                    stream.write(b'set %s 0 0 100 noreply\r\n%s\r\nget %s\r\n' %
                                 (key, values[key], b' '.join(keys)))
                    stream.flush()
                    if stream.read(len(wanted)) != wanted:
                        wrong.append((mine, turn))

        def load(_directory, port):
            clients = [threading.Thread(target=client, args=(port, i)) for i in range(8)]
            for each in clients:
                each.start()
            for each in clients:
                each.join()
            with socket.create_connection(('127.0.0.1', port)) as connection:
                connection.sendall(b'stats\r\nquit\r\n')
                return dict(line.split()[1:] for line in connection.makefile('rb')
                            if line.startswith(b'STAT '))

        recording, block, _ = self.serve('memcached', load, lambda words: [
            '4' if before == '-t' else word for before, word in zip(['', *words], words)])
        self.assertEqual(wrong, [])
        stats = recording.stdout
        self.assertEqual((stats[b'get_hits'], stats[b'get_misses'], stats[b'cmd_set']),
                         (b'%d' % (8 * 300 * 200), b'0', b'%d' % (8 * 500)))
        self.assert_waits(block, 'epoll', 'condition')
        self.named(recording, 'memcached')
        self.assertGreaterEqual(recording.session['threads']['created'], 4)

    def test_postgres(self):
        os.chmod(self.tmp, 0o755)

        def load(_directory, port):
            to = ['-h', '127.0.0.1', '-p', str(port), '-U', 'postgres']
            servers.run(servers.tool('pgbench'), *to, '-i', '-q', '-s', '1', 'postgres')
            servers.run(servers.tool('pgbench'), *to, '-n', '-c', '6', '-j', '2', '-t', '60', 'postgres')
            return servers.run(
                'psql', *to, '-At', '-c', 'select count(*), sum(delta), (select sum(abalance) from '
                'pgbench_accounts), (select sum(bbalance) from pgbench_branches), (select sum(tbalance) '
                'from pgbench_tellers) from pgbench_history', 'postgres')

        recording, block, _ = self.serve('postgres', load)
        count, *sums = recording.stdout.decode().split('|')
        self.assertEqual((count, len(set(map(int, sums)))), ('360', 1), sums)
        self.assert_waits(block, 'epoll')


CARGO = '''
[package]
name = "crew"
version = "0.1.0"
edition = "2021"
[dependencies]
rayon = "1"
[profile.dev]
opt-level = 1
debug = 1
[profile.dev.package."*"]
opt-level = 0
'''

CONFIG = '''
[source.crates-io]
replace-with = "debian"
[source.debian]
directory = "/usr/share/cargo/registry"
'''

RAYON = '''
use rayon::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Mutex;
use std::time::{Duration, Instant};

static WAITED_NS: AtomicU64 = AtomicU64::new(0);

#[inline(never)]
fn make_pool() -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(4).thread_name(|i| format!("ray-{}", i)).build().unwrap()
}

#[inline(never)]
fn add_slowly(total: &Mutex<u64>, value: u64) {
    let began = Instant::now();
    let mut sum = total.lock().unwrap();
    WAITED_NS.fetch_add(began.elapsed().as_nanos() as u64, Ordering::Relaxed);
    std::thread::sleep(Duration::from_millis(2));
    *sum += value;
}

#[inline(never)]
fn leave_idle(time: Duration) -> u128 {
    let began = Instant::now();
    std::thread::sleep(time);
    began.elapsed().as_nanos()
}

fn main() {
    let pool = make_pool();
    let total = Mutex::new(0);
    pool.install(|| (0..100u32).into_par_iter().with_max_len(1).for_each(|i| add_slowly(&total, i as u64)));
    let idle = leave_idle(Duration::from_millis(400));
    let sum: u64 = pool.install(|| (0..1_000_000u64).into_par_iter().map(|x| x % 7).sum());
    println!("total {} sum {}", total.lock().unwrap(), sum);
    println!("waited {}", WAITED_NS.load(Ordering::Relaxed));
    println!("idle {}", idle);
}
'''


@unittest.skipUnless(perf_is_permitted(), 'needs perf events')
@unittest.skipUnless(shutil.which('cargo') and
                     os.path.isdir('/usr/share/cargo/registry'), 'no cargo, or no sources for it')
class Rayon(harness.TestCase):
    """A pool of workers that steal work from each other, and sleep."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # What it depends on is compiled once.
        folder = os.path.join(BUILD, 'cache', 'rayon')
        for name, text in (('Cargo.toml', CARGO), ('.cargo/config.toml', CONFIG), ('src/main.rs', RAYON)):
            path = os.path.join(folder, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, 'w', encoding='ascii') as file:
                file.write(text)
        done = subprocess.run(['cargo', 'build', '--offline', '--quiet'], cwd=folder, capture_output=True,
                              check=False, env={**os.environ, 'CARGO_HOME': os.path.join(folder, 'home'),
                                                'CARGO_TARGET_DIR': os.path.join(folder, 'target')})
        if done.returncode:
            raise ChildProcessError(done.stderr.decode())
        cls.program = os.path.join(folder, 'target', 'debug', 'crew')

    def test_workers_that_wait(self):
        recording = self.record(self.program, options=('--types', 'mutex,block,threads,wall', *EXACT))
        self.assertEqual(recording.status, 0, recording.stderr)
        self.assertTrue(recording.stdout.startswith(
            b'total 4950 sum %d\n' % sum(x % 7 for x in range(1000000))), recording.stdout)
        block = Profile.read(os.path.join(recording.directory, 'block.prof'))
        self.assertEqual(block.problems(), [])
        truth, runnable = recording.truth, states(recording.wall)['runnable']
        self.judge_mutex(block, truth['waited'], runnable)
        self.judge_sleep(block, truth['idle'], runnable)
        self.judge_creation(recording.directory)

    def judge_mutex(self, block, waited_ns, runnable_ns):
        """The standard library's mutex within a job: at the function that wants it."""
        mine = [s for s in block.samples if s.labels['wait'] == ['mutex'] and
                any(frame.function.endswith('::add_slowly') for frame in s.stack)]
        for sample in mine:
            own = next(frame.function for frame in sample.stack
                       if not re.match(r'<?(std|core|alloc)::|syscall|__GI_|\[', frame.function) and
                       frame.function.startswith(('crew::', '<crew::', 'rayon')))
            self.assertTrue(own.endswith('::add_slowly'), [frame.function for frame in sample.stack])
            self.assertRegex(sample.labels['thread'][0], r'^ray-\d$')
            self.assertTrue(any('rayon_core' in frame.function for frame in sample.stack))
        delay = sum(s.values[1] for s in mine)
        self.assertLessEqual(delay, waited_ns + SLACK_NS + waited_ns // 100)
        self.assertGreaterEqual(delay, waited_ns - runnable_ns - SLACK_NS - waited_ns // 100)

    def judge_sleep(self, block, idle_ns, runnable_ns):
        def total(kind, thread, *names):
            return sum(s.values[1] for s in block.samples
                       if s.labels['wait'] == [kind] and re.match(thread, s.labels['thread'][0]) and
                       all(any(name in frame.function for frame in s.stack) for name in names))
        # Workers without work wait in the registry's own condition, one each.
        self.assertGreaterEqual(total('condition', r'ray-\d$', 'rayon_core::sleep'),
                                4 * (idle_ns - SLACK_NS) - runnable_ns)
        self.assertGreaterEqual(total('sleep', 'crew', '::leave_idle'), idle_ns - SLACK_NS - runnable_ns)
        # Who gives them a job waits until it is done.
        self.assertGreater(total('condition', 'crew', 'rayon_core', '::main'), 0)

    def judge_creation(self, directory):
        done = self.run_plain(HONE, 'threads', '--json', directory)
        self.assertEqual(done.returncode, 0, done.stderr)
        found = json.loads(done.stdout)
        places = found['places']
        # Rust's own library does not create them: rayon's registry does.
        for group in found['groups']:
            self.assertIn('rayon_core::registry', group['created_by'] or 'rayon_core::registry')
        self.assertEqual(sum(place['created'] for place in places), 4)
        for place in places:
            names = [frame['function'] for frame in place['created_at']]
            for name in 'rayon_core::registry', '::make_pool', '::main':
                self.assertTrue(any(name in function for function in names), names)
            self.assertEqual(place['leaks'], False)


if __name__ == '__main__':
    unittest.main()
