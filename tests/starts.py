"""Tells whether a stack is complete, without asking Hone.

A stack is complete when its outermost frame is where the kernel or clone() put the thread. Three
facts of the module's own file show that: the frame lies at the ELF entry point (`_start`, of the
program or of the dynamic loader); or the module's unwind rules say there that the return address is
undefined, which is how the authors of a C library mark a thread's first frame; or the frame is a
known start function. Names alone would not do: the C library of Debian is stripped.
"""

import re
import struct
import subprocess
from collections import Counter, namedtuple

ENTRY_BYTES = 0x80          # _start and what it contains; the longest, ld.so's, has 0x50
KNOWN_STARTS = {'_start', 'clone', '__clone', 'clone3', '__clone3', '_dl_start_user',
                # Go's: below every goroutine, and the program's and its threads' first.
                'runtime.goexit', 'runtime.goexit.abi0', 'runtime.rt0_go', 'runtime.rt0_go.abi0',
                'runtime.mstart', 'runtime.mstart.abi0', 'runtime.mstart0'}

# Rows that carry time in which no stack was taken, and say so: their time counts in totals.
WITHOUT_STACK = {'[exec and loader]', '[fork]', '[never sampled]', '[not sampled]', '[waits for a CPU]'}

Completeness = namedtuple('Completeness', 'share complete total broken')


class Module:
    """What one ELF file says about where threads start."""

    def __init__(self, path):
        with open(path, 'rb') as file:
            header = file.read(64)
            if header[:5] != b'\x7fELF\x02':
                raise ValueError(f'{path} is not a 64-bit ELF file')
            self.entry, table = struct.unpack_from('<QQ', header, 24)
            size, count = struct.unpack_from('<HH', header, 54)
            file.seek(table)
            rows = file.read(size * count)
        self.loads = []
        for i in range(count):
            kind, _, offset, address, _, in_file = struct.unpack_from('<IIQQQQ', rows, i * size)
            if kind == 1:
                self.loads.append((offset, address, in_file))
        self.path = path
        self._ends = None

    def address(self, offset):
        for start, address, size in self.loads:
            if start <= offset < start + size:
                return address + offset - start
        return None

    def ends(self):
        """Address ranges whose rules say that there is no caller."""
        if self._ends is None:
            self._ends = []
            text = subprocess.run(['readelf', '--wide', '--debug-dump=frames', self.path],
                                  capture_output=True, text=True, check=False).stdout
            span = None
            for line in text.splitlines():
                found = re.search(r' FDE .*pc=([0-9a-f]+)\.\.([0-9a-f]+)', line)
                if found:
                    span = int(found[1], 16), int(found[2], 16)
                elif ' CIE' in line:
                    span = None
                elif span and re.search(r'DW_CFA_undefined: r(16|30) ', line):
                    self._ends.append(span)
        return self._ends

    def is_start(self, offset):
        address = self.address(offset)
        if address is None:
            return False
        if self.entry <= address <= self.entry + ENTRY_BYTES:
            return True
        # A return address lies just past its call, so the byte before it counts as well.
        return any(low <= a < high for low, high in self.ends() for a in (address, address - 1))


_modules = {}


def is_start(frame):
    if frame.function in KNOWN_STARTS:
        return True
    if not frame.mapping or not frame.mapping.file.startswith('/'):
        return False
    path = frame.mapping.file
    if path not in _modules:
        try:
            _modules[path] = Module(path)
        except (OSError, ValueError):
            _modules[path] = None
    module = _modules[path]
    return bool(module) and module.is_start(frame.address - frame.mapping.start
                                            + frame.mapping.offset)


def completeness(profile, where=lambda sample: True):
    """The share of the sampled time in stacks that reach a start, and where the others end."""
    cpu = profile.index(profile.default_type or profile.sample_types[-1][0])
    complete = total = 0
    broken = Counter()
    for sample in filter(where, profile.samples):
        if any(frame.function in WITHOUT_STACK for frame in sample.stack):
            continue
        total += sample.values[cpu]
        if is_start(sample.root):
            complete += sample.values[cpu]
        else:
            module = sample.root.mapping.file if sample.root.mapping else '?'
            name = sample.root.function or hex(sample.root.address)
            broken[f'{name} in {module} below {sample.leaf.function or hex(sample.leaf.address)}'] \
                += sample.values[cpu]
    return Completeness(complete / total if total else 0.0, complete, total, broken)
