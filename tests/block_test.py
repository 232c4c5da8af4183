"""`hone record --types block`: who waited, where, for what, how often and for how long.

A program's own clock around a call that waits says when the thread had a CPU again, the scheduler
when it was woken; so a delay is right when it lies between what the program says and that, less what
the thread waited for CPUs.
"""

import os
import re
import shutil
import subprocess
import threading
import time
import unittest
from collections import namedtuple

import harness
import servers
from harness import HONE, NS, Profile, workload
from starts import completeness
from wall_test import SLACK_NS, of_thread, perf_is_permitted, states, unprivileged

Wait = namedtuple('Wait', 'kind function tid ns')
Turns = namedtuple('Turns', 'function tid waits run_ns delay_ns life_ns')
MS = NS // 1000
ROOT = os.geteuid() == 0
KERNEL = '[kernel.kallsyms]'
# What is waited in, as versions of the kernel call it; and what says nothing of that.
IN_KERNEL = {
    'mutex': 'futex', 'rwlock': 'futex', 'condition': 'futex', 'semaphore': 'futex',
    'barrier': 'futex', 'join': 'futex', 'once': 'futex', 'futex': 'futex', 'sleep': 'nanosleep',
    'poll': 'poll', 'select': 'select|poll', 'epoll': 'ep_poll|epoll_wait', 'pipe': 'pipe_', 'child': 'do_wait',
    'signal': 'sigtimedwait', 'file-lock': 'lock', 'ipc-semaphore': 'sem', 'message-queue': 'msgrcv',
    'send': 'sock|unix', 'receive': 'recv|unix|sock', 'connect': 'unix', 'accept': 'accept|connect',
    'eventfd': 'eventfd', 'timerfd': 'timerfd', 'io_uring': 'io_', 'terminal': 'n_tty'}
SCHEDULER = re.compile(r'^(__schedule|schedule|schedule_timeout|schedule_hrtimeout|io_schedule|'
                       r'preempt_schedule|do_wait_intr|wait_woken|__traceiter|__bpf_trace|bpf_)')


def kernel_is_told():
    if not ROOT:
        return False
    with open('/proc/kallsyms', encoding='ascii') as file:
        return any(line.split()[0].strip('0') for line in file)


def words_of(stdout, first):
    return [line.split()[1:] for line in stdout.decode().splitlines() if line.split()[:1] == [first]]


def waits_of(stdout):
    return [Wait(kind, function, int(tid), int(ns))
            for kind, function, tid, ns in words_of(stdout, 'wait')]


def turns_of(stdout):
    kernel = {int(tid): list(map(int, rest)) for tid, *rest in words_of(stdout, 'kernel')}
    return [Turns(function, int(tid), int(waits), *kernel[int(tid)])
            for function, tid, waits in words_of(stdout, 'turns')]


def block_of(directory):
    return Profile.read(os.path.join(directory, 'block.prof'))


def of(*labels, function=None, **more):
    return lambda s: (all(s.labels.get(k) == [v] for k, v in more.items())
                      and (not function or s.has(function)))


class BlockTest(harness.TestCase):
    def block(self, *program, options=(), types='block', **more):
        recording = self.record(*program, options=('--types', types, *options), **more)
        self.assertEqual(recording.status, 0, recording.stderr)
        profile = block_of(recording.directory)
        self.assertEqual(profile.problems(), [])
        return recording, profile

    # The kernel counts a switch itself as the work of who comes, its records leave it out; that is
    # 1 µs where nobody else computes.
    SWITCH_NS = 4000

    def assert_agrees(self, recording, profile, turn, few=0):
        """With the kernel's account of the thread: how often, and how long. Returns the delay, and
        the slack that two ways of counting need."""
        mine = of(tid=turn.tid)
        self.assertAlmostEqual(profile.total('contentions', mine), turn.waits,
                               delta=0.02 * turn.waits + few)
        off = turn.life_ns - turn.run_ns
        delay = profile.total('delay', mine)
        ready = states(recording.wall, of_thread(turn.tid))['runnable']
        self.assertAlmostEqual(delay + ready, off,
                               delta=0.02 * off + self.SWITCH_NS * turn.waits + 10 * MS)
        return delay, ready, 0.02 * off + 10 * MS


