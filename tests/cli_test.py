"""The command line: what a user types, sees and gets back as exit status."""

import os
import shutil
import signal
import subprocess
import unittest

import harness
from harness import HONE, workload


def hone(*arguments, **options):
    return subprocess.run([HONE, *arguments], text=True, check=False, capture_output=True,
                          stdin=subprocess.DEVNULL, **options)


class CommandLine(harness.TestCase):
    def one_line(self, done, status, *words):
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertEqual(done.stderr.count('\n'), 1, done.stderr)
        self.assertTrue(done.stderr.startswith('hone: '), done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)

    def test_hone_alone_and_help_begin_with_examples(self):
        for arguments in ((), ('help',), ('--help',), ('-h',)):
            done = hone(*arguments)
            self.assertEqual(done.returncode, 0)
            self.assertTrue(done.stdout.startswith('  hone record '), done.stdout)
            self.assertLessEqual(max(map(len, done.stdout.splitlines())), 80)

    def test_every_command_has_help_in_every_spelling(self):
        listed = [line.split()[0] for line in hone().stdout.split('hone COMMAND')[1].splitlines()[1:]
                  if line.startswith('  ')]
        self.assertIn('record', listed)
        for command in listed:
            spellings = [hone('help', command), hone(command, '--help'), hone(command, '-help'),
                         hone(command, '-h')]
            self.assertTrue(spellings[0].stdout.startswith(f'  hone {command}'), command)
            # The flags of `hone pprof` are pprof's, its help too: the matrix compares it.
            own = spellings[:1] if command == 'pprof' else spellings
            self.assertEqual({(s.stdout, s.stderr, s.returncode) for s in own},
                             {(spellings[0].stdout, '', 0)})
            self.assertLessEqual(max(map(len, spellings[0].stdout.splitlines())), 80, command)

    def test_help_aligns_what_is_not_ascii(self):
        options = [line for line in hone('record', '--help').stdout.splitlines()
                   if line.startswith(('  -', '      --'))]
        self.assertTrue(any('PID,…' in line for line in options))
        # At least three blanks, then the words, which begin in one column.
        self.assertEqual(len({len(line) - len(line[6:].split('   ', 1)[1].lstrip())
                              for line in options}), 1, options)

    def test_version(self):
        for word in ('--version', '-version', 'version'):
            self.assertRegex(hone(word).stdout, r'^hone \d+\.\d+\.\d+\n$')

    def test_misuse_is_one_line_with_the_nearest_name_and_status_2(self):
        self.one_line(hone('tpo'), 2, "'tpo'", "'hone top'")
        self.one_line(hone('--verison'), 2, "unknown option '--verison'")
        self.one_line(hone('top', '--row', '5'), 2, "'--row'", "'--rows'")
        self.one_line(hone('top', '-n', 'five'), 2, "'five'")
        self.one_line(hone('record', '-F', '0', 'true'), 2, "'0'")
        self.one_line(hone('record'), 2, 'PROGRAM')
        self.one_line(hone('help', 'nothing'), 2, "'nothing'")

    def test_a_unit_that_there_is_not_is_misuse(self):
        profile = os.path.join(self.tmp, 'units.txt')
        with open(profile, 'w', encoding='ascii') as file:
            file.write('main;work 7\n')
        path = os.path.join(self.tmp, 'units.pb.gz')
        done = hone('convert', profile, path)
        self.assertEqual(done.returncode, 0, done.stderr)
        for view in (('top',), ('tree',), ('traces',), ('dot',), ('diff', path)):
            self.one_line(hone(*view, '--unit', 'bogus', path), 2, "'bogus'", 'ms', 'MB')
            for unit in ('count', 'auto', 'ms', 'kb', 'Seconds'):
                done = hone(*view, '--unit', unit, path)
                self.assertEqual(done.returncode, 0, (view, unit, done.stderr))

    def test_failure_is_one_line_and_status_1(self):
        self.one_line(hone('top', 'missing.prof', cwd=self.tmp), 1, "'missing.prof'", 'no such file')
        done = hone('top', HONE)  # a file of another kind: what is wrong, and what is wanted
        self.assertEqual((done.returncode, done.stderr.count('\n')), (1, 2), done.stderr)
        self.assertIn(HONE, done.stderr)
        self.one_line(hone('top', self.tmp), 1, self.tmp)

    def test_no_recording_says_how_to_make_one(self):
        done = hone('top', cwd=self.tmp)
        self.assertEqual(done.returncode, 1)
        self.assertIn('hone record PROGRAM', done.stderr)


