"""Programs about signals, compiled and compared with themselves without us: what the tests share."""

import os
import shutil
import subprocess

import harness


class SignalsTestCase(harness.TestCase):
    """Programs that say what they see of signals."""

    def compiled(self, name, source, compiler='cc'):
        program = os.path.join(self.tmp, name)
        subprocess.run([compiler, '-w', '-x', 'c', '-', '-o', program, '-pthread'], input=source, text=True,
                       check=True)
        return program

    def as_without_us(self, name, source, said, *arguments, compilers=('cc', 'musl-gcc'),
                      options=()):
        for compiler in filter(shutil.which, compilers):
            with self.subTest(compiler=compiler):
                program = self.compiled(f'{name}-{compiler}', source, compiler)
                recording = self.record(program, *arguments, rate=10000, options=options)
                self.assertEqual(recording.status, 0, recording.stderr)
                self.assertEqual(recording.stdout.decode(),
                                 self.run_plain(program, *arguments).stdout.decode())
                self.assertIn(said, recording.stdout)
