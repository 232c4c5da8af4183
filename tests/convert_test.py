"""hone convert: other tools' formats in and out, against those tools on real programs.

What is not installed is skipped and counted; tools/packages lists what is wanted.
"""

import collections
import gzip
import json
import os
import re
import shutil
import socket
import stat
import subprocess
import unittest

import harness
import profile_server
from harness import HONE, workload
from pprof_test import go_pprof

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PERL = 'my %h; $h{$_ % 500} .= "x" x 40 for 1..20000; print scalar(sort keys %h), "\\n"'
PPROF = ('pb.gz', 'pprof')
WHOLE = [('speedscope.json', 'speedscope'), ('json', 'json'), ('csv', 'csv'), ('otlp', 'otlp'),
         ('otlp.json', 'otlp-json')]
ONE_TYPE = [('collapsed', 'collapsed'), ('trace.json', 'chrome'), ('firefox.json', 'firefox')]


def have(*programs):
    return all(shutil.which(program) for program in programs)


class TestCase(harness.TestCase):
    def path(self, name):
        return os.path.join(self.tmp, name)

    def write(self, name, content):
        mode, options = ('wb', {}) if isinstance(content, bytes) else ('w', {'encoding': 'utf-8'})
        with open(self.path(name), mode, **options) as file:
            file.write(content)
        return self.path(name)

    def read(self, name):
        with open(self.path(name), encoding='utf-8') as file:
            return file.read()

    def hone(self, *arguments, status=0, **options):
        done = subprocess.run([HONE, *arguments], capture_output=True, timeout=120, check=False,
                              cwd=self.tmp, **options)
        self.assertEqual(done.returncode, status, done.stderr.decode(errors='replace'))
        if status:
            self.assertEqual(done.stdout, b'')
            return done.stderr
        return done.stdout.decode(errors='replace')

    def functions(self, path):
        """{function: {column: value}} of a file in any format, over its modules and files."""
        table = self.path('of.functions.csv')
        self.hone('convert', path, table)
        import csv
        sums = collections.defaultdict(collections.Counter)
        with open(table, newline='', encoding='utf-8', errors='replace') as file:
            for row in csv.DictReader(file):
                for column, value in row.items():
                    if column.startswith(('flat ', 'cum ')):
                        sums[row['function']][column] += int(value)
        return sums

    def totals(self, path):
        """{type: sum over all samples}"""
        self.hone('convert', path, self.path('totals.json'))
        document = json.loads(self.read('totals.json'))
        sums = collections.Counter()
        for sample in document['samples']:
            for (name, _), value in zip(document['types'], sample['values']):
                sums[name] += value
        return sums


class Table(TestCase):
    def test_documents_and_help_say_what_the_table_says(self):
        table = self.hone('--generate', 'formats')
        with open(os.path.join(ROOT, 'docs', 'formats.md'), encoding='utf-8') as file:
            self.assertTrue(table in file.read(), 'docs/formats.md has another table than '
                                                  '`hone --generate formats` prints')
        names = re.findall(r'(?m)^\| `([^`]+)`', table)
        self.assertGreater(len(names), 10)
        text, manual = self.hone('help', 'convert'), self.hone('--generate', 'man')
        for name in names:
            self.assertRegex(text, rf'(?m)^  {name} ')
            self.assertIn(f'\\fB{name}\\fR'.replace('-', '\\-'), manual)

    def test_misuse(self):
        path = self.write('a.folded', 'main;a 1\n')
        for arguments, words in ((['convert'], ['IN']), (['convert', path], ['OUT']),
                                 (['convert', path, 'b', 'c'], ['c']),
                                 (['convert', path, 'b.unknown'], ['b.unknown', '--to']),
                                 (['convert', path, '-'], ['--to']),
                                 (['convert', '--to', 'no', path, '-'], ["'no'"]),
                                 (['convert', '--from', 'no', path, 'b.csv'], ["'no'"]),
                                 (['convert', '--to', 'jemalloc', path, '-'], ['read only']),
                                 (['convert', '--from', 'csv-functions', path, 'b.csv'],
                                  ['written only'])):
            with self.subTest(arguments):
                error = self.hone(*arguments, status=2)
                self.assert_one_clear_line(error, *words)
        self.assert_one_clear_line(
            self.hone('convert', '--type', 'no', path, 'b.csv', status=1), "no sample type 'no'")
        self.assert_one_clear_line(self.hone('convert', 'gone', 'b.csv', status=1), 'gone')
        self.assert_one_clear_line(
            self.hone('convert', path, 'no/such/place.csv', status=1), 'no/such/place.csv')


