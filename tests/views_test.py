"""peek, list and disasm: against pprof, objdump, the profile itself, and what a terminal bears."""

import fcntl
import gzip
import os
import pty
import re
import shutil
import struct
import subprocess
import termios
import unittest
import xml.dom.minidom
from collections import Counter

import harness
from harness import HONE, workload
from pprof import Profile
from pprof_profiles import Maker
from pprof_test import go_pprof
from starts import Module

ROW = re.compile(r'^ *(\d+|\.) +(\d+|\.) +([0-9a-f]+): (.*)$')


def number(word):
    return 0 if word == '.' else int(word)


class TestCase(harness.TestCase):
    def hone(self, *arguments, status=0, **options):
        done = subprocess.run([HONE, *arguments], capture_output=True, text=True, timeout=120,
                              check=False, **{'cwd': self.tmp, **options})
        self.assertEqual(done.returncode, status, done.stderr)
        if status:
            self.assertEqual(done.stdout, '')
            return done.stderr
        return done.stdout

    def terminal(self, *arguments, columns=80):
        """What a terminal is sent."""
        harness.needs_terminal()
        child, terminal = pty.fork()
        if child == 0:
            os.chdir(self.tmp)
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack('HHHH', 24, columns, 0, 0))
            os.execv(HONE, [HONE, *arguments])
        sent = b''
        while True:
            try:
                more = os.read(terminal, 65536)
            except OSError:
                break
            if not more:
                break
            sent += more
        os.close(terminal)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0, sent)
        return sent.decode().replace('\r\n', '\n')


class LikePprof(TestCase):
    """Byte for byte, on profiles of programs that nobody prepared."""

    PERL = 'my %h; $h{$_ % 5000} .= "x" for 1..300000; print scalar(sort keys %h), "\\n"'

    def recordings(self):
        source = os.path.join(self.tmp, 'sort.cc')
        with open(source, 'w', encoding='ascii') as file:
            file.write('#include <algorithm>\n#include <map>\n#include <string>\n'
                       '#include <vector>\nint main() {\n'
                       '\tstd::map<std::string, std::vector<int>> m;\n'
                       '\tfor (int i = 0; i < 300000; i++)\n'
                       '\t\tm[std::to_string(i % 1000)].push_back(i * 79 % 1013);\n'
                       '\tfor (auto &[k, v] : m)\n\t\tstd::sort(v.begin(), v.end());\n'
                       '\treturn m.size() == 1;\n}\n')
        program = os.path.join(self.tmp, 'sort')
        subprocess.run(['g++', '-O2', '-g', source, '-o', program], check=True)
        yield 'C++', self.record_well(program)
        yield 'C', self.record_well(workload('split'), 'functions', '500')
        yield 'threads', self.record_well(workload('threads'), 'many', '4', '200')
        yield 'perl', self.record_well('perl', '-e', self.PERL)
        yield 'gcc', self.record_well('gcc', '-O2', '-S', '-x', 'c', '-', '-o', '/dev/null',
                                      input=b'#include <stdio.h>\nint f(int x) { return x * 7; }\n')

    def test_peek_and_list_are_pprofs(self):
        for name, recording in self.recordings():
            for pattern in ('.', '^_?[a-l].*[a-z]$|sort|^main$'):
                with self.subTest(name, pattern=pattern):
                    self.same(recording.path, pattern)

    def same(self, path, pattern):
        self.assertEqual(self.hone('peek', pattern, path),
                         go_pprof(f'-peek={pattern}', path, cwd=self.tmp))
        profile = Profile.read(path)
        ours, theirs = (self.comparable(text, profile) for text in (
            self.hone('list', pattern, path), go_pprof(f'-list={pattern}', path, cwd=self.tmp)))
        self.assertEqual(ours, theirs)

    @staticmethod
    def comparable(text, profile):
        """Words about missing sources differ, and pprof counts recursive calls several times. Left
        out are functions with lines before their first one, which is in another file then, such as
        a header: pprof prints from the first one on."""
        begins = {(f.name, f.file): f.start_line for f in profile.functions.values()}
        elsewhere = {f'{frame.function} in {frame.file}' for sample in profile.samples
                     for frame in sample.stack
                     if frame.line < begins.get((frame.function, frame.file), 0)}
        routines = [part for part in re.split('(?m)^(?=ROUTINE )', text)
                    if part.partition('\n')[0].partition('= ')[2] not in elsewhere]
        return [line for line in ''.join(routines).splitlines()
                if not line.startswith((' Error: ', ' Note: ')) and '(flat, cum)' not in line]


