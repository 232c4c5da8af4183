"""Threads: who is where, waits for what and since when, who created whom; against the program's own
knowledge and /proc."""

import collections
import json
import os
import re
import shutil
import subprocess
import threading
import time
import unittest

import harness
from harness import HONE, NS, workload
from pprof import Profile

RUST = '''
use std::io::Read;
use std::sync::{Arc, Condvar, Mutex};

#[inline(never)]
fn make_rust(over: &Arc<(Mutex<bool>, Condvar)>) -> std::thread::JoinHandle<()> {
    let over = Arc::clone(over);
    std::thread::Builder::new().name("rusty".into()).spawn(move || {
        let mut ended = over.0.lock().unwrap();
        while !*ended {
            ended = over.1.wait(ended).unwrap();
        }
    }).unwrap()
}

fn main() {
    let over = Arc::new((Mutex::new(false), Condvar::new()));
    let _crew: Vec<_> = (0..5).map(|_| make_rust(&over)).collect();
    std::thread::sleep(std::time::Duration::from_millis(50));
    println!("ready {}", std::process::id());
    // Nobody is woken at the end: the last look at the threads may be then.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}
'''

GO = '''
package main

import (
	"fmt"
	"io"
	"os"
)

func main() {
	for i := 0; i < 3; i++ {
		go func() { select {} }()
	}
	fmt.Println("ready", os.Getpid())
	_, _ = io.ReadAll(os.Stdin)
}
'''


def tasks(pid):
    return len(os.listdir(f'/proc/{pid}/task'))


def functions(stack):
    return [frame['function'].partition('(')[0] for frame in stack]