class Detection(TestCase):
    def test_views_read_what_convert_reads(self):
        for name, content in (('stacks', 'main;a 3\nmain;b 4\n'),
                              ('perf', 'sorter 1 2.5:     7 cycles: \n\t 401136 a+0x3 (/bin/s)\n\n')):
            path = self.write(name, content)
            self.assertIn('a\n', self.hone('top', path))
            self.assertIn(' 7' if name == 'perf' else 'main;a 3', self.hone('collapsed', path))
            # Packed, and through a pipe.
            packed = self.write(name + '.gz', gzip.compress(content.encode()))
            self.assertEqual(self.hone('top', packed), self.hone('top', path))
            self.assertEqual(self.hone('collapsed', '-', input=content.encode()),
                             self.hone('collapsed', path))
            if have('zstd'):
                subprocess.run(['zstd', '-q', path], check=True)
                self.assertEqual(self.hone('top', path + '.zst'), self.hone('top', path))

    def test_a_byte_order_mark_is_no_part_of_a_name(self):
        for name, content in (('stacks', 'main;a 3\n'), ('table', 'stack,samples/count\nmain;a,3\n'),
                              ('document', '{"hone":1,"types":[["samples","count"]],"modules":[],"functions":'
                               '[{"name":"main"},{"name":"a"}],"frames":[[0,0],[1,0]],'
                               '"samples":[{"stack":[0,1],"values":[3]}]}')):
            data = b'\xef\xbb\xbf' + content.replace('\n', '\r\n').encode()
            for packed in (data, gzip.compress(data)):
                self.assertEqual(self.hone('collapsed', self.write(name, packed)), 'main;a 3\n', name)

    def test_values_beyond_63_bits_are_refused_rather_than_wrapped(self):
        path = self.write('huge', f'main;a {2 ** 63 - 1}\nmain;b {2 ** 63 - 1}\n')
        for view in (['top'], ['tree'], ['peek', 'a'], ['dot'], ['flame'], ['call-tree']):
            self.assert_one_clear_line(self.hone(*view, path, status=1), 'cannot be added up')
        self.assertIn(f'main;a {2 ** 63 - 1}\n', self.hone('collapsed', path))

    def test_standard_input_may_be_a_socket_or_a_file_that_was_read_in_part(self):
        text = 'main;a 3\nmain;b 4\n'
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.sendall(text.encode())
            theirs.shutdown(socket.SHUT_WR)
            self.assertEqual(self.hone('collapsed', '-', stdin=ours), text)
        with open(self.write('prefixed', 'x;y 9\n' + text), 'rb', buffering=0) as file:
            file.read(6)
            self.assertEqual(self.hone('collapsed', '-', stdin=file), text)

    def test_recordings_and_servers_are_converted_too(self):
        os.mkdir(self.path('recording'))
        self.hone('convert', self.write('a.folded', 'main;a 3\n'), 'recording/cpu.prof')
        self.assertEqual(self.hone('convert', '--to', 'collapsed', 'recording', '-'), 'main;a 3\n')
        self.assertEqual(self.hone('convert', '--from', 'pprof', '--to', 'collapsed', 'recording',
                                   '-'), 'main;a 3\n')
        with open(self.path('recording/cpu.prof'), 'rb') as file:
            server = profile_server.Server(file.read())
        with server:
            self.hone('convert', '--seconds', '3', server.url('/good'), 'got.folded',
                      env={**os.environ, 'PPROF_TMPDIR': self.path('kept')})
        self.assertEqual(self.read('got.folded'), 'main;a 3\n')
        self.assertEqual(server.requests, ['/good?seconds=3'])
        self.assertEqual(len(os.listdir(self.path('kept'))), 1)

    def test_output_goes_to_pipes_and_devices_as_they_are(self):
        path = self.write('a.folded', 'main;a 3\n')
        os.mkfifo(self.path('fifo'))
        with subprocess.Popen(['cat', self.path('fifo')], stdout=subprocess.PIPE) as reader:
            self.hone('convert', '--to', 'json', path, 'fifo')
            self.assertEqual(json.loads(reader.communicate(timeout=60)[0])['hone'], 1)
        self.assertTrue(stat.S_ISFIFO(os.stat(self.path('fifo')).st_mode))
        merged = subprocess.run([HONE, 'merge', '-o', '-', path, path], capture_output=True,
                                check=True, cwd=self.tmp).stdout
        self.assertEqual(self.hone('collapsed', '-', input=merged), 'main;a 6\n')
        self.assertFalse(os.path.exists(self.path('-')))

    def test_what_is_broken_gets_one_line_with_the_place(self):
        cases = [
            ('collapsed', b'a;b 1\na;c x\n', ['line 2']),
            ('speedscope', b'{"shared":{"frames":[]},\n"profiles":[{]}', ['line 2, column 14']),
            ('chrome', b'[{"ph":"X"} x', ['line 1, column 13']),
            ('cpuprofile', b'{"nodes":7}', ['expected an array']),
            ('callgrind', b'events: Ir\nfn=a\n+x 1\n', ['line 3']),
            ('jemalloc', b'heap_v2/1\n @ main\n', ['line 2']),
            ('heaptrack', b'v 10400 3\ns 99 x\n', ['line 2']),
            ('firefox', b'{"meta":{"preprocessedProfileVersion":3}}', ['version 3']),
            ('gecko', b'{"meta":{},\n"threads":[{"stackTable":{"data":[[]]}}]}', ['line 2', "'schema'"]),
            ('otlp-json', b'{"dictionary":{"stringTable":[""]},\n"resourceProfiles":7}',
             ['line 2, column 20']),
            ('csv', b'stack,a/b\nmain,x\n', ['line 2', 'column 2']),
            ('json', b'{"hone":1}', ["'types'"]),
            ('perf-script', b'one\n', ['line 1']),
            ('pprof', b'\xff\xff', ['byte 0']),
        ]
        for name, content, words in cases:
            with self.subTest(name):
                path = self.write('broken', content)
                error = self.hone('convert', '--from', name, path, 'x.csv', status=1)
                self.assert_one_clear_line(error, 'broken', *words)
                self.assertFalse(os.path.exists(self.path('x.csv')))

    def test_what_nobody_knows_gets_one_clear_line(self):
        for content in (b'', b'hello world\n', b'{"a":1}', os.urandom(5000), b'\x28\xb5\x2f\xfd' + b'x',
                        gzip.compress(b'a;b 1\n')[:-5]):
            path = self.write('foreign', content)
            self.assert_one_clear_line(self.hone('top', path, status=1), 'foreign')


