"""Reads pprof's profile.proto with nothing but the standard library.

Tests judge Hone's files with this reader, which shares no code with the writer, and with
`go tool pprof`. It decodes everything that the format has, and `problems()` lists what is wrong
with a file by the letter of the format.
"""

import gzip
from collections import Counter, namedtuple

Frame = namedtuple('Frame', 'function file line address mapping location')
Mapping = namedtuple('Mapping', 'id start limit offset file build_id has_functions has_filenames '
                                'has_lines has_inlines')
Function = namedtuple('Function', 'id name system_name file start_line')


class Sample:
    """One stack, innermost frame first, inlined calls as frames of their own."""

    def __init__(self, locations, stack, values, labels):
        self.locations = locations
        self.stack = stack
        self.values = values
        self.labels = labels

    def has(self, function):
        return any(frame.function == function for frame in self.stack)

    def count(self, *functions):
        return sum(frame.function in functions for frame in self.stack)

    @property
    def leaf(self):
        return self.stack[0]

    @property
    def root(self):
        return self.stack[-1]


class Profile:
    def __init__(self, data):
        if data[:2] != b'\x1f\x8b':
            raise ValueError('not compressed with gzip')
        self.raw = _message(gzip.decompress(data))
        raw = self.raw
        self.strings = [bytes(s).decode('utf-8') for s in raw.get(6, [])]
        text = self._text

        self.sample_types = [self._value_type(m) for m in raw.get(1, [])]
        self.period_type = self._value_type(raw[11][0]) if 11 in raw else None
        self.period = _signed(_last(raw, 12))
        self.time_ns = _signed(_last(raw, 9))
        self.duration_ns = _signed(_last(raw, 10))
        self.comments = [text(i) for i in _ints(raw, 13)]
        self.default_type = text(_last(raw, 14))

        self.mappings = {}
        self.functions = {}
        self.locations = {}
        self._duplicates = []
        for m in map(_message, raw.get(3, [])):
            mapping = Mapping(_last(m, 1), _last(m, 2), _last(m, 3), _last(m, 4), text(_last(m, 5)),
                              text(_last(m, 6)), *(bool(_last(m, n)) for n in (7, 8, 9, 10)))
            self._add(self.mappings, mapping.id, mapping, 'mapping')
        for m in map(_message, raw.get(5, [])):
            function = Function(_last(m, 1), text(_last(m, 2)), text(_last(m, 3)),
                                text(_last(m, 4)), _signed(_last(m, 5)))
            self._add(self.functions, function.id, function, 'function')
        self._bad = []
        for m in map(_message, raw.get(4, [])):
            self._add(self.locations, _last(m, 1), self._frames(m), 'location')

        self.samples = [self._sample(_message(m)) for m in raw.get(2, [])]

    @staticmethod
    def read(path):
        with open(path, 'rb') as file:
            return Profile(file.read())

    # ---- what tests ask -------------------------------------------------------------------

    def index(self, type_name):
        return [name for name, _ in self.sample_types].index(type_name)

    def total(self, type_name='cpu', where=lambda sample: True):
        i = self.index(type_name)
        return sum(s.values[i] for s in self.samples if where(s))

    def flat(self, type_name='cpu'):
        """Value by the function at the innermost frame."""
        i, sums = self.index(type_name), Counter()
        for s in self.samples:
            sums[s.leaf.function] += s.values[i]
        return sums

    def cumulative(self, type_name='cpu'):
        """Value by every function on a stack, counted once for each stack."""
        i, sums = self.index(type_name), Counter()
        for s in self.samples:
            for function in {frame.function for frame in s.stack}:
                sums[function] += s.values[i]
        return sums

    def by_label(self, key, type_name='cpu'):
        i, sums = self.index(type_name), Counter()
        for s in self.samples:
            for value in s.labels.get(key, [None]):
                sums[value] += s.values[i]
        return sums

    def problems(self):
        """What the format forbids, as pprof's own CheckValid sees it and a little more."""
        found = list(self._duplicates) + list(self._bad)
        if not self.strings or self.strings[0] != '':
            found.append('the string table does not begin with the empty string')
        if not self.sample_types:
            found.append('no sample types')
        if len(set(self.strings)) != len(self.strings):
            found.append('a string occurs twice')
        for m in self.mappings.values():
            if m.start >= m.limit:
                found.append(f'mapping {m.id} is empty: {m.start:#x} to {m.limit:#x}')
        ordered = sorted(self.mappings.values(), key=lambda m: m.start)
        for sample in self.samples:
            if len(sample.values) != len(self.sample_types):
                found.append('a sample has another number of values than there are types')
            if not sample.stack:
                found.append('a sample without a stack')
            if any(v < 0 for v in sample.values):
                found.append('a negative value')
        for address, mapping_id, _ in self._location_facts:
            if mapping_id and mapping_id not in self.mappings:
                found.append(f'a location names mapping {mapping_id}, which is not there')
            elif mapping_id:
                m = self.mappings[mapping_id]
                if not m.start <= address < m.limit:
                    found.append(f'address {address:#x} lies outside its mapping {m.file}')
        for a, b in zip(ordered, ordered[1:]):
            if a.limit > b.start and a.file == b.file and a.offset == b.offset:
                found.append(f'mappings {a.id} and {b.id} are the same')
        return found

    # ---- decoding -------------------------------------------------------------------------

    @property
    def _location_facts(self):
        return [(frames[0].address, frames[0].mapping.id if frames[0].mapping else 0, frames)
                for frames in self.locations.values()]

    def _text(self, index):
        return self.strings[index]

    def _value_type(self, data):
        m = _message(data)
        return self._text(_last(m, 1)), self._text(_last(m, 2))

    def _add(self, table, key, value, what):
        if key == 0:
            self._duplicates.append(f'a {what} with id 0')
        if key in table:
            self._duplicates.append(f'two {what}s with id {key}')
        table[key] = value

    def _frames(self, m):
        number, address = _last(m, 1), _last(m, 3)
        mapping_id = _last(m, 2)
        mapping = self.mappings.get(mapping_id)
        if mapping_id and not mapping:
            self._bad.append(f'location {number} names mapping {mapping_id}, which is not there')
        frames = []
        for line in map(_message, m.get(4, [])):
            function = self.functions.get(_last(line, 1))
            if not function:
                self._bad.append(f'location {number} names function {_last(line, 1)}, '
                                 'which is not there')
                continue
            frames.append(Frame(function.name, function.file, _signed(_last(line, 2)), address,
                                mapping, number))
        return frames or [Frame('', '', 0, address, mapping, number)]

    def _sample(self, m):
        stack, locations = [], _ints(m, 1)
        for number in locations:
            if number in self.locations:
                stack.extend(self.locations[number])
            else:
                self._bad.append(f'a sample names location {number}, which is not there')
        labels = {}
        for label in map(_message, m.get(3, [])):
            value = self._text(_last(label, 2)) if _last(label, 2) else _signed(_last(label, 3))
            labels.setdefault(self._text(_last(label, 1)), []).append(value)
        return Sample(locations, stack, [_signed(v) for v in _ints(m, 2)], labels)


def _varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7f) << shift
        if byte < 0x80:
            return value & 0xffffffffffffffff, at
        shift += 7
        if shift > 63:
            raise ValueError('a number longer than 64 bits')


def _message(data):
    """Field number to the list of its values: integers, or the bytes of strings and messages."""
    fields, at, end = {}, 0, len(data)
    view = memoryview(data)
    while at < end:
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(data, at)
        elif kind == 2:
            length, at = _varint(data, at)
            if at + length > end:
                raise ValueError('a field reaches past the end')
            value, at = view[at:at + length], at + length
        elif kind == 1:
            value, at = int.from_bytes(data[at:at + 8], 'little'), at + 8
        elif kind == 5:
            value, at = int.from_bytes(data[at:at + 4], 'little'), at + 4
        else:
            raise ValueError(f'wire type {kind}')
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def _ints(message, number):
    """A repeated integer, packed or not."""
    values = []
    for value in message.get(number, []):
        if isinstance(value, int):
            values.append(value)
            continue
        at = 0
        while at < len(value):
            one, at = _varint(value, at)
            values.append(one)
    return values


def _last(message, number):
    return message.get(number, [0])[-1]


def _signed(value):
    return value - (1 << 64) if value >= 1 << 63 else value
