"""Profiles from servers: what is asked, what comes of every answer, where it is kept."""

import os
import pty
import re
import select
import shutil
import signal
import subprocess
import tempfile
import unittest

import harness
from harness import HONE, workload
from profile_server import GoServer, Server, closed_port, make_certificates


def collapsed_sum(text):
    return sum(int(line.rsplit(' ', 1)[1]) for line in text.splitlines())


def go_pprof():
    """The program itself: `go tool` would have a status of its own."""
    return subprocess.run(['go', 'tool', '-n', 'pprof'], capture_output=True, text=True,
                          check=True).stdout.strip()


class Fetching(harness.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.shared = tempfile.mkdtemp(prefix='hone-fetch-')
        cls.addClassCleanup(shutil.rmtree, cls.shared, ignore_errors=True)
        directory = os.path.join(cls.shared, 'session')
        subprocess.run([HONE, 'record', '-q', '-o', directory, workload('split'), 'functions', '300'],
                       check=True, capture_output=True)
        cls.file = os.path.join(directory, 'cpu.prof')
        with open(cls.file, 'rb') as file:
            cls.profile = file.read()

    def setUp(self):
        super().setUp()
        self.home = os.path.join(self.tmp, 'home')
        os.mkdir(self.home)
        self.environment = {name: value for name, value in os.environ.items()
                            if not name.lower().endswith('_proxy')}
        self.environment['HOME'] = self.home
        self.environment.pop('PPROF_TMPDIR', None)
        self.server = Server(self.profile)
        self.addCleanup(self.server.close)

    def hone(self, *arguments, status=0, **environment):
        done = subprocess.run([HONE, *arguments], capture_output=True, text=True, check=False,
                              stdin=subprocess.DEVNULL, cwd=self.tmp, timeout=120,
                              env={**self.environment, **environment})
        self.assertEqual(done.returncode, status, done.stderr)
        return done

    def local(self, *arguments):
        return self.hone(*arguments).stdout

    def saved(self):
        directory = os.path.join(self.home, 'pprof')
        return sorted(os.listdir(directory)) if os.path.isdir(directory) else []

    def refused(self, path, *words):
        """One line that says where and why, status 1, and nothing kept."""
        done = self.hone('top', path if '://' in path else self.server.url(path), status=1)
        self.assertEqual(done.stdout, '')
        line = self.assert_one_clear_line(done.stderr.encode(), 'cannot')
        for word in words:
            self.assertIn(word, line)
        self.assertEqual(self.saved(), [])
        return done.stderr


class Answers(Fetching):
    def test_what_a_server_sends_is_shown_by_every_view(self):
        for view in (['top'], ['tree'], ['peek', 'red'], ['list', '^red$'], ['traces'],
                     ['collapsed'], ['info'], ['flame']):
            done = self.hone(*view, self.server.url('/good'))
            self.assertEqual(done.stdout, self.local(*view, self.file), view)
            self.assertRegex(done.stderr, r"^hone: saved as '[^']+'\n$")

    def test_a_host_with_its_port_is_asked_for_the_cpu_profile(self):
        self.hone('top', f'127.0.0.1:{self.server.port}')
        self.hone('top', '--seconds', '3', f'127.0.0.1:{self.server.port}/')
        self.hone('top', '-seconds=4', self.server.url('/good?seconds=9&a=1'))
        self.assertEqual(self.server.requests, ['/debug/pprof/profile',
                                                '/debug/pprof/profile?seconds=3',
                                                '/good?a=1&seconds=4'])

    def test_packed_answers_and_redirects_are_followed(self):
        wanted = self.local('collapsed', self.file)
        for path in ('/packed', '/redirect'):
            self.assertEqual(self.hone('collapsed', self.server.url(path)).stdout, wanted)

    def test_errors_of_servers_are_told_with_their_reason(self):
        self.refused('/nowhere', self.server.url('/nowhere'), '404 Not Found')
        self.assertNotIn('more', self.refused('/busy', '503 Service Unavailable - profiling is busy'))
        self.refused('/loop', '10 redirects')
        self.refused('/away', 'only http')
        self.refused('/empty', 'empty')
        self.assertIn('text/html', self.refused('/page', self.server.url('/page')))
        self.refused(f'http://127.0.0.1:{closed_port()}/x', 'connection refused')
        self.refused('ftp://127.0.0.1/x', 'only http')
        self.refused('http://127.0.0.1.invalid/x', 'nobody knows the host')

    def test_silent_servers_are_given_up(self):
        # One that never answers and one that stops: both within their time and pprof's five seconds.
        done = self.hone('top', self.server.url('/silent?seconds=1'),
                         self.server.url('/stalls?seconds=1'), status=1)
        self.assertIn('does not answer for 6 s', done.stderr)
        self.assertIn('stopped sending for 6 s', done.stderr)

    def test_patience_can_be_limited(self):
        done = self.hone('flame', '--timeout', '1s', self.server.url('/silent'), status=1)
        self.assertIn('does not answer for 6 s', done.stderr)

    def test_a_base_is_asked_for_as_long(self):
        self.hone('top', '--seconds', '3', '--base', self.server.url('/good?a=1'),
                  self.server.url('/good'))
        self.assertEqual(self.server.requests, ['/good?seconds=3', '/good?a=1&seconds=3'])

    def test_users_are_known_and_their_passwords_shown_to_nobody(self):
        url = self.server.url('/secret', user='ann:p%40ss@')
        done = self.hone('collapsed', url)
        self.assertEqual(done.stdout, self.local('collapsed', self.file))
        done = self.hone('top', self.server.url('/secret', user='ann:wr0ng@'), status=1)
        self.assertIn('401 Unauthorized - who are you?', done.stderr)
        self.assertIn('//ann:xxxxx@', done.stderr)
        self.assertNotIn('wr0ng', done.stderr)

    def test_an_interrupt_ends_it_and_leaves_nothing(self):
        process = subprocess.Popen([HONE, 'top', self.server.url('/silent'),
                                    self.server.url('/good')], env=self.environment,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.server.wait_for('/silent')
        process.send_signal(signal.SIGINT)
        stdout, _ = process.communicate(timeout=60)
        self.assertEqual((process.returncode, stdout), (-signal.SIGINT, b''))
        self.assertEqual(self.saved(), [])


class Several(Fetching):
    def test_servers_are_asked_at_once_and_merged(self):
        urls = [self.server.url('/together')] * 3
        done = self.hone('collapsed', *urls, self.file)
        self.assertEqual(collapsed_sum(done.stdout),
                         4 * collapsed_sum(self.local('collapsed', self.file)))
        self.assertEqual(len(self.saved()), 1)

    def test_a_failed_server_does_not_spoil_the_others(self):
        done = self.hone('collapsed', self.server.url('/good'), self.server.url('/busy'),
                         self.server.url('/good'))
        self.assertEqual(done.stdout, self.local('collapsed', self.file, self.file))
        self.assert_one_clear_line(done.stderr.encode(), 'cannot fetch', '/busy', '503')
        self.assert_one_clear_line(done.stderr.encode(), 'showing 2 of 3 profiles')

    def test_a_missing_file_does(self):
        done = self.hone('top', self.server.url('/good'), 'missing.prof', status=1)
        self.assertEqual(done.stdout, '')
        self.assert_one_clear_line(done.stderr.encode(), 'missing.prof', 'no such file')

    def test_when_all_fail_each_is_told(self):
        done = self.hone('top', self.server.url('/busy'), self.server.url('/nowhere'), status=1)
        self.assert_one_clear_line(done.stderr.encode(), '/busy', '503')
        self.assert_one_clear_line(done.stderr.encode(), '/nowhere', '404')


class Kept(Fetching):
    def test_profiles_are_kept_where_pprof_keeps_them(self):
        self.hone('top', self.server.url('/good'))
        done = self.hone('top', self.server.url('/good'))
        names = [f'pprof.split.samples.cpu.00{n}.pb.gz' for n in (1, 2)]
        self.assertEqual(self.saved(), names)
        path = os.path.join(self.home, 'pprof', names[1])
        self.assertIn(f"'{path}'", done.stderr)
        self.assertEqual(self.local('traces', path), self.local('traces', self.file))

    def test_the_directory_can_be_chosen(self):
        chosen = os.path.join(self.tmp, 'a', 'b')
        self.hone('top', self.server.url('/good'), PPROF_TMPDIR=chosen)
        self.assertEqual(os.listdir(chosen), ['pprof.split.samples.cpu.001.pb.gz'])
        self.assertEqual(self.saved(), [])

    def test_files_are_not_copied(self):
        self.hone('top', self.file)
        self.assertEqual(self.saved(), [])


class Secure(Fetching):
    def setUp(self):
        super().setUp()
        self.made = make_certificates(self.tmp)
        self.tls = Server(self.profile, (self.made['server.pem'], self.made['server.key']))
        self.addCleanup(self.tls.close)

    def test_only_trusted_servers_are_believed(self):
        wanted = self.local('collapsed', self.file)
        done = self.hone('top', self.tls.url('/good'), status=1)
        self.assert_one_clear_line(done.stderr.encode(), 'certificate cannot be trusted')
        self.assert_one_clear_line(done.stderr.encode(), 'https+insecure://')
        self.assertEqual(self.tls.requests, [])
        done = self.hone('collapsed', self.tls.url('/good', scheme='https+insecure'))
        self.assertEqual(done.stdout, wanted)
        done = self.hone('collapsed', self.tls.url('/good'), SSL_CERT_FILE=self.made['ca.pem'])
        self.assertEqual(done.stdout, wanted)

    def test_certificates_of_both_sides_are_used(self):
        strict = Server(self.profile, (self.made['server.pem'], self.made['server.key']),
                        self.made['ca.pem'])
        self.addCleanup(strict.close)
        authority = f'-tls_ca={self.made["ca.pem"]}'
        mine = [f'-tls_cert={self.made["client.pem"]}', f'-tls_key={self.made["client.key"]}']
        wanted = self.local('pprof', '-top', self.file)
        done = self.hone('pprof', '-top', authority, *mine, strict.url('/good'))
        self.assertEqual(done.stdout, wanted)
        self.hone('pprof', '-top', authority, strict.url('/good'), status=2)
        self.hone('pprof', '-top', *mine, strict.url('/good'), status=2)
        self.assertEqual(strict.requests, ['/good'])
        done = self.hone('pprof', '-top', mine[0], strict.url('/good'), status=2)
        self.assertIn('-tls_cert is specified, so -tls_key must also be specified', done.stderr)

    def test_views_have_the_same_options(self):
        strict = Server(self.profile, (self.made['server.pem'], self.made['server.key']),
                        self.made['ca.pem'])
        self.addCleanup(strict.close)
        authority = ('--tls-ca', self.made['ca.pem'])
        mine = ('--tls-cert', self.made['client.pem'], '--tls-key', self.made['client.key'])
        url = strict.url('/good')
        for view in (['top'], ['call-tree'], ['flame'], ['dot'], ['weblist', '^red$'],
                     ['disasm', '^red$'], ['info'], ['top', '--base', url],
                     ['merge', '-o', 'merged.prof'], ['diff', self.file]):
            done = self.hone(*view, *authority, *mine, url)
            wanted = [self.file if word == url else word for word in view]
            self.assertEqual(done.stdout, self.local(*wanted, self.file), view)
            self.hone(*view, *authority, url, status=1)
            self.hone(*view, *mine, url, status=1)
        done = self.hone('top', *mine[:2], url, status=2)
        self.assert_one_clear_line(done.stderr.encode(), '--tls-cert', '--tls-key')
        done = self.hone('top', '--timeout', '0', url, status=2)
        self.assert_one_clear_line(done.stderr.encode(), '--timeout', '1s')

    def test_a_server_without_tls_is_told(self):
        done = self.hone('top', self.server.url('/good', scheme='https'), status=1)
        self.assert_one_clear_line(done.stderr.encode(), 'cannot fetch')


class LikeGo(Fetching):
    """hone pprof beside go tool pprof, each with a home of its own."""

    def both(self, *arguments, same=('status', 'stdout', 'stderr')):
        results = []
        for program in ((HONE, 'pprof'), (go_pprof(),)):
            home = tempfile.mkdtemp(dir=self.tmp)
            done = subprocess.run([*program, *arguments], capture_output=True, text=True,
                                  check=False, stdin=subprocess.DEVNULL, cwd=self.tmp, timeout=120,
                                  env={**self.environment, 'HOME': home})
            kept = os.path.join(home, 'pprof')
            results.append({'status': done.returncode, 'stdout': done.stdout,
                            # Go asks all at once and tells in any order.
                            'stderr': sorted(done.stderr.replace(home, 'HOME').splitlines()),
                            'kept': sorted(os.listdir(kept)) if os.path.isdir(kept) else []})
        ours, theirs = results
        for what in (*same, 'kept'):
            self.assertEqual(ours[what], theirs[what], f'{what} of {arguments}')
        return ours

    def test_a_profile_from_a_server(self):
        for arguments in (['-top', self.server.url('/good')],
                          ['-top', f'127.0.0.1:{self.server.port}'],
                          ['-traces', '-seconds=75', self.server.url('/good?x=1')],
                          ['-top', '-add_comment=mine', self.server.url('/redirect')],
                          ['-top', self.file, self.server.url('/packed')],
                          ['-top', '-base', self.server.url('/good'), self.file],
                          ['-top', self.file]):
            self.assertEqual(self.both(*arguments)['status'], 0, arguments)

    def test_failures_are_left_out(self):
        done = self.both('-top', self.server.url('/nowhere'), self.server.url('/good'), 'missing',
                         same=('status', 'stdout'))
        self.assertIn('Fetched 1 source profiles out of 3', done['stderr'])
        self.assertIn('missing: open missing: no such file or directory', done['stderr'])
        self.assertIn('server response: 404 Not Found', ' '.join(done['stderr']))
        for failing in (self.server.url('/busy'), self.server.url('/nowhere'), 'missing'):
            done = self.both('-top', failing, same=('status', 'stdout'))
            self.assertIn('failed to fetch any source profiles', done['stderr'])
        done = self.both('-top', '-base', 'missing', self.file, same=('status', 'stdout'))
        self.assertIn('failed to fetch any base profiles', done['stderr'])

    def test_servers_name_functions(self):
        url = self.server.url('/debug/pprof/nameless')
        done = self.both('-top', '-symbolize=remote', url)
        self.assertIn('function_at_0x40101f', done['stdout'])
        asked = [(path, sorted(body.split('+'))) for path, body in self.server.posted]
        self.assertEqual(asked[0], asked[1])
        self.assertEqual(asked[0][0], '/debug/pprof/symbol')
        self.both('-traces', '-symbolize=remote', self.server.url('/elsewhere/nameless'))
        self.assertEqual(self.server.posted[-1][0], '/symbolz')
        self.both('-traces', '-symbolize=remote', url, url)
        self.both('-top', '-symbolize=remote', url, self.server.url('/pprof/nameless'))

    def test_servers_are_not_asked_for_names_when_that_is_not_wanted(self):
        for mode in ('none', 'local', 'fastlocal'):
            self.both('-traces', f'-symbolize={mode}', self.server.url('/debug/pprof/nameless'),
                      same=('status', 'stdout'))
        self.both('-top', self.server.url('/good'))
        self.assertEqual(self.server.posted, [])

    def test_a_server_without_names_is_an_error(self):
        self.server.has_names = False
        done = self.both('-top', self.server.url('/debug/pprof/nameless'), same=('status', 'stdout'))
        self.assertNotEqual(done['status'], 0)
        self.assertIn('server response: 404', ' '.join(done['stderr']))

    def test_patience_can_be_limited(self):
        done = self.hone('pprof', '-top', '-timeout=1', self.server.url('/silent'), status=2)
        self.assertIn('does not answer for 6 s', done.stderr)


class OnATerminal(Fetching):
    def test_one_line_tells_how_far_it_is_and_goes_away(self):
        """What stands on standard error, a terminal, while the profile goes to a pipe."""
        harness.needs_terminal()
        master, slave = pty.openpty()
        process = subprocess.Popen([HONE, 'collapsed', self.server.url('/silent'),
                                    self.server.url('/good')], env=self.environment,
                                   stdin=slave, stdout=subprocess.PIPE, stderr=slave,
                                   start_new_session=True,
                                   preexec_fn=lambda: __import__('fcntl').ioctl(
                                       0, __import__('termios').TIOCSCTTY, 0))
        os.close(slave)
        seen = b''
        self.server.wait_for('/silent')
        while b'1 there' not in seen:
            self.assertTrue(select.select([master], [], [], 60)[0], seen)
            seen += os.read(master, 4096)
        self.assertIn(b'hone: fetching 2 profiles: ', seen)
        self.server.released.set()  # the server hangs up
        stdout, _ = process.communicate(timeout=60)
        while select.select([master], [], [], 0.2)[0]:
            try:
                seen += os.read(master, 4096)
            except OSError:
                break
        os.close(master)
        last = re.split(rb'\r\x1b\[K', seen)[-1]
        self.assertNotIn(b'fetching', last)
        self.assertIn(b'hone: saved as', last)
        self.assertEqual(stdout.decode(), self.local('collapsed', self.file))


class Go(Fetching):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.go = GoServer(cls.shared)
        cls.addClassCleanup(cls.go.close)

    def test_a_go_program_is_profiled_while_it_runs(self):
        done = self.hone('collapsed', '--seconds', '1', self.go.address)
        self.assertIn('main.busyWork', done.stdout)
        self.assertEqual(self.saved(), ['pprof.goserver.samples.cpu.001.pb.gz'])
        info = self.local('info', os.path.join(self.home, 'pprof', self.saved()[0]))
        self.assertIn('cpu', info)

    def test_its_other_profiles_too_and_its_errors(self):
        heap = self.hone('top', f'http://{self.go.address}/debug/pprof/heap')
        self.assertIn('inuse_space', heap.stdout)
        done = self.hone('top', f'{self.go.address}/debug/pprof/nothing', status=1)
        self.assert_one_clear_line(done.stderr.encode(), '404 Not Found - Unknown profile')

    def test_two_cpu_profiles_of_one_program_exclude_each_other(self):
        done = self.hone('collapsed', '--seconds', '1', self.go.address, self.go.address)
        self.assertIn('main.busyWork', done.stdout)
        self.assert_one_clear_line(done.stderr.encode(), 'cannot fetch', 'already in use')


if __name__ == '__main__':
    unittest.main()
