"""Locks: the hooks in the program, and what they record, by workloads whose truth is known.

The records are read by session_run, so that what a profile makes of them is another test.
"""

import collections
import os
import re
import shutil
import subprocess
import unittest

from harness import BUILD, HONE, NS, TestCase, workload

LIBRARY = os.path.join(BUILD, 'libhone.so')
RUN = os.path.join(BUILD, 'src', 'session', 'session_run')
MUTEX, READ, WRITE, SPIN, CONDITION, SEMAPHORE, BARRIER, JOIN = range(1, 9)
KINDS = {'mutex': MUTEX, 'c11': MUTEX, 'read': READ, 'write': WRITE, 'spin': SPIN,
         'condition': CONDITION, 'semaphore': SEMAPHORE, 'barrier': BARRIER, 'join': JOIN}

Held = collections.namedtuple('Held', 'thread lock stack waiter delay hold waiters kind weight')
Wait = collections.namedtuple('Wait', 'thread lock stack delay rate holder holder_stack kind timed_out')
Use = collections.namedtuple('Use', 'thread lock stack wait hold weight kind contended')
Known = collections.namedtuple('Known', 'kind lock stack')
Locks = collections.namedtuple('Locks', 'contentions held waits lost untracked reason')


def functions(path):
    """[(start, end, name)] of a file, sorted."""
    lines = subprocess.run(['nm', '-S', '--defined-only', path], capture_output=True, text=True,
                           check=False).stdout.splitlines()
    return sorted((int(words[0], 16), int(words[0], 16) + int(words[1], 16), words[3])
                  for words in map(str.split, lines) if len(words) == 4 and words[2] in 'tTwW')


class Records:
    """What one run recorded of locks: lists by kind of record, stacks as names of the program's own
    functions, others by their file."""

    def __init__(self, done, path):
        self.status, self.stdout, self.stderr = done.returncode, done.stdout, done.stderr
        self.held, self.waits, self.uses, self.known, self.locks = [], [], [], [], []
        self.ends, self.tids = {}, {}
        modules, stacks = {}, {}
        with open(path, encoding='utf-8') as lines:
            for line in lines:
                kind, process, *words = line.rstrip('\n').split(' ')
                if kind == 'module':
                    modules.setdefault(process, []).append(
                        (*(int(word, 16) for word in words[1:4]), words[4]))
                elif kind == 'stack':
                    stacks[process, int(words[0])] = [int(word, 16) for word in words[2:]]
                    self.ends[process, int(words[0])] = int(words[1])
                elif kind == 'thread':
                    self.tids[process, int(words[0])] = int(words[1])
                elif kind == 'locks':
                    self.locks.append(Locks(*map(int, words[:5]), ' '.join(words[5:])))
                elif kind in ('held', 'wait', 'use'):
                    numbers = [int(words[0]), int(words[1], 16), *map(int, words[2:])]
                    into, record = {'held': (self.held, Held), 'wait': (self.waits, Wait),
                                    'use': (self.uses, Use)}[kind]
                    into.append((process, record(*numbers)))
                elif kind == 'known':
                    self.known.append((process, Known(int(words[0]), int(words[1], 16),
                                                      int(words[2]))))
        names = {}
        self.stacks = {}
        for (process, number), addresses in stacks.items():
            self.stacks[process, number] = [self.name(names, modules[process], address)
                                            for address in addresses]

    @staticmethod
    def name(names, modules, address):
        for start, end, bias, path in modules:
            if start <= address < end:
                if path not in names:
                    names[path] = functions(path)
                for low, high, name in names[path]:
                    if low <= address - bias < high:
                        return name
                return os.path.basename(path)
        return '?'

    def held_by(self, function, lock=None):
        return [held for process, held in self.held
                if function in self.stacks.get((process, held.stack), [])
                and (lock is None or held.lock == lock)]

    def waits_in(self, function, lock=None, kind=None):
        return [wait for process, wait in self.waits
                if function in self.stacks.get((process, wait.stack), [])
                and (lock is None or wait.lock == lock) and (kind is None or wait.kind == kind)]

    @property
    def truth(self):
        """[(function, kind, lock, ns)]"""
        return [(words[1], words[2], int(words[3], 16), int(words[4]))
                for words in map(str.split, self.stdout.decode().splitlines())
                if words and words[0] == 'wait']