@unittest.skipUnless(perf_is_permitted(), 'needs perf events')
class Kinds(BlockTest):
    """Each kind of waiting has its name, its time and its number, in the function that waits."""
    program, engine = 'blocks', 'ebpf'

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.made = None

    def setUp(self):
        super().setUp()
        cls = type(self)
        if cls.made is None:
            recording, block = self.block(workload(self.program), 'kinds', '400',
                                          types='block,wall', options=('--wall-engine', self.engine))
            cls.made = recording, block, recording.wall, recording.session
        self.recording, self.profile, self.wall, self.session = cls.made
        self.waits = waits_of(self.recording.stdout)

    def there(self):
        """Of what there is to wait for, what this machine has."""
        return [wait for wait in self.waits
                if f'\n{wait.kind} 0\n' not in '\n' + self.recording.stdout.decode()]

    def test_the_file_is_correct(self):
        self.assertEqual(self.profile.sample_types, [('contentions', 'count'), ('delay', 'nanoseconds')])
        self.assertEqual(self.profile.default_type, 'delay')
        self.assertEqual(self.profile.period_type, ('contentions', 'count'))

    def test_each_wait_has_its_kind_time_and_number(self):
        self.assertEqual(len(self.waits), 29)
        for wait in self.there():
            there = of(tid=wait.tid, function=wait.function, wait=wait.kind)
            runnable = states(self.wall, of_thread(wait.tid))['runnable']
            ns, slack = self.profile.total('delay', there), SLACK_NS + wait.ns // 100
            with self.subTest(wait=wait):
                self.assertLessEqual(ns, wait.ns + slack)
                self.assertGreaterEqual(ns, wait.ns - runnable - slack)
                # A short one that was drawn may stand for several.
                number = self.profile.total('contentions', there)
                self.assertGreaterEqual(number, 1)
                self.assertLessEqual(number, 1 + max(1, self.session['wall']['draws_one_in']))

    def test_it_is_the_wall_clock_s_waiting(self):
        waiting = self.wall.total('wall', lambda s: s.labels['state'][0] not in ('on-cpu', 'runnable'))
        self.assertAlmostEqual(self.profile.total('delay') / waiting, 1, delta=1e-6)
        for sample in self.wall.samples:
            self.assertEqual('wait' in sample.labels,
                             sample.labels['state'][0] not in ('on-cpu', 'runnable'))

    def test_states_add_up_to_the_wall_clock(self):
        facts = self.session['block']
        parts = facts['delay_ns'] + facts['on_cpu_ns'] + facts['runnable_ns']
        self.assertAlmostEqual(parts / facts['lifetime_ns'], 1, delta=0.01)

    def test_stacks_are_complete(self):
        found = completeness(self.profile, lambda s: s.labels['wait'] != ['unknown'])
        self.assertGreaterEqual(found.share, 0.995, found.broken.most_common(8))

    @unittest.skipUnless(kernel_is_told(), "needs the kernel's names")
    def test_the_kernel_s_innermost_frame_says_what_is_waited_in(self):
        for wait in self.there():
            mine = of(tid=wait.tid, function=wait.function, wait=wait.kind)
            known = 0
            for sample in filter(mine, self.profile.samples):
                kernel = [f.mapping is not None and f.mapping.file == KERNEL for f in sample.stack]
                self.assertEqual(kernel, sorted(kernel, reverse=True))  # below the program's
                if not kernel[0]:
                    continue
                self.assertNotRegex(sample.leaf.function, SCHEDULER)
                self.assertNotIn('bpf_prog', [f.function for f in sample.stack])
                if re.search(IN_KERNEL[wait.kind], sample.leaf.function):
                    known += sample.values[1]
            with self.subTest(wait=wait):
                self.assertGreater(known, 0.9 * self.profile.total('delay', mine),
                                   [s.leaf.function for s in filter(mine, self.profile.samples)])
        self.assertRegex('\n'.join(self.profile.comments),
                         r"# blocked stacks with the kernel's frames: [1-9]\d*; ")

    def test_it_tells_how_it_was_seen(self):
        text = '\n'.join(self.profile.comments)
        engine = self.session['block']['engine']
        self.assertIn(engine, (self.engine, 'switches'))   # where ebpf is not permitted
        self.assertIn(f'# engine: {engine}: ', text)
        self.assertRegex(text, r'# block: [\d.]+ s in \d+ waits of \d+ threads')
        self.assertRegex(text, r'# waited for: .*lock [\d.]+%')
        if engine != self.engine:
            self.assertIn('# no stacks of short waits from the kernel: ', text)


class KindsBySwitches(Kinds):
    engine = 'switches'


class KindsOfStatic(Kinds):
    """Nothing of ours is inside."""
    program = 'blocks_static'


