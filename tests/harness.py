"""What the whole-program tests share: running `hone record`, the truth, and the judgement.

    HONE_BUILD=build python3 -m unittest discover -s tests -p '*_test.py' -v
"""

import functools
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

from pprof import Profile
from starts import completeness

BUILD = os.path.abspath(os.environ.get('HONE_BUILD', 'build'))
HONE = os.path.join(BUILD, 'hone')
NS = 1_000_000_000
# Indexes of names are shared by all tests of a build, and never the user's own.
os.environ['HONE_CACHE'] = os.path.join(BUILD, 'cache')


def workload(name):
    return os.path.join(BUILD, 'workloads', name)


def needs_terminal():
    """Skips a test that stands in for a terminal where there is none to be had, as in a chroot
    without /dev/pts."""
    try:
        for descriptor in os.openpty():
            os.close(descriptor)
    except OSError as error:
        raise unittest.SkipTest(f'no pseudo-terminal: {error}') from error


class Usage:
    """CPU and wall time of a program, measured by the kernel and read by workloads/stopwatch."""

    def __init__(self, path):
        with open(path, encoding='utf-8') as file:
            facts = dict(line.split() for line in file)
        self.user_ns, self.system_ns = int(facts['user']), int(facts['system'])
        self.wall_ns = int(facts['wall'])
        self.resident_bytes = int(facts['resident'])

    @property
    def cpu_ns(self):
        return self.user_ns + self.system_ns


class Recording:
    """One run of `hone record` and what it left behind."""

    def __init__(self, done, directory, usage):
        self.status, self.stdout, self.stderr = done.returncode, done.stdout, done.stderr
        self.directory, self.usage = directory, usage
        self._profile = self._wall = self._heap = None

    @property
    def path(self):
        return os.path.join(self.directory, 'cpu.prof')

    @property
    def profile(self):
        if self._profile is None:
            self._profile = Profile.read(self.path)
        return self._profile

    @property
    def wall(self):
        if self._wall is None:
            self._wall = Profile.read(os.path.join(self.directory, 'wall.prof'))
        return self._wall

    @property
    def heap(self):
        if self._heap is None:
            self._heap = Profile.read(os.path.join(self.directory, 'heap.prof'))
        return self._heap

    @property
    def session(self):
        with open(os.path.join(self.directory, 'session.json'), encoding='utf-8') as file:
            return json.load(file)

    @property
    def truth(self):
        """The lines `NAME NANOSECONDS` that workloads print, summed by name."""
        sums = {}
        for line in self.stdout.decode().splitlines():
            words = line.split()
            if len(words) == 2 and words[1].isdigit():
                sums[words[0]] = sums.get(words[0], 0) + int(words[1])
        return sums


def measured(judgement):
    """A method that judges what was measured."""
    @functools.wraps(judgement)
    def judge(self, *arguments, **options):
        try:
            return judgement(self, *arguments, **options)
        except ByChance:
            raise
        except self.failureException as error:
            raise ByChance(*error.args) from None
    return judge


class ByChance(AssertionError):
    """A figure that was measured is not what it should be. Once in a while that is chance, or what
    others do on the machine: only what is so each time is a failure."""


class Attempt(unittest.TestResult):
    """What one run of a test said, to be judged before anybody hears of it."""

    def __init__(self):
        super().__init__()
        self.kinds, self.said = [], []

    def _keep(self, name, *arguments):
        self.said.append((name, arguments))

    def _keep_failure(self, name, test, error):
        self.kinds.append(error[0])
        self._keep(name, test, error)

    def addSuccess(self, test):
        self._keep('addSuccess', test)

    def addSkip(self, test, reason):
        self._keep('addSkip', test, reason)

    def addFailure(self, test, err):
        self._keep_failure('addFailure', test, err)

    def addError(self, test, err):
        self._keep_failure('addError', test, err)

    def addSubTest(self, test, subtest, err):
        if err:
            self.kinds.append(err[0])
        self._keep('addSubTest', test, subtest, err)

    def addExpectedFailure(self, test, err):
        self._keep('addExpectedFailure', test, err)

    def addUnexpectedSuccess(self, test):
        self._keep_failure('addUnexpectedSuccess', test, (AssertionError,))

    def failed_by_chance(self):
        return bool(self.kinds) and all(issubclass(kind, ByChance) for kind in self.kinds)

    def first_reason(self):
        for _, arguments in self.said:
            if isinstance(arguments[-1], tuple) and issubclass(arguments[-1][0], ByChance):
                return arguments[-1][1]
        return None

    def tell(self, result):
        for name, arguments in self.said:
            getattr(result, name)(*arguments)