def charged(held):
    return sum(h.delay * h.weight for h in held)


class Locks_(TestCase):
    def locks(self, *program, fraction=1, rate=1, status=0, preload=True, timeout=120, **options):
        out = os.path.join(self.tmp, 'out')
        loaded = ('env', f'LD_PRELOAD={LIBRARY}') if preload else ()
        asked = (*(('-m', str(fraction)) if fraction else ()), *(('-b', str(rate)) if rate else ()))
        done = subprocess.run([RUN, *asked, out, *loaded, *program], capture_output=True,
                              timeout=timeout, check=False, **options)
        self.assertEqual(done.returncode, status, done)
        return Records(done, out)

    def assert_conserves(self, records, within=0.03):
        """What releases were charged with is what was waited for locks."""
        waited = sum(wait.delay for _, wait in records.waits if wait.kind <= SPIN)
        delays = charged(held for _, held in records.held)
        self.assertLessEqual(abs(delays - waited), within * waited + 100_000,
                             f'{delays / NS:.4f} s charged, {waited / NS:.4f} s waited')


class Truth(Locks_):
    @staticmethod
    def made(records, function):
        """[(kind, lock)] of those that it made."""
        return [(known.kind, known.lock) for process, known in records.known
                if function in records.stacks[process, known.stack]]

    def test_a_holder_is_charged_with_what_others_waited(self):
        records = self.locks(workload('locks'), 'hold')
        truth = {function: ns for function, _, _, ns in records.truth}
        self.assertEqual(set(truth), {'waiter_one', 'waiter_two'})
        held = records.held_by('hold_long')
        # Who comes second waits a moment for the first one, which is not the holder's doing.
        self.assertLessEqual(abs(charged(held) - sum(truth.values())), 0.03 * sum(truth.values()))
        self.assertEqual({records.stacks['0', h.stack][0] for h in held}
                         if ('0', held[0].stack) in records.stacks else {'release_long'},
                         {'release_long'})
        self.assertEqual(records.held_by('waiter_one', lock=0), [])
        for function, ns in truth.items():
            own = sum(w.delay for w in records.waits_in(function, kind=MUTEX))
            self.assertLessEqual(abs(own - ns), 0.03 * ns)
        self.assert_conserves(records)
        # Who was waiting stands beside it.
        waiters = {records.stacks[process, h.waiter][-1 - 2] if h.waiter else None
                   for process, h in records.held if h in held and h.waiters}
        self.assertTrue(any(h.waiter for h in held), waiters)
        self.assertEqual(records.locks[0].lost, 0)
        self.assertEqual(records.locks[0].untracked, 0)

    def test_a_chain_is_charged_link_by_link(self):
        records = self.locks(workload('locks'), 'chain')
        truth = {function: (lock, ns) for function, _, lock, ns in records.truth}
        for waiter, holder in (('middle', 'hold_first'), ('last_one', 'middle')):
            lock, ns = truth[waiter]
            held = charged(records.held_by(holder, lock))
            self.assertLessEqual(abs(held - ns), 0.03 * ns, (waiter, holder, held, ns))
            wait, = records.waits_in(waiter, lock)
            self.assertEqual(wait.timed_out, 0)
            # Who is off at once may have told of its wait before the holder's stack was walked.
            self.assertGreater(wait.holder_stack, 0)
            self.assertIn(holder, next(records.stacks[p, wait.holder_stack]
                                       for p, w in records.waits if w == wait))
        # hold_first had its lock without a wait; middle's hold of the second began likewise.
        self.assert_conserves(records)

    def test_a_program_of_one_thread(self):
        """Where next to nothing is done until there is another one, or a wait."""
        for what, holders in (('single', {'single_waits': 'single_waits', 'second_waits': 'single_holds'}),
                              ('single_untimed', {'second_waits': 'single_holds'})):
            records = self.locks(workload('locks'), what)
            truth = {function: (lock, ns) for function, _, lock, ns in records.truth}
            self.assertEqual(set(truth), set(holders))
            for function, (lock, ns) in truth.items():
                held = charged(records.held_by(holders[function], lock))
                self.assertLessEqual(abs(held - ns), 0.03 * ns, (what, function, held, ns))
                wait, = records.waits_in(function, lock)
                self.assertEqual(wait.timed_out, function == 'single_waits')
            self.assert_conserves(records)

    def test_every_kind_of_lock(self):
        records = self.locks(workload('locks'), 'kinds')
        truth = collections.Counter()
        for _, kind, lock, ns in records.truth:
            truth[kind, lock] += ns
        self.assertEqual(len(records.truth), 18)
        for (kind, lock), ns in truth.items():
            with self.subTest(kind=kind, lock=hex(lock)):
                held = records.held_by('hold_kind', lock)
                self.assertLessEqual(abs(charged(held) - ns), 0.03 * ns + 100_000)
                # Who reads waits for who writes.
                of_holder = WRITE if kind == 'read' else KINDS[kind]
                self.assertEqual({h.kind for h in held}, {of_holder})
                waits = records.waits_in('wait_kind', lock)
                self.assertEqual({w.kind for w in waits}, {KINDS[kind]})
                self.assertLessEqual(abs(sum(w.delay for w in waits) - ns), 0.03 * ns)
        # Of twelve, for the others have initializers: each at its address, as what it is.
        made = self.made(records, 'make_locks')
        self.assertEqual(len(made), 10)
        self.assertEqual(len({lock for _, lock in made}), 10)
        self.assertLessEqual(set(made), {(KINDS[kind], lock) for kind, lock in truth})

    def test_waits_for_what_nobody_holds(self):
        records = self.locks(workload('locks'), 'waits')
        truth = collections.Counter()
        for _, kind, lock, ns in records.truth:
            truth[kind, lock] += ns
        self.assertEqual({kind for kind, _ in truth}, {'semaphore', 'barrier', 'join', 'condition'})
        for (kind, lock), ns in truth.items():
            waits = records.waits_in('wait_for_all', lock, KINDS[kind])
            self.assertLessEqual(abs(sum(w.delay for w in waits) - ns), 0.03 * ns, (kind, waits))
        made = self.made(records, 'waits')
        self.assertEqual(sorted(kind for kind, _ in made), [MUTEX, SEMAPHORE, BARRIER])
        for kind in 'semaphore', 'barrier':
            self.assertIn((KINDS[kind], next(lock for k, lock in truth if k == kind)), made)
        self.assertEqual(sum(w.timed_out for w in records.waits_in('wait_for_all')), 4)
        self.assertEqual(records.held, [])

    def test_a_queue_by_a_condition_variable(self):
        records = self.locks(workload('locks'), 'queue')
        (_, _, lock, ns), = records.truth
        waits = records.waits_in('consume', lock, CONDITION)
        self.assertLessEqual(abs(sum(w.delay for w in waits) - ns), 0.03 * ns)

    def test_who_gave_up_is_charged_to_who_held_on(self):
        records = self.locks(workload('locks'), 'timed')
        ns = sum(ns for _, _, _, ns in records.truth)
        held = charged(records.held_by('hold_on'))
        self.assertLessEqual(abs(held - ns), 0.03 * ns)
        self.assertEqual([w.timed_out for w in records.waits_in('give_up')], [1, 1])

    def test_what_is_released_unseen_is_charged_to_nobody(self):
        """By another process, or by the end of a thread: not to who released it shortly before."""
        for how in ('died', 'elsewhere'):
            with self.subTest(how):
                records = self.locks(workload('locks'), how)
                (_, _, lock, first_ns), *later = records.truth
                self.assertEqual(len(later), 2 if how == 'elsewhere' else 1)
                before = charged(records.held_by('release_before', lock))
                self.assertLessEqual(abs(before - first_ns), 0.03 * first_ns + 1_000_000)
                self.assertEqual([h for _, h in records.held if h.delay > 1_000_000 and h.waiters],
                                 [h for h in records.held_by('release_before') if h.waiters])
                # Who waited says it all the same, and that nobody is known.
                waits = sorted(records.waits_in('wait_after', lock), key=lambda wait: wait.delay)
                unseen = [w for w in waits if not w.holder_stack]
                total = sum(ns for *_, ns in later)
                self.assertLessEqual(abs(sum(w.delay for w in unseen) - total), 0.03 * total)

    def test_a_clean_program_shows_nothing(self):
        records = self.locks(workload('locks'), 'control')
        self.assertEqual(records.held, [])
        self.assertEqual(records.waits_in('alone'), [])
        self.assertEqual(sum(facts.contentions for facts in records.locks), 0)
        # All its acquisitions, as far as they can be known from those that were drawn.
        of_mutex = [use for process, use in records.uses
                    if 'alone' in records.stacks[process, use.stack]]
        self.assertEqual({use.kind for use in of_mutex}, {MUTEX, READ})
        taken = sum(use.weight for use in of_mutex)
        error = sum(use.weight * (use.weight - 1) for use in of_mutex) ** 0.5
        self.assertLessEqual(abs(taken - 800_000), 5 * error)
        self.assertEqual([use for use in of_mutex if use.contended], [])

    def test_a_lock_that_is_wanted_all_the_time(self):
        records = self.locks(workload('locks'), 'churn', '4')
        # Also who comes in the middle of a release.
        self.assert_conserves(records, within=0.005)
        lock = records.truth[0][2]
        (facts,) = records.locks
        self.assertEqual(facts.untracked, 0)
        contended = [w for _, w in records.waits if w.lock == lock]
        self.assertGreater(len(contended), 0)
        self.assertLessEqual(len(contended), facts.contentions)

    def test_some_of_a_lock_that_is_wanted_all_the_time_stand_for_all(self):
        """Fewer than was asked for, with more weight: the same sums within their error."""
        exact = self.locks(workload('locks'), 'churn', '4', fraction=10, rate=1)
        waits = [wait.delay for _, wait in exact.waits if wait.kind <= SPIN]
        waited = sum(waits)
        # A holder that lost its processor need not be among those drawn: three waited for it.
        error = (sum(h.weight * (h.weight - 1) * h.delay ** 2 for _, h in exact.held) +
                 (10 - 1) * 3 * sum(delay ** 2 for delay in waits)) ** 0.5
        self.assertLessEqual(abs(charged(h for _, h in exact.held) - waited),
                             5 * error + 0.005 * waited)
        # What it took to go on is told in full, but for the first time and after the last one.
        self.assertGreater(len([h for _, h in exact.held if h.weight == 1]), 0)
        # Besides, where who holds it loses its processor.
        self.assertEqual([h for _, h in exact.held if h.weight == 1 and h.waiters and
                          h.delay < 900_000 * h.waiters], [])
        some = self.locks(workload('locks'), 'churn', '4', fraction=1, rate=10000)
        waited = charged(h for _, h in some.held)
        parts = [max(w.rate, w.delay) for _, w in some.waits if w.kind <= SPIN]
        error = sum((w.rate - w.delay) * w.rate for _, w in some.waits
                    if w.kind <= SPIN and w.delay < w.rate) ** 0.5
        self.assertLessEqual(abs(sum(parts) - waited), 5 * error + 0.005 * waited)

    def test_what_is_drawn_less_stands_for_the_rest(self):
        records = self.locks(workload('lock_wanted'), '4', '2000', fraction=2, rate=500_000)
        (_, _, lock, ns), = records.truth
        held = [h for _, h in records.held if h.lock == lock]
        self.assertGreater(max(h.weight for h in held), 2)
        error = sum(h.weight * (h.weight - 1) * h.delay ** 2 for h in held) ** 0.5
        self.assertLessEqual(abs(charged(held) - ns), 5 * error + 0.01 * ns)
        waits = [w for _, w in records.waits if w.lock == lock]
        self.assertGreater(max(w.rate for w in waits), 500_000)
        error = sum((w.rate - w.delay) * w.rate for w in waits if w.delay < w.rate) ** 0.5
        self.assertLessEqual(abs(sum(max(w.rate, w.delay) for w in waits) - ns), 5 * error + 0.01 * ns)

    def test_it_is_said_where_fewer_are_drawn_than_was_asked_for(self):
        def said(*options):
            recording = self.record(workload('lock_wanted'),
                                    options=('--types', 'mutex', *options))
            info = subprocess.run([HONE, 'info', os.path.join(recording.directory, 'mutex.prof')],
                                  capture_output=True, text=True, check=True).stdout
            locks = recording.session['locks']
            counts = locks['releases_drawn_less'], locks['waits_drawn_less']
            found = re.findall(r'wanted all the time fewer are drawn .*: so were (\d+) of the releases '
                               r'recorded and (\d+) of the waits', info)
            return counts, [(int(releases), int(waits)) for releases, waits in found]

        counts, found = said('--mutex-fraction', '2', '--block-rate', '500000')
        self.assertGreater(min(counts), 0)
        self.assertEqual(found, [counts])
        # One is meant literally.
        self.assertEqual(said('--mutex-fraction', '1', '--block-rate', '1'), ((0, 0), []))

    def test_some_stand_for_all(self):
        """Waits by a rate: the same sums within their error. Long holds are told whatever one in so
        many is: a few of them are all that was waited."""
        records = self.locks(workload('locks'), 'hold', fraction=1000, rate=50_000_000)
        self.assertEqual({h.weight for h in records.held_by('hold_long')}, {1})
        ns = sum(ns for _, _, _, ns in records.truth)
        self.assertLessEqual(abs(charged(records.held_by('hold_long')) - ns), 0.03 * ns)
        scaled = [max(w.rate, w.delay) for function in ('waiter_one', 'waiter_two')
                  for w in records.waits_in(function, kind=MUTEX)]
        self.assertLessEqual(abs(sum(scaled) - ns), 5 * sum(s * s for s in scaled) ** 0.5 + 0.1 * ns)

    def test_only_what_was_asked_for(self):
        records = self.locks(workload('locks'), 'hold', fraction=0)
        self.assertEqual((records.held, records.uses), ([], []))
        self.assertGreater(len(records.waits), 0)
        records = self.locks(workload('locks'), 'hold', rate=0)
        self.assertEqual(records.waits, [])
        self.assertGreater(len(records.held), 0)
        records = self.locks(workload('locks'), 'hold', fraction=0, rate=0)
        self.assertEqual((records.held, records.waits, records.uses, records.known),
                         ([], [], [], []))


