"""Who is stuck: deadlocks of programs that were made for it, and programs that only wait."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import harness
import servers
from harness import HONE, workload


class Stuck:
    """A program that is about to wait."""

    def __init__(self, program, *arguments, environment=None):
        # pylint: disable-next=consider-using-with
        self.process = subprocess.Popen([program, *arguments], stdout=subprocess.PIPE,
                                        stdin=subprocess.DEVNULL, text=True,
                                        env=dict(os.environ, **(environment or {})))
        self.pid, self.child = self.process.pid, None

    def __enter__(self):
        for line in self.process.stdout:
            if line.startswith('child '):
                self.child = int(line.split()[1])
            if line == 'ready\n':
                return self
        raise AssertionError('it ended before it was ready')

    def __exit__(self, *_):
        if self.child:
            os.kill(self.child, signal.SIGKILL)
        self.process.kill()
        self.process.communicate()


def deadlocks(pid, *options):
    done = subprocess.run([HONE, 'deadlocks', '-p', str(pid), *options], capture_output=True,
                          text=True, timeout=120, check=False)
    if 'no such process' in done.stderr:
        raise ProcessLookupError(done.stderr)
    if done.returncode not in (0, 1) or (done.returncode == 1 and not done.stdout):
        raise AssertionError(f'{done.returncode}: {done.stderr}')
    return done.returncode, done.stdout


def functions(thread):
    return [frame['function'] for frame in thread['stack']]


class TestCase(harness.TestCase):
    def find(self, pid, count=1, behind=0):
        """What is found once the program has come to where it waits, and who waits behind that."""
        status, text = deadlocks(pid, '--json', '--for', '30s')
        found = json.loads(text)
        end = time.monotonic() + 30
        # The last of several threads may come a little later.
        while (len(found['findings']) < count or
               sum(len(finding['behind']) for finding in found['findings']) < behind) and (
                   time.monotonic() < end):
            status, text = deadlocks(pid, '--json')
            found = json.loads(text)
        self.assertEqual(status, 1, text)
        self.assertEqual(len(found['findings']), count, text)
        return found

    def assert_waits(self, thread, function, kind, name):
        """Its stack leads to the lock through that function, which is where it waits."""
        self.assertEqual(thread['waits_for']['kind'], kind)
        self.assertEqual(thread['waits_for']['name'], name)
        self.assertEqual(thread['stack'][thread['at']]['function'], function, functions(thread))
        self.assertEqual(thread['stack'][thread['at']]['file'].split('/')[-1], 'stuck.c')

    def nobody(self, pid, looks=2):
        for _ in range(looks):
            status, text = deadlocks(pid, '--json')
            found = json.loads(text)
            self.assertEqual((status, found['findings'], found['stuck']), (0, [], 0), text)
        return found


class Truth(TestCase):
    program = workload('stuck')

    def ring(self, size):
        with Stuck(self.program, 'ring', str(size)) as stuck:
            finding = self.find(stuck.pid, behind=1)['findings'][0]
        self.assertEqual(finding['kind'], 'cycle')
        threads = finding['threads']
        self.assertEqual(len(threads), size)
        for i, thread in enumerate(threads):
            self.assertEqual(thread['holder'], threads[(i + 1) % size]['tid'])
            self.assertIn('sit_in_ring', functions(thread))
            self.assertTrue(thread['complete'], thread)
            place = thread['stack'][thread['at']]['function']
            self.assertEqual((place, thread['waits_for']['kind']), ('want_next', 'mutex'))
        names = {thread['waits_for']['name'] for thread in threads}
        wanted = {'ring_locks' + (f'+{40 * i:#x}' if i else '') for i in range(size)}
        self.assertEqual(names, wanted)
        # main joins one of them, and is behind.
        self.assertEqual([thread['waits_for']['kind'] for thread in finding['behind']], ['join'])
        self.assertEqual(finding['behind'][0]['holder'] in {t['tid'] for t in threads}, True)

    def test_two_threads(self):
        self.ring(2)

    def test_three_threads(self):
        self.ring(3)

    def test_ten_threads(self):
        self.ring(10)

    def test_main_has_ended(self):
        with Stuck(self.program, 'headless', '2') as stuck:
            finding = self.find(stuck.pid)['findings'][0]
            self.assertEqual((finding['kind'], len(finding['threads'])), ('cycle', 2))
            for thread in finding['threads']:
                self.assertEqual(thread['stack'][thread['at']]['function'], 'want_next')
                self.assertIn(thread['waits_for']['name'], ('ring_locks', 'ring_locks+0x28'))
            judged = subprocess.run([HONE, 'threads', '--fail-stuck', '-p', str(stuck.pid)],
                                    capture_output=True, text=True, check=False)
        self.assertEqual(judged.returncode, 1, judged.stderr)
        self.assertIn('2 threads wait: mutex', judged.stdout)
        self.assertIn('want_next', judged.stdout)
        # Not the one that has ended.
        self.assertEqual(judged.stdout.count('may be stuck'), 1, judged.stdout)

    def test_a_thread_with_itself(self):
        with Stuck(self.program, 'self') as stuck:
            finding = self.find(stuck.pid)['findings'][0]
        self.assertEqual((finding['kind'], len(finding['threads'])), ('self', 1))
        self.assert_waits(finding['threads'][0], 'lock_again', 'mutex', 'own_lock')
        self.assertEqual(finding['threads'][0]['holder'], finding['threads'][0]['tid'])

    def test_read_write_locks(self):
        with Stuck(self.program, 'rwlocks') as stuck:
            finding = self.find(stuck.pid)['findings'][0]
        self.assertEqual((finding['kind'], len(finding['threads'])), ('cycle', 2))
        waits = {thread['waits_for']['name']: thread for thread in finding['threads']}
        self.assert_waits(waits['roads'], 'want_road', 'read', 'roads')
        self.assert_waits(waits['roads+0x38'], 'want_road', 'write', 'roads+0x38')

    def test_lost_wake_up(self):
        with Stuck(self.program, 'lost') as stuck:
            finding = self.find(stuck.pid, behind=1)['findings'][0]
        self.assertEqual((finding['kind'], len(finding['threads'])), ('nobody', 1))
        thread = finding['threads'][0]
        self.assert_waits(thread, 'await_news', 'condition', 'news')
        self.assertEqual(thread['waits_for']['mutex'], 'news_lock')
        self.assertEqual([other['holder'] for other in finding['behind']], [thread['tid']])

    def test_semaphores_that_nobody_posts(self):
        with Stuck(self.program, 'semaphore') as stuck:
            finding = self.find(stuck.pid)['findings'][0]
        self.assertEqual((finding['kind'], len(finding['threads'])), ('nobody', 2))
        waits = {thread['waits_for']['name']: thread for thread in finding['threads']}
        self.assert_waits(waits['token'], 'await_token', 'semaphore', 'token')
        self.assert_waits(waits['other_token'], 'await_token', 'semaphore', 'other_token')

    def test_joins_in_a_ring(self):
        with Stuck(self.program, 'joins') as stuck:
            finding = self.find(stuck.pid)['findings'][0]
        threads = finding['threads']
        self.assertEqual((finding['kind'], len(threads)), ('cycle', 2))
        for i, thread in enumerate(threads):
            self.assertEqual(thread['holder'], threads[1 - i]['tid'])
            self.assertEqual(thread['stack'][thread['at']]['function'], 'join_other')
            self.assertEqual(thread['waits_for']['kind'], 'join')

    def test_lock_of_a_thread_that_has_ended(self):
        with Stuck(self.program, 'abandoned') as stuck:
            finding = self.find(stuck.pid)['findings'][0]
        self.assertEqual((finding['kind'], len(finding['threads'])), ('abandoned', 1))
        thread = finding['threads'][0]
        self.assert_waits(thread, 'want_left', 'mutex', 'left_lock')
        self.assertIsNone(thread['holder'])
        self.assertNotEqual(thread['owner'], stuck.pid)

    def test_lock_that_was_held_at_a_fork(self):
        with Stuck(self.program, 'forked') as stuck:
            finding = self.find(stuck.child)['findings'][0]
            self.nobody(stuck.pid, looks=1)
        self.assertEqual((finding['kind'], len(finding['threads'])), ('forked', 1))
        self.assert_waits(finding['threads'][0], 'want_held', 'mutex', 'held_lock')

    def test_the_report_says_it_in_80_columns(self):
        with Stuck(self.program, 'ring', '2') as stuck:
            self.find(stuck.pid, behind=1)
            status, text = deadlocks(stuck.pid)
        self.assertEqual(status, 1)
        self.assertEqual([line for line in text.splitlines() if len(line) > 80], [])
        for part in ('Deadlock of 2 threads', 'waits for mutex ring_locks', 'held by thread',
                     '> want_next', '1 more thread waits behind', 'waits for the end of thread'):
            self.assertIn(part, text)


class Names(TestCase):
    """A name may hold anything: bytes that are no text, and what a terminal takes for orders."""
    name = os.fsdecode(b'\x1b[2J\xff"</b>\n')

    def assert_fit(self, text):
        self.assertNotIn('\x1b', text)
        self.assertIn('[2J', text)

    def test_of_threads(self):
        with Stuck(workload('stuck'), 'ring', '2', environment={'STUCK_NAME': self.name}) as stuck:
            thread = self.find(stuck.pid)['findings'][0]['threads'][0]
            self.assert_fit(thread['name'])
            self.assert_fit(deadlocks(stuck.pid)[1])

    def test_while_recording(self):
        directory = os.path.join(self.tmp, 'recording')
        with subprocess.Popen([HONE, 'record', '-t', 'cpu', '--deadlock-after', '300ms', '-o',
                               directory, '-d', '5s', workload('stuck'), 'ring', '2'],
                              env=dict(os.environ, STUCK_NAME=self.name), text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE) as process:
            text = ''
            while 'Deadlock of 2 threads' not in text:
                line = process.stderr.readline()
                self.assertTrue(line, text)
                text += line
            for pid in servers.descendants(process.pid):
                try:
                    with open(f'/proc/{pid}/comm', encoding='ascii') as file:
                        if file.read() == 'stuck\n':
                            os.kill(pid, signal.SIGTERM)
                except FileNotFoundError:
                    pass  # who told of it is there for a moment only
            text += process.stderr.read()
        self.assert_fit(text)
        path = os.path.join(directory, 'deadlocks.json')
        with open(path, encoding='utf-8') as file:
            looks = json.load(file)
        self.assert_fit(looks['deadlocks'][0]['text'])
        # What was written by others is shown as carefully.
        looks['deadlocks'][0]['text'] += '\x1b[31m'
        with open(path, 'w', encoding='utf-8') as file:
            json.dump(looks, file)
        done = subprocess.run([HONE, 'deadlocks', directory], capture_output=True, text=True,
                              check=False)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assert_fit(done.stdout)


class Static(Truth):
    """Without a C library to be found by its file's name."""
    program = workload('stuck_static')
    # What is told by the functions of the C library alone.
    test_two_threads = test_ten_threads = test_the_report_says_it_in_80_columns = None
    test_lock_of_a_thread_that_has_ended = test_lock_that_was_held_at_a_fork = None