class Views(harness.TestCase):
    VIEWS = ('top', 'tree', 'traces', 'collapsed', 'info', 'flame')

    def setUp(self):
        super().setUp()
        self.first, self.second = (self.recorded(name, mix) for name, mix in
                                   (('first', '100'), ('second', '200')))

    def recorded(self, name, duration):
        directory = os.path.join(self.tmp, 'profiles', name)
        os.makedirs(os.path.dirname(directory), exist_ok=True)
        done = hone('record', '-q', '-o', directory, workload('threads'), 'many', '2', duration)
        self.assertEqual(done.returncode, 0, done.stderr)
        return directory

    def show(self, *arguments):
        done = hone(*arguments, cwd=self.tmp)
        self.assertEqual((done.returncode, done.stderr), (0, ''), arguments)
        return done.stdout

    def test_without_a_file_the_newest_recording_is_shown(self):
        for view in self.VIEWS:
            self.assertEqual(self.show(view), self.show(view, os.path.join(self.second, 'cpu.prof')))
        os.utime(os.path.join(self.first, 'cpu.prof'))
        self.assertEqual(self.show('collapsed'), self.show('collapsed', self.first))
        self.assertEqual(self.show('collapsed', 'profiles'), self.show('collapsed', self.first))

    def test_several_files_are_merged(self):
        def total(*files):
            return sum(int(line.rsplit(' ', 1)[1]) for line in
                       self.show('collapsed', *files).splitlines())
        self.assertEqual(total(self.first, self.second), total(self.first) + total(self.second))

    def test_standard_input_is_a_file_too(self):
        with open(os.path.join(self.first, 'cpu.prof'), 'rb') as file:
            done = subprocess.run([HONE, 'collapsed', '-'], stdin=file, capture_output=True,
                                  check=True, text=True)
        self.assertEqual(done.stdout, self.show('collapsed', self.first))

    def test_output_goes_to_a_file_whole_or_not_at_all(self):
        for view in self.VIEWS:
            path = os.path.join(self.tmp, 'out')
            done = hone(view, '-o', path, self.first)
            self.assertEqual((done.returncode, done.stdout), (0, ''), done.stderr)
            with open(path, encoding='utf-8') as file:
                self.assertEqual(file.read(), self.show(view, self.first))
        done = hone('top', '-o', '/nowhere/out', self.first)
        self.assertEqual(done.returncode, 1)
        self.assertIn("'/nowhere/out'", done.stderr)

    def test_a_reader_that_goes_away_ends_a_view_quietly(self):
        for handler in (signal.SIG_DFL, signal.SIG_IGN):
            for view in self.VIEWS:
                read, write = os.pipe()
                os.close(read)
                done = subprocess.run([HONE, view, self.first], stdout=write, check=False, text=True,
                                      stderr=subprocess.PIPE, restore_signals=False,
                                      preexec_fn=lambda how=handler: signal.signal(signal.SIGPIPE,
                                                                                   how))
                os.close(write)
                self.assertEqual(done.stderr, '')
                self.assertEqual(done.returncode, 0 if handler == signal.SIG_IGN
                                 else -signal.SIGPIPE)

    @unittest.skipUnless(os.path.exists('/dev/full'), 'no /dev/full here')
    def test_a_full_disk_is_an_error(self):
        for arguments in ((), ('help', 'top'), *((view, self.first) for view in self.VIEWS)):
            with open('/dev/full', 'w', encoding='utf-8') as full:
                done = subprocess.run([HONE, *arguments], stdout=full, stderr=subprocess.PIPE,
                                      text=True, check=False)
            self.assertEqual(done.returncode, 1, arguments)
            self.assertIn('no space left on device', done.stderr)


class Documents(harness.TestCase):
    """The manual page and the completion, made from the same tables as the parser."""

    @unittest.skipUnless(shutil.which('groff') or shutil.which('man'), 'no groff here')
    def test_the_manual_page_is_clean_and_names_every_option(self):
        page = os.path.join(self.tmp, 'hone.1')
        with open(page, 'w', encoding='utf-8') as file:
            subprocess.run([HONE, '--generate', 'man'], stdout=file, check=True)
        done = subprocess.run(['man', '--warnings=w', '-l', '-P', 'cat', page], text=True,
                              check=True, capture_output=True,
                              env={**os.environ, 'MANWIDTH': '80', 'LC_ALL': 'C.UTF-8'})
        self.assertEqual(done.stderr, '')
        for word in ('--frequency HZ', '--rows N', 'hone flame', 'EXIT STATUS'):
            self.assertIn(word, done.stdout)

    def complete(self, *words):
        script = (f'source <({HONE} --generate completion); '
                  'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _hone; printf "%s\\n" "${COMPREPLY[@]}"')
        return subprocess.run(['bash', '-c', script, 'bash', *words], text=True, check=True,
                              cwd=self.tmp, stdout=subprocess.PIPE).stdout.split()

    def test_completion_offers_commands_options_and_values(self):
        self.assertEqual(self.complete('hone', 'tra'), ['traces'])
        self.assertEqual(self.complete('hone', 'top', '--cu'), ['--cum'])
        self.assertEqual(self.complete('hone', 'top', '--by', 'l'), ['lines'])
        self.assertEqual(self.complete('hone', 'record', '--types', ''),
                         ['cpu', 'wall', 'heap', 'allocs', 'mutex', 'block', 'threads'])
        self.assertEqual(self.complete('hone', 'pprof', '-top'), ['-top', '-topproto'])
        self.assertEqual(self.complete('hone', 'pprof', '-tls_'),
                         ['-tls_cert', '-tls_key', '-tls_ca'])
        self.assertEqual(self.complete('hone', 'pprof', '-filef'), ['-filefunctions'])
        for name in ('a.prof', 'b.txt'):
            with open(os.path.join(self.tmp, name), 'w', encoding='utf-8'):
                pass
        self.assertEqual(self.complete('hone', 'top', ''), ['a.prof'])


if __name__ == '__main__':
    unittest.main()
