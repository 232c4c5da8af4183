"""One real program, run without us and recorded: what changed, and what the profile is worth.

Shared by tests/real_test.py, which judges, and tests/real_table.py, which writes docs/programs.md.
"""

import hashlib
import os
import re
import shutil
import subprocess
from collections import namedtuple

import harness
import servers
from harness import NS, Profile
from starts import completeness

PATIENCE = 900    # seconds, on a machine that others use as well

Run = namedtuple('Run', 'status stdout stderr outputs usage')


class Measured:
    """`changed` names what the recording changed: nothing, one hopes. `refusal` is the line by
    which Hone said that it cannot record this program; there is no profile then."""

    def __init__(self, program, plain, recording, outputs):
        self.program, self.plain, self.recording = program, plain, recording
        self.refusal = self.refused()
        self.changed = [] if self.refusal else [name for name, same in (
            ('status', recording.status == plain.status),
            ('standard output', digest(recording.stdout) == digest(plain.stdout)),
            ('standard error', recording.stderr.startswith(plain.stderr)),
            ('files', outputs == plain.outputs)) if not same]

    def refused(self):
        if os.path.exists(self.recording.path):
            return None
        lines = self.recording.stderr.decode(errors='replace').splitlines()
        return next((line for line in lines if 'cannot record' in line), 'no profile')

    @property
    def profile(self):
        return self.recording.profile

    @property
    def kernel_ns(self):
        return self.recording.usage.cpu_ns

    @property
    def cost(self):
        return self.kernel_ns / self.plain.usage.cpu_ns - 1

    @property
    def off(self):
        return self.profile.total() / self.kernel_ns - 1

    @property
    def rate(self):
        return self.profile.total('samples') / (self.kernel_ns / NS)

    def complete(self):
        return completeness(self.profile)

    def count(self, label):
        return len({tuple(s.labels.get(label, ())) for s in self.profile.samples})

    def not_covered(self):
        return [comment for comment in self.profile.comments if comment.startswith('not covered')]

    def wall(self):
        """The profile of waiting, when one was asked for."""
        path = os.path.join(self.recording.directory, 'wall.prof')
        return Profile.read(path) if os.path.exists(path) else None


def digest(data):
    return hashlib.sha256(data).hexdigest()


def take_outputs(program, directory):
    """What the program wrote, taken away so that the next run starts alike."""
    found = {}
    for name in getattr(program, 'outputs', ()):
        path = os.path.join(directory, name)
        with open(path, 'rb') as file:
            found[name] = digest(file.read())
        os.unlink(path)
    return found


def measure(case, program, directory, options=()):
    """`case` is a harness.TestCase. Two runs of the program in `directory`."""
    if isinstance(program, servers.Server):
        return measure_server(case, program, directory, options)
    environment = {**os.environ, **program.environment}
    times = os.path.join(case.tmp, 'times')
    done = case.run_plain(harness.workload('stopwatch'), times, *program.command, cwd=directory,
                          env=environment, timeout=PATIENCE)
    plain = Run(done.returncode, done.stdout, done.stderr, take_outputs(program, directory),
                harness.Usage(times))
    if 'Go' in program.kind or program.kind == 'static':
        options = (*options, '--engine', 'outside')  # the stopwatch before it can be preloaded into
    recording = case.record(*program.command, stopwatch=True, cwd=directory, env=environment,
                            options=options, timeout=PATIENCE)
    return Measured(program, plain, recording, take_outputs(program, directory))


def measure_server(case, server, directory, options):
    times = os.path.join(case.tmp, 'times')
    stopwatch = [harness.workload('stopwatch'), times]
    port = servers.free_port()
    done = servers.serve(server, directory, port, lambda command: [*stopwatch, *command])
    plain = Run(done.returncode, done.stdout, b'', {}, harness.Usage(times))

    session = os.path.join(case.tmp, f'session-{server.name}')
    shutil.rmtree(session, ignore_errors=True)
    record = [harness.HONE, 'record', '-F', '1000', '-o', session, *options, '--', *stopwatch]
    done = servers.serve(server, directory, port, lambda command: [*record, *command])
    return Measured(server, plain, harness.Recording(done, session, harness.Usage(times)), {})


def version(command):
    """The Debian package that a command comes from, and its version."""
    path = shutil.which(command, path=f'{os.environ["PATH"]}:/usr/sbin:{servers.POSTGRES}')
    if not path:
        return '', ''
    names = {path, os.path.realpath(path), re.sub('^/usr', '', path)}
    for name in sorted(names, key=len, reverse=True):
        owner = subprocess.run(['dpkg-query', '-S', name], capture_output=True, text=True,
                               check=False).stdout
        if owner and not owner.startswith('diversion'):
            package = owner.split(':')[0].split(',')[0]
            found = subprocess.run(['dpkg-query', '-W', '-f', '${Version}', package],
                                   capture_output=True, text=True, check=False).stdout
            return package, re.sub(r'^\d+:|[+~-](deb|dfsg|b\d|\d).*$', '', found)
    return '', ''
