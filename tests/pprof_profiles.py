"""Profiles for tests, made of what profile.proto can say, by an encoder of a hundred lines.

    p = Maker(types=[('samples', 'count'), ('cpu', 'nanoseconds')])
    main = p.place(0x401000, [('main', 'main.c', 12)])
    p.sample([main], [1, 10], labels={'thread': 7, 'state': 'running'})
    p.write('cpu.pb.gz')
"""

import gzip
import random


def _varint(value):
    value &= (1 << 64) - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7f | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(field, value):
    return _varint(field << 3) + _varint(value) if value else b''


def _bytes(field, data):
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _packed(field, values):
    return _bytes(field, b''.join(map(_varint, values)))


class Maker:
    def __init__(self, types, period=('cpu', 'nanoseconds', 1000000), time_ns=1700000000123456789,
                 duration_ns=2500000000, default='', comments=(), drop='', keep=''):
        self.strings = {'': 0}
        self.types = [self._pair(*pair) for pair in types]
        self.period, self.time_ns, self.duration_ns = period, time_ns, duration_ns
        self.default, self.comments, self.drop, self.keep = default, comments, drop, keep
        self.mappings, self.functions, self.locations, self.samples = [], [], [], []
        self._functions = {}
        self.counts = len(types)

    def _text(self, text):
        return self.strings.setdefault(text, len(self.strings))

    def _pair(self, name, unit):
        return _number(1, self._text(name)) + _number(2, self._text(unit))

    def mapping(self, start, limit, offset=0, file='', build_id='', flags=(1, 1, 1, 1)):
        number = len(self.mappings) + 1
        parts = [number, start, limit, offset, self._text(file), self._text(build_id), *flags]
        self.mappings.append(b''.join(_number(i + 1, n) for i, n in enumerate(parts)))
        return number

    def function(self, name, file='', system_name=None, start_line=0):
        """A system name that is not given is the name."""
        key = name, file, system_name, start_line
        if key not in self._functions:
            number = self._functions[key] = len(self._functions) + 1
            system = name if system_name is None else system_name
            parts = [number, self._text(name), self._text(system), self._text(file), start_line]
            self.functions.append(b''.join(_number(i + 1, n) for i, n in enumerate(parts)))
        return self._functions[key]

    def place(self, address, lines, mapping=0, folded=False):
        """lines: (name, file, line) or (name, file, line, system name, start line), inner first."""
        number = len(self.locations) + 1
        data = _number(1, number) + _number(2, mapping) + _number(3, address)
        for name, file, line, *more in lines:
            system_name, start = (*more, None, 0)[:2] if more else (None, 0)
            function = self.function(name, file, system_name, start or 0)
            data += _bytes(4, _number(1, function) + _number(2, line))
        self.locations.append(data + _number(5, folded))
        return number

    def sample(self, places, values, labels=None):
        """labels: key to a text, a number, (number, unit), or a list of those."""
        data = _packed(1, places) + _packed(2, values)
        for key, value in (labels or {}).items():
            for one in value if isinstance(value, list) else [value]:
                data += _bytes(3, _number(1, self._text(key)) + self._label(one))
        self.samples.append(data)

    def _label(self, value):
        if isinstance(value, str):
            return _number(2, self._text(value))
        number, unit = value if isinstance(value, tuple) else (value, '')
        return _number(3, number) + _number(4, self._text(unit))

    def encode(self):
        head = b''.join(_bytes(1, pair) for pair in self.types)
        head += b''.join(_bytes(2, sample) for sample in self.samples)
        head += b''.join(_bytes(3, mapping) for mapping in self.mappings)
        head += b''.join(_bytes(4, location) for location in self.locations)
        head += b''.join(_bytes(5, function) for function in self.functions)
        tail = _number(7, self._text(self.drop)) + _number(8, self._text(self.keep))
        tail += _number(9, self.time_ns) + _number(10, self.duration_ns)
        if self.period:
            tail += _bytes(11, self._pair(*self.period[:2])) + _number(12, self.period[2])
        if self.comments:
            tail += _packed(13, [self._text(comment) for comment in self.comments])
        tail += _number(14, self._text(self.default))
        strings = b''.join(_bytes(6, text.encode()) for text in self.strings)
        return head + strings + tail

    def write(self, path):
        with open(path, 'wb') as file:
            file.write(gzip.compress(self.encode(), mtime=0))