class RoundTrips(TestCase):
    def setUp(self):
        super().setUp()
        self.recording = self.record_well(workload('split'), 'threads', '600')
        self.source = self.recording.path

    def test_whole_stacks_and_all_values(self):
        want = {t: self.hone('collapsed', '--type', t, self.source) for t in ('samples', 'cpu')}
        for extension, name in [PPROF, *WHOLE]:
            for packed in ('', '.gz'):
                with self.subTest(name, packed=packed):
                    path = self.path(f'out.{extension}{packed}'.replace('.gz.gz', '.gz'))
                    self.hone('convert', self.source, path)
                    for kind, text in want.items():
                        self.assertEqual(self.hone('collapsed', '--type', kind, path), text)

    def test_one_type(self):
        for kind in ('samples', 'cpu'):
            want = self.hone('collapsed', '--type', kind, self.source)
            for extension, name in ONE_TYPE:
                with self.subTest(name, type=kind):
                    path = self.path(f'{kind}.{extension}')
                    self.hone('convert', '--type', kind, self.source, path)
                    self.assertEqual(self.hone('collapsed', path), want)

    def test_threads_keep_their_names(self):
        for extension in ('json', 'csv', 'trace.json', 'firefox.json'):
            with self.subTest(extension):
                path = self.path('out.' + extension)
                self.hone('convert', self.source, path)
                self.assertEqual(
                    set(re.findall(r'thread:(\w+)', self.hone('traces', path))),
                    set(re.findall(r'thread:(\w+)', self.hone('traces', self.source))))

    def test_output_is_the_same_each_time(self):
        for extension, name in [PPROF, *WHOLE, *ONE_TYPE, ('callgrind', 'callgrind')]:
            with self.subTest(name):
                texts = [self.hone('convert', '--to', name, self.source, '-') for _ in range(2)]
                self.assertEqual(*texts)
                self.assertTrue(texts[0])

    def test_pprof_reads_what_came_back(self):
        self.hone('convert', self.source, 'a.speedscope.json')
        self.hone('convert', 'a.speedscope.json', 'back.pb.gz')
        for name in (self.source, self.path('back.pb.gz')):
            text = go_pprof('-traces', '-unit=ns', name)
            values = re.findall(r'(?m)^\s*(\d+)(?:ns)? {3}\S', text)
            self.assertEqual(sum(map(int, values)), self.recording.profile.total())

    def test_functions_have_the_totals_of_the_profile(self):
        profile, rows = self.recording.profile, self.functions(self.source)
        for name in ('red', 'green', 'blue', 'spin'):
            self.assertEqual(rows[name]['flat cpu/nanoseconds'], profile.flat()[name])
            self.assertEqual(rows[name]['cum cpu/nanoseconds'], profile.cumulative()[name])


