"""The recorders that are compared: how each is started, and what its data says afterwards.

A recorder has a name, wraps a command, counts the samples that it left in a directory, and judges them:
the share of them whose stack reaches the start of its thread, bytes written. The same proof of
completeness (tests/starts.py) judges all of them.
"""

import glob
import json
import os
import re
import shutil
import struct
import subprocess
from collections import namedtuple

from pprof import Profile
from starts import completeness, is_start

# complete is None when nothing could be judged; hits is the share of frames whose unwind rule was in
# the cache, where the recorder tells.
Judgement = namedtuple('Judgement', 'complete bytes hits', defaults=(None,))
Frame = namedtuple('Frame', 'function mapping address')
Mapping = namedtuple('Mapping', 'file start offset')


class Plain:
    name = 'plain'
    judges = False

    def command(self, command, directory):
        return command, {}

    def missing(self):
        return None


class Control(Plain):
    """The same once more: what difference the machine makes all by itself."""
    name = 'plain again'


class EmptyHandler(Plain):
    """Interrupts as Hone does and records nothing: what the machine itself costs, the least that any
    recorder of this rate can."""

    def __init__(self, rate, directory):
        self.rate, self.name = rate, f'empty handler {rate} Hz'
        self.library = os.path.join(directory, 'empty_handler.so')
        self.source = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'empty_handler.c')

    def command(self, command, directory):
        return command, {'LD_PRELOAD': self.library, 'EMPTY_HANDLER_HZ': str(self.rate)}

    def missing(self):
        if os.path.exists(self.library):
            return None
        done = subprocess.run(['cc', '-O2', '-shared', '-fPIC', '-D_GNU_SOURCE', self.source, '-o',
                               self.library], capture_output=True, text=True, check=False)
        return None if done.returncode == 0 else f'{self.source} does not compile'


class Hone(Plain):
    judges = True

    def __init__(self, hone, rate, engine=None):
        self.hone, self.rate, self.name = hone, rate, f'hone {rate} Hz'
        self.options = ['--engine', engine] if engine else []
        self.floor = f'empty handler {rate} Hz'
        if engine:
            self.name += f' {engine}'
            self.floor = None

    def command(self, command, directory):
        return [self.hone, 'record', '-F', str(self.rate), *self.options, '-o',
                os.path.join(directory, 'session'), '--', *command], {}

    def count(self, directory):
        profile = Profile.read(os.path.join(directory, 'session', 'cpu.prof'))
        return profile.total('samples')

    def judge(self, directory):
        profile = Profile.read(os.path.join(directory, 'session', 'cpu.prof'))
        with open(os.path.join(directory, 'session', 'session.json'), encoding='utf-8') as file:
            unwinder = json.load(file)['unwinder']
        return Judgement(completeness(profile).share, size(os.path.join(directory, 'session')),
                         1 - unwinder['cache_misses'] / max(1, unwinder['frames']))

    def missing(self):
        return None if os.access(self.hone, os.X_OK) else f'no {self.hone}'


class Perf(Plain):
    judges = True

    def __init__(self, rate, graph):
        self.rate, self.graph = rate, graph
        self.name = f'perf {"--call-graph dwarf" if graph == "dwarf" else "-g"} {rate} Hz'

    def command(self, command, directory):
        return ['perf', 'record', '-q', '-F', str(self.rate), '--call-graph', self.graph,
                '-o', os.path.join(directory, 'perf.data'), '--', *command], {}

    def count(self, directory):
        text = subprocess.run(['perf', 'script', '-i', os.path.join(directory, 'perf.data'), '-G',
                               '-F', 'pid'], capture_output=True, text=True, check=False).stdout
        return len(text.split())

    def judge(self, directory):
        data = os.path.join(directory, 'perf.data')
        text = subprocess.run(['perf', 'script', '-i', data, '--no-inline', '-F', 'ip,dso',
                               '--max-stack', '1024'], capture_output=True, text=True,
                              errors='replace', check=False).stdout
        judged, complete = perf_stacks(text)
        return Judgement(complete / judged if judged else None, size(data))

    def missing(self):
        if not shutil.which('perf'):
            return 'no perf (linux-perf)'
        done = subprocess.run(['perf', 'record', '-q', '-o', '/dev/null', 'true'],
                              capture_output=True, text=True, check=False)
        return None if done.returncode == 0 else 'perf may not record here'


def perf_stacks(text):
    """Samples with a stack in user space, and how many of them reach a start.

    perf script prints one frame a line, innermost first, as `OFFSET-IN-FILE (FILE)`, and an empty
    line after each sample.
    """
    judged = complete = 0
    for stack in text.split('\n\n'):
        frames = re.findall(r'(?m)^\s+([0-9a-f]+) \((.*)\)$', stack)
        user = [frame for frame in frames if not frame[1].startswith('[kernel')]
        # A stack of the kernel alone is a process that is being made or taken away.
        if user:
            judged += 1
            at, path = user[-1]
            complete += is_start(Frame('', Mapping(path, 0, 0), int(at, 16)))
    return judged, complete


def place(maps, address):
    for start, end, offset, path in reversed(maps):
        if start <= address < end:
            return Frame('', Mapping(path, start, offset), address)
    return Frame('', None, address)


class Gperftools(Plain):
    judges = True

    def __init__(self, rate):
        self.rate, self.name = rate, f'gperftools {rate} Hz'
        found = glob.glob('/usr/lib/*/libprofiler.so*') + glob.glob('/usr/lib/libprofiler.so*')
        self.library = sorted(found)[0] if found else None

    def command(self, command, directory):
        return command, {'LD_PRELOAD': self.library, 'CPUPROFILE_FREQUENCY': str(self.rate),
                         'CPUPROFILE': os.path.join(directory, 'cpu')}

    def files(self, directory):
        return glob.glob(os.path.join(directory, 'cpu*'))

    def count(self, directory):
        return sum(legacy_stacks(path)[0] for path in self.files(directory))

    def judge(self, directory):
        counts = [legacy_stacks(path) for path in self.files(directory)]
        samples = sum(samples for samples, _ in counts)
        return Judgement(sum(complete for _, complete in counts) / samples if samples else None,
                         sum(map(os.path.getsize, self.files(directory))))

    def missing(self):
        return None if self.library else 'no libprofiler.so (libgoogle-perftools4)'


def legacy_stacks(path):
    """Samples, and those that reach a start, of one file in gperftools' format: words, then maps."""
    with open(path, 'rb') as file:
        data = file.read()
    words = struct.unpack_from(f'<{len(data) // 8}Q', data)
    if len(words) < 5:
        return 0, 0
    at, stacks = 2 + words[1], []
    while at + 2 < len(words):
        count, depth = words[at], words[at + 1]
        if count == 0:
            at += 2 + depth
            break
        stacks.append((count, words[at + 1 + depth]))
        at += 2 + depth
    maps = []
    for line in data[8 * at:].decode(errors='replace').splitlines():
        found = re.match(r'([0-9a-f]+)-([0-9a-f]+) ..x. ([0-9a-f]+) \S+ \d+\s+(/.*)$', line)
        if found:
            maps.append((*(int(found[i], 16) for i in (1, 2, 3)), found[4]))
    return (sum(count for count, _ in stacks),
            sum(count for count, root in stacks if is_start(place(maps, root))))


def size(path):
    if os.path.isfile(path):
        return os.path.getsize(path)
    return sum(os.path.getsize(os.path.join(folder, name))
               for folder, _, names in os.walk(path) for name in names)
