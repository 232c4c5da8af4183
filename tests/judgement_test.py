"""The judges judged: every judgement that the whole-program tests rely on can fail.

Profiles are made here by hand, right ones and wrong ones.
"""

import gzip
import os
import unittest
from types import SimpleNamespace

import harness
import starts
from pprof import Profile


def varint(value):
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out + bytes([value]))


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


class Writer:
    """Just enough of the format to make a profile, or a broken one."""

    def __init__(self):
        self.strings, self.body = [''], b''
        self.body += field(1, field(1, self.text('samples')) + field(2, self.text('count')))
        self.body += field(1, field(1, self.text('cpu')) + field(2, self.text('nanoseconds')))

    def text(self, string):
        if string not in self.strings:
            self.strings.append(string)
        return self.strings.index(string)

    def mapping(self, number, start, limit, path, offset=0):
        self.body += field(3, field(1, number) + field(2, start) + field(3, limit)
                           + field(4, offset) + field(5, self.text(path)))

    def location(self, number, name, mapping=0, address=0):
        self.body += field(5, field(1, number) + field(2, self.text(name)))
        self.body += field(4, field(1, number) + field(2, mapping) + field(3, address)
                           + field(4, field(1, number) + field(2, 7)))

    def sample(self, locations, values, **labels):
        packed = b''.join(map(varint, locations))
        numbers = b''.join(map(varint, values))
        notes = b''.join(field(3, field(1, self.text(k)) + field(2, self.text(v)))
                         for k, v in labels.items())
        self.body += field(2, field(1, packed) + field(2, numbers) + notes)

    def comment(self, text):
        self.body += field(13, self.text(text))

    def profile(self):
        strings = b''.join(field(6, s.encode()) for s in self.strings)
        return Profile(gzip.compress(self.body + strings))


def split_profile(red, green, blue, start='_start'):
    writer = Writer()
    for number, name in enumerate(('red', 'green', 'blue', start), 1):
        writer.location(number, name)
    for number, samples in ((1, red), (2, green), (3, blue)):
        writer.sample([number, 4], [samples, samples * 1_000_000], thread='main')
    return writer.profile()


class Reader(unittest.TestCase):
    def test_reads_what_was_written(self):
        profile = split_profile(600, 300, 100)
        self.assertEqual(profile.problems(), [])
        self.assertEqual(profile.flat()['red'], 600_000_000)
        self.assertEqual(profile.cumulative()['_start'], 1_000_000_000)
        self.assertEqual(profile.by_label('thread')['main'], 1_000_000_000)
        self.assertEqual([f.function for f in profile.samples[1].stack], ['green', '_start'])
        self.assertEqual(profile.samples[0].leaf.line, 7)

    def test_a_file_that_is_not_a_profile_is_refused(self):
        with self.assertRaises(ValueError):
            Profile(b'not gzip')
        with self.assertRaises((ValueError, IndexError)):
            Profile(gzip.compress(field(2, b'12345')[:-2]))

    def test_broken_profiles_have_problems(self):
        writer = Writer()
        writer.location(1, 'red', mapping=9)
        writer.sample([1, 77], [1])
        found = ' '.join(writer.profile().problems())
        self.assertIn('mapping 9', found)
        self.assertIn('location 77', found)
        self.assertIn('number of values', found)

        writer = Writer()
        writer.mapping(1, 0x1000, 0x2000, '/bin/true')
        writer.location(1, 'red', mapping=1, address=0x5000)
        writer.location(1, 'red')
        found = ' '.join(writer.profile().problems())
        self.assertIn('two locations', found)

        writer = Writer()
        writer.mapping(1, 0x1000, 0x2000, '/bin/true')
        writer.location(1, 'red', mapping=1, address=0x5000)
        self.assertIn('outside its mapping', ' '.join(writer.profile().problems()))