class OtlpJson(TestCase):
    """Documents as a second reader sees them."""

    def stacks(self, document):
        """{'root;caller;leaf': value} of the first profile."""
        tables = document['dictionary']
        strings = tables['stringTable']
        names = [strings[function.get('nameStrindex', 0)] for function in tables['functionTable']]
        sums = collections.Counter()
        for sample in document['resourceProfiles'][0]['scopeProfiles'][0]['profiles'][0]['samples']:
            stack = tables['stackTable'][sample['stackIndex']]
            frames = [names[line['functionIndex']] for index in stack.get('locationIndices', ())
                      for line in tables['locationTable'][index]['lines']]
            sums[';'.join(reversed(frames))] += sum(map(int, sample['values']))
        return sums

    def test_a_real_recording_as_it_is_written_and_as_others_write_it(self):
        source = self.record_well(workload('split'), 'threads', '400').path
        self.hone('convert', source, 'out.otlp.json')
        document = json.loads(self.read('out.otlp.json'))
        want = self.hone('collapsed', source)
        theirs = collections.Counter()
        for line in want.splitlines():
            stack, value = line.rsplit(' ', 1)
            theirs[stack] += int(value)
        self.assertEqual(self.stacks(document), theirs)
        # Another writer: numbers instead of texts, members in another order, fields of its own.
        def changed(value):
            if isinstance(value, dict):
                return {'writersOwn': [{}], **{k: changed(v) for k, v in reversed(value.items())}}
            if isinstance(value, list):
                return [changed(v) for v in value]
            return int(value) if isinstance(value, str) and re.fullmatch(r'-?[1-9]\d*', value) else value
        document['dictionary'] = {
            key: table if key == 'stringTable' else changed(table)
            for key, table in document['dictionary'].items()}
        document['resourceProfiles'] = changed(document['resourceProfiles'])
        self.write('changed.json', json.dumps(dict(reversed(document.items())), indent=1))
        self.assertEqual(self.hone('collapsed', 'changed.json'), want)

    def test_what_is_wrong_is_told_by_its_place(self):
        source = self.record_well(workload('split'), 'functions', '100').path
        self.hone('convert', source, 'out.otlp.json')
        lines = self.read('out.otlp.json').split('\n')
        for at, line in enumerate(lines):
            if '"stackIndex":3,' in line:
                break
        lines[at] = line.replace('"stackIndex":3,', '"stackIndex":333333,')
        path = self.write('out.otlp.json', '\n'.join(lines))
        column = line.index('3,') + 1
        self.assert_one_clear_line(self.hone('top', path, status=1), 'stack 333333',
                                   f'line {at + 1}, column {column}')


