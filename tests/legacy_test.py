"""Files of pprof's older formats give what `go tool pprof` makes of them.

The corpus lies in src/profile/corpus/legacy: files that gperftools and Go wrote, and files written by
hand for what those do not show. profile_recode reads each as every view does and writes it as
profile.proto; pprof's `-raw` of both must be the same to the letter.
"""

import os
import pathlib
import subprocess
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor

import harness

CORPUS = pathlib.Path(__file__).parent.parent / 'src/profile/corpus/legacy'
RECODE = os.path.join(harness.BUILD, 'src/profile/profile_recode')

# Where we differ from pprof, and why.
PPROF_READS = {
    # Numbers that overflow: pprof goes on with what is left of them.
    'bad_contention_too_large', 'bad_cpu_count_too_large', 'bad_cpu_period_too_large',
    'bad_heap_estimate',
    # A stack of which the end is missing: pprof fills it with frames at address -1.
    'bad_cpu_cut_in_stack', 'bad_cpu_cut_in_word',
}
PPROF_REFUSES = {
    'threadcreate_go',  # "4 @" without addresses, which Go itself writes
    'java_heap_empty',  # read, but neither samples nor types are there to be shown
}


def pprof(directory, path, report):
    environment = {**os.environ, 'PPROF_TMPDIR': directory, 'PPROF_BINARY_PATH': '/nonexistent'}
    return subprocess.run(['go', 'tool', 'pprof', '-symbolize=none', report, path], text=True,
                          errors='replace', capture_output=True, timeout=120, check=False,
                          env=environment)


class Legacy(harness.TestCase):
    def setUp(self):
        super().setUp()
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name

    def recode(self, path):
        out = os.path.join(self.directory, f'{path.name}.pb.gz')
        done = subprocess.run([RECODE, path, out], capture_output=True, timeout=60, check=False)
        return out, done

    def compare(self, path):
        name = path.name
        out, ours = self.recode(path)
        theirs = pprof(self.directory, path, '-raw')
        if name.startswith('bad_'):
            self.assertEqual(ours.returncode, 1, name)
            self.assert_one_clear_line(ours.stderr, name)
            self.assertEqual(theirs.returncode == 0, name in PPROF_READS, name)
            return
        self.assertEqual(ours.returncode, 0, f'{name}: {ours.stderr}')
        if name in PPROF_REFUSES:
            self.assertNotEqual(theirs.returncode, 0, name)
            return
        self.assertEqual(theirs.returncode, 0, f'{name}: {theirs.stderr}')
        again = pprof(self.directory, out, '-raw')
        self.assertEqual(again.stdout, theirs.stdout, name)
        if 'heap' in name or 'cpu' in name:
            top = [pprof(self.directory, file, '-top') for file in (path, out)]
            self.assertEqual(top[0].stdout, top[1].stdout, name)

    def test_what_pprof_makes_of_them(self):
        files = sorted(CORPUS.iterdir())
        self.assertGreaterEqual(len(files), 60)
        with ThreadPoolExecutor(2) as pool:
            for path, done in [(f, pool.submit(self.compare, f)) for f in files]:
                with self.subTest(path.name):
                    done.result()

    def test_views_read_them(self):
        for name in ('cpu_64_little', 'heap_gperftools', 'java_heap', 'threads', 'contention',
                     'goroutine_go'):
            with self.subTest(name):
                done = subprocess.run([harness.HONE, 'top', CORPUS / name], capture_output=True,
                                      text=True, timeout=60, check=False)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertIn('flat%', done.stdout)


if __name__ == '__main__':
    unittest.main()
