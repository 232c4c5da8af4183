"""Pitfalls: libraries that come, go, and stand in the way.
"""

import os
import re
import subprocess
import unittest

import harness
import starts
from harness import NS, workload


class Libraries(harness.TestCase):
    def test_loading_and_unloading_at_10000_hz(self):
        profile = self.record_well(workload('dl'), workload('libplugin.so'), '1500',
                                   rate=10000).profile
        self.assert_complete(profile)

    def test_a_preload_of_the_users_own_is_kept(self):
        # libearly.so starts a thread from its constructor; without it, no such function runs.
        recording = self.record_well(workload('split'), 'functions', '700',
                                     env={**os.environ, 'LD_PRELOAD': workload('libearly.so')})
        self.assertGreater(recording.profile.cumulative()['early_bird'], 0.4 * NS)


class Loading(harness.TestCase):
    """dlopen() and dlclose() without pause, in four threads, of libraries that take each other's
    places."""

    PLUGINS = (('libplugin.so', 'plugin_work'), ('libplugin1.so', 'first_work'),
               ('libplugin2.so', 'second_work'))

    def check(self, ms, rate):
        recording = self.record_well(workload('dlmany'), str(ms),
                                     *(f'{workload(file)}:{name}' for file, name in self.PLUGINS),
                                     rate=rate, timeout=240)
        profile = recording.profile
        truth = {name: recording.truth[name] for _, name in self.PLUGINS}
        # Libraries go while their code is being read: a few stacks per thousand end there.
        self.assert_complete(profile, least=0.99, errors=3)
        cumulative = profile.cumulative()
        for name, ns in truth.items():
            # The one is never taken for the other; some samples fall between two of them.
            self.assertLess(abs(cumulative[name] - ns), 0.1 * ns + 5e6,
                            f'{name}: {cumulative[name] / NS:.3f} s, true {ns / NS:.3f} s')
        for sample in profile.samples:
            self.assertLessEqual(sum(sample.has(name) for name in truth), 1, sample.stack)

    def test_a_library_appears_or_vanishes_while_we_read_it(self):
        self.check(500, 10000)


class Interposing(harness.TestCase):
    def test_the_wrong_original_function(self):
        # Another library that stands in front of the same functions, behind us.
        recording = self.record_well(workload('threads'), 'many', '3', '150',
                                     env={**os.environ, 'LD_PRELOAD': workload('libwrap.so')})
        self.assertIn(b'wrapped some', recording.stderr)
        self.assertGreater(recording.profile.cumulative()['crowd'],
                           0.9 * recording.truth['crowd'])

    def test_calls_before_we_start_and_an_auditor(self):
        # Constructors call what we stand in front of before ours has run.
        environment = {**os.environ, 'LD_AUDIT': workload('libwrap.so')}
        recording = self.record_well(workload('early'), env=environment)
        self.assertGreater(recording.profile.cumulative()['early_bird'], 0.4 * NS)

    def test_static_tls_space(self):
        library = os.path.join(harness.BUILD, 'libhone.so')
        code = ('import ctypes, sys; loaded = ctypes.CDLL(sys.argv[1]); '
                'print(loaded.hone_recording())')
        done = self.run_plain('/usr/bin/python3', '-c', code, library)
        self.assertEqual((done.returncode, done.stdout), (0, b'0\n'), done.stderr)


class Layout(harness.TestCase):
    """Where linkers put segments, and where debug information lies."""

    SOURCE = os.path.join(os.path.dirname(__file__), '../../workloads/split.c')
    LAYOUTS = {
        'not position independent': ['-no-pie'],
        'high addresses': ['-no-pie', '-Wl,-Ttext-segment=0x70000000'],
        'code and data in one segment': ['-Wl,-z,noseparate-code'],
        'packed relocations': ['-Wl,-z,pack-relative-relocs'],
        'large pages': ['-Wl,-z,max-page-size=0x200000'],
        'lld': ['-fuse-ld=lld'],
        'lld, one segment': ['-fuse-ld=lld', '-Wl,--no-rosegment', '-Wl,-z,noseparate-code'],
        'gold': ['-fuse-ld=gold'],
        'static position independent plugin sections': ['-ffunction-sections',
                                                        '-Wl,--gc-sections'],
    }

    def build(self, name, *options):
        program = os.path.join(self.tmp, name)
        done = subprocess.run(['cc', '-g', '-O2', '-fomit-frame-pointer', '-pthread', '-o', program,
                               self.SOURCE, *options], capture_output=True, timeout=60, check=False)
        return program if done.returncode == 0 else None

    def assert_named(self, program, **options):
        recording = self.record_well(program, 'functions', '300', **options)
        cumulative = recording.profile.cumulative()
        for name, ns in recording.truth.items():
            self.assertGreater(cumulative[name], 0.8 * ns - 4e6, name)
        self.assert_complete(recording.profile, errors=3)
        return recording.profile

    def assert_placed(self, program, profile):
        """Whoever knows only the mapping finds each address in the function that has its name."""
        listed = self.run_plain('nm', '-S', program).stdout.decode().splitlines()
        spans = {words[3]: (int(words[0], 16), int(words[1], 16))
                 for words in map(str.split, listed) if len(words) == 4}
        module, found = starts.Module(program), 0
        for frame in (f for s in profile.samples for f in s.stack if f.function == 'red'):
            at = module.address(frame.address - frame.mapping.start + frame.mapping.offset)
            start, size = spans['red']
            self.assertTrue(at is not None and start <= at < start + size, (at, start, size))
            found += 1
        self.assertGreater(found, 0)

    def test_aslr_pie_and_odd_segment_layouts(self):
        built = 0
        for name, options in self.LAYOUTS.items():
            with self.subTest(layout=name):
                program = self.build('program', *options)
                if program:
                    built += 1
                    self.assert_placed(program, self.assert_named(program))
        self.assertGreaterEqual(built, 5, 'hardly any of the layouts can be linked here')

    def test_stripped_binaries_and_split_debug_information(self):
        program = self.build('program', '-Wl,--build-id')
        debug = os.path.join(self.tmp, 'program.debug')
        for command in (['objcopy', '--only-keep-debug', program, debug], ['strip', program],
                        ['objcopy', f'--add-gnu-debuglink={debug}', program]):
            subprocess.run(command, check=True, timeout=60)
        self.assert_named(program)
        # Another build's debug file under the same name is no help.
        other = self.build('other', '-Wl,--build-id', '-O0')
        subprocess.run(['objcopy', '--only-keep-debug', other, debug], check=True, timeout=60)
        profile = self.record_well(program, 'functions', '200').profile
        self.assertFalse({f.function for s in profile.samples for f in s.stack}
                         & {'red', 'green', 'blue', 'by_functions', 'spin'})
        self.assertTrue(any(re.match(r'program\+0x', f.function) for s in profile.samples
                            for f in s.stack))


if __name__ == '__main__':
    unittest.main()