def annotated(path, inclusive):
    """{function: value of the first event} by callgrind_annotate, over files and objects.

    It takes the current directory off the front of some files and not of others: one without sources.
    """
    done = subprocess.run(['callgrind_annotate', '--threshold=100', '--auto=no',
                           '--inclusive=' + ('yes' if inclusive else 'no'), path],
                          capture_output=True, text=True, check=True, cwd=os.path.dirname(path))
    total = re.search(r'(?m)^\s*([\d,]+) .*PROGRAM TOTALS', done.stdout)
    rows = collections.Counter()
    table = done.stdout.partition('file:function')[2].partition('\n\n')[0]
    for value, where in re.findall(r'(?m)^\s*([\d,]+) \([^)]*\).*?  (\S.*)$', table):
        name = re.sub(r' \[\S*\]$', '', where.split(':', 1)[1])
        rows[name] += int(value.replace(',', ''))
    return int(total[1].replace(',', '')), rows


@unittest.skipUnless(have('callgrind_annotate', 'valgrind'), 'no valgrind')
class Callgrind(TestCase):
    def test_callgrind_annotate_reads_ours(self):
        source = self.record_well(workload('recurse'), '20', '400').path
        self.hone('convert', '--type', 'cpu', source, 'out.callgrind')
        rows = self.functions(source)
        flat = {name: row['flat cpu/nanoseconds'] for name, row in rows.items()}
        total, theirs = annotated(self.path('out.callgrind'), False)
        self.assertEqual(total, sum(flat.values()))
        self.assertEqual({name: value for name, value in theirs.items() if value},
                         {name: value for name, value in flat.items() if value})
        # With calls: what calls itself is counted for each of its calls there.
        _, theirs = annotated(self.path('out.callgrind'), True)
        self.assertEqual(theirs['main'], rows['main']['cum cpu/nanoseconds'])

    def test_ours_reads_callgrinds(self):
        for options in ([], ['--dump-instr=yes', '--collect-jumps=yes'],
                        ['--cache-sim=yes', '--separate-threads=yes', '--compress-strings=no',
                         '--compress-pos=no']):
            with self.subTest(options):
                out = self.path('cg.out')
                for name in os.listdir(self.tmp):
                    if name.startswith('cg.out'):
                        os.unlink(self.path(name))
                subprocess.run(['valgrind', '-q', '--tool=callgrind', '--callgrind-out-file=' + out,
                                *options, 'perl', '-e', 'my %h; $h{$_ % 50}++ for 1..500'],
                               check=True, capture_output=True, cwd=self.tmp, timeout=120)
                if not os.path.exists(out) or '-01' in ''.join(os.listdir(self.tmp)):
                    out = self.path(next(n for n in sorted(os.listdir(self.tmp)) if n.endswith('-01')))
                self.same(out)

    def same(self, path):
        total, flat = annotated(path, False)
        _, inclusive = annotated(path, True)
        rows = self.functions(path)
        column = 'Ir/count'
        # Its total is the file's "totals" line, which may have more than all of its functions.
        self.assertAlmostEqual(sum(row['flat ' + column] for row in rows.values()), total, delta=20)
        self.assertEqual({name: row['flat ' + column] for name, row in rows.items()
                          if row['flat ' + column]},
                         {name: value for name, value in flat.items() if value})
        # Estimated: each call is right to a packet of 1/200 000 of all.
        main = next(name for name in inclusive if name == 'main')
        self.assertAlmostEqual(rows[main]['cum ' + column] / inclusive[main], 1, delta=0.01)
        compared = 0
        for name, value in inclusive.items():
            if value > 0.05 * total and "'" not in name and name in rows:
                compared += 1
                self.assertLessEqual(rows[name]['cum ' + column], 1.01 * value, name)
        self.assertGreater(compared, 5)
        self.assertIn('estimated from who called whom', self.hone('top', path))


