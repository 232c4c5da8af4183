"""Files that mean harm, or that something happened to, in every view.

Each gives one clear line that names it and exit status 1, or is shown; in bounded memory and time.
What a file is made of is written here with nothing but the standard library.
"""

import gzip
import os
import random
import resource
import shutil
import struct
import subprocess
import tempfile
import time
import unittest
import zlib

import harness
from harness import HONE

# What a view may take for a file that it refuses before it is large in memory, and for one whose
# beginning is as it should be: the limit of 1 GiB of pprof's format, 256 times the file or 256 MiB
# of others.
SMALL_KIB = 128 << 10
UNPACKED_KIB = (1 << 20) + (256 << 10)
# All addresses that a view may ask for to see that a file is nothing.
SMALL_ADDRESSES = 512 << 20
SECONDS = 60

VIEWS = (['top'], ['top', '-cum'], ['tree'], ['peek', 'main'], ['list', 'main'], ['disasm', 'main'],
         ['traces'], ['collapsed'], ['info'], ['flame'], ['call-tree'], ['hot-path'], ['tags'],
         ['dot'], ['weblist', 'main'], ['convert'])

BIG = 2**63
ALL = 2**64 - 1


# --- profile.proto, by hand ------------------------------------------------------------------------

def varint(value):
    value &= ALL
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def body(field, content):
    return varint(field << 3 | 2) + varint(len(content)) + content


def number(field, value):
    return varint(field << 3) + varint(value)


def packed(field, values):
    return body(field, b''.join(map(varint, values)))


def value_type(kind, unit):
    return number(1, kind) + number(2, unit)


STRINGS = b''.join(body(6, text) for text in (b'', b'cpu', b'nanoseconds', b'main', b'work', b'a.c',
                                              b'thread', b'one'))
TYPE = body(1, value_type(1, 2))
MAPPING = body(3, number(1, 1) + number(2, 0x1000) + number(3, 0x9000) + number(5, 5))
FUNCTIONS = (body(5, number(1, 1) + number(2, 3) + number(4, 5)) +
             body(5, number(1, 2) + number(2, 4) + number(4, 5)))


def location(id_, function, **more):
    return body(4, number(1, id_) + number(2, more.get('mapping', 1)) +
                number(3, more.get('address', 0x1000 + id_)) +
                body(4, number(1, function) + number(2, more.get('line', 7))))


LOCATIONS = location(1, 1) + location(2, 2)


def sample(locations, values=(1,), labels=b''):
    return body(2, packed(1, locations) + packed(2, values) + labels)


def profile(samples=sample([2, 1]), types=TYPE, rest=MAPPING + LOCATIONS + FUNCTIONS,
            strings=STRINGS):
    return types + samples + rest + strings