@unittest.skipUnless(perf_is_permitted(), 'needs perf events')
class Totals(BlockTest):
    """How often and how long, beside the kernel's own account of each thread."""
    WAYS = {'pipe': 'pipe', 'condition': 'condition', 'socket': 'receive', 'semaphore': 'semaphore'}

    def judge(self, recording, profile, way, exact):
        turns = turns_of(recording.stdout)
        self.assertEqual(len(turns), 2)
        for turn in turns:
            with self.subTest(turn=turn):
                delay, ready, slack = self.assert_agrees(recording, profile, turn)
                if exact:
                    self.assertAlmostEqual(ready, turn.delay_ns, delta=slack)
                    there = profile.total('delay', of(tid=turn.tid, function=turn.function[:4]))
                    self.assertGreater(there, 0.95 * delay)
                    kinds = {s.labels['wait'][0] for s in profile.samples if of(tid=turn.tid)(s)}
                    self.assertIn(self.WAYS[way], kinds)
                    if way == 'pipe':
                        kind = profile.total('delay', of(tid=turn.tid, wait='pipe'))
                        self.assertGreater(kind, 0.9 * delay)

    def test_short_waits_are_counted_and_have_their_stacks(self):
        for way in self.WAYS:
            recording, profile = self.block(workload('blocks'), 'turns', '4000', way, types='block,wall')
            with self.subTest(way=way):
                self.judge(recording, profile, way, recording.session['block']['engine'] == 'ebpf')

    def test_lock_functions_say_of_what_and_the_scheduler_how_long(self):
        for way in ('condition', 'semaphore'):
            recording, profile = self.block(workload('blocks'), 'turns', '4000', way,
                                            types='block,wall,mutex', options=('--block-rate', '1'))
            for turn in turns_of(recording.stdout):
                with self.subTest(way=way, turn=turn):
                    mine = of(tid=turn.tid)
                    off = turn.life_ns - turn.run_ns
                    ready = states(recording.wall, of_thread(turn.tid))['runnable']
                    self.assertAlmostEqual(profile.total('delay', mine) + ready, off,
                                           delta=0.02 * off + self.SWITCH_NS * turn.waits + 10 * MS)
                    there = lambda s: mine(s) and 'lock' in s.labels and s.has(turn.function)
                    self.assertGreater(profile.total('delay', there),
                                       0.9 * profile.total('delay', mine))
            self.assertRegex('\n'.join(profile.comments), r'# lock functions told of \d+ waits: ')

    def test_without_programs_in_the_kernel_sums_are_the_same(self):
        recording, profile = self.block(workload('blocks'), 'turns', '4000', 'pipe', types='block,wall',
                                        options=('--wall-engine', 'switches'))
        self.assertEqual(recording.session['block']['engine'], 'switches')
        self.judge(recording, profile, 'pipe', False)

    def test_more_waits_than_can_be_copied_are_thinned_out_without_bias(self):
        recording, profile = self.block(workload('blocks'), 'turns', '60000', 'pipe', types='block,wall')
        self.judge(recording, profile, 'pipe', recording.session['block']['engine'] == 'ebpf')

    def test_who_waits_seldom_is_seen_beside_those_who_wait_all_the_time(self):
        for way in ('semaphore', 'pipe'):
            recording, profile = self.block(workload('blocks'), 'beside', '2000', way,
                                            types='block,wall')
            if recording.session['block']['engine'] != 'ebpf':
                self.skipTest('needs programs in the kernel')
            self.assertGreater(recording.session['wall']['draws_one_in'], 1, recording.session['wall'])
            waits = waits_of(recording.stdout)
            for function, least in (('guest_rests', 50), ('host_rests', 1)):
                tids = {wait.tid for wait in waits if wait.function == function}
                rested = sum(wait.ns for wait in waits if wait.function == function)
                mine = lambda s: int(s.labels['tid'][0]) in tids
                delay = profile.total('delay', lambda s: mine(s) and s.has(function))
                # What a thread needs to get going once it was woken is no waiting.
                ready = states(recording.wall, mine)['runnable']
                with self.subTest(way=way, function=function):
                    self.assertGreaterEqual(len(tids), least)
                    self.assertLess(delay, 1.02 * rested)
                    self.assertGreater(delay + ready, 0.9 * rested)

    def test_what_lasts_is_seen_among_a_thread_s_many_short_waits(self):
        # Also when everybody rests, after long; and what the short ones wait for a CPU is theirs.
        for each, beside in ((250, 0), (1200, 0), (700, 1)):
            recording, profile = self.block(workload('blocks'), 'rests', '3500', str(each),
                                            str(beside))
            if recording.session['block']['engine'] != 'ebpf':
                self.skipTest('needs programs in the kernel')
            for wait in waits_of(recording.stdout):
                with self.subTest(each=each, beside=beside, tid=wait.tid):
                    delay = profile.total('delay', lambda s, tid=wait.tid: s.has('hand_rests') and
                                          int(s.labels['tid'][0]) == tid)
                    self.assertGreater(wait.ns, 35e6)
                    self.assertLess(delay, 1.03 * wait.ns)
                    self.assertGreater(delay, 0.9 * wait.ns)