CPU = [('samples', 'count'), ('cpu', 'nanoseconds')]
HEAP = [('alloc_objects', 'count'), ('alloc_space', 'bytes'),
        ('inuse_objects', 'count'), ('inuse_space', 'bytes')]


def random_profile(seed, types=None, negative=False, labels=True, symbols=True, unit_ns=10000000,
                   functions=40, samples=150, depth=14, values=None, **head):
    """Inlining, recursion, functions of one name in several files, skewed so that some are hot."""
    rng = random.Random(seed)
    p = Maker(types or CPU, **head)
    flags = (1, 1, 1, 1) if symbols else (0, 0, 0, 0)
    modules = [p.mapping(0x400000, 0x500000, 0, '/usr/bin/program', 'a1b2c3', flags),
               p.mapping(0x7f0000000000, 0x7f0000100000, 0x1000, '/usr/lib/libc.so.6', '', flags),
               p.mapping(0x7ffe00000000, 0x7ffe00001000, 0, '[vdso]', '', flags)]
    names = [f'space{i % 5}::f{i}' for i in range(functions)]
    places = []
    for i in range(functions * 2):
        lines = []
        for _ in range(rng.choice([1, 1, 1, 2, 3]) if symbols else 0):
            k = rng.randrange(functions)
            lines.append((names[k], f'/src/dir{k % 3}/./f{k % 7}.cc', 1 + rng.randrange(50),
                          f'_f{k}', k % 4))
        module = rng.choice([0, 0, 0, 1, 1, 2])
        base = [0x400000, 0x7f0000000000, 0x7ffe00000000][module]
        places.append(p.place(base + 16 * i, lines, modules[module]))
    for i in range(samples):
        stack = [places[min(rng.randrange(len(places)) for _ in range(3))]
                 for _ in range(1 + rng.randrange(depth))]
        if values:
            numbers = values(rng)
        else:
            count = rng.randrange(1, 9)
            numbers = [count, count * unit_ns + rng.randrange(unit_ns)]
        if negative and rng.randrange(3) == 0:
            numbers = [-n for n in numbers]
        said = {}
        if labels:
            said = {'thread': 1 + rng.randrange(3), 'state': rng.choice(['running', 'waiting']),
                    'request': (1024 * rng.randrange(1, 9), 'bytes'),
                    'bytes': (rng.choice([8, 64, 4096]), 'bytes'),
                    'latency': (rng.randrange(1, 5) * 500, 'microseconds')}
            said = {key: said[key] for key in rng.sample(sorted(said), rng.randrange(6))}
        p.sample(stack, numbers, said)
    return p


def _heap_values(rng):
    objects = rng.randrange(1, 50)
    size = rng.choice([16, 64, 512, 8192, 1 << 20])
    live = rng.randrange(objects + 1)
    return [objects, objects * size, live, live * size]


def unusual():
    """Names that look like something else, places without any, and what writers may leave out."""
    p = Maker([('events', 'widgets'), ('space', 'bytes')], period=None, time_ns=0, duration_ns=0,
              default='events', comments=['# a note', 'a warning', 'a warning'])
    first = p.mapping(0x1000, 0x2000, 0, '/opt/my app/bin', '', (1, 0, 0, 0))
    names = ['operator()', 'a b', 'std::vector<int, std::allocator<int> >::push_back(int const&)',
             'main.(*T).Method', 'main.F[...]', 'größe', '[kernel]', '<unknown>', 'x' * 100,
             'std::operator<< <char>(std::ostream&)', 'core::fmt::<impl Foo for Bar>::fmt',
             '(anonymous namespace)::helper(int)', '.text', '_ZN3foo3barEv', 'java.util.List.<init>']
    places = [p.place(0x1000 + 8 * i, [(name, f'./src/../src/u{i}.c' if i % 2 else '', i,
                                        '' if i % 3 == 0 else None, i)], first)
              for i, name in enumerate(names)]
    places.append(p.place(0x1800, [], first))
    places.append(p.place(0x9999, [], 0))
    places.append(p.place(0, [('', 'only/file.c', 3)], first))
    places += [p.place(0x1a00 + i, [('built', f'/proc/self/cwd/{file}', 5)], first)
               for i, file in enumerate(('here.c', './there.c', 'cwd/again.c'))]
    places.append(p.place(0, [('', 'only/file.c', 4, '', 9)], first))
    places.append(p.place(0x1900, [('inl', 'i.c', 1), ('inl', 'i.c', 2), ('out', 'i.c', 3)], first,
                          folded=True))
    p.place(0x1b00, [('unsampled', 'never.c', 7)], first)
    rng = random.Random(4)
    for i in range(80):
        stack = [rng.choice(places) for _ in range(1 + rng.randrange(8))]
        p.sample(stack, [1 + i % 5, 100 * i], {'key one': ['b', 'a'], 'n': [3, i]} if i % 4 else {})
    p.sample([places[0]], [0, 0])
    p.sample([], [5, 5])
    p.sample([places[1], places[0]], [2, 2], {'zero': 0, 'empty': ''})
    return p