class Threads(harness.TestCase):
    """What all of them need: a program that stands ready until its input ends."""

    def start(self, *program, record=None):
        command = [str(word) for word in program]
        if record:
            command = [HONE, 'record', '-q', '-t', 'threads', '-o', record, '--', *command]
        running = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        self.addCleanup(self.end, running)
        line = running.stdout.readline().split()
        self.assertEqual(line[:1], [b'ready'], running.stderr.read() if not line else line)
        running.program = int(line[1])
        return running

    def end(self, running):
        """What it still printed."""
        if running.returncode is not None:
            return ''
        output, errors = running.communicate(timeout=120)
        self.assertEqual(running.returncode, 0, errors)
        return output.decode()

    def settled(self, pid, count):
        """Waits until all threads are there and none of them runs."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            states = []
            for tid in os.listdir(f'/proc/{pid}/task'):
                try:
                    with open(f'/proc/{pid}/task/{tid}/stat', encoding='latin-1') as file:
                        states.append(file.read().rpartition(')')[2].split()[0])
                except FileNotFoundError:
                    pass
            if len(states) == count and 'R' not in states:
                return
            time.sleep(0.02)
        self.fail(f'{pid} has no {count} threads that wait')

    def threads(self, *words):
        done = self.run_plain(HONE, 'threads', *map(str, words))
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.decode()

    def dump(self, *words):
        return json.loads(self.threads('--json', *words))


class RunningTest(Threads):

    def test_every_thread_is_there_with_its_stack(self):
        for program in 'crew', 'crew_static':
            with self.subTest(program):
                running = self.start(workload(program), 'pthread', 20)
                self.settled(running.program, 21)
                found = self.dump('-p', running.program)
                self.assertEqual(found['total'], 21)
                self.assertEqual(found['states'], {'condition': 20, 'pipe': 1})
                crew, = [g for g in found['groups'] if g['wait'] == 'condition']
                self.assertEqual(crew['threads'], 20)
                self.assertIn('wait_for_end', functions(crew['stack']))
                self.assertIn('crew_pthread', functions(crew['stack']))
                self.assertIsNone(crew['created_by'])
                tids = {str(each['tid']) for group in found['groups'] for each in group['each']}
                self.assertEqual(tids, set(os.listdir(f'/proc/{running.program}/task')))

    def test_each_way_to_wait_is_told_and_none_ends_early(self):
        running = self.start(workload('crew'), 'states')
        began = time.monotonic_ns()
        time.sleep(0.3)
        for _ in range(4):
            found = self.dump('-p', running.program)
        waited = time.monotonic_ns() - began
        seen = {}
        for group in found['groups']:
            for each in group['each']:
                seen[each['name']] = (group, each)
        wanted = {
            'in-mutex': ('lock', 'mutex', 'in_mutex'),
            'in-condition': ('lock', 'condition', 'wait_for_end'),
            'in-sleep': ('sleep', 'sleep', 'in_sleep'),
            'in-pipe': ('pipe', 'pipe', 'in_pipe'),
            'in-poll': ('poll', 'poll', 'in_poll'),
            'in-epoll': ('poll', 'epoll', 'in_epoll'),
            'in-join': ('lock', 'join', 'in_join'),
            'in-semaphore': ('lock', 'semaphore', 'in_semaphore'),
            'in-rwlock': ('lock', 'rwlock', 'in_rwlock'),
            'in-barrier': ('lock', 'barrier', 'in_barrier'),
            'in-loop': ('running', None, 'in_loop'),
        }
        for name, (state, wait, function) in wanted.items():
            with self.subTest(name):
                group, each = seen[name]
                self.assertEqual((group['state'], group['wait']), (state, wait))
                self.assertIn(function, functions(group['stack']))
                if name == 'in-loop':
                    self.assertIsNone(each['waits_ns'])
                elif name != 'in-sleep':
                    self.assertGreaterEqual(each['waits_ns'], 0.3 * NS)
                    self.assertLessEqual(each['waits_ns'], waited + 0.2 * NS)
        output = self.end(running)
        self.assertRegex(output, r'epoll 0\n')

    def test_threads_that_nobody_stops_run_on(self):
        running = self.start(workload('crew'), 'states')
        stop = threading.Event()
        states = collections.Counter()

        def watch():
            while not stop.is_set():
                with open(f'/proc/{running.program}/stat', encoding='latin-1') as file:
                    states[file.read().rpartition(')')[2].split()[0]] += 1
        watcher = threading.Thread(target=watch)
        watcher.start()
        for _ in range(5):
            self.threads('-p', running.program)
        stop.set()
        watcher.join()
        self.assertEqual(states['t'], 0, 'the first thread, which waits, was stopped')
        self.assertGreater(sum(states.values()), 10)

    def test_a_thread_that_runs_is_stopped_where_nothing_else_is_permitted(self):
        running = self.start(workload('crew'), 'states')
        for _ in range(4):
            done = self.run_plain(workload('sandbox'), 'no-perf', HONE, 'threads', '-p',
                                  str(running.program), '--json')
            self.assertEqual(done.returncode, 0, done.stderr)
            group, = [group for group in json.loads(done.stdout)['groups']
                      if group['state'] == 'running']
            self.assertIn('in_loop', functions(group['stack']))
        output = self.end(running)
        self.assertRegex(output, r'epoll 0\nloop \d+')

    def test_go_and_its_forms(self):
        running = self.start(workload('crew'), 'pthread', 7)
        self.settled(running.program, 8)
        stacks = self.threads('-p', running.program, '--debug', '1')
        each = self.threads('-p', running.program, '--debug', '2')
        self.assertEqual(stacks.splitlines()[0], 'threads profile: total 8')
        self.assertEqual(each.splitlines()[0], 'threads profile: total 8')
        counts = [int(n) for n in re.findall(r'^(\d+) @ 0x', stacks, re.MULTILINE)]
        self.assertEqual(sorted(counts), [1, 7])
        self.assertEqual(len(re.findall(r'^thread \d+ "crew" \[', each, re.MULTILINE)), 8)
        self.assertRegex(each, r'\[lock \(condition\), [\d.]+[a-z]+\]:\n')

    @unittest.skipUnless(shutil.which('go'), 'no go')
    def test_the_profile_is_one_for_go_tool_pprof(self):
        path = os.path.join(self.tmp, 'threads.prof')
        running = self.start(workload('crew'), 'pthread', 7)
        self.settled(running.program, 8)
        self.assertEqual(self.threads('-p', running.program, '-o', path), '')
        profile = Profile.read(path)
        self.assertEqual(profile.problems(), [])
        self.assertEqual(profile.total('threads'), 8)
        top = self.run_plain('go', 'tool', 'pprof', '-top', path)
        self.assertIn(b'Type: threads', top.stdout)
        # Back again, from the file.
        self.assertEqual(self.dump(path)['total'], 8)

    @unittest.skipUnless(shutil.which('go'), 'no go')
    def test_a_go_program(self):
        source, program = (os.path.join(self.tmp, name) for name in ('idle.go', 'idle'))
        with open(source, 'w', encoding='ascii') as file:
            file.write(GO)
        built = self.run_plain('go', 'build', '-o', program, source,
                               env=dict(os.environ, GOFLAGS='-mod=mod', GO111MODULE='off'))
        self.assertEqual(built.returncode, 0, built.stderr)
        running = self.start(program)
        found = self.dump('-p', running.program)
        self.assertEqual(found['total'], tasks(running.program))
        self.assertTrue(any('runtime.' in name for group in found['groups']
                            for name in functions(group['stack'])))

    def test_who_waits_for_ever(self):
        for mode, stuck in ('asleep', True), ('sound', False):
            with self.subTest(mode):
                running = subprocess.Popen([workload('crew'), mode], stdout=subprocess.PIPE)
                try:
                    pid = int(running.stdout.readline().split()[1])
                    self.settled(pid, 3)
                    found = self.dump('-p', pid)
                    judged = self.run_plain(HONE, 'threads', '--fail-stuck', '-p', str(pid))
                    profile = os.path.join(self.tmp, mode + '.prof')
                    self.threads('-p', pid, '-o', profile)
                finally:
                    running.kill()
                    running.communicate()
                self.assertEqual({bool(group['may_be_stuck']) for group in found['groups']},
                                 {stuck})
                self.assertEqual(judged.returncode, int(stuck), judged.stderr)
                done = self.run_plain(HONE, 'threads', '--fail-stuck', profile)
                self.assertEqual(done.returncode, int(stuck), done.stderr)

    def test_more_than_are_allowed(self):
        running = self.start(workload('crew'), 'pthread', 3)
        for limit, status in (('4', 0), ('3', 1), ('0', 1), ('few', 2)):
            done = self.run_plain(HONE, 'threads', '--fail-above', limit, '-p', str(running.program))
            self.assertEqual(done.returncode, status, done.stderr)
        self.assertIn(b'--fail-above takes a number', done.stderr)

    def test_a_course_of_their_number(self):
        running = self.start(workload('crew'), 'pthread', 3)
        lines = self.threads('-p', running.program, '--every', '50ms', '--times', 3).splitlines()
        self.assertEqual(len(lines), 4)
        for line in lines[:3]:
            self.assertRegex(line, r'^\d\d:\d\d:\d\d +4 threads ')
        self.assertIn('cannot tell', lines[3])

    def test_what_cannot_be(self):
        for words, status, said in (
                (('-p', '4194303'), 1, ('no process 4194303',)),
                (('-p', 'x'), 2, ('--pid',)),
                (('-p', '1', '--debug', '3'), 2, ('--debug',)),
                ((workload('crew'),), 1, ('crew',)),
                (('-p', '1', 'profiles'), 2, ('--pid',)),
                (('-p', '1', '--times', '3'), 2, ('--every',)),
                (('-p', '1', '--every', '1s', '--fail-stuck'), 2, ('--fail-stuck',)),
        ):
            with self.subTest(words):
                done = self.run_plain(HONE, 'threads', *words)
                self.assertEqual(done.returncode, status)
                lines = done.stderr.decode().splitlines()
                for part in said:
                    self.assertIn(part, lines[0])


class CreationTest(Threads):

    def recorded(self, *program, threads):
        """The dump from outside while it is recorded, and the recording."""
        directory = os.path.join(self.tmp, f'recording-{len(os.listdir(self.tmp))}')
        running = self.start(*program, record=directory)
        self.settled(running.program, threads)
        live = self.dump('-p', running.program)
        time.sleep(0.2)  # the recorder looks now and then
        self.end(running)
        return live, directory

    def creators(self, found):
        counts = collections.Counter()
        for group in found['groups']:
            counts[group['created_by']] += group['threads']
        return counts

    def test_who_created_whom(self):
        for mode, creator in ('pthread', 'make_pthreads'), ('c11', 'make_c11'), ('std', 'make_std'):
            with self.subTest(mode):
                live, directory = self.recorded(workload('crew'), mode, 9, threads=10)
                for found in live, self.dump(directory):
                    self.assertEqual(found['total'], 10)
                    counts = self.creators(found)
                    name, = [name for name in counts if name]
                    self.assertTrue(name.startswith(creator), name)
                    self.assertEqual(counts, {name: 9, None: 1})
                found = self.dump(directory)
                # Of std::thread, one for each way through its vector.
                sums = collections.Counter()
                for place in found['places']:
                    sums.update({key: place[key] for key in ('created', 'ended', 'most_alive')})
                    names = functions(place['created_at'])
                    self.assertIn('main', names)
                    self.assertTrue(any(name.startswith(creator) for name in names))
                self.assertEqual(sums, {'created': 9, 'ended': 9, 'most_alive': 9})
                self.assertEqual(found['alive'], 0)

    def test_a_thread_that_creates(self):
        live, directory = self.recorded(workload('crew'), 'nest', threads=3)
        for found in live, self.dump(directory):
            each = {group['created_by']: group['each'][0] for group in found['groups']}
            self.assertEqual(set(each), {None, 'make_outer', 'make_inner'})
            self.assertEqual(each['make_outer']['creator_tid'], each[None]['tid'])
            self.assertEqual(each['make_inner']['creator_tid'], each['make_outer']['tid'])

    @unittest.skipUnless(shutil.which('rustc'), 'no rustc')
    def test_rust(self):
        source, program = (os.path.join(self.tmp, name) for name in ('crew.rs', 'rusty'))
        with open(source, 'w', encoding='ascii') as file:
            file.write(RUST)
        built = self.run_plain('rustc', '-g', '-O', '-o', program, source)
        self.assertEqual(built.returncode, 0, built.stderr)
        live, directory = self.recorded(program, threads=6)
        for found in live, self.dump(directory):
            counts = self.creators(found)
            name, = [name for name in counts if name]
            self.assertIn('make_rust', name)
            self.assertEqual(counts[name], 5)
            crew, = [group for group in found['groups'] if group['created_by']]
            self.assertEqual(crew['wait'], 'condition')
            self.assertEqual({each['name'] for each in crew['each']}, {'rusty'})

    @unittest.skipUnless(shutil.which('go'), 'no go')
    def test_traces_say_created_by(self):
        _, directory = self.recorded(workload('crew'), 'pthread', 3, threads=4)
        path = os.path.join(directory, 'threads.prof')
        for command in ('go', 'tool', 'pprof', '-traces'), (HONE, 'traces'):
            done = self.run_plain(*command, path)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(len(re.findall(rb'created by: *make_pthreads', done.stdout)), 3)
        each = self.threads(directory, '--debug', '2')
        self.assertEqual(len(re.findall(r'^created by make_pthreads.* in thread \d+$', each,
                                        re.MULTILINE)), 3)

    def test_ten_thousand(self):
        many = 10000
        with open('/proc/sys/kernel/threads-max', encoding='ascii') as file:
            if int(file.read()) < 2 * many:
                self.skipTest('too few threads are allowed here')
        directory = os.path.join(self.tmp, 'many')
        running = self.start(workload('crew'), 'pthread', many, record=directory)
        self.settled(running.program, many + 1)
        began = time.monotonic()
        live = self.dump('-p', running.program)
        self.assertLess(time.monotonic() - began, 30)
        self.assertEqual(live['total'], many + 1)
        self.assertEqual(live['states'], {'condition': many, 'pipe': 1})
        counts = self.creators(live)
        self.assertEqual(sum(n for name, n in counts.items() if name), many)
        self.end(running)
        found = self.dump(directory)
        place, = found['places']
        self.assertEqual((place['created'], place['most_alive']), (many, many))
        with open(os.path.join(directory, 'session.json'), encoding='utf-8') as file:
            facts = json.load(file)['threads']
        self.assertEqual((facts['created'], facts['created_by_unknown']), (many, 0))


class LeakTest(Threads):

    def test_a_leak_is_found_and_a_pool_is_not_accused(self):
        runs = {}
        for mode in 'leak', 'pool':
            directory = os.path.join(self.tmp, mode)
            runs[mode] = directory, subprocess.Popen(
                [HONE, 'record', '-q', '-t', 'threads', '-o', directory, '--', workload('crew'),
                 mode, '180', '50'], stdout=subprocess.PIPE)
        for mode, (directory, running) in runs.items():
            output = running.communicate(timeout=120)[0].decode()
            self.assertEqual(running.returncode, 0)
            created, alive = map(int, re.search(r'counts (\d+) (\d+)', output).groups())
            found = self.dump(directory)
            with self.subTest(mode):
                self.assertEqual(found['created'], created)
                self.assertEqual(found['alive'], alive)
                leaks = [place for place in found['places'] if place['leaks']]
                if mode == 'pool':
                    self.assertEqual((alive, leaks), (0, []))
                    continue
                place, = leaks
                self.assertIn('leak_one', functions(place['created_at']))
                self.assertEqual((place['created'], place['most_alive']), (180, 180))
                self.assertGreater(place['threads_per_second'], 8)
                self.assertLess(place['threads_per_second'], 21)
                text = self.threads(directory)
                self.assertRegex(text, r'leaks threads, fast: [\d.]+ threads/s')
                short, = [place for place in found['places']
                          if 'short_lived' in functions(place['created_at'])]
                self.assertEqual((short['created'], short['most_alive']), (180, 1))
                self.assertGreater(short['mean_life_ns'], 0)


if __name__ == '__main__':
    unittest.main()