class Clean(TestCase):
    """Programs that wait, and are not stuck."""
    program = workload('stuck')

    def check(self, *arguments, **options):
        with Stuck(self.program, *arguments, **options) as stuck:
            time.sleep(0.3)
            return self.nobody(stuck.pid)

    def test_limit_of_time(self):
        self.check('limited')

    def test_signal_handler(self):
        with Stuck(self.program, 'handler') as stuck:
            end = time.monotonic() + 30
            while not self.nobody(stuck.pid, looks=1)['only_signals']:
                self.assertLess(time.monotonic(), end)
            self.assertIn('a signal may: it has a handler for USR1', deadlocks(stuck.pid)[1])
            os.kill(stuck.pid, signal.SIGUSR1)
            self.assertEqual(stuck.process.stdout.readline(), 'woken\n')

    def test_robust_lock_goes_to_the_next_owner(self):
        self.check('robust')

    def test_shared_memory(self):
        with Stuck(self.program, 'shared') as stuck:
            time.sleep(0.3)
            self.nobody(stuck.pid)
            self.nobody(stuck.child)

    def test_files_and_sockets(self):
        self.check('external')

    def test_mutex_of_the_programs_own(self):
        self.check('homemade')

    def test_pool_under_load(self):
        with Stuck(self.program, 'pool', '8', environment={'STUCK_SECONDS': '4'}) as stuck:
            self.nobody(stuck.pid, looks=10)
            self.assertEqual(stuck.process.wait(60), 0)

    def test_threads_that_end(self):
        with Stuck(self.program, 'bursts', '64') as stuck:
            for _ in range(60):
                judged = subprocess.run([HONE, 'threads', '--fail-stuck', '-p', str(stuck.pid)],
                                        capture_output=True, text=True, check=False)
                self.assertEqual(judged.returncode, 0, judged.stdout + judged.stderr)
            self.nobody(stuck.pid)

    def test_interpreter(self):
        with subprocess.Popen(['python3', '-c', 'import threading\nthreading.Event().wait()'],
                              stdin=subprocess.DEVNULL) as process:
            time.sleep(0.5)
            self.nobody(process.pid)
            process.kill()

    def test_no_such_process(self):
        done = subprocess.run([HONE, 'deadlocks', '-p', str(2 ** 22 + 1)], capture_output=True,
                              text=True, check=False)
        self.assertEqual((done.returncode, done.stdout), (1, ''))
        self.assertIn('no such process', done.stderr)

    def test_misuse(self):
        for arguments in (['-p', '0'], ['-p', 'x'], ['-p', '1', 'word'], ['--for', '1s', 'word'],
                          ['--for', '1s']):
            done = subprocess.run([HONE, 'deadlocks', *arguments], capture_output=True,
                                  check=False)
            self.assertEqual(done.returncode, 2, arguments)