class List(TestCase):
    def test_functions_have_the_values_of_top(self):
        recording = self.record_well(workload('recurse'), '60', '800')
        profile = recording.profile
        flat, cumulative = profile.flat('samples'), profile.cumulative('samples')
        text = self.hone('list', '.', '--type', 'samples', recording.path)
        found = re.findall(r'(?m)^ROUTINE =+ (.*) in .*\n +(\d+) +(\d+) \(flat, cum\)', text)
        self.assertGreater(len(found), 3)
        partly = set(re.findall(r'(?m)^ Note: no source for \d+ of (.*)$', text))  # as in vDSOs
        for name, own, together in found:
            if name not in partly:
                self.assertEqual((int(own), int(together)), (flat[name], cumulative[name]),
                                 name)

    def test_lines_add_up_to_the_function(self):
        recording = self.record_well(workload('split'), 'functions', '800')
        text = self.hone('list', '^spin$', '--type', 'samples', recording.path)
        rows = re.findall(r'(?m)^ +(\d+|\.) +(\d+|\.) +\d+:', text)
        self.assertEqual(sum(number(flat) for flat, _ in rows),
                         recording.profile.flat('samples')['spin'])

    def test_sources_somewhere_else(self):
        build, moved = (os.path.join(self.tmp, name) for name in ('build', 'moved'))
        os.makedirs(os.path.join(build, 'app', 'src'))
        source = os.path.join(build, 'app', 'src', 'busy.c')
        with open(source, 'w', encoding='ascii') as file:
            file.write('int main(void)\n{\n\tfor (volatile int i = 0; i < 100000000; i++)\n'
                       '\t\t; // \x1b[31mred\n\treturn 0;\n}\n')
        program = os.path.join(self.tmp, 'busy')
        subprocess.run(['cc', '-O1', '-g', source, '-o', program], check=True)
        recording = self.record_well(program)
        here = self.hone('list', '^main$', recording.path)
        self.assertIn('3:\tfor (volatile int i', here)
        os.rename(build, moved)
        lost = self.hone('list', '^main$', recording.path)
        self.assertRegex(lost, f" Error: '{source}' is not there, nor under .*--source-path DIR\n")
        self.assertEqual(lost.count('\n'), 4)
        found = self.hone('list', '^main$', '--source-path', os.path.join(moved, 'app'),
                          recording.path)
        self.assertEqual([line for line in found.splitlines() if ' Note: ' not in line],
                         here.splitlines())
        self.assertIn(f" Note: the source is '{moved}/app/src/busy.c'\n", found)
        within = os.path.join(moved, 'app')  # a directory of that name is a checkout of it
        self.assertEqual(self.hone('list', '^main$', recording.path, cwd=within), here)
        trimmed = self.hone('list', '^main$', '--trim-path', f'/elsewhere:{build}/app',
                            recording.path, cwd=os.path.join(within, 'src'))
        self.assertEqual(trimmed, here)
        # A source steers no terminal, nor one that shows later what went into a pipe.
        os.rename(moved, build)
        shown = self.terminal('list', '^main$', recording.path)
        for text in (here, shown):
            self.assertNotIn('\x1b', text)
            self.assertIn('␛[31mred', text)

    def test_a_source_that_changed_is_told(self):
        source, program = (os.path.join(self.tmp, name) for name in ('busy.c', 'busy'))
        with open(source, 'w', encoding='ascii') as file:
            file.write('int main(void)\n{\n\tfor (volatile int i = 0; i < 100000000; i++)\n'
                       '\t\t;\n\treturn 0;\n}\n')
        subprocess.run(['cc', '-O1', '-g', source, '-o', program], check=True)
        recording = self.record_well(program)
        self.assertNotIn('Note:', self.hone('list', '^main$', recording.path))
        with open(source, 'w', encoding='ascii') as file:
            file.write('int main(void)\n')
        text = self.hone('list', '^main$', recording.path)
        self.assertIn(f" Note: '{source}' was changed after this profile was taken\n", text)
        self.assertIn(f" Note: '{source}' has only 1 lines, the one compiled had more\n", text)


