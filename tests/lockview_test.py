"""mutex.prof, the object "locks" of session.json and `hone locks`, of a program that writes records
of locks by itself, so that every figure is known (workloads/lock_records.c)."""

import json
import os
import re
import shutil
import subprocess
import unittest

from harness import HONE, TestCase, measured, workload
from pprof import Profile


def locks(*arguments, **options):
    return subprocess.run([HONE, 'locks', *arguments], capture_output=True, text=True, check=False,
                          **options)


class Told(TestCase):
    """One recording for all tests that only read it."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        case = cls('run')
        case.setUp()
        cls.addClassCleanup(case.doCleanups)
        cls.recording = case.record(workload('lock_records'), options=('--types', 'cpu,mutex'))
        cls.mutex = Profile.read(os.path.join(cls.recording.directory, 'mutex.prof'))
        cls.facts = cls.recording.session['locks']

    def lock(self, name):
        found = [lock for lock in self.facts['list'] if lock['name'] == name]
        self.assertEqual(len(found), 1, [lock['name'] for lock in self.facts['list']])
        return found[0]

    def sample_of(self, name):
        found = [s for s in self.mutex.samples if s.labels.get('lock') == [name]]
        self.assertEqual(len(found), 1, {str(s.labels) for s in self.mutex.samples})
        return found[0]

    def test_rates_reach_the_program(self):
        self.assertEqual(self.recording.stdout, b'10 10000\n')
        exact = self.record(workload('lock_records'), 'nothing',
                            options=('--types', 'cpu,mutex', '--mutex-fraction', '1', '--block-rate', '1'))
        self.assertEqual(exact.stdout, b'1 1\n')
        other = self.record(workload('lock_records'), 'nothing', options=('--types', 'cpu'))
        self.assertEqual(other.stdout, b'0 0\n')
        self.assertIsNone(other.session['locks'])

    def test_mutex_prof_has_go_s_types_and_the_scaled_sums(self):
        self.assertEqual(self.mutex.problems(), [])
        self.assertEqual(self.mutex.sample_types,
                         [('contentions', 'count'), ('delay', 'nanoseconds')])
        self.assertEqual(self.mutex.default_type, 'delay')
        self.assertEqual(self.mutex.total('contentions'), 400 * 10 + 100 + 1 + 3)
        self.assertEqual(self.mutex.total('delay'), 400 * 125000 * 10 + 100 * 1000000 + 1000 + 6000)

    def test_delay_is_at_the_holder_with_labels(self):
        sample = self.sample_of('pool+0x40')
        self.assertEqual([frame.function for frame in sample.stack], ['flush', 'worker'])
        self.assertEqual(sample.labels['kind'], ['mutex'])
        self.assertEqual(sample.labels['waiter'], ['submit'])
        self.assertEqual(sample.labels['process'], ['records'])
        self.assertIn('thread', sample.labels)
        table = self.sample_of('made in make_table')
        self.assertEqual(table.leaf.function, 'look_up')
        self.assertEqual(table.labels['kind'], ['rwlock read'])
        self.assertEqual(table.labels['waiter'], ['insert'])

    def test_locks_have_the_names_that_are_known(self):
        names = {lock['name']: lock['named_by'] for lock in self.facts['list']}
        self.assertEqual(names, {'pool+0x40': 'symbol', 'made in make_table': 'maker',
                                 'the settings': 'program', 'lonely': 'symbol',
                                 'heap of make_connection+0x20': 'block'})
        self.assertEqual(self.lock('heap of make_connection+0x20')['locks'], 3)

    def test_session_tells_of_each_lock(self):
        pool = self.lock('pool+0x40')
        self.assertEqual(pool['delay_ns']['value'], 500000000)
        self.assertEqual(pool['releases']['value'], 4000)
        # The variance of each draw that stands for ten: 10 * 9 times its square.
        self.assertAlmostEqual(pool['delay_ns']['error'], 125000 * (90 * 400) ** 0.5, places=3)
        self.assertEqual(pool['exclusive']['acquisitions']['value'], 100000)
        self.assertEqual(pool['exclusive']['drawn'], 1000)
        share = pool['exclusive']['contended']
        self.assertLess(share['low'], share['share'])
        self.assertLess(share['share'], share['high'])
        self.assertEqual(pool['exclusive']['wait']['max_ns'], 100000)
        self.assertEqual(pool['exclusive']['wait']['observations'], 500)
        self.assertAlmostEqual(pool['exclusive']['hold']['median_ns'] / 5000, 1, delta=1 / 32)
        self.assertAlmostEqual(pool['contended_hold']['p99_ns'] / 2000000, 1, delta=1 / 32)
        self.assertEqual(pool['holder']['function'], 'flush')
        self.assertEqual(pool['holder']['stack'], ['flush', 'worker'])
        self.assertEqual(pool['waiter']['function'], 'submit')
        self.assertEqual(pool['waiters_most'], 1)
        self.assertIsNone(pool['shared'])
        self.assertTrue(re.fullmatch('0x[0-9a-f]+', pool['address']))
        table = self.lock('made in make_table')
        self.assertEqual(table['kind'], 'rwlock')
        self.assertEqual(table['delay_by_readers_ns']['value'], 100000000)
        self.assertEqual(table['shared']['acquisitions']['value'], 1500)
        self.assertEqual(table['exclusive']['acquisitions']['value'], 500)
        lonely = self.lock('lonely')
        self.assertEqual(lonely['delay_ns']['value'], 0)
        self.assertIsNone(lonely['releases'])
        self.assertIsNone(lonely['contended_hold'])
        self.assertEqual(self.facts['contentions'], 4321)
        self.assertEqual(self.facts['mutex_fraction'], 10)

    def test_profile_says_how_it_was_made(self):
        comments = '\n'.join(self.mutex.comments)
        self.assertIn('one in 10 releases that others waited for, 504 records', comments)
        self.assertIn('4321 acquisitions had to wait', comments)
        self.assertNotIn('empty:', comments)
        self.assertNotIn('lost:', comments)

    def test_first_screen_shows_the_worst_and_what_is_wrong(self):
        done = locks(self.recording.directory)
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = done.stdout.splitlines()
        self.assertLess(done.stdout.index('pool+0x40'), done.stdout.index('made in make_table'))
        self.assertNotIn('lonely', done.stdout)
        self.assertIn('held in       flush  100%  ← worker', done.stdout)
        self.assertIn('held long: ', done.stdout)
        self.assertTrue(all(len(line) <= 80 for line in lines if self.tmp not in line
                            and 'session-' not in line), lines)
        one = locks('-n', '1', self.recording.directory)
        self.assertNotIn('make_table', one.stdout)
        by_file = locks(os.path.join(self.recording.directory, 'mutex.prof'))
        self.assertEqual(by_file.stdout, done.stdout)

    def test_json_has_the_same(self):
        told = json.loads(locks('--json', '-n', '0', self.recording.directory).stdout)
        names = [lock['name'] for lock in told['locks']]
        self.assertEqual(names[:2], ['pool+0x40', 'made in make_table'])
        self.assertIn('lonely', names)
        findings = {(finding['lock'], finding['finding']) for finding in told['findings']}
        self.assertIn(('pool+0x40', 'held-long'), findings)
        self.assertIn(('pool+0x40', 'contended'), findings)
        self.assertNotIn('lonely', {lock for lock, _ in findings})
        path = os.path.join(self.tmp, 'out.json')
        self.assertEqual(locks('--json', '-o', path, self.recording.directory).stdout, '')
        with open(path, encoding='utf-8') as file:
            self.assertEqual(len(json.load(file)['locks']), 5)

    def test_recording_ends_with_the_next_command(self):
        self.assertIn(f"hone: for locks, 'hone locks {self.recording.directory}'",
                      self.recording.stderr.decode())

    def test_views_and_filters_work_on_it(self):
        path = os.path.join(self.recording.directory, 'mutex.prof')
        top = subprocess.run([HONE, 'top', path], capture_output=True, text=True, check=True).stdout
        self.assertIn('Type: delay', top)
        self.assertRegex(top, r'500\.01ms +83\.33% .* flush')
        one = subprocess.run([HONE, 'top', '--tag-focus', 'lock=the settings', path],
                             capture_output=True, text=True, check=True).stdout
        self.assertIn('1us', one)
        tags = subprocess.run([HONE, 'tags', path], capture_output=True, text=True, check=True).stdout
        self.assertIn('pool+0x40', tags)


class Untold(TestCase):
    def test_program_without_waits_is_clean_and_says_why(self):
        recording = self.record(workload('lock_records'), 'nothing', options=('--types', 'cpu,mutex'))
        mutex = Profile.read(os.path.join(recording.directory, 'mutex.prof'))
        self.assertEqual(mutex.samples, [])
        self.assertTrue(any(comment.startswith('empty: ') for comment in mutex.comments),
                        mutex.comments)
        done = locks(recording.directory)
        self.assertEqual(done.returncode, 0)
        self.assertIn('Nobody was seen to wait for a lock', done.stdout)
        self.assertNotIn('Findings', done.stdout)
        self.assertEqual(recording.session['locks']['list'], [])

    def test_what_cannot_be_shown_is_refused_in_one_line(self):
        recording = self.record(workload('idle'), '10', options=('--types', 'cpu'))
        done = locks(recording.directory)
        self.assertEqual(done.returncode, 1)
        self.assert_one_clear_line(done.stderr.encode(), 'has no mutex.prof')
        self.assertIn('hone record --types cpu,mutex', done.stderr)
        self.assertEqual(locks(recording.directory, recording.directory).returncode, 2)
        self.assertEqual(locks('--nonsense').returncode, 2)
        session = os.path.join(recording.directory, 'session.json')
        with open(session, 'w', encoding='utf-8') as file:
            file.write('{"locks": ')
        done = locks(recording.directory)
        self.assertEqual(done.returncode, 1)
        self.assert_one_clear_line(done.stderr.encode(), 'session.json is damaged')
        os.remove(session)
        shutil.copy(os.path.join(recording.directory, 'cpu.prof'), self.tmp)
        self.assertEqual(locks(os.path.join(self.tmp, 'cpu.prof')).returncode, 1)
        for nowhere in (os.path.join(self.tmp, 'nowhere'), 'nowhere'):
            done = locks(nowhere)
            self.assertEqual(done.returncode, 1)
            self.assert_one_clear_line(done.stderr.encode(), f"cannot open '{nowhere}'")

    def test_rates_that_are_none_are_refused(self):
        for option in (('--mutex-fraction', '0'), ('--mutex-fraction', 'x'), ('--block-rate', '-1'),
                       ('--block-rate', '10us')):
            done = subprocess.run([HONE, 'record', *option, 'true'], capture_output=True, check=False)
            self.assertEqual(done.returncode, 2, option)

    def test_name_is_taken_only_where_locks_are_recorded(self):
        program = workload('lock_name')
        plain = subprocess.run([program], capture_output=True, text=True, check=True)
        self.assertEqual(plain.stdout, 'not there\n')
        self.assertEqual(self.record(program, options=('--types', 'cpu')).stdout, b'0 0 0\n')
        self.assertEqual(self.record(program, options=('--types', 'cpu,mutex')).stdout, b'1 0 0\n')
        static = subprocess.run([workload('lock_name_static')], capture_output=True, text=True,
                                check=True)
        self.assertEqual(static.stdout, '0 0 0\n')


class Named(TestCase):
    """Real locks: what they are called, and whom they are charged to."""

    def names_of(self, *options):
        recording = self.record(workload('lock_names'),
                                options=('--types', 'cpu,heap,mutex', '--mutex-fraction', '1',
                                         '--block-rate', '1', *options))
        self.assertEqual(recording.status, 0, recording.stderr)
        listed = [lock for lock in recording.session['locks']['list'] if lock['releases']]
        return recording, {lock['name']: lock for lock in listed}

    def test_locks_are_called_by_what_is_known_of_them(self):
        recording, found = self.names_of('--heap-rate', '1')
        self.assertEqual({name: lock['named_by'] for name, lock in found.items()},
                         {'data::queues+0xa8': 'symbol', 'the named one': 'program',
                          'heap of make_connection+0x28': 'block',
                          'heap of make_session+0x28': 'block'})
        truth = {'queue': 'data::queues+0xa8', 'named': 'the named one',
                 'connection': 'heap of make_connection+0x28',
                 'session': 'heap of make_session+0x28'}
        for name, waited_ns in recording.truth.items():
            lock = found[truth[name]]
            self.assertAlmostEqual(lock['delay_ns']['value'] / waited_ns, 1, delta=0.03)
            self.assertEqual(lock['holder']['function'], 'hold_it')
            self.assertEqual(lock['waiter']['function'], 'wait_for_it')

    def test_what_nobody_knows_is_not_guessed(self):
        _, found = self.names_of('--heap-rate', '1GiB')
        unknown = [name for name, lock in found.items()
                   if lock['named_by'] not in ('symbol', 'program')]
        self.assertTrue(unknown)
        for name in unknown:
            self.assertRegex(name, '^0x[0-9a-f]+, first waited for in wait_for_it$')


class Found(TestCase):
    """Threads that use a lock as each finding says, and some that do not."""

    def found(self, what):
        """Findings of each lock."""
        recording = self.record(workload('lock_troubles'), what, '1000',
                                options=('--types', 'cpu,mutex', '--mutex-fraction', '1',
                                         '--block-rate', '1'))
        self.assertEqual(recording.status, 0, recording.stderr)
        told = json.loads(locks('--json', '-n', '0', recording.directory).stdout)
        found = {}
        for finding in told['findings']:
            found.setdefault(finding['lock'], []).append(finding['finding'])
        return recording, found

    @measured
    def check(self, what, lock='trouble'):
        recording, found = self.found(what)
        self.assertIn(what, found.get(lock, []), locks(recording.directory).stdout)
        # Nothing is said of others, nor is it said that too little was seen.
        self.assertEqual(set(found), {lock} if what != 'shared-line' else {lock, lock + '+0x28'})
        self.assertNotIn('cannot-tell', found[lock])
        return found[lock]

    def test_contended(self):
        self.check('contended')

    def test_held_long(self):
        self.check('held-long')

    def test_convoy(self):
        self.check('convoy')

    def test_writers_that_wait_for_readers(self):
        self.check('writers-wait', 'trouble_rw')

    def test_readers_alone(self):
        self.check('readers-alone', 'trouble_rw')

    def test_mostly_writes(self):
        self.check('mostly-writes', 'trouble_rw')

    def test_neighbours(self):
        self.check('shared-line', 'neighbours')

    def test_a_sound_program(self):
        _, found = self.found('sound')
        self.assertEqual(found, {})


if __name__ == '__main__':
    unittest.main()