class Musl(TestCase):
    """Another C library: its plain mutexes do not tell who has them."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if not shutil.which('musl-gcc'):
            raise unittest.SkipTest('musl-gcc is not installed')
        cls.folder = tempfile.mkdtemp()
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        source = os.path.join(os.path.dirname(__file__), '..', 'workloads', 'stuck.c')
        for name, option in (('dynamic', []), ('static', ['-static'])):
            subprocess.run(['musl-gcc', '-O2', '-g', *option, source, '-o',
                            os.path.join(cls.folder, name)], check=True)

    def check_both(self, mode, *arguments, behind=0):
        found = []
        for name in ('dynamic', 'static'):
            with Stuck(os.path.join(self.folder, name), mode, *arguments) as stuck:
                found += self.find(stuck.pid, behind=behind)['findings']
        return found

    def test_plain_mutexes(self):
        for finding in self.check_both('ring', '2', behind=1):
            self.assertEqual(finding['kind'], 'nobody')
            self.assertEqual({thread['waits_for']['name'] for thread in finding['threads']},
                             {'ring_locks', 'ring_locks+0x28'})
            self.assertEqual([thread['waits_for']['kind'] for thread in finding['behind']],
                             ['join'])

    def test_joins_in_a_ring(self):
        for finding in self.check_both('joins'):
            self.assertEqual((finding['kind'], len(finding['threads'])), ('cycle', 2))

    def test_lost_wake_up(self):
        for finding in self.check_both('lost'):
            self.assertEqual(finding['kind'], 'nobody')
            self.assert_waits(finding['threads'][0], 'await_news', 'condition', 'news')

    def test_clean(self):
        for name in ('dynamic', 'static'):
            for mode in ('limited', 'handler', 'external', 'shared'):
                with self.subTest(f'{name} {mode}'), \
                        Stuck(os.path.join(self.folder, name), mode) as stuck:
                    time.sleep(0.3)
                    self.nobody(stuck.pid, looks=2)


RUST = '''
use std::io::Write;
use std::sync::{mpsc, Arc, Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};
#[inline(never)] fn want(lock: &Mutex<u64>) { *lock.lock().unwrap() += 1; }
fn ready() { println!("ready"); std::io::stdout().flush().unwrap(); }
fn ring() {
    let locks = Arc::new([Mutex::new(0), Mutex::new(0)]);
    let both = Arc::new(Barrier::new(2));
    let crew: Vec<_> = (0..2).map(|i| { let (locks, both) = (locks.clone(), both.clone());
        thread::spawn(move || { let _held = locks[i].lock().unwrap(); both.wait(); want(&locks[1 - i]); }) }).collect();
    ready();
    for thread in crew { thread.join().unwrap(); }
}
fn pool() {
    let (send, get) = mpsc::sync_channel::<u64>(64);
    let get = Arc::new(Mutex::new(get));
    let sums = Arc::new([Mutex::new(0), Mutex::new(0)]);
    let crew: Vec<_> = (0..4).map(|_| { let (get, sums) = (get.clone(), sums.clone());
        thread::spawn(move || loop {
            let work = match get.lock().unwrap().recv() { Ok(work) => work, Err(_) => return };
            let mut first = sums[0].lock().unwrap();
            *first += work;
            want(&sums[1]);
        }) }).collect();
    ready();
    let began = Instant::now();
    let mut turn = 0;
    while began.elapsed() < Duration::from_secs(3) {
        for _ in 0..100 { send.send(1).unwrap(); }
        turn += 1;
        if turn % 100 == 0 { thread::sleep(Duration::from_millis(300)); }
    }
    drop(send);
    for thread in crew { thread.join().unwrap(); }
}
fn main() { if std::env::args().nth(1).unwrap() == "ring" { ring() } else { pool() } }
'''


@unittest.skipUnless(shutil.which('rustc'), 'no rustc')
class Rust(TestCase):
    """Its locks do not tell who has them."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = tempfile.mkdtemp()
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        source, cls.program = (os.path.join(cls.folder, name) for name in ('rusty.rs', 'rusty'))
        with open(source, 'w', encoding='utf-8') as file:
            file.write(RUST)
        subprocess.run(['rustc', '-g', '-O', '-o', cls.program, source], check=True)

    def test_two_threads(self):
        with Stuck(self.program, 'ring') as stuck:
            finding, = self.find(stuck.pid, behind=1)['findings']
        self.assertEqual((finding['kind'], len(finding['threads'])), ('nobody', 2))
        for thread in finding['threads']:
            self.assertEqual(thread['waits_for']['kind'], 'mutex')
            self.assertTrue(thread['stack'][thread['at']]['function'].endswith('::want'), thread)
        self.assertEqual([thread['waits_for']['kind'] for thread in finding['behind']], ['join'])

    def test_pool_under_load(self):
        with Stuck(self.program, 'pool') as stuck:
            self.nobody(stuck.pid, looks=6)
            self.assertEqual(stuck.process.wait(60), 0)