@unittest.skipUnless(perf_is_permitted() and kernel_is_told(), "needs the kernel's names")
class Views(BlockTest):
    """Everybody waits in the kernel: what is asked for is where the program does."""

    def view(self, directory, *words):
        done = subprocess.run([HONE, *words, os.path.join(directory, 'block.prof')], text=True,
                              capture_output=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_the_kernel_is_shown_if_asked_for(self):
        recording, _ = self.block(workload('blocks'), 'turns', '4000', 'pipe')
        made = recording.directory
        for view in (['top', '--all', '-n', '0'], ['traces'], ['collapsed'], ['tree'], ['flame'],
                     ['call-tree', '-n', '0']):
            with self.subTest(view=view):
                self.assertNotIn('do_syscall_64', self.view(made, *view))
                self.assertIn('do_syscall_64', self.view(made, *view, '--kernel'))
        for whole in (['raw'], ['pprof', '-top']):  # what there is, and what pprof would show
            self.assertIn('do_syscall_64', self.view(made, *whole))
        total = [re.search(r'of ([\d.]+\w+) total', self.view(made, 'top', *more))[1]
                 for more in ((), ('--kernel',))]
        self.assertEqual(*total)
        self.assertRegex(self.view(made, 'top', '--focus', 'pipe_', '--all'), ' p[io]ng_waits\n')


@unittest.skipUnless(perf_is_permitted(), 'needs perf events')
class Files(BlockTest):
    """Waits for a disk, which nobody can make long: their kind and their sums."""
    KINDS = {'reads_disk': 'file-read', 'writes_disk': 'file-write', 'syncs_disk': 'file-sync',
             'touches_disk': 'page-fault'}

    def test_files_are_told_by_what_is_done_with_them(self):
        recording, profile = self.block(workload('files'), os.path.join(self.tmp, 'file'), '300',
                                        types='block,wall')
        if b'files none' in recording.stdout:
            self.skipTest('no disk below the folder of tests')
        turns = turns_of(recording.stdout)
        self.assertEqual({turn.function for turn in turns}, set(self.KINDS))
        for turn in turns:
            with self.subTest(turn=turn):
                delay, _, _ = self.assert_agrees(recording, profile, turn, few=3)
                if turn.waits < 100 or recording.session['block']['engine'] != 'ebpf':
                    continue  # the disk's own cache is as fast as memory
                # Some machines wait nearly as long for the thread's own code and the file's name.
                there = profile.total('delay', of(tid=turn.tid, function=turn.function))
                kind = profile.total('delay', of(tid=turn.tid, function=turn.function,
                                                 wait=self.KINDS[turn.function]))
                told = [(s.labels['wait'], s.values, [f.function for f in s.stack])
                        for s in profile.samples if of(tid=turn.tid)(s)]
                self.assertGreater(there, 0.5 * delay, told)
                self.assertGreater(kind, 0.9 * there, told)


class Programs(BlockTest):
    def test_a_program_that_only_computes_waits_for_nothing(self):
        """The clean control."""
        recording, profile = self.block(workload('split'), 'functions', '1000')
        facts = recording.session['block']
        self.assertLessEqual(profile.total('delay'), 0.05 * facts['lifetime_ns'])
        if not profile.samples:
            self.assertTrue(any(c.startswith('empty: nothing was waited for') for c in profile.comments),
                            profile.comments)

    def test_only_what_was_asked_for_is_written(self):
        recording, _ = self.block(workload('idle'), '100')
        self.assertEqual(sorted(os.listdir(recording.directory)), ['block.prof', 'session.json'])
        self.assertIsNone(recording.session['wall'])
        top = subprocess.run([HONE, 'top', recording.directory], capture_output=True, check=False)
        self.assertIn(b'Type: delay', top.stdout)
        self.assertIn(b'nanosleep', top.stdout)

    def test_by_polling_it_says_what_it_does_not_know(self):
        recording, profile = self.block(workload('blocks'), 'kinds', '300',
                                        options=('--wall-engine', 'polling'))
        self.assertIn('# engine: polling: ', '\n'.join(profile.comments))
        for wait in waits_of(recording.stdout):
            if wait.kind in ('mutex', 'epoll', 'accept', 'sleep'):
                there = of(tid=wait.tid, function=wait.function, wait=wait.kind)
                self.assertGreater(profile.total('delay', there), 0.1 * wait.ns, wait)
                self.assertGreaterEqual(profile.total('contentions', there), 1)

    def test_what_was_stopped_and_goes_on_waits_for_what_it_did(self):
        """The kernel takes up again what SIGSTOP ended, under the number of another call."""
        for engine in ('ebpf', 'switches', 'polling') if perf_is_permitted() else ('polling',):
            recording, profile = self.block(workload('stopped'), '700', types='block,wall',
                                            options=('--wall-engine', engine))
            self.assertIn(b'early 0\n', recording.stdout)
            waits = waits_of(recording.stdout)
            self.assertEqual(len(waits), 4)
            for wait in waits:
                there = of(tid=wait.tid, function=wait.function, wait=wait.kind)
                runnable = states(recording.wall, of_thread(wait.tid))['runnable']
                with self.subTest(engine=engine, wait=wait):
                    self.assertGreaterEqual(profile.total('delay', there),
                                            0.95 * wait.ns - runnable - SLACK_NS)
                    self.assertEqual(profile.total('delay', of(tid=wait.tid, wait='other')), 0)

    @unittest.skipUnless(perf_is_permitted(), 'needs perf events')
    def test_a_program_of_go(self):
        if subprocess.run(['which', 'go'], capture_output=True, check=False).returncode:
            self.skipTest('no go')
        recording, profile = self.block('go', 'list', 'std')
        self.assertIn(b'\nfmt\n', recording.stdout)
        self.assertGreater(profile.total('delay', lambda s: any(
            f.mapping and f.mapping.file.endswith('/go') for f in s.stack)), 0)

    @unittest.skipUnless(ROOT, 'needs another user to be')
    def test_without_privileges(self):
        directory = os.path.join(self.tmp, 'nobody')
        os.mkdir(directory)
        os.chmod(directory, 0o777)
        made = os.path.join(directory, 's')
        done = subprocess.run(unprivileged([HONE, 'record', '-t', 'block', '-o', made,
                                            workload('blocks'), 'kinds', '300']),
                              capture_output=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        profile = block_of(made)
        text = '\n'.join(profile.comments)
        self.assertRegex(text, '# engine: (switches|polling)')
        self.assertIn('# no stacks of short waits from the kernel: only root may', text)
        self.assertIn('# no frames of the kernel below waits: only root may', text)
        self.assertFalse([m.file for m in profile.mappings.values() if m.file.startswith('[kernel')])
        for wait in waits_of(done.stdout):
            if wait.kind in ('mutex', 'epoll'):
                self.assertGreater(profile.total('delay', of(tid=wait.tid, wait=wait.kind)), 0)

    @unittest.skipUnless(ROOT, 'needs namespaces')
    def test_in_a_container_numbers_of_threads_are_its_own(self):
        made = os.path.join(self.tmp, 's')
        done = subprocess.run(['unshare', '--pid', '--fork', '--mount-proc', HONE, 'record', '-t',
                               'block', '-o', made, workload('blocks'), 'turns', '2000', 'pipe'],
                              capture_output=True, timeout=60, check=False)
        if done.returncode and b'unshare' in done.stderr:
            self.skipTest(done.stderr)
        self.assertEqual(done.returncode, 0, done.stderr)
        profile = block_of(made)
        for turn in turns_of(done.stdout):
            mine = of(tid=turn.tid)
            self.assertAlmostEqual(profile.total('contentions', mine) / turn.waits, 1, delta=0.02)
            if '# engine: ebpf' in '\n'.join(profile.comments):
                there = profile.total('delay', of(tid=turn.tid, function=turn.function))
                self.assertGreater(there, 0.95 * profile.total('delay', mine))


BARE_FUTEX = r"""
#define _GNU_SOURCE
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
static int word;
int main(void)
{
    struct timespec time = {0, 200000000};
    return syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &time, NULL, 0) == 0;
}
"""

RUST = '''
use std::sync::{mpsc, Arc, Barrier, Condvar, Mutex, Once, RwLock};
use std::thread;
use std::time::{Duration, Instant};
extern "C" { fn gettid() -> i32; }
fn tell(kind: &str, function: &str, began: Instant) {
    println!("wait {} {} {} {}", kind, function, unsafe { gettid() }, began.elapsed().as_nanos());
}
#[inline(never)] fn want_mutex(lock: &Mutex<u64>) {
    let began = Instant::now(); *lock.lock().unwrap() += 1; tell("mutex", "want_mutex", began);
}
#[inline(never)] fn want_to_read(lock: &RwLock<u64>) {
    let began = Instant::now(); let _got = *lock.read().unwrap(); tell("rwlock", "want_to_read", began);
}
#[inline(never)] fn want_to_write(lock: &RwLock<u64>) {
    let began = Instant::now(); *lock.write().unwrap() += 1; tell("rwlock", "want_to_write", began);
}
#[inline(never)] fn await_news(pair: &(Mutex<bool>, Condvar)) {
    let mut come = pair.0.lock().unwrap();
    let began = Instant::now();
    while !*come { come = pair.1.wait(come).unwrap(); }
    tell("condition", "await_news", began);
}
#[inline(never)] fn be_parked() { let began = Instant::now(); thread::park(); tell("park", "be_parked", began); }
#[inline(never)] fn join_it(thread: thread::JoinHandle<()>) {
    let began = Instant::now(); thread.join().unwrap(); tell("join", "join_it", began);
}
fn main() {
    let ms = Duration::from_millis(200);
    let (mutex, read, written) = (Arc::new(Mutex::new(0)), Arc::new(RwLock::new(0)), Arc::new(RwLock::new(0)));
    let pair = Arc::new((Mutex::new(false), Condvar::new()));
    let all = Arc::new(Barrier::new(6));
    let (m, r, w) = (mutex.lock().unwrap(), read.write().unwrap(), written.read().unwrap());
    let mut crew = Vec::new();
    let start = |run: Box<dyn FnOnce() + Send>| { let all = all.clone(); thread::spawn(move || { all.wait(); run() }) };
    { let lock = mutex.clone(); crew.push(start(Box::new(move || want_mutex(&lock)))); }
    { let lock = read.clone(); crew.push(start(Box::new(move || want_to_read(&lock)))); }
    { let lock = written.clone(); crew.push(start(Box::new(move || want_to_write(&lock)))); }
    { let pair = pair.clone(); crew.push(start(Box::new(move || await_news(&pair)))); }
    crew.push(start(Box::new(be_parked)));
    all.wait();
    thread::sleep(ms);
    drop(m); drop(r); drop(w);
    *pair.0.lock().unwrap() = true;
    pair.1.notify_all();
    crew[4].thread().unpark();
    for thread in crew { thread.join().unwrap(); }
    join_it(thread::spawn(move || thread::sleep(ms)));
    // A crew that takes its work from a channel, as most programs do.
    let (send, get) = mpsc::sync_channel::<u64>(16);
    let (get, sum, once) = (Arc::new(Mutex::new(get)), Arc::new(Mutex::new(0u64)), Arc::new(Once::new()));
    let crew: Vec<_> = (0..4).map(|_| { let (get, sum, once) = (get.clone(), sum.clone(), once.clone());
        thread::spawn(move || loop {
            once.call_once(|| thread::sleep(Duration::from_millis(5)));
            let work = match get.lock().unwrap().recv() { Ok(work) => work, Err(_) => return };
            *sum.lock().unwrap() += work;
        }) }).collect();
    for work in 1..=20000 { send.send(work).unwrap(); }
    drop(send);
    for thread in crew { thread.join().unwrap(); }
    println!("sum {}", sum.lock().unwrap());
}
'''

POOL = '''
#include <condition_variable>
#include <chrono>
#include <cstdio>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <thread>
#include <vector>
#define OWN __attribute__((noinline))
std::mutex queue_lock, sum_lock;
std::condition_variable queued;
std::shared_mutex table_lock;
static std::deque<int> tasks;
static std::map<int, int> table;
static bool over;
static long sum;
OWN static int look_up(int key)
{
    std::shared_lock<std::shared_mutex> guard(table_lock);
    auto found = table.find(key % 1000);
    return found == table.end() ? 0 : found->second;
}
OWN static void refresh(int turn)
{
    std::unique_lock<std::shared_mutex> guard(table_lock);
    for (int i = 0; i < 1000; i++)
        table[i] = i;
    if (turn % 10 == 0)
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
}
OWN static bool take(int &task)
{
    std::unique_lock<std::mutex> guard(queue_lock);
    queued.wait(guard, [] { return over || !tasks.empty(); });
    if (tasks.empty())
        return false;
    task = tasks.front();
    tasks.pop_front();
    return true;
}
OWN static void add(int value)
{
    std::lock_guard<std::mutex> guard(sum_lock);
    sum += value;
}
static void work()
{
    for (int task; take(task);)
        add(look_up(task));
}
int main()
{
    refresh(1);
    std::vector<std::thread> pool;
    for (int i = 0; i < 4; i++)
        pool.emplace_back(work);
    for (int turn = 0; turn < 100; turn++) {
        {
            std::lock_guard<std::mutex> guard(queue_lock);
            for (int i = 0; i < 200; i++)
                tasks.push_back(turn * 200 + i);
        }
        queued.notify_all();
        refresh(turn);
    }
    {
        std::lock_guard<std::mutex> guard(queue_lock);
        over = true;
    }
    queued.notify_all();
    for (auto &thread : pool)
        thread.join();
    std::printf("sum %ld\\n", sum);
}
'''


class Languages(BlockTest):
    """Programs of which only the language's own library knows what a futex is of."""

    def build(self, name, text, *command):
        source = os.path.join(self.tmp, name)
        with open(source, 'w', encoding='utf-8') as file:
            file.write(text)
        program = os.path.splitext(source)[0]
        built = self.run_plain(*command, source, '-o', program)
        self.assertEqual(built.returncode, 0, built.stderr)
        return program

    @unittest.skipUnless(perf_is_permitted(), 'needs perf events')
    def test_who_calls_the_kernel_waits_in_syscall_and_in_nothing_of_ours(self):
        library = os.path.join(os.path.dirname(HONE), 'libhone.a')
        inside = ('-Wl,--whole-archive', library, '-Wl,--no-whole-archive')
        for name, arguments in (('bare.c', ()), ('inside.c', inside), ('static.c', ('-static', *inside))):
            program = self.build(name, BARE_FUTEX, 'gcc', '-g', '-O2', *arguments)
            recording, profile = self.block(program, types='block,wall')
            for made in (recording.wall, profile):
                with self.subTest(name=name, type=made.default_type):
                    asleep = [[f.function for f in s.stack if f.mapping.file != KERNEL]
                              for s in made.samples if s.labels.get('wait') == ['futex']]
                    self.assertTrue(asleep, made.comments)
                    for stack in asleep:
                        self.assertEqual(stack[0], 'syscall')
                        self.assertEqual(set(stack[:stack.index('main')]), {'syscall'})

    @unittest.skipUnless(perf_is_permitted() and shutil.which('rustc'), 'needs perf events and rustc')
    def test_rust(self):
        program = self.build('rusty.rs', RUST, 'rustc', '-g', '-O')
        self.judge_rust(*self.block(program, types='block,wall'))
        # Beside hooks, which know of joins alone.
        self.judge_rust(*self.block(program, types='mutex,block,wall', options=(
            '--mutex-fraction', '1', '--block-rate', '1')))

    def judge_rust(self, recording, profile):
        self.assertIn(b'sum 200010000\n', recording.stdout)
        waits = waits_of(recording.stdout)
        self.assertEqual(len(waits), 6)
        for wait in waits:
            def there(sample, wait=wait):
                return (of(tid=wait.tid, wait=wait.kind)(sample) and
                        any(frame.function.endswith('::' + wait.function) for frame in sample.stack))
            runnable = states(recording.wall, of_thread(wait.tid))['runnable']
            ns, slack = profile.total('delay', there), SLACK_NS + wait.ns // 100
            with self.subTest(wait=wait):
                self.assertLessEqual(ns, wait.ns + slack)
                self.assertGreaterEqual(ns, wait.ns - runnable - slack)

    def test_a_pool_of_cxx(self):
        program = self.build('pool.cc', POOL, 'g++', '-g', '-O2', '-std=c++17', '-pthread',
                             '-fno-optimize-sibling-calls')
        if perf_is_permitted():
            recording, profile = self.block(program)
            self.assertEqual(recording.stdout, b'sum 9990000\n')
            # Ten times the table was kept for 20 ms while tasks were there.
            self.assertGreater(profile.total('delay', of(function='look_up', wait='rwlock')), 0)
            self.assertGreater(profile.total('delay', of(function='take', wait='condition')), 0)
        recording, profile = self.block(program, types='mutex,block', options=(
            '--mutex-fraction', '1', '--block-rate', '1'))
        self.assertEqual(recording.stdout, b'sum 9990000\n')
        mutex = Profile.read(os.path.join(recording.directory, 'mutex.prof'))
        self.assertEqual(mutex.problems(), [])
        told = [s for s in profile.samples if s.labels.get('lock') and
                s.labels['wait'][0] in ('mutex', 'rwlock')]
        waited = sum(s.values[1] for s in told)
        # The scheduler leaves out what came before a thread left its CPU and after it was woken.
        self.assertGreater(mutex.total('delay') / waited, 0.97)
        self.assertLess(mutex.total('delay') / waited, 1.25)
        held = mutex.total('delay', of(function='refresh', lock='table_lock', kind='rwlock write'))
        read = sum(s.values[1] for s in told if s.has('look_up'))
        self.assertGreater(held, 0.9 * read)
        names = {'queue_lock', 'sum_lock', 'table_lock'}
        self.assertLessEqual({s.labels['lock'][0] for s in mutex.samples}, names)
        # Who waits is told the same name.
        self.assertIn('table_lock', {s.labels['lock'][0] for s in told})
        self.assertEqual({s.labels['lock'][0] for s in profile.samples if s.labels.get('lock')
                          and s.labels['wait'] == ['condition']}, {'queued'})
        holders = {s.labels['holder'][0] for s in told if s.labels.get('holder')}
        self.assertTrue(holders & {'add', 'take', 'main', 'look_up', 'refresh'}, holders)
        self.assertFalse([n for n in holders if n.startswith(('__g', 'std::', 'pthread_'))])
        self.assertEqual([s.labels['lock'] for s in told if s.labels['lock'][0] not in names], [])


class Watch(threading.Thread):
    """What the kernel counts of a process's threads: on a CPU, all together, every 20 ms."""

    def __init__(self, pids):
        super().__init__(daemon=True)
        self.pids, self.over, self.counts = pids, threading.Event(), []

    def run_ns(self):
        total = 0
        for pid in self.pids:
            for tid in os.listdir(f'/proc/{pid}/task'):
                with open(f'/proc/{pid}/task/{tid}/schedstat', encoding='ascii') as file:
                    total += int(file.read().split()[0])
        return total

    def run(self):
        while not self.over.wait(0.02):
            self.counts.append((time.time_ns(), self.run_ns()))

    def between(self, start_ns, end_ns):
        def at(when_ns):
            for (t0, n0), (t1, n1) in zip(self.counts, self.counts[1:]):
                if t0 <= when_ns <= t1:
                    return n0 + (n1 - n0) * (when_ns - t0) / (t1 - t0)
            raise AssertionError('the recording lies outside of what was watched')
        return at(end_ns) - at(start_ns)


@unittest.skipUnless(perf_is_permitted() and ROOT, 'needs root')
class Servers(BlockTest):
    """Real programs that run already, under load: off-CPU totals agree with the kernel's account."""
    WAITS = {'redis': {'epoll'}, 'nginx': {'epoll'}, 'memcached': {'epoll', 'condition'},
             'postgres': {'epoll', 'receive', 'semaphore'}}

    # Loads are generators: what has to be there before, what goes on for 1.6 s, the end.
    def repeat(self, server, directory, port):
        yield
        end = time.monotonic() + 1.6
        while time.monotonic() < end:
            server.load(directory, port)
        yield

    def pgbench(self, _server, _directory, port):
        """Connections that last: what the kernel counted of a process is gone with it."""
        to = ['-h', '127.0.0.1', '-p', str(port), '-U', 'postgres']
        servers.run(servers.tool('pgbench'), *to, '-i', '-q', '-s', '1', 'postgres')
        with subprocess.Popen([servers.tool('pgbench'), *to, '-n', '-c', '4', '-T', '60', 'postgres'],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as clients:
            try:
                count = ['psql', *to, '-At', '-c', 'select count(*) from pg_stat_activity '
                         "where application_name = 'pgbench'", 'postgres']
                while servers.run(*count) != b'4\n':
                    self.assertIsNone(clients.poll())
                yield
                time.sleep(1.6)
                self.assertIsNone(clients.poll())
                yield
            finally:
                clients.terminate()

    LOADS = {'postgres': pgbench}

    def judge(self, name):
        server = next(s for s in servers.SERVERS if s.name == name)
        if not servers.installed(server):
            self.skipTest(f'no {name}')
        port, made = servers.free_port(), os.path.join(self.tmp, 's')
        if name == 'nginx':
            os.mkdir(os.path.join(self.tmp, 'www'))
            with open(os.path.join(self.tmp, 'www', 'index.html'), 'w', encoding='ascii') as file:
                file.write('hello\n' * 1000)
        found = {}

        def attach(directory, to):
            load = self.LOADS.get(name, Servers.repeat)(self, server, directory, to)
            next(load)
            me = subprocess.CompletedProcess([], 0)
            me.pid = os.getpid()
            process = servers.server_pid(me, server.comm)
            pids, before = [process, *servers.descendants(process)], None
            while pids != before:  # whoever asked whether it is ready may not have gone yet
                time.sleep(0.3)
                pids, before = [process, *servers.descendants(process)], pids
            watch = Watch(pids)
            watch.start()
            hone = subprocess.Popen([HONE, 'record', '-t', 'block', '-d', '1500ms', '-o', made, '-p',
                                     ','.join(map(str, pids))], stdout=subprocess.PIPE,
                                    stderr=subprocess.STDOUT)
            next(load)
            out, _ = hone.communicate(timeout=60)
            watch.over.set()
            watch.join()
            load.close()
            found.update(status=hone.returncode, out=out, watch=watch)
            return b''

        if name == 'postgres':  # whose cleaners would come and go
            plain = server.command
            server = server._replace(command=lambda *where: [*plain(*where), '-c', 'autovacuum=off'])
        servers.serve(server._replace(load=attach), self.tmp, port, lambda command: command)
        self.assertEqual(found['status'], 0, found['out'])
        profile = block_of(made)
        self.assertEqual(profile.problems(), [])
        facts = harness.Recording(subprocess.CompletedProcess([], 0), made, None).session['block']
        run_ns = found['watch'].between(profile.time_ns, profile.time_ns + profile.duration_ns)
        off_ns = facts['lifetime_ns'] - run_ns
        hone_ns = facts['delay_ns'] + facts['runnable_ns']
        print(f'\n{name}: off-CPU {hone_ns / NS:.3f} s, the kernel says {off_ns / NS:.3f} s '
              f'({100 * hone_ns / off_ns - 100:+.2f} %)', end=' ', flush=True)
        self.assertAlmostEqual(hone_ns / off_ns, 1, delta=0.02)
        self.assertTrue({s.labels['wait'][0] for s in profile.samples} & self.WAITS[name])
        found = completeness(profile, lambda s: s.labels['wait'] != ['unknown'])
        self.assertGreater(found.share, 0.99, found.broken.most_common(5))

    def test_redis(self):
        self.judge('redis')

    def test_nginx(self):
        self.judge('nginx')

    def test_memcached(self):
        self.judge('memcached')

    def test_postgres(self):
        self.judge('postgres')


if __name__ == '__main__':
    unittest.main()