def bomb(piece, total):
    """A gzip file of so many bytes of the piece over and over: equal members behind each other."""
    block = piece * (max(1, (16 << 20) // len(piece)))
    member = gzip.compress(block, 9, mtime=0)
    return member * (total // len(block))


# --- the files -------------------------------------------------------------------------------------

def refused():
    """Name to bytes, of those that no view can show."""
    whole = profile()
    yield 'empty', b''
    yield 'a_line_end', b'\n'
    yield 'zeros', bytes(65536)
    yield 'ones', b'\xff' * 65536
    yield 'text', b'The quick brown fox\n' * 50
    yield 'json', b'{"nodes": [1, 2, 3]}'
    yield 'image', b'\x89PNG\r\n\x1a\n\0\0\0\rIHDR' + bytes(100)
    with open('/bin/true', 'rb') as file:
        yield 'program', file.read()
    yield 'noise', random.Random(1).randbytes(65536)
    yield 'packed_text', gzip.compress(b'The quick brown fox\n' * 50)
    yield 'packed_nothing', gzip.compress(b'')
    yield 'packed_wrong_sum', gzip.compress(whole)[:-8] + bytes(8)
    yield 'packed_then_rubbish', gzip.compress(whole) + b'rubbish'
    gz = gzip.compress(whole)
    for part in range(1, 16):
        yield f'packed_cut_{part}', gz[:len(gz) * part // 16]
    yield 'no_strings', profile(strings=b'')
    yield 'million_types', profile(types=TYPE * 1000000, samples=b'')
    yield 'million_values', profile(samples=sample([1], [1] * 1000000))
    yield 'million_labels', profile(samples=sample([1], [1], body(3, number(1, 6) + number(2, 7)) *
                                                   1000000))
    yield 'deep_stack', profile(samples=sample([1] * ((1 << 20) + 1)))
    yield 'many_lines', profile(rest=MAPPING + FUNCTIONS + body(
        4, number(1, 1) + body(4, number(1, 1)) * ((1 << 16) + 1)) + location(2, 2))
    yield 'duplicate_location', profile(rest=MAPPING + LOCATIONS + location(1, 2) + FUNCTIONS)
    yield 'duplicate_function', profile(rest=MAPPING + LOCATIONS + FUNCTIONS * 2)
    yield 'duplicate_mapping', profile(rest=MAPPING * 2 + LOCATIONS + FUNCTIONS)
    yield 'location_of_no_one', profile(samples=sample([77]))
    yield 'location_2_63', profile(samples=sample([BIG]))
    yield 'function_of_no_one', profile(rest=MAPPING + location(1, 9) + location(2, BIG))
    yield 'mapping_of_no_one', profile(rest=location(1, 1, mapping=ALL) + location(2, 2) + FUNCTIONS)
    yield 'location_0', profile(rest=MAPPING + LOCATIONS + location(0, 1) + FUNCTIONS)
    yield 'negative_string', profile(types=body(1, value_type(-1, 2)))
    yield 'string_2_63', profile(types=body(1, value_type(BIG, 2)))
    yield 'size_2_63', varint(1 << 3 | 2) + varint(BIG) + b'x'
    yield 'size_2_64', TYPE + varint(2 << 3 | 2) + varint(ALL) + b'x'
    yield 'size_beyond_end', TYPE + varint(2 << 3 | 2) + varint(1000) + b'x'
    yield 'endless_number', TYPE + b'\x80' * 1000
    yield 'group', TYPE + varint(2 << 3 | 3)
    yield 'second_profile', profile() + number(9, 5) + number(9, 6)
    yield 'legacy_cpu_depth_2_63', struct.pack('<7Q', 0, 3, 0, 10000, 0, 1, BIG)
    yield 'legacy_heap_rubbish', b'heap profile: 1: 2 [3: 4] @ heapprofile\nrubbish\n'
    yield 'legacy_doubling_words', (
        b'heap profile: 1: 2 [3: 4] @ heapprofile\nMAPPED_LIBRARIES:\nz0=xxxxxxxx\n' +
        b''.join(b'z%d=$z%d$z%d$z%d\n' % (i + 1, i, i, i) for i in range(9)) * 3 +
        b''.join(b'y%d=$z9$z9$z9$z9$z9$z9$z9$z9\n' % i for i in range(200)))


def refused_large():
    """Small files that become large when they are unpacked, and begin well."""
    yield 'ten_gigabytes_of_strings', TYPE_MEMBER + bomb(body(6, b''), 10 << 30)
    yield 'locations_without_id', TYPE_MEMBER + bomb(body(4, b''), 128 << 20)
    yield 'a_gigabyte_of_lines', bomb(b'a;b 1\n', 1 << 30)


def refused_unseen():
    """Small files that become large when they are unpacked, and begin like nothing that is known."""
    yield 'ten_gigabytes_of_zeros', bomb(bytes(1), 10 << 30)
    yield 'ten_gigabytes_of_words', bomb(b'The quick brown fox\n', 10 << 30)
    yield 'document_of_blanks', gzip.compress(b'{"nobody": [') + bomb(b' ', 10 << 30)
    yield 'empty_members', gzip.compress(b'') * 1000000
    if shutil.which('zstd'):
        frame = subprocess.run(['zstd', '-q', '-c', '-1'], input=bytes(64 << 20),
                               stdout=subprocess.PIPE, check=True).stdout
        yield 'zstd_of_zeros', frame * 160


TYPE_MEMBER = gzip.compress(TYPE, mtime=0)


def shown():
    """Name to bytes, of those that are odd but say something."""
    yield 'plain', profile()
    yield 'no_samples', profile(samples=b'')
    yield 'negative', profile(samples=sample([2, 1], [-5]) + sample([1], [3]))
    yield 'smallest', profile(samples=sample([2, 1], [-BIG]) + sample([1], [-BIG]))
    yield 'largest', profile(samples=sample([2, 1], [BIG - 1]) + sample([1], [BIG - 1]))
    yield 'largest_and_smallest', profile(samples=sample([2, 1], [BIG - 1]) + sample([1], [-BIG]))
    yield 'ids_of_64_bits', profile(
        samples=sample([ALL, BIG]), rest=MAPPING + FUNCTIONS + location(ALL, 1) + location(BIG, 2))
    yield 'addresses_of_64_bits', profile(rest=(
        body(3, number(1, 1) + number(2, ALL) + number(3, 1) + number(4, ALL)) +
        location(1, 1, address=ALL) + location(2, 2, address=0, mapping=0) + FUNCTIONS))
    yield 'negative_lines', profile(rest=MAPPING + location(1, 1, line=-1) +
                                    location(2, 2, line=-BIG) + FUNCTIONS)
    yield 'recursion', profile(samples=sample([2, 1] * 5000))
    yield 'deepest_stack', profile(samples=sample([1] * (1 << 18)))
    yield 'no_frames', profile(samples=sample([], [9]))
    yield 'no_names', profile(rest=body(4, number(1, 1)) + body(4, number(1, 2) + number(3, 5)))
    yield 'long_name', profile(strings=STRINGS.replace(body(6, b'main'),
                                                       body(6, b'main' + b'x' * (1 << 20))))
    yield 'names_with_controls', profile(strings=STRINGS.replace(
        body(6, b'main'), body(6, b'main\x1b[2J\n\r\t\0\xff\xfe<&">')))
    yield 'percent_names', profile(strings=STRINGS.replace(body(6, b'main'), body(6, b'%s%n%d')))
    yield 'unknown_fields', profile() + number(99, 5) + body(1000, b'x' * 100)
    yield 'negative_time', profile() + number(9, -1) + number(10, -BIG) + number(12, -BIG)
    yield 'largest_time', profile() + number(9, BIG - 1) + number(10, BIG - 1) + number(12, BIG - 1)
    yield 'members', b''.join(gzip.compress(profile()[i:i + 7]) for i in range(0, len(profile()), 7))


# --- running ---------------------------------------------------------------------------------------

class Outcome:
    def __init__(self, command, directory, addresses=None):
        self.command, self.addresses = command, addresses
        out = os.path.join(directory, 'stdout')
        err = os.path.join(directory, 'stderr')
        begin = time.monotonic()
        with open(out, 'wb') as stdout, open(err, 'wb') as stderr:
            child = subprocess.Popen(command, stdout=stdout, stderr=stderr,
                                     stdin=subprocess.DEVNULL, cwd=directory,
                                     preexec_fn=self.limit)
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
        self.seconds = time.monotonic() - begin
        self.code = child.returncode
        self.kib = usage.ru_maxrss
        with open(out, 'rb') as file:
            self.stdout = file.read(1 << 20)
        with open(err, 'rb') as file:
            self.stderr = file.read()

    def limit(self):
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        if self.addresses:
            resource.setrlimit(resource.RLIMIT_AS, (self.addresses, self.addresses))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


class Hostile(harness.TestCase):
    def setUp(self):
        super().setUp()
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name

    def view(self, view, name, data, **options):
        path = os.path.join(self.directory, name)
        with open(path, 'wb') as file:
            file.write(data)
        more = [os.path.join(self.directory, 'out.pb.gz')] if view == ['convert'] else []
        return Outcome([HONE, *view, path, *more], self.directory, **options)

    def assert_refused(self, outcome, name, kib):
        what = f'{outcome.command}: {outcome.stderr[:500]!r}'
        self.assertEqual(outcome.code, 1, what)
        line = self.assert_one_clear_line(outcome.stderr, name)
        self.assertLess(len(line), 600, what)
        self.assertLessEqual(outcome.stderr.count(b'\n'), 2, what)  # the second is the next step
        self.assertEqual(outcome.stdout, b'', what)
        self.assertLess(outcome.kib, kib, what)

    def test_each_file_that_cannot_be_read_gives_one_clear_line(self):
        for name, data in refused():
            with self.subTest(name):
                self.assert_refused(self.view(['top'], name, data), name, SMALL_KIB)

    def test_all_views_refuse_alike(self):
        files = dict(refused())
        for view in VIEWS:
            for name in ('empty', 'zeros', 'packed_cut_8', 'duplicate_location',
                         'legacy_heap_rubbish'):
                with self.subTest(view=view, name=name):
                    self.assert_refused(self.view(view, name, files[name]), name, SMALL_KIB)

    def test_what_unpacks_to_gigabytes_is_refused_in_bounded_memory(self):
        for name, data in refused_large():
            with self.subTest(name):
                self.assert_refused(self.view(['top'], name, data), name, UNPACKED_KIB)

    def test_what_begins_like_nothing_is_refused_without_unpacking_it(self):
        for name, data in refused_unseen():
            with self.subTest(name):
                outcome = self.view(['top'], name, data, addresses=SMALL_ADDRESSES)
                self.assertEqual(outcome.code, 1, outcome.stderr)
                line = self.assert_one_clear_line(outcome.stderr, name)
                self.assertNotIn('memory', line)

    def test_odd_profiles_are_shown_by_every_view(self):
        for name, data in shown():
            for view in VIEWS:
                with self.subTest(view=view, name=name):
                    outcome = self.view(view, name, data)
                    what = f'{outcome.command}: {outcome.stderr[:500]!r}'
                    self.assertIn(outcome.code, (0, 1, 2), what)
                    if outcome.code:  # no such function, or no machine code of it
                        self.assertLessEqual(outcome.stderr.count(b'\n'), 2, what)
                        self.assertTrue(outcome.stderr.startswith(b'hone: '), what)
                    if view[0] in ('top', 'info', 'tree', 'traces', 'collapsed', 'flame'):
                        # Nothing to draw, or more than can be added up.
                        may = name in ('no_samples', 'no_frames', 'largest', 'smallest',
                                       'largest_and_smallest')
                        self.assertIn(outcome.code, (0, 1) if may else (0,), what)
                    self.assertLess(outcome.kib, 2 * SMALL_KIB, what)

    def test_a_plain_file_cut_anywhere_is_shown_or_refused(self):
        whole = profile()
        for at in (len(whole) * part // 16 for part in range(1, 16)):
            with self.subTest(at):
                outcome = self.view(['top'], f'cut_{at}', whole[:at])
                self.assertEqual(outcome.code, 1, outcome.stderr)
                self.assert_one_clear_line(outcome.stderr, f'cut_{at}')

    def test_what_is_no_file_is_refused(self):
        for path in ('/', '/nonexistent', '/dev/null', '/proc/self/mem'):
            with self.subTest(path):
                outcome = Outcome([HONE, 'top', path], self.directory)
                self.assertEqual(outcome.code, 1, outcome.stderr)
                self.assert_one_clear_line(outcome.stderr)


if __name__ == '__main__':
    unittest.main()