class Order(TestCase):
    """Locks that are taken in orders that contradict each other, though nobody came to wait."""

    def possible(self, *arguments):
        recording = self.record(workload('stuck'), *arguments,
                                options=('-t', 'cpu', '--lock-order'))
        self.assertEqual(recording.status, 0, recording.stderr)
        done = subprocess.run([HONE, 'deadlocks', '--json', recording.directory],
                              capture_output=True, text=True, check=False)
        found = json.loads(done.stdout)['lock_order']
        self.assertEqual(done.returncode, 1 if found['possible'] else 0, done.stderr)
        self.assertEqual((found['recorded'], found['lost'], found['complete']), (True, 0, True))
        text = subprocess.run([HONE, 'deadlocks', recording.directory], capture_output=True,
                              text=True, check=False).stdout
        self.assertEqual([line for line in text.splitlines() if len(line) > 80], [])
        return found, text

    def test_two_orders_of_two_locks(self):
        found, text = self.possible('order')
        self.assertEqual(len(found['possible']), 1, text)
        orders = {order['takes']: order for order in found['possible'][0]['orders']}
        self.assertEqual(set(orders), {'first', 'second'})
        for taken, held, function in (('second', 'first', 'first_then_second'),
                                      ('first', 'second', 'second_then_first')):
            self.assertEqual(orders[taken]['holds'], held)
            for stack in ('takes_at', 'holds_since'):
                self.assertEqual(orders[taken][stack][0]['function'], function)
        lines = {order[stack][0]['line'] for order in orders.values()
                 for stack in ('takes_at', 'holds_since')}
        self.assertEqual(len(lines), 4)
        self.assertIn('Possible deadlock over 2 locks', text)

    def test_threads_that_lock_while_they_end(self):
        """More of them than there is room for at a time."""
        found, text = self.possible('leavers')
        self.assertEqual(len(found['possible']), 1, text)

    def test_threads_that_a_handler_jumped_out_of(self):
        """Where they noted what they held: what they do later is seen all the same."""
        recording = self.record(workload('order_jumps'), options=('-t', 'cpu', '--lock-order'))
        self.assertEqual((recording.status, recording.stdout), (0, b'done\n'), recording.stderr)
        done = subprocess.run([HONE, 'deadlocks', '--json', recording.directory],
                              capture_output=True, text=True, check=False)
        found = json.loads(done.stdout)['lock_order']
        self.assertEqual([{order['takes'] for order in each['orders']} for each in found['possible']],
                         [{'first', 'second'}], found)
        self.assertGreater(found['lost'], 0)

    def odd(self, how):
        recording = self.record(workload('order_odd'), how, options=('-t', 'cpu', '--lock-order'))
        self.assertEqual((recording.status, recording.stdout), (0, b'done\n'), recording.stderr)
        done = subprocess.run([HONE, 'deadlocks', '--json', recording.directory],
                              capture_output=True, text=True, check=False)
        return done, json.loads(done.stdout)['lock_order']

    def test_what_a_thread_has_already_it_does_not_wait_for(self):
        done, found = self.odd('tried')
        self.assertEqual((found['possible'], done.returncode), ([], 0), found)
        self.assertGreater(found['seen'], 0)

    def test_what_nobody_can_see_is_not_called_clean(self):
        done, found = self.odd('sandbox')
        self.assertEqual((found['possible'], found['complete'], done.returncode), ([], False, 1))
        self.assertIn('sandbox', found['not_covered'][0]['reason'])
        self.assertRegex(done.stderr, '^hone: nothing was found, but of 1 process not all was seen$')

    def test_nothing_that_cannot_be(self):
        for mode in ('guarded', 'trying', 'reading'):
            with self.subTest(mode):
                found, text = self.possible(mode)
                self.assertEqual(found['possible'], [], text)
        self.assertGreater(found['seen'], 0)

    def test_what_is_no_recording_is_refused_in_one_line(self):
        recording = self.record(workload('stuck'), 'order', options=('-t', 'cpu', '--lock-order'))
        path = os.path.join(recording.directory, 'session.json')
        for text in (b'', b'{"lock_order": {"edges": [\x1b[31m\n', b'[' * 5000,
                     b'{"lock_order": {"edges": [' + b'{},' * 20000 + b'{}]}}',
                     b'[' + b'{},' * (8 << 20) + b'{}]'):
            with open(path, 'wb') as file:
                file.write(text)
            done = self.run_plain(HONE, 'deadlocks', recording.directory)
            self.assertEqual((done.returncode, done.stdout), (1, b''), done.stderr)
            line = self.assert_one_clear_line(done.stderr, 'session.json')
            self.assertEqual(done.stderr.decode(), line + '\n')
            self.assertTrue(line.isprintable(), line)

    def test_pool(self):
        os.environ['STUCK_SECONDS'] = '1'
        self.addCleanup(os.environ.pop, 'STUCK_SECONDS')
        found, text = self.possible('pool', '4')
        self.assertEqual(found['possible'], [], text)
        self.assertGreater(found['seen'], 20)