def split_units():
    """One label in two units, and one that says its unit sometimes."""
    p = Maker(CPU)
    place = p.place(0x10, [('f', 'f.c', 1)], p.mapping(0, 0x100, 0, 'prog'))
    p.sample([place], [1, 1000], {'size': (2, 'kb'), 'age': [(5, 'ms'), 7]})
    p.sample([place], [2, 2000], {'size': (2048, 'bytes'), 'age': 5})
    p.sample([place], [3, 3000], {'size': (3, 'mb'), 'other': [1, 2]})
    return p


def droppable():
    """Frames that the profile itself wants dropped."""
    p = Maker(HEAP, period=('space', 'bytes', 524288), drop=r'malloc|calloc|operator new.*',
              keep=r'keep_malloc', default='inuse_space')
    module = p.mapping(0x1000, 0x9000, 0, '/bin/app', 'beef')
    at = {}
    for i, name in enumerate(['main', 'work', 'malloc', 'keep_malloc', 'operator new(unsigned long)',
                              'inner', 'calloc', 'malloc_usable', 'xcalloc', 'keep_malloc2',
                              'malloc(int)', '.malloc', 'operator()(malloc)']):
        at[name] = p.place(0x1000 + 16 * i, [(name, 'a.c', i + 1)], module)
    at['inlined'] = p.place(0x2000, [('inner', 'a.c', 1), ('malloc', 'a.c', 2), ('work', 'a.c', 3)],
                            module)
    for i, stack in enumerate([['malloc', 'work', 'main'], ['inner', 'malloc', 'work', 'main'],
                               ['inner', 'keep_malloc', 'main'], ['malloc'],
                               ['inner', 'operator new(unsigned long)', 'main'],
                               ['inlined', 'main'], ['inner', 'inlined', 'main'],
                               ['calloc', 'main', 'calloc', 'main'],
                               # An expression is for the whole of a name, without its parameters.
                               ['inner', 'malloc_usable', 'main'], ['inner', 'xcalloc', 'main'],
                               ['inner', 'keep_malloc2', 'main'], ['inner', 'malloc(int)', 'main'],
                               ['inner', '.malloc', 'main'],
                               ['inner', 'operator()(malloc)', 'main']]):
        p.sample([at[name] for name in stack], [i + 1, 64 * (i + 1), i, 64 * i])
    return p


def twice_mapped():
    """The same file at two addresses, as two processes have it, and no names for half of it."""
    p = Maker(CPU, time_ns=1600000000000000000)
    a = p.mapping(0x10000, 0x20000, 0x1000, '/bin/twice', 'cafe')
    b = p.mapping(0x50000, 0x60000, 0x1000, '/bin/twice', 'cafe')
    other = p.mapping(0x70000, 0x71000, 0, '/no/such/file.so', '', (0, 0, 0, 0))
    places = [p.place(0x10100, [('f', 'f.c', 1)], a), p.place(0x50100, [('f', 'f.c', 1)], b),
              p.place(0x50200, [('g', 'g.c', 1)], b), p.place(0x70010, [], other)]
    for i in range(4):
        p.sample(places[i:] + places[:i], [1, 1000000 * (i + 1)])
    p.sample([places[0], places[2]], [2, 5])
    p.sample([places[1], places[2]], [2, 5])
    return p