class Disasm(TestCase):
    def rows(self, text):
        """Routine to its instructions: address, flat, cum, text."""
        routines, at = {}, None
        for line in text.splitlines():
            if line.startswith('ROUTINE '):
                at = routines.setdefault(line.split(maxsplit=2)[2], [])
            found = ROW.match(line)
            if found:
                at.append((int(found[3], 16), number(found[1]), number(found[2]), found[4]))
        return routines

    def truth(self, recording, file):
        """Samples by address of the file: as leaf, and anywhere in the stack."""
        module, flat, cumulative = Module(file), Counter(), Counter()
        frames = {i: f[0] for i, f in recording.profile.locations.items()
                  if f[0].mapping and f[0].mapping.file == file}
        address = {i: module.address(f.address - f.mapping.start + f.mapping.offset)
                   for i, f in frames.items()}
        for sample in recording.profile.samples:
            count = sample.values[0]
            if sample.locations[0] in address:
                flat[address[sample.locations[0]]] += count
            for at in {address[i] for i in sample.locations if i in address}:
                cumulative[at] += count
        return flat, cumulative

    def check(self, recording, program, functions):
        flat, cumulative = self.truth(recording, program)
        routines = self.rows(self.hone('disasm', '.', '--type', 'samples', recording.path))
        for name in functions:
            rows = routines[name]
            text = subprocess.run(['objdump', '-d', f'--disassemble={name}', program], check=True,
                                  capture_output=True, text=True).stdout
            found = re.findall(r'(?m)^ *([0-9a-f]+):\t((?:[0-9a-f]{2} )+) *\t', text)
            theirs = [int(at, 16) for at, _ in found]
            self.assertEqual([row[0] for row in rows], theirs, name)
            ends = [row[0] for row in rows[1:]] + [rows[-1][0] + len(found[-1][1].split())]
            for (at, own, together, _), end in zip(rows, ends):
                self.assertEqual(own, sum(n for a, n in flat.items() if at <= a < end))
                self.assertEqual(together,
                                 sum(n for a, n in cumulative.items() if at <= a < end))
            self.assertGreater(sum(row[2] for row in rows), 0, name)

    def test_each_instruction_has_its_samples(self):
        program = workload('split')
        recording = self.record_well(program, 'functions', '800')
        self.check(recording, program, ('red', 'green', 'blue', 'by_functions', 'main'))
        program = workload('recurse')
        recording = self.record_well(program, '60', '500')
        names = [name for name in self.rows(self.hone('disasm', '.', recording.path))
                 if name in ('main', 'recurse', 'descend', 'spin')]
        self.check(recording, program, names)

    def test_lines_and_inlined_functions_are_told(self):
        recording = self.record_well(workload('split'), 'functions', '500')
        text = self.hone('disasm', '^red$', recording.path)
        self.assertRegex(text, r';spin burn\.h:\d+\n')
        self.assertRegex(text, r';split\.c:\d+\n')
        intel = self.hone('disasm', '--intel', '^red$', recording.path)
        self.assertNotIn('%', ''.join(row[3] for row in self.rows(intel)['red']))
        intel = self.hone('pprof', '-disasm=^red$', '-intel_syntax', recording.path)
        self.assertNotIn('%', ''.join(row[3] for row in self.rows(intel)['red']))
        plain = self.hone('pprof', '-disasm=^red$', recording.path)
        self.assertIn('%', ''.join(row[3] for row in self.rows(plain)['red']))
        # Whoever asks for an inlined function sees those that hold it.
        self.assertLessEqual({'red', 'green'},
                             set(self.rows(self.hone('disasm', '^spin$', recording.path))))
        self.assertLessEqual({'red', 'green'}, set(self.rows(
            self.hone('pprof', '-disasm=^spin$', '-noinlines', recording.path))))

    def test_calls_have_names(self):
        recording = self.record_well(workload('split'), 'functions', '500')
        rows = self.rows(self.hone('disasm', '^by_functions$', '--type', 'samples',
                                   recording.path))['by_functions']
        self.assertTrue([row for row in rows if re.search(r'call.* (red|green|blue)\b', row[3])],
                        rows)

    def test_a_stripped_program_is_shown_by_its_unwind_table(self):
        program = os.path.join(self.tmp, 'bare')
        shutil.copy(workload('split'), program)
        subprocess.run(['strip', program], check=True)
        recording = self.record_well(program, 'functions', '500')
        hottest = max((name for name in recording.profile.flat()), key=recording.profile.flat().get)
        self.assertRegex(hottest, r'^bare\+0x')
        start = int(hottest.split('+')[1], 16)
        rows = self.rows(self.hone('disasm', re.escape(hottest), '--type', 'samples',
                                   recording.path))[hottest]
        self.assertEqual(rows[0][0], start)
        self.assertEqual(sum(row[1] for row in rows), recording.profile.flat('samples')[hottest])

    def test_another_file_is_refused_and_so_is_none(self):
        program = os.path.join(self.tmp, 'split')
        shutil.copy(workload('split'), program)
        recording = self.record_well(program, 'functions', '300')
        self.hone('disasm', '^red$', recording.path)
        os.unlink(program)
        error = self.hone('disasm', '^red$', recording.path, status=1)
        self.assertIn(f"cannot open '{program}'", error)
        shutil.copy(workload('recurse'), program)
        error = self.hone('disasm', '^red$', recording.path, status=1)
        self.assert_one_clear_line(error.encode(), program, 'not the file that ran', 'build id')

    def test_rows_that_are_no_code(self):
        recording = self.record_well(workload('split'), 'functions', '300')
        error = self.hone('disasm', 'exec and loader', recording.path, status=1)
        self.assert_one_clear_line(error.encode(), 'no machine code', 'lies in no file')