class Judgements(harness.TestCase):
    @classmethod
    def setUpClass(cls):
        pass                                    # nothing here needs a build

    TRUTH = {'red': 600, 'green': 300, 'blue': 100}

    def test_shares_within_their_error_pass_and_beyond_fail(self):
        def judge(red, green, blue):
            profile = split_profile(red, green, blue)
            self.assert_shares(profile.flat(), profile.total('samples'), self.TRUTH)
        judge(600, 300, 100)
        judge(610, 285, 105)
        for wrong in ((680, 220, 100), (600, 340, 60), (640, 320, 40), (333, 333, 334)):
            with self.assertRaises(AssertionError):
                judge(*wrong)
        with self.assertRaises(AssertionError):
            judge(0, 0, 0)

    def test_totals_and_rates_can_fail(self):
        profile = split_profile(600, 300, 100)
        self.assert_total(profile, 1_000_000_000)
        self.assert_rate(profile, 1_000_000_000)
        for wrong in (970_000_000, 1_030_000_000):
            with self.assertRaises(AssertionError):
                self.assert_total(profile, wrong)
        with self.assertRaises(AssertionError):
            self.assert_rate(profile, 1_040_000_000)

    def test_stacks_that_end_early_fail(self):
        self.assert_complete(split_profile(600, 300, 100))
        with self.assertRaises(AssertionError):
            self.assert_complete(split_profile(600, 300, 100, start='main'))
        with self.assertRaises(AssertionError):
            self.assert_complete(split_profile(0, 0, 0))

    def test_a_profile_that_claims_more_than_it_shows_fails(self):
        for claim, fails in (('stacks: 99.50% of CPU time in complete ones', False),
                             ('stacks: 99.90% of CPU time in complete ones', True)):
            writer = Writer()
            writer.location(1, '_start')
            writer.location(2, 'red')
            writer.sample([2, 1], [996, 996])
            writer.sample([2], [4, 4])
            writer.comment(claim)
            if fails:
                with self.assertRaises(AssertionError):
                    self.assert_complete(writer.profile())
            else:
                self.assert_complete(writer.profile())

    def test_a_line_that_is_missing_or_repeated_fails(self):
        self.assert_one_clear_line(b"noise\nhone: cannot run 'x': No such file\n", 'x', 'no such')
        for wrong in (b'', b'hone: something else\n', b"hone: 'x'\nhone: 'x'\n"):
            with self.assertRaises(AssertionError):
                self.assert_one_clear_line(wrong, "'x'")


class Starts(unittest.TestCase):
    """On this machine's own C library: the start of threads is found, the middle of code is not."""

    def test_entry_point_and_undefined_return_address_are_starts(self):
        path = os.path.realpath('/bin/true')
        module = starts.Module(path)
        offset = next(o + module.entry - a for o, a, n in module.loads if a <= module.entry < a + n)
        mapping = SimpleNamespace(file=path, start=0x10000000, offset=0)
        def frame(at):
            return SimpleNamespace(function='', mapping=mapping, address=0x10000000 + at)
        self.assertTrue(starts.is_start(frame(offset + 0x20)))
        self.assertFalse(starts.is_start(frame(offset + 0x400)))

    def test_the_c_library_marks_the_first_frame_of_a_thread(self):
        with open('/proc/self/maps', encoding='utf-8') as maps:
            libc = next(line.split()[-1] for line in maps if '/libc.so' in line or '/libc-' in line)
        module = starts.Module(libc)
        self.assertGreaterEqual(len(module.ends()), 2, 'clone and clone3')
        low, high = module.ends()[0]
        self.assertTrue(module.is_start(_offset(module, low)))
        self.assertTrue(module.is_start(_offset(module, high)))     # just past a call that ends it
        self.assertFalse(module.is_start(_offset(module, low - 0x100)))


def _offset(module, address):
    return next(o + address - a for o, a, n in module.loads if a <= address < a + n)


if __name__ == '__main__':
    unittest.main()