class TestCase(unittest.TestCase):
    maxDiff = 4000
    ATTEMPTS = 3

    def run(self, result=None):
        """As ever, but that a test which failed by chance alone is run again, and says so."""
        if result is None:
            return super().run()
        result.startTest(self)
        for left in reversed(range(self.ATTEMPTS)):
            attempt = Attempt()
            super().run(attempt)
            if not left or not attempt.failed_by_chance():
                break
            print(f'REPEATED {self.id()}: {attempt.first_reason()}', file=sys.stderr, flush=True)
            self.tearDownClass()
            self.doClassCleanups()
            self.setUpClass()  # what it recorded is measured anew, too
        attempt.tell(result)
        result.stopTest(self)
        return result

    # What is compared by order was measured; what must be exact is compared by equality.
    assertLess = measured(unittest.TestCase.assertLess)
    assertLessEqual = measured(unittest.TestCase.assertLessEqual)
    assertGreater = measured(unittest.TestCase.assertGreater)
    assertGreaterEqual = measured(unittest.TestCase.assertGreaterEqual)
    assertAlmostEqual = measured(unittest.TestCase.assertAlmostEqual)

    @classmethod
    def setUpClass(cls):
        if not os.access(HONE, os.X_OK):
            raise FileNotFoundError(f'no {HONE}: build first, and set HONE_BUILD')

    def setUp(self):
        self.tmp = tempfile.mkdtemp(prefix='hone-test-')
        os.chmod(self.tmp, 0o755)
        self.addCleanup(shutil.rmtree, self.tmp, ignore_errors=True)
        self._runs = 0

    def run_plain(self, *program, timeout=120, **options):
        options.setdefault('input', b'')
        return subprocess.run(program, capture_output=True, timeout=timeout, check=False, **options)

    def record(self, *program, rate=1000, options=(), stopwatch=False, timeout=120, **run):
        """Records a program. With `stopwatch` the kernel's own figures come along."""
        self._runs += 1
        directory = os.path.join(self.tmp, f'session-{self._runs}')
        times = os.path.join(self.tmp, f'times-{self._runs}')
        if stopwatch:
            program = (workload('stopwatch'), times, *program)
        run.setdefault('input', b'')
        done = subprocess.run([HONE, 'record', '-F', str(rate), '-o', directory, *options, '--',
                               *program], capture_output=True, timeout=timeout, check=False, **run)
        recording = Recording(done, directory, Usage(times) if os.path.exists(times) else None)
        if recording.usage is None and stopwatch:
            self.fail(f'the program did not run to its end: {done}')
        return recording

    def record_well(self, *program, **options):
        """Records a program that must succeed and leave a correct file."""
        recording = self.record(*program, **options)
        self.assertEqual(recording.status, 0,
                         f'{program}: {recording.stderr.decode(errors="replace")}')
        self.assertEqual(recording.profile.problems(), [])
        return recording

    # ---- judgements -----------------------------------------------------------------------

    @measured
    def assert_complete(self, profile, least=0.995, errors=0.0):
        """The share of complete stacks is at least that; less by `errors` standard errors where
        it is so close to the limit that chance would decide."""
        found = completeness(profile)
        self.assertGreater(found.total, 0, 'nothing was sampled')
        chance = errors * math.sqrt(least * (1 - least) / profile.total('samples'))
        self.assertGreaterEqual(found.share, least - chance,
                                f'stacks end early: {found.broken.most_common(8)}')
        # What the profile says of itself is not better than what we can prove.
        claim = re.search(r'stacks: ([\d.]+)% of cpu time in complete', '\n'.join(profile.comments),
                          re.IGNORECASE)
        if claim:
            self.assertLessEqual(float(claim[1]) / 100, found.share + 1e-4)
        return found.share

    @measured
    def assert_rate(self, profile, cpu_ns, rate=1000, least=0.97, threads=0, merged=0):
        """A thread's first sample comes after a whole period: half a one is missing on average,
        which matters where threads are many and short. `merged` periods count where the recording
        says that the machine's timer came too late for them."""
        samples = profile.total('samples') + merged
        self.assertGreaterEqual(samples, least * rate * cpu_ns / NS - 0.6 * threads,
                                f'{samples} samples in {cpu_ns / NS:.3f} s of CPU time: '
                                f'{samples / (cpu_ns / NS):.1f} a second')

    @measured
    def assert_total(self, profile, cpu_ns, within=0.02):
        # The kernel's figure is of the stopwatch's children. What its own start costs, as the first of a
        # recording, is some 100 ms at times where others keep the machine busy.
        total = profile.total('cpu', where=lambda s: 'stopwatch' not in s.labels.get('process', []))
        self.assertLessEqual(abs(total - cpu_ns), within * cpu_ns,
                             f'profile {total / NS:.3f} s, kernel {cpu_ns / NS:.3f} s '
                             f'({100 * (total / cpu_ns - 1):+.2f} %)')

    @measured
    def assert_shares(self, sums, samples, truth, errors=3.0):
        """`sums` and `truth` map names to CPU time; shares agree within three standard errors.

        A share p estimated from n samples has the standard error sqrt(p (1 - p) / n). Only the
        names in `truth` count; what else was seen is another question.
        """
        total, true_total = sum(sums.get(name, 0) for name in truth), sum(truth.values())
        self.assertGreater(total, 0, 'nothing was sampled')
        for name, ns in truth.items():
            true, seen = ns / true_total, sums.get(name, 0) / total
            error = math.sqrt(true * (1 - true) / samples)
            self.assertLessEqual(abs(seen - true), errors * error,
                                 f'{name}: {100 * seen:.2f} % seen, {100 * true:.2f} % true, '
                                 f'standard error {100 * error:.2f} %')

    @measured
    def assert_only(self, profile, names, most=0.01):
        """All CPU but one per cent, within three standard errors of that, lies in stacks that hold one
        of the names, once the program runs: what its start costs is the machine's affair."""
        def runs(sample):
            return not sample.has('[exec and loader]') and not sample.has('[fork]')
        total = profile.total(where=runs)
        other = profile.total(where=lambda s: runs(s)
                              and not any(s.has(name) for name in names))
        # Where few samples were taken, each is much.
        error = math.sqrt(most * (1 - most) / profile.total('samples'))
        self.assertLessEqual(other, (most + 3 * error) * total,
                             f'{100 * other / total:.2f} % of the CPU time lies elsewhere')

    def assert_one_clear_line(self, stderr, *words):
        """Exactly one line begins an error, it is Hone's, and it names what matters."""
        lines = [line for line in stderr.decode().splitlines() if line.startswith('hone: ')]
        matching = [line for line in lines if all(w.lower() in line.lower() for w in words)]
        self.assertEqual(len(matching), 1, f'wanted one line with {words} in {stderr.decode()!r}')
        return matching[0]