@unittest.skipUnless(have('heaptrack', 'heaptrack_print'), 'no heaptrack')
class Heaptrack(TestCase):
    def test_the_numbers_are_heaptracks(self):
        done = subprocess.run(['heaptrack', '-o', self.path('ht'), 'perl', '-e', PERL],
                              capture_output=True, text=True, check=False, timeout=240,
                              cwd=self.tmp)
        found = [name for name in os.listdir(self.tmp) if name.startswith('ht')]
        self.assertTrue(found, done.stderr)
        path = self.path(found[0])
        text = subprocess.run(['heaptrack_print', '-f', path, '-F', self.path('flame')],
                              capture_output=True, text=True, check=True, timeout=240).stdout
        sums = self.totals(path)
        self.assertEqual(sums['alloc_objects'],
                         int(re.search(r'calls to allocation functions: (\d+)', text)[1]))
        self.assertAlmostEqual(sums['temporary_objects'],
                               int(re.search(r'temporary memory allocations: (\d+)', text)[1]),
                               delta=1)  # heaptrack takes the first free for one of kind 0
        for kind, words in (('peak_space', 'peak heap memory consumption'),
                            ('inuse_space', 'total memory leaked')):
            shown = re.search(words + r': ([\d.]+)([KMG]?)', text)
            unit = {'': 1, 'K': 1e3, 'M': 1e6, 'G': 1e9}[shown[2]]
            self.assertAlmostEqual(sums[kind] / unit, float(shown[1]), delta=0.006, msg=kind)
        # Stack by stack: allocations of each, as heaptrack prints for flame graphs.
        theirs = sum(int(line.rsplit(' ', 1)[1]) for line in self.read('flame').splitlines())
        self.assertEqual(sums['alloc_objects'], theirs)


def jemalloc():
    for path in ('/usr/lib/x86_64-linux-gnu/libjemalloc.so.2',
                 '/usr/lib/aarch64-linux-gnu/libjemalloc.so.2'):
        if os.path.exists(path):
            return path
    return None


@unittest.skipUnless(jemalloc() and have('jeprof'), 'no jemalloc')
class Jemalloc(TestCase):
    def test_the_numbers_are_jeprofs(self):
        subprocess.run(['perl', '-e', PERL], check=True, capture_output=True, cwd=self.tmp, env={
            **os.environ, 'LD_PRELOAD': jemalloc(),
            'MALLOC_CONF': 'prof:true,prof_final:true,prof_accum:true,lg_prof_sample:12,'
                           f'prof_prefix:{self.path("jem")}'})
        path = self.path(next(n for n in os.listdir(self.tmp) if n.startswith('jem')))
        self.assertIn('Type: inuse_space', self.hone('top', path))
        sums = self.totals(path)
        stacks = len(re.findall('(?m)^@', self.read(os.path.basename(path))))
        for kind, option in (('inuse_space', '--inuse_space'), ('alloc_space', '--alloc_space'),
                             ('inuse_objects', '--inuse_objects'),
                             ('alloc_objects', '--alloc_objects')):
            text = subprocess.run(['jeprof', '--text', '--show_bytes', option, shutil.which('perl'),
                                   path], capture_output=True, text=True, check=True,
                                  timeout=120).stdout
            shown = int(re.search(r'Total: (\d+)', text)[1])
            # jeprof adds up fractions of bytes and objects, which we cut off for each stack.
            self.assertLessEqual(abs(sums[kind] - shown), stacks, kind)
            self.assertGreater(shown, 0)