class Harmless(Locks_):
    def test_functions_return_what_they_return_without_us(self):
        plain = self.run_plain(workload('lock_returns'))
        self.assertEqual(plain.returncode, 0)
        self.assertGreater(len(plain.stdout.splitlines()), 250)
        for fraction, rate in ((1, 1), (100, 1000000), (0, 0)):
            records = self.locks(workload('lock_returns'), fraction=fraction, rate=rate)
            self.assertEqual(records.stdout.decode().splitlines(), plain.stdout.decode().splitlines())

    def test_odd_uses(self):
        plain = self.run_plain(workload('lock_odd'))
        self.assertEqual(plain.returncode, 0, plain)
        for fraction, rate in ((1, 1), (7, 10000), (0, 0)):
            records = self.locks(workload('lock_odd'), fraction=fraction, rate=rate)
            self.assertEqual(records.stdout, plain.stdout)
            if fraction == 1:
                self.check_odd(records)

    def check_odd(self, records):
        # The forked child's threads waited for its own holder, not for its parent's.
        processes = {process for process, _ in records.held}
        self.assertEqual(len(processes), 2)
        # Ten times a thread had jumped out of its wait: the thousand releases after that are none
        # that anybody waited for.
        jumped = [h for process, h in records.held
                  if 'lock_after_jumps' in records.stacks[process, h.stack]]
        self.assertEqual(jumped, [])

    def test_old_condition_variables_stay_old(self):
        """x86-64 programs of 2003, and libraries that name no version: the form that they were
        linked with, for all functions of theirs."""
        if os.uname().machine != 'x86_64':
            raise unittest.SkipTest('only x86-64 has had another form')
        source = os.path.join(self.tmp, 'old.c')
        program = os.path.join(self.tmp, 'old')
        with open(source, 'w', encoding='utf-8') as file:
            file.write('''
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
#define OLD(name) __asm__(".symver " #name ", " #name "@GLIBC_2.2.5")
OLD(pthread_cond_wait); OLD(pthread_cond_signal); OLD(pthread_cond_init);
static pthread_cond_t condition;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int ready;
static void *signal_it(void *unused)
{
    usleep(50000);
    pthread_mutex_lock(&mutex);
    ready = 1;
    pthread_cond_signal(&condition);
    pthread_mutex_unlock(&mutex);
    return unused;
}
int main(void)
{
    pthread_t thread;
    pthread_cond_init(&condition, NULL);
    pthread_create(&thread, NULL, signal_it, NULL);
    pthread_mutex_lock(&mutex);
    while (!ready)
        pthread_cond_wait(&condition, &mutex);
    pthread_mutex_unlock(&mutex);
    pthread_join(thread, NULL);
    puts("woken");
}
''')
        subprocess.run(['gcc', '-O1', '-o', program, source, '-pthread'], check=True)
        records = self.locks(program, timeout=20)
        self.assertEqual(records.stdout, b'woken\n')
        self.assertEqual([w for _, w in records.waits if w.kind == CONDITION], [])
        self.assertEqual(len([w for _, w in records.waits if w.kind == JOIN]), 1)

    def test_a_library_that_binds_past_us(self):
        """One that is loaded with RTLD_DEEPBIND finds the C library first."""
        library, program = os.path.join(self.tmp, 'deep.so'), os.path.join(self.tmp, 'deep')
        with open(library + '.c', 'w', encoding='utf-8') as file:
            file.write('''
#include <pthread.h>
pthread_mutex_t deep_mutex = PTHREAD_MUTEX_INITIALIZER;
void deep_lock(void) { pthread_mutex_lock(&deep_mutex); __asm__ volatile(""); }
void deep_unlock(void) { pthread_mutex_unlock(&deep_mutex); __asm__ volatile(""); }
''')
        with open(program + '.c', 'w', encoding='utf-8') as file:
            file.write('''
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
static void (*lock)(void), (*unlock)(void);
static void *wait_for_it(void *unused) { lock(); unlock(); return unused; }
int main(int argc, char **argv)
{
    (void)argc;
    void *deep = dlopen(argv[1], RTLD_NOW | RTLD_DEEPBIND);
    *(void **)&lock = dlsym(deep, "deep_lock");
    *(void **)&unlock = dlsym(deep, "deep_unlock");
    pthread_t thread;
    lock();
    pthread_create(&thread, NULL, wait_for_it, NULL);
    usleep(50000);
    unlock();
    pthread_join(thread, NULL);
    puts("done");
}
''')
        for linking in ('-Wl,-z,now', '-Wl,-z,lazy'):
            subprocess.run(['gcc', '-O1', '-shared', '-fPIC', linking, '-o', library,
                            library + '.c'], check=True)
            subprocess.run(['gcc', '-O1', '-o', program, program + '.c', '-ldl', '-pthread'],
                           check=True)
            records = self.locks(program, library)
            self.assertEqual(records.stdout, b'done\n')
            held, = (h for h in records.held_by('deep_unlock') if h.waiters)
            self.assertGreater(held.delay, 0.04 * NS)

    def test_who_comes_in_the_middle_of_a_release(self):
        """While the releasing thread has lost its processor, say."""
        library, program = os.path.join(self.tmp, 'slow.so'), os.path.join(self.tmp, 'slow')
        with open(library + '.c', 'w', encoding='utf-8') as file:
            file.write('''
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#pragma weak before_unlock
void before_unlock(void);
int pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    int (*real)(pthread_mutex_t *);
    *(void **)&real = dlsym(RTLD_NEXT, "pthread_mutex_unlock");
    if (before_unlock)
        before_unlock();
    return real(mutex);
}
''')
        with open(program + '.c', 'w', encoding='utf-8') as file:
            file.write('''
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static atomic_int stage;
static __thread int slow;
void before_unlock(void)
{
    if (slow) {
        stage = 1;
        usleep(50000);
    }
}
static void *wait_for_it(void *late)
{
    while (late && !stage)
        usleep(100);
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    pthread_mutex_lock(&mutex);
    clock_gettime(CLOCK_MONOTONIC, &to);
    if (late)
        printf("wait wait_for_it mutex %lx %lld\\n", (long)&mutex,
               (to.tv_sec - from.tv_sec) * 1000000000LL + to.tv_nsec - from.tv_nsec);
    pthread_mutex_unlock(&mutex);
    return NULL;
}
__attribute__((noinline)) static void *release_slowly(void *unused)
{
    slow = 1;
    pthread_mutex_lock(&mutex);
    pthread_mutex_unlock(&mutex);
    slow = 0;
    return unused;
}
int main(void)
{
    pthread_t threads[2];
    pthread_mutex_lock(&mutex);
    pthread_create(&threads[0], NULL, wait_for_it, NULL);
    usleep(20000);
    pthread_mutex_unlock(&mutex);
    pthread_join(threads[0], NULL);
    usleep(30000);
    pthread_create(&threads[0], NULL, wait_for_it, &mutex);
    pthread_create(&threads[1], NULL, release_slowly, NULL);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    return 0;
}
''')
        subprocess.run(['gcc', '-O1', '-shared', '-fPIC', '-o', library, library + '.c', '-ldl'],
                       check=True)
        subprocess.run(['gcc', '-O1', '-rdynamic', '-fno-optimize-sibling-calls', '-o', program,
                        program + '.c', '-pthread'], check=True)
        records = self.locks('env', f'LD_PRELOAD={LIBRARY}:{library}', program, preload=False)
        (_, _, lock, ns), = records.truth
        held = charged(records.held_by('release_slowly', lock))
        self.assertLessEqual(abs(held - ns), 0.03 * ns + 1_000_000)

    def test_a_static_library_says_that_it_has_no_hooks(self):
        program = os.path.join(self.tmp, 'inside')
        subprocess.run(['gcc', '-O1', '-D_GNU_SOURCE', '-static', '-o', program,
                        os.path.join(os.path.dirname(__file__), '..', 'workloads', 'locks.c'),
                        '-Wl,--whole-archive', os.path.join(BUILD, 'libhone.a'),
                        '-Wl,--no-whole-archive', '-pthread'], check=True)
        records = self.locks(program, 'control', preload=False)
        self.assertEqual(records.uses, [])
        self.assertIn('libhone.a', records.locks[0].reason)


