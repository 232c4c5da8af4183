"""The shell of hone pprof: in a pipe it is go tool pprof's byte for byte, on a terminal it edits."""

import fcntl
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import tempfile
import termios
import time
import unittest

import harness
from harness import HONE, workload

GO = (subprocess.run(['go', 'tool', '-n', 'pprof'], capture_output=True, text=True,
                     check=True).stdout.strip(),)


class Shell(harness.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.shared = tempfile.mkdtemp(prefix='hone-shell-')
        cls.addClassCleanup(shutil.rmtree, cls.shared, ignore_errors=True)
        directory = os.path.join(cls.shared, 'session')
        subprocess.run([HONE, 'record', '-q', '-o', directory, workload('threads'), 'many', '2',
                        '300'], check=True, capture_output=True)
        cls.file = os.path.join(directory, 'cpu.prof')

    def setUp(self):
        super().setUp()
        self.environment = {**os.environ, 'HOME': self.tmp, 'TERM': 'xterm', 'TZ': 'UTC',
                            'LC_ALL': 'C.UTF-8'}
        self.environment.pop('HONE_HISTORY', None)

    def run_script(self, program, script, *arguments):
        """stdout, stderr and the files that it left, of a shell that reads a script."""
        directory = tempfile.mkdtemp(dir=self.tmp)
        done = subprocess.run([*program, *arguments, self.file], input=script.encode(),
                              capture_output=True, check=False, timeout=120, cwd=directory,
                              env=self.environment)
        files = {}
        for name in sorted(os.listdir(directory)):
            with open(os.path.join(directory, name), 'rb') as file:
                files[name] = file.read()
        return done.returncode, done.stdout.decode(), done.stderr.decode(), files


class LikeGo(Shell):
    def same(self, script, *arguments, parts=('status', 'stdout', 'stderr', 'files')):
        theirs = self.run_script(GO, script, *arguments)
        ours = self.run_script((HONE, 'pprof'), script, *arguments)
        for mine, wanted, what in zip(ours, theirs, ('status', 'stdout', 'stderr', 'files')):
            if what in parts:
                self.assertEqual(mine, wanted, f'{what} of {script!r}')
        self.assertEqual(ours[0], 0)
        return ours

    def test_options_are_listed_with_what_was_set(self):
        self.same('o\noptions\n')
        self.same('focus=main\nnodecount=7\nunit=ms\nnodefraction=0.25\ntrim=false\no\n')
        self.same('o\n', '-focus=x', '-lines', '-cum', '-nodecount=3', '-sample_index=samples')

    def test_help_about_everything(self):
        self.same('help\n')
        names = ('top', 'text', 'tree', 'peek', 'list', 'disasm', 'weblist', 'web', 'tags', 'raw',
                 'svg', 'callgrind', 'focus', 'sample_index', 'unit', 'cum', 'lines', 'functions',
                 'noinlines', 'mean', 'granularity', 'nothing', 'two words', '')
        self.same(''.join(f'help {name}\n' for name in names))

    def test_reports_with_arguments(self):
        self.same('top\ntop3\ntop 2\ntop 2 -cum\ntext --cum 4\ntop1 2 3\ntop -3\n')
        self.same('top5 spin -nothing\ntop nothing\ntree main -spin\ntree 2\n')
        self.same('peek spin\npeek spin 3 main\ntraces\ntags\ncomments\ntags red -blue\n')

    def test_assignments_stay_and_arguments_do_not(self):
        self.same('focus=spin\ntop\nfocus=\ntop nothing\ntop\n:\no\n')
        self.same('granularity=lines\ntop\ngranularity = files //: comment\ntop\ncum=true\ntop\n')
        self.same('unit=us //: [a] //: b\ntop\n unit = ns \no\nnoinlines\ntrim=n\ncall_tree=1\no\n')
        self.same('focus=a=b\no\nignore=//:\no\ntaghide=größe\no\n')

    def test_sample_types_are_commands(self):
        self.same('samples\ntop\ncpu\ntop\ntotal_samples\nmean_cpu\ntop\no\n')
        self.same('sample_index=0\no\nsample_index=samples\no\nsample_index=\no\n')

    def test_mistakes_are_told_in_the_same_words(self):
        self.same('nonsense\nnon"sense\\ 3\nfocus\nfocus10\nnodecount 5\npeek\nlist\n')
        self.same('nodecount=x\nnodefraction=y\ntrim=maybe\ngranularity=none\nsort=up\ncum\n')
        self.same('sample_index=9\nsample_index=none\ntop >\nhelp nothing\nhelp  top  tree\n')
        self.same('lines=false\nfunctions\nhelp\tme\n')

    def test_a_bad_expression_is_told_and_the_shell_goes_on(self):
        stderr = self.same('focus=(\ntop\nfocus=\ntop1\npeek [\ntop *\n',
                           parts=('status', 'stdout'))[2]
        self.assertEqual(stderr.count('\nparsing focus regexp: '), 2)
        self.assertEqual(stderr.count('\nparsing argument regexp [: '), 1)

    def test_reports_go_to_files(self):
        files = self.same('top >a\ntop 2 > b\ntree >c main\noutput=d\ntop3\noutput=\ntop1\n')[3]
        self.assertEqual(sorted(files), ['a', 'b', 'c', 'd'])

    def test_it_ends_where_told(self):
        for word in ('quit', 'exit', 'q', ' quit now'):
            self.same(f'top1\n{word}\ntop2\n')
        self.same('')
        self.same('top1')  # no line end
        self.same('\n \n\t\n')
        self.same('top1\r\no\r\n')

    def test_a_dumb_terminal_is_no_terminal(self):
        self.environment['TERM'] = 'dumb'
        self.same('top2\n')

    def test_a_profile_without_values_says_what_to_try(self):
        self.same('top\n', '-focus=nothing')
        self.same('top\n', '-base=' + self.file)
        self.same('samples\n', '-base=' + self.file, '-sample_index=cpu')


class Terminal:
    """hone pprof on a terminal of its own."""

    def __init__(self, test, *arguments, **environment):
        self.test, self.seen = test, ''
        harness.needs_terminal()
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, b'\x28\x00\x64\x00\x00\x00\x00\x00')
        self.process = subprocess.Popen(
            [HONE, 'pprof', *arguments, test.file], stdin=slave, stdout=slave, stderr=slave,
            env={**test.environment, **environment}, cwd=test.tmp, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(slave)
        self.master = master
        self.wait('(pprof) ')

    def wait(self, words, seconds=60):
        """What comes until these words."""
        end = time.monotonic() + seconds
        while words not in self.seen:
            left = end - time.monotonic()
            if left < 0 or not select.select([self.master], [], [], max(left, 0))[0]:
                self.test.fail(f'no {words!r} in {self.seen!r}')
            try:
                self.seen += os.read(self.master, 65536).decode(errors='replace')
            except OSError:
                self.test.fail(f'ended without {words!r} after {self.seen!r}')
        before, self.seen = self.seen.split(words, 1)
        return before

    def type(self, text):
        # Before the line editor has the terminal the kernel's own editing would take the keys.
        end = time.monotonic() + 60
        while (termios.tcgetattr(self.master)[3] & termios.ICANON and
               self.process.poll() is None and time.monotonic() < end):
            time.sleep(0.01)
        os.write(self.master, text.encode())

    def end(self):
        # What is typed before the line editor has the terminal is the kernel's, and may be lost.
        end = time.monotonic() + 60
        while self.process.poll() is None and time.monotonic() < end:
            self.type('\x04')
            try:
                self.process.wait(1)
            except subprocess.TimeoutExpired:
                continue
        os.close(self.master)
        return self.process.poll()


class OnATerminal(Shell):
    def open(self, *arguments, **environment):
        terminal = Terminal(self, *arguments, **environment)
        self.addCleanup(terminal.process.kill)
        return terminal

    def history(self):
        path = os.path.join(self.tmp, '.hone_history')
        if not os.path.exists(path):
            return None
        with open(path, encoding='utf-8') as file:
            return file.read()

    def test_words_are_completed(self):
        terminal = self.open()
        terminal.type('pee\tspi\t\n')         # the only command, the only function
        self.assertIn('| spin', terminal.wait('(pprof) '))
        terminal.type('granu\tli\t\n')         # an option and its value
        terminal.wait('(pprof) ')
        terminal.type('o\n')
        terminal.wait('granularity               = lines')
        terminal.wait('(pprof) ')
        terminal.type('t\t')                   # several: their list, and the line again
        listed = terminal.wait('(pprof) t')
        for word in ('tags', 'tagfocus', 'top', 'topproto', 'traces', 'tree', 'trim'):
            self.assertIn(word, listed.split())
        terminal.type('\x15')
        self.assertEqual(terminal.end(), 0)

    def test_errors_are_red_where_that_is_wanted(self):
        for environment, red in (({}, True), ({'NO_COLOR': '1'}, False), ({'NO_COLOR': ''}, True)):
            terminal = self.open(**environment)
            terminal.type('nothing\n')
            # The line editor may show its prompt again before the answer.
            said = terminal.wait('unrecognized command: "nothing"') + 'unrecognized'
            said += terminal.wait('(pprof) ')
            self.assertEqual('\x1b[0;31munrecognized' in said, red, (environment, said))
            self.assertEqual('\n\x1b[0m' in said, red)
            terminal.type('quit\n')
            self.assertEqual(terminal.process.wait(60), 0)
            os.close(terminal.master)

    def test_lines_are_edited_and_come_again_the_next_time(self):
        terminal = self.open()
        terminal.type('xunit=us\x01\x04\n')    # to the front, and take away one letter
        terminal.wait('(pprof) ')
        terminal.type('o\n')
        self.assertIn('unit                      = us', terminal.wait('(pprof) '))
        self.assertEqual(terminal.end(), 0)
        self.assertIn('unit=us', self.history())
        self.assertEqual(os.stat(os.path.join(self.tmp, '.hone_history')).st_mode & 0o777, 0o600)
        terminal = self.open()
        terminal.type('\x1b[A\x1b[A\n')        # up, up
        terminal.wait('unit=us')
        terminal.wait('(pprof) ')
        terminal.type('o\n')
        self.assertIn('unit                      = us', terminal.wait('(pprof) '))
        self.assertEqual(terminal.end(), 0)

    def test_nothing_is_remembered_when_so_wished_or_in_a_pipe(self):
        terminal = self.open(HONE_HISTORY='')
        terminal.type('top1\n')
        terminal.wait('(pprof) ')
        self.assertEqual(terminal.end(), 0)
        self.run_script((HONE, 'pprof'), 'top1\n')
        self.assertIsNone(self.history())
        chosen = os.path.join(self.tmp, 'chosen')
        terminal = self.open(HONE_HISTORY=chosen)
        terminal.type('top1\n')
        terminal.wait('(pprof) ')
        self.assertEqual(terminal.end(), 0)
        self.assertTrue(os.path.exists(chosen))
        self.assertIsNone(self.history())

    def test_an_interrupt_takes_the_line_away(self):
        terminal = self.open()
        terminal.type('focus=mistake')
        terminal.wait('focus=mistake')
        terminal.type('\x03')
        terminal.wait('(pprof) ')
        terminal.type('o\n')
        self.assertIn('focus                     = ""', terminal.wait('(pprof) '))
        self.assertEqual(terminal.end(), 0)

    def test_an_interrupt_is_taken_whenever_it_comes(self):
        terminal = self.open()
        for i in range(400):
            terminal.type('focus=mistak\u00e9e')
            until = time.perf_counter() + i % 40 * 8e-6
            while time.perf_counter() < until:
                pass
            os.write(terminal.master, b'\x03')
            terminal.wait('^C', seconds=20)
            terminal.wait('(pprof) ', seconds=20)
        self.assertEqual(terminal.end(), 0)

    def test_a_web_browser_is_started_and_the_shell_goes_on(self):
        browser = os.path.join(self.tmp, 'browser')
        with open(browser, 'w', encoding='ascii') as file:
            file.write(f'#!/bin/sh\ncp "$1" {self.tmp}/shown.svg\n')
        os.chmod(browser, 0o755)
        if not shutil.which('dot') or self.run_plain(HONE, 'pprof', '-dot', self.file).returncode:
            self.skipTest('no pictures of graphs here')
        terminal = self.open(BROWSER=browser)
        terminal.type('web\n')
        terminal.wait('(pprof) ')
        with open(os.path.join(self.tmp, 'shown.svg'), encoding='utf-8') as file:
            self.assertIn('</svg>', file.read())
        terminal.type('top1\n')
        terminal.wait('(pprof) ')
        self.assertEqual(terminal.end(), 0)


class OneLine(Shell):
    def test_the_page_is_not_there_and_what_to_do_instead(self):
        done = self.run_plain(HONE, 'pprof', '-http', 'localhost:0', self.file)
        self.assertEqual((done.returncode, done.stdout), (1, b''))
        self.assert_one_clear_line(done.stderr, 'no page for')
        self.assert_one_clear_line(done.stderr, 'hone flame', 'hone pprof -svg')

    def test_an_interrupted_shell_in_a_pipe_ends(self):
        process = subprocess.Popen([HONE, 'pprof', self.file], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                   env=self.environment)
        self.assertEqual(process.stdout.read(8), b'(pprof) ')
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, -signal.SIGINT)


if __name__ == '__main__':
    unittest.main()