def perf_records():
    if not have('perf'):
        return False
    done = subprocess.run(['perf', 'record', '-q', '-e', 'cpu-clock:u', '-o', '/dev/null', 'true'],
                          capture_output=True, check=False)
    return done.returncode == 0


@unittest.skipUnless(perf_records(), 'perf cannot record here')
class PerfScript(TestCase):
    HEAD = re.compile(r'^(\S.*?)\s+(\d+)\s+(?:\[\d+\] )?[\d.]+:\s+(\d+) (\S+): *$')

    def parse(self, text):
        """Samples as a second reader sees them: (event, period, names from the leaf)."""
        for block in text.split('\n\n'):
            lines = [line for line in block.splitlines() if line and not line.startswith('#')]
            head = lines and self.HEAD.match(lines[0])
            if head:
                names = [re.match(r'\s*[0-9a-f]+ (.*) \((.*?)\)$', line) for line in lines[1:]]
                yield head[4], int(head[3]), [re.sub(r'\+0x[0-9a-f]+$', '', n[1]) for n in names if n]

    def test_a_real_recording(self):
        data = self.path('perf.data')
        subprocess.run(['perf', 'record', '-q', '-g', '-e', 'cpu-clock:u', '-F', '2000', '-o', data,
                        workload('split'), 'functions', '500'], check=True, capture_output=True)
        text = subprocess.run(['perf', 'script', '-i', data], check=True, capture_output=True,
                              text=True, timeout=120).stdout
        samples = list(self.parse(text))
        self.assertGreater(len(samples), 100)
        self.write('out.perf', text)
        sums = self.totals(self.path('out.perf'))
        self.assertEqual(sums, {'samples': len(samples), 'cpu': sum(s[1] for s in samples)})
        leaves = collections.Counter()
        for _, period, names in samples:
            if names and names[0] != '[unknown]':
                leaves[names[0]] += period
        rows = self.functions(self.path('out.perf'))
        self.assertEqual({name: rows[name]['flat cpu/nanoseconds'] for name in leaves}, leaves)
        self.assertEqual(
            self.hone('collapsed', 'out.perf'),
            self.hone('collapsed', '-', input=text.encode()))


