"""Profiles made by hand: pprof's protocol buffer, as few fields as a flame graph needs."""


def varint(value):
    out = bytearray()
    value &= (1 << 64) - 1
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(field, value):
    return varint(field << 3) + varint(value)


def block(field, data):
    return varint(field << 3 | 2) + varint(len(data)) + data


def packed(field, values):
    return block(field, b''.join(map(varint, values)))


class Profile:
    """Stacks are tuples of frames, root first; a frame is a name or (name, module)."""

    def __init__(self, kind='cpu', unit='nanoseconds', comments=()):
        self.strings = {b'': 0}
        self.modules = {}
        self.frames = {}
        self.samples = []
        self.type = block(1, number(1, self.text(kind)) + number(2, self.text(unit)))
        self.comments = [self.text(comment) for comment in comments]

    def text(self, text):
        data = text if isinstance(text, bytes) else text.encode()
        return self.strings.setdefault(data, len(self.strings))

    def frame(self, frame):
        if frame not in self.frames:
            name, module = frame if isinstance(frame, tuple) else (frame, '/usr/bin/program')
            if module not in self.modules:
                self.modules[module] = (len(self.modules) + 1, self.text(module))
            self.frames[frame] = (len(self.frames) + 1, self.text(name), self.modules[module][0])
        return self.frames[frame][0]

    def add(self, stack, value):
        locations = [self.frame(frame) for frame in reversed(stack)]
        self.samples.append(block(2, packed(1, locations) + packed(2, [value])))

    def encode(self):
        out = [self.type, *self.samples]
        for ident, file in self.modules.values():
            out.append(block(3, number(1, ident) + number(2, ident << 20)
                             + number(3, (ident + 1) << 20) + number(5, file)))
        for ident, name, module in self.frames.values():
            line = block(4, number(1, ident))
            out.append(block(4, number(1, ident) + number(2, module)
                             + number(3, (module << 20) + ident % (1 << 20)) + line))
            out.append(block(5, number(1, ident) + number(2, name) + number(3, name)))
        out += [block(6, text) for text in self.strings]
        out += [number(13, comment) for comment in self.comments]
        return b''.join(out)

    def write(self, path):
        with open(path, 'wb') as file:
            file.write(self.encode())