def empty():
    p = Maker(CPU, comments=['nothing happened'])
    p.mapping(0x1000, 0x2000, 0, '/bin/idle')
    return p


def no_mappings():
    p = Maker([('samples', 'count'), ('wall', 'seconds')], period=('wall', 'seconds', 1))
    places = [p.place(0x100 * i, [(f'fn{i}', 'file.py', i)] if i % 3 else []) for i in range(1, 9)]
    for i in range(12):
        p.sample([places[k % 8] for k in range(i, i + 4)], [1, 3600 * (i % 4) + i])
    return p


def cancelling():
    """Differences whose parts add up to nothing here and there."""
    p = Maker(CPU)
    module = p.mapping(0x1000, 0x9000, 0, '/bin/diff')
    at = [p.place(0x1000 + i, [(f'd{i}', 'd.c', i + 1)], module) for i in range(6)]
    p.sample([at[1], at[0]], [1, 700], {'pprof::base': 'true'})
    p.sample([at[1], at[0]], [-1, -700])
    p.sample([at[2], at[1], at[0]], [3, 300])
    p.sample([at[3], at[2], at[0]], [-2, -200])
    p.sample([at[4], at[0]], [0, 5], {'pprof::base': 'true'})
    p.sample([at[5], at[4], at[0]], [5, -50])
    p.sample([at[3], at[4], at[0]], [0, 45])
    return p


def addressed():
    """A file whose place is a server's, one that is gone, sources that are directories; places that
    no sample has, and samples of nothing."""
    p = Maker([('samples', 'count'), ('', 'nanoseconds')], period=('wall', 'seconds', -3), time_ns=0)
    server = p.mapping(0x1000, 0x2000, 0, 'http://host/debug/pprof/profile', '', (0, 0, 1, 0))
    gone = p.mapping(0x3000, 0x4000, 0, '/no/such/file (deleted)', 'f00d', (1, 1, 1, 1))
    kept = p.mapping(0x7000, 0x8000, 0, 'http://host/x', 'beef', (0, 0, 0, 0))
    unused = p.mapping(0x5000, 0x6000, 0, '/no/such/unused.so', '', (0, 0, 0, 0))
    places = [p.place(0x1010, [], server), p.place(0x1020, [('', '/', 1)], server),
              p.place(0x3010, [('f', '/', 3)], gone), p.place(0x3020, [('g', '.', 4)], gone)]
    p.sample(places, [1, 1000])
    p.sample(places[2:], [2, 3000])
    p.sample([p.place(0x7010, [], kept)], [1, 500])
    p.sample([p.place(0x5010, [], unused)], [0, 0])
    p.place(0x5020, [], unused)
    return p


def make_all(directory):
    """Name to path."""
    profiles = {
        'random': random_profile(1),
        'second': random_profile(2, samples=90),
        'negative': random_profile(3, negative=True, labels=False),
        'nameless': random_profile(5, symbols=False, samples=60),
        'heap': random_profile(7, HEAP, values=_heap_values, period=('space', 'bytes', 524288),
                               default='inuse_space', duration_ns=0),
        'delay': random_profile(9, [('contentions', 'count'), ('delay', 'microseconds')],
                                unit_ns=700, labels=False, period=('contentions', 'count', 1)),
        'unusual': unusual(),
        'units': split_units(),
        'droppable': droppable(),
        'twice': twice_mapped(),
        'empty': empty(),
        'mapless': no_mappings(),
        'cancelling': cancelling(),
        'addressed': addressed(),
        'timeless': random_profile(1, samples=20, time_ns=0),
        'milli': random_profile(1, [('samples', 'count'), ('cpu', 'milliseconds')], unit_ns=10,
                                samples=70),
        'plural': random_profile(11, [('sample', 'count'), ('cpu', 'nanoseconds')], samples=20),
    }
    paths = {}
    for name, maker in profiles.items():
        paths[name] = str(directory / f'{name}.pb.gz')
        maker.write(paths[name])
    return paths