class WhileRecording(TestCase):
    """`hone record --deadlock-after`: told when it happens, and kept."""

    def start(self, *options, mode=('ring', '2')):
        self.directory = os.path.join(self.tmp, 'recording')
        # pylint: disable-next=consider-using-with
        process = subprocess.Popen([HONE, 'record', '-o', self.directory, *options,
                                    workload('stuck'), *mode], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def read_until(self, stream, word):
        text = ''
        while word not in text:
            line = stream.readline()
            self.assertTrue(line, f'it ended before it said {word}: {text}')
            text += line
        return text

    def program(self, process):
        for pid in servers.descendants(process.pid):
            with open(f'/proc/{pid}/comm', encoding='ascii') as file:
                if file.read() == 'stuck\n':
                    return pid
        raise AssertionError('the program does not run')

    def end(self, process):
        os.kill(self.program(process), signal.SIGTERM)
        return process.communicate(timeout=60)[1]

    def test_where_it_was_taken(self):
        process = self.start('-t', 'cpu', '--lock-order')
        self.read_until(process.stdout, 'ready')
        for thread in self.find(self.program(process))['findings'][0]['threads']:
            self.assertEqual(thread['taken_at'][0]['function'], 'sit_in_ring')
            self.assertGreater(thread['held_seconds'], 0)
        self.end(process)

    def test_reader_that_wants_to_write(self):
        """The lock counts its readers; who they are is known to the probe alone."""
        with Stuck(workload('stuck'), 'upgrade') as stuck:
            time.sleep(0.3)
            self.nobody(stuck.pid)
        process = self.start('-t', 'cpu', '--lock-order', mode=('upgrade',))
        self.read_until(process.stdout, 'ready')
        finding = self.find(self.program(process))['findings'][0]
        self.assertEqual((finding['kind'], len(finding['threads'])), ('self', 1))
        self.assert_waits(finding['threads'][0], 'want_to_write', 'write', 'roads')
        self.assertEqual(finding['threads'][0]['taken_at'][0]['function'], 'run_upgrade')
        self.end(process)

    def test_after_a_time(self):
        process = self.start('--deadlock-after', '300ms')
        self.read_until(process.stderr, 'Deadlock of 2 threads')
        stderr = self.end(process)
        self.assertIn('for who was stuck', stderr)
        done = subprocess.run([HONE, 'deadlocks', '--json', self.directory], capture_output=True,
                              text=True, check=False)
        self.assertEqual(done.returncode, 1, done.stderr)
        looks = json.loads(done.stdout)['deadlocks']
        self.assertEqual([look['look']['findings'][0]['kind'] for look in looks], ['cycle'])
        text = subprocess.run([HONE, 'deadlocks', self.directory], capture_output=True, text=True,
                              check=False).stdout
        self.assertIn('> want_next', text)

    def test_at_a_signal(self):
        process = self.start('--deadlock-after', '1h')
        self.read_until(process.stdout, 'ready')
        time.sleep(0.5)
        process.send_signal(signal.SIGURG)
        self.read_until(process.stderr, 'Deadlock of 2 threads')
        self.end(process)


@unittest.skipUnless(servers.installed(servers.SERVERS[0]), 'postgres is not installed')
class Database(TestCase):
    """All processes of a database at work. tests/deadlock_soak.py does this for ten minutes."""

    def test_postgres(self):
        looked = servers_under_load(self.nobody, seconds=3)
        self.assertGreater(looked, 10)


def servers_under_load(look, seconds):
    """Looks at every process of a database under load, and of its load. Returns how often."""
    server = servers.SERVERS[0]
    looked = 0
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        port = servers.free_port()
        server.prepare(directory, port)
        to = ['-h', '127.0.0.1', '-p', str(port), '-U', 'postgres']
        with subprocess.Popen(server.command(directory, port), stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd='/') as process:
            try:
                servers.wait_for(port, process, 'postgres')
                servers.run(servers.tool('pgbench'), *to, '-i', '-q', '-s', '1', 'postgres')
                with subprocess.Popen([servers.tool('pgbench'), *to, '-n', '-c', '8', '-j', '4',
                                       '-T', str(seconds), 'postgres'], stdout=subprocess.DEVNULL,
                                      stderr=subprocess.DEVNULL) as load:
                    while load.poll() is None:
                        for pid in [load.pid, process.pid, *servers.descendants(process.pid)]:
                            try:
                                look(pid, looks=1)
                                looked += 1
                            except ProcessLookupError:
                                pass  # it has ended meanwhile
            finally:
                process.send_signal(server.stop)
                process.communicate()
    return looked


if __name__ == '__main__':
    unittest.main()