class Terminal(TestCase):
    """Whoever looks at a stranger's profile is not at its mercy."""

    WILD = re.compile('[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]')
    TEXTS = (('top',), ('tree',), ('traces',), ('collapsed',), ('info',), ('tags',), ('raw',),
             ('call-tree',), ('hot-path',), ('dot',), ('peek', '.'), ('list', '.'),
             ('disasm', 'red|b.m'))
    PICTURES = (('flame',), ('flame', '--sandwich', '.'), ('svg',), ('weblist', '.'))

    def foreign(self):
        """What a real program took, with names that mean harm where its own were."""
        recording = self.record_well(workload('split'), 'functions', '400')
        with gzip.open(recording.path) as file:
            data = file.read()
        for old, new in ((b'green', b'\x1b[2J\n'), (b'blue', b'b\xc2\x9bm'),
                         (b'by_functions', b'by\xe2\x80\xaesnoit\t\x07'),
                         (b'process', b'pro\x1bces'), (b'red', b'<b>')):
            self.assertEqual(len(old), len(new))
            self.assertIn(old, data)
            data = data.replace(old, new)
        path = os.path.join(self.tmp, 'foreign.prof')
        with gzip.open(path, 'wb') as file:
            file.write(data)
        return path

    def test_names_steer_no_terminal(self):
        """Neither the one that is written to nor one that shows a file or a pipe's end later."""
        path = self.foreign()
        out = os.path.join(self.tmp, 'out')
        for view in self.TEXTS:
            with self.subTest(view=view):
                self.hone(*view, '-o', out, path)
                with open(out, encoding='utf-8') as file:
                    filed = file.read()
                piped = self.hone(*view, path)
                self.assertEqual(piped, filed)
                for text in (self.terminal(*view, path), piped):
                    self.assertEqual(set(self.WILD.findall(text)), set())
                    if view[0] in ('top', 'tree', 'peek', 'traces'):
                        self.assertIn('␛[2J␊\n', text)
        for more in ((), ('--json',)):
            text = self.hone('diff', '--cum', *more, path, path)
            self.assertEqual(set(self.WILD.findall(text)), set())
            self.assertIn('␛[2J␊', text)
        error = self.hone('top', '--type', '\x1b[2Jm', path, status=1)
        self.assertNotIn('\x1b', error)

    def test_names_are_no_part_of_a_page(self):
        path = self.foreign()
        for view in self.PICTURES:
            with self.subTest(view=view):
                text = self.hone(*view, path)
                self.assertEqual(set(self.WILD.findall(text)), set())
                self.assertNotIn('<b>', text)
                if view[0] != 'weblist':
                    xml.dom.minidom.parseString(text)

    def test_a_megabyte_of_a_name_is_told_by_its_ends(self):
        name = 'begin' + 'x' * (1 << 20) + 'end'
        maker = Maker([('samples', 'count')], period=None)
        mapping = maker.mapping(0x1000, 0x9000, file='/nowhere/' + name)
        maker.sample([maker.place(0x2000, [(name, '/src/' + name, 7)], mapping)], [5])
        path = os.path.join(self.tmp, 'long.prof')
        maker.write(path)
        error = self.hone('disasm', '.', path, status=1)
        self.assertRegex(error, "^hone: no machine code of 'begin[^']*end': .*[a-z]\n")
        self.assertLess(len(error), 600)
        sentences = [line for line in self.hone('list', '.', path).splitlines()
                     if line.startswith((' Error', ' Note'))]
        self.assertRegex(sentences[0], "^ Error: '/src/begin.*end' is not there, nor under ")
        self.assertLess(len(sentences[0]), 600)
        error = self.hone('top', '--base', '/nowhere/' + name[:3000], path, status=1)
        self.assertRegex(error, '^hone: cannot open .*: no such file or directory\n$')

    def test_listings_fit_80_columns(self):
        recording = self.record_well(workload('split'), 'functions', '400')
        for view in ('peek', 'list', 'disasm'):
            lines = self.terminal(view, 'red|spin|main', recording.path).splitlines()
            lines = [line for line in lines if not line.startswith('hone: ')]
            self.assertLessEqual(max(map(len, lines)), 80, view)

    def test_info_fits_80_columns(self):
        directory = os.path.join(self.tmp, 'session')
        subprocess.run([HONE, 'record', '-F', '1000', '-t', 'cpu,heap', '--heap-rate', '64KiB',
                        '-o', directory, '--', workload('heap'), '1'], capture_output=True,
                       check=True, timeout=120)
        for name in ('cpu.prof', 'heap.prof', 'heap-time.prof'):
            path = os.path.join(directory, name)
            shown = self.terminal('info', path)
            self.assertLessEqual(max(map(len, shown.splitlines())), 80, shown)
            # Of what the recorder says nothing is lost by that.
            self.assertEqual(shown.split('Modules')[0].split(),
                             self.hone('info', path).split('Modules')[0].split())

    def test_misuse(self):
        for view in ('peek', 'list', 'disasm'):
            self.assert_one_clear_line(self.hone(view, status=2).encode(), 'REGEX')
            error = self.hone(view, 'a(', status=2)
            self.assert_one_clear_line(error.encode(), "'a('", 'parenthesis')


if __name__ == '__main__':
    unittest.main()