class Programs(Locks_):
    """Of other languages, and real ones: their output and status are the same."""

    def test_cxx(self):
        source, program = os.path.join(self.tmp, 'pool.cc'), os.path.join(self.tmp, 'pool')
        with open(source, 'w', encoding='utf-8') as file:
            file.write('''
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <shared_mutex>
#include <thread>
#include <vector>
static std::mutex plain;
static std::timed_mutex timed;
static std::recursive_mutex again;
static std::shared_mutex shared;
static std::condition_variable filled;
static int jobs, done;
template <class Lock> __attribute__((noinline)) static void hold_while_wanted(Lock &lock)
{
    lock.lock();
    std::thread waiter([&] { lock.lock(); lock.unlock(); });
    std::this_thread::sleep_for(std::chrono::milliseconds(40));
    lock.unlock();
    waiter.join();
}
static void work()
{
    for (;;) {
        std::unique_lock<std::mutex> guard(plain);
        filled.wait(guard, [] { return jobs != 0; });
        if (jobs < 0)
            return;
        jobs--;
        done++;
    }
}
int main()
{
    hold_while_wanted(plain);
    hold_while_wanted(timed);
    hold_while_wanted(again);
    hold_while_wanted(shared);
    std::vector<std::thread> pool;
    for (int i = 0; i < 4; i++)
        pool.emplace_back(work);
    for (int i = 0; i < 1000; i++) {
        { std::lock_guard<std::mutex> guard(plain); jobs++; }
        filled.notify_one();
    }
    for (bool empty = false; !empty; std::this_thread::yield()) {
        std::lock_guard<std::mutex> guard(plain);
        empty = jobs == 0;
        if (empty)
            jobs = -1;
    }
    filled.notify_all();
    for (auto &thread : pool)
        thread.join();
    std::printf("%d\\n", done);
}
''')
        subprocess.run(['g++', '-O2', '-std=c++17', '-o', program, source, '-pthread'], check=True)
        records = self.locks(program)
        self.assertEqual(records.stdout, b'1000\n')
        for name in ('5mutex', '11timed_mutex', '15recursive_mutex', '12shared_mutex'):
            held = [h for process, h in records.held if h.waiters and
                    any(f'hold_while_wantedISt{name}' in frame
                        for frame in records.stacks[process, h.stack])]
            self.assertEqual(len(held), 1, name)
            self.assertGreater(held[0].delay, 0.03 * NS)

    def test_rust(self):
        if not shutil.which('rustc'):
            raise unittest.SkipTest('no rustc')
        source, program = os.path.join(self.tmp, 'main.rs'), os.path.join(self.tmp, 'main')
        with open(source, 'w', encoding='utf-8') as file:
            file.write('''
use std::sync::{mpsc, Arc, Mutex};
fn main() {
    let sum = Arc::new(Mutex::new(0u64));
    let (to, from) = mpsc::channel();
    let threads: Vec<_> = (0..4).map(|i| {
        let (sum, to) = (sum.clone(), to.clone());
        std::thread::spawn(move || for j in 0..1000 { *sum.lock().unwrap() += i * j; to.send(1u64).unwrap(); })
    }).collect();
    drop(to);
    let sent: u64 = from.iter().sum();
    for thread in threads { thread.join().unwrap(); }
    println!("{} {}", sum.lock().unwrap(), sent);
}
''')
        subprocess.run(['rustc', '-O', '-o', program, source], check=True, capture_output=True)
        records = self.locks(program)
        self.assertEqual(records.stdout, b'2997000 4000\n')
        # Its own locks are futexes, which no hook sees; the joins are seen.
        self.assertEqual({w.kind for _, w in records.waits} - {JOIN}, set())

    def test_allocators_that_lock(self):
        for library in ('libjemalloc.so.2', 'libtcmalloc.so.4', 'libmimalloc.so.2.0'):
            path = next((os.path.join(folder, library) for folder in
                         ('/usr/lib/x86_64-linux-gnu', '/usr/lib/aarch64-linux-gnu')
                         if os.path.exists(os.path.join(folder, library))), None)
            if not path:
                continue
            for order in (f'{LIBRARY}:{path}', f'{path}:{LIBRARY}'):
                records = self.locks('env', f'LD_PRELOAD={order}', workload('stages'), preload=False)
                plain = self.run_plain('env', f'LD_PRELOAD={path}', workload('stages'))
                self.assertEqual(plain.returncode, 0)
                self.assertEqual(len(records.stdout.splitlines()), len(plain.stdout.splitlines()))

    def test_a_database(self):
        if not shutil.which('sqlite3'):
            raise unittest.SkipTest('no sqlite3')
        query = ('create table t(a, b); with recursive n(x) as (select 1 union all select x + 1 from n '
                 'where x < 20000) insert into t select x, x * 7 % 1000 from n; '
                 'pragma threads = 4; create index i on t(b); select b, sum(a) from t group by b limit 5;')
        plain = self.run_plain('sqlite3', ':memory:', query)
        records = self.locks('sqlite3', ':memory:', query)
        self.assertEqual(records.stdout, plain.stdout)


if __name__ == '__main__':
    unittest.main()