@unittest.skipUnless(perf_records(), 'perf cannot record here')
class Gecko(TestCase):
    """As `perf script report gecko` writes what perf recorded (that script came with Linux 6.6)."""

    LINE = re.compile(r'\s*[0-9a-f]+ (.*?)(?:\+0x[0-9a-f]+)? \((.*?)\)$')

    def gecko(self, text):
        """The document, and {stack from the root: samples}."""
        threads, counts = {}, collections.Counter()
        for block in text.split('\n\n'):
            lines = [line for line in block.splitlines() if line]
            if not lines:
                continue
            name, pid, tid = re.match(r'(\S.*?)\s+(\d+)/(\d+)', lines[0]).groups()
            frames = [self.LINE.match(line).groups() for line in reversed(lines[1:])]
            if not frames:
                continue
            counts[';'.join(frame[0] for frame in frames)] += 1
            thread = threads.setdefault(tid, {
                'tid': int(tid), 'pid': int(pid), 'name': name, 'processType': 'default',
                'samples': {'schema': {'stack': 0, 'time': 1, 'responsiveness': 2}, 'data': []},
                'frameTable': {'schema': {'location': 0, 'relevantForJS': 1, 'line': 5}, 'data': []},
                'stackTable': {'schema': {'prefix': 0, 'frame': 1}, 'data': []},
                'stringTable': []})
            prefix = None
            for symbol, module in frames:
                location = f'{symbol} (in {module})'
                if location not in thread['stringTable']:
                    thread['frameTable']['data'].append([len(thread['stringTable']), False, 0])
                    thread['stringTable'].append(location)
                row = [prefix, thread['stringTable'].index(location)]
                if row not in thread['stackTable']['data']:
                    thread['stackTable']['data'].append(row)
                prefix = thread['stackTable']['data'].index(row)
            thread['samples']['data'].append([prefix, 0.5, 0])
        meta = {'interval': 1, 'processType': 0, 'stackwalk': 1, 'startTime': None, 'version': 24,
                'presymbolicated': True, 'markerSchema': []}
        return {'meta': meta, 'libs': [], 'threads': list(threads.values()), 'processes': [],
                'pausedRanges': []}, counts

    def test_a_real_recording(self):
        data = self.path('perf.data')
        subprocess.run(['perf', 'record', '-q', '-g', '-e', 'cpu-clock:u', '-F', '1000', '-o', data,
                        workload('split'), 'threads', '300'], check=True, capture_output=True)
        text = subprocess.run(['perf', 'script', '-i', data, '-F', 'comm,pid,tid,ip,sym,dso'],
                              check=True, capture_output=True, text=True, timeout=120).stdout
        document, counts = self.gecko(text)
        path = self.write('gecko.json', json.dumps(document, indent=2))
        sums = collections.Counter()
        for line in self.hone('collapsed', path).splitlines():
            stack, value = line.rsplit(' ', 1)
            sums[stack] += int(value)
        self.assertGreater(sum(sums.values()), 100)
        self.assertEqual(sums, counts)
        import csv
        rows = csv.DictReader(self.hone('convert', '--to', 'csv', path, '-').splitlines())
        self.assertEqual({row['label:tid'] for row in rows},
                         {str(thread['tid']) for thread in document['threads']})


@unittest.skipUnless(have('node'), 'no node')
class Cpuprofile(TestCase):
    SCRIPT = ('function spin(n){let x=0;for(let i=0;i<n;i++)x+=Math.sqrt(i);return x}\n'
              'function main(){for(let i=0;i<30;i++)spin(1e6)}\nmain()\n')

    def test_what_node_writes(self):
        script = self.write('spin.js', self.SCRIPT)
        subprocess.run(['node', '--cpu-prof', '--cpu-prof-dir', self.path('out'), script],
                       check=True, capture_output=True, timeout=120, cwd=self.tmp)
        path = os.path.join(self.path('out'), os.listdir(self.path('out'))[0])
        with open(path, encoding='utf-8') as file:
            document = json.load(file)
        sums = self.totals(path)
        self.assertEqual(sums['samples'], len(document['samples']))
        last = document['endTime'] - document['startTime'] - sum(document['timeDeltas'])
        self.assertAlmostEqual(sums['time'] / 1000, sum(max(d, 0) for d in document['timeDeltas'][1:])
                               + max(last, 0), delta=1)
        names = {node['id']: node['callFrame']['functionName'] for node in document['nodes']}
        leaves = collections.Counter(names[number] or '(anonymous)' for number in document['samples'])
        rows = self.functions(path)
        for name in ('spin', 'main'):
            self.assertEqual(rows[name]['flat samples/count'], leaves[name])
        self.assertGreater(leaves['spin'], 10)
        self.assertIn('spin.js', self.hone('top', '--by', 'files', path))


if __name__ == '__main__':
    unittest.main()
