"""`hone pprof` beside `go tool pprof`: profiles times flags, compared to the byte.

A cell is one command line. Both programs run it in the same directory with the same environment;
their standard output, exit status and standard error must be equal. Where they are not and we want
it so, the difference stands in WANTED with its reason; a row there that nothing needs is an error.

    HONE_BUILD=build python3 tests/pprof_matrix.py [WORD]…    cells that contain every word
"""

import collections
import concurrent.futures
import difflib
import itertools
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import pprof_profiles
import profile_server

HONE = pathlib.Path(os.environ.get('HONE_BUILD', 'build')).resolve() / 'hone'

# What text tables are asked for, on every profile.
TABLES = """
-top
-text -cum
-top -nodecount=5
-top -lines
-top -addresses
-top -files
-top -filefunctions -cum
-top -noinlines
-top -trim=false -sample_index=0
-top -unit=ms -nodefraction=0.05
-top -unit=auto
-top -mean
-top -divide_by=3
-top -drop_negative
-top -compact_labels -focus=f1
-top -relative_percentages -focus=f1
-tree
-tree -lines -nodecount=12
-tree -edgefraction=0.05 -noinlines
-tree -trim=false
-tree -mean -cum
-peek=f1
-peek=. -files
-traces
-traces -addresses
-traces -mean -unit=auto -noinlines
-tags
-tags -unit=auto -sample_index=0
-raw
-comments
-proto
-topproto
-topproto -lines -nodecount=9
"""

# Drawings and listings, on most.
DRAWINGS = """
-dot
-dot -nodecount=9 -cum
-dot -lines -noinlines
-dot -call_tree -nodecount=20
-dot -trim=false -sample_index=0
-dot -unit=auto -mean -focus=f
-dot -drop_negative -files
-dot -tagfocus=running -tagshow=state
-callgrind
-callgrind -call_tree -focus=f1
-callgrind -mean -unit=ms
-list=f1
"""

# How samples, frames and labels are chosen, on some.
FILTERS = """
-top -focus=f1
-top -ignore=f1|libc
-top -hide=f[0-4]
-top -show=f[12]
-tree -show_from=f2
-tree -prune_from=f3
-traces -hide=^space1 -show=f
-traces -show_from=dir1
-traces -prune_from=f3$
-raw -focus=f1 -ignore=f2
-raw -hide=libc
-raw -show=f1
-raw -prune_from=f1
-proto -focus=f2 -hide=f3
-top -focus=nothing_of_this_name
-top -ignore=. 
-top -hide=.
-top -show=nothing
-top -show_from=nothing
-top -ignore=nothing -hide=nothing -tagignore=nothing
-traces -taghide=nothing -tagshow=nothing -compact_labels
-proto -divide_by=3
-raw -noinlines
-callgrind -noinlines
-traces -lines -trim_path=/src
-top -show=libc
-traces -show_from=libc|f2
-top -tagfocus=running
-top -tagfocus=state=waiting
-top -tagfocus=^state:w
-top -tagfocus=request=2kb:4kb
-top -tagfocus=:4kb
-top -tagignore=thread=2
-top -tagignore=1:2
-top -tagfocus=3mb:
-top -tagfocus=thread=.*
-top -tagfocus=request=bytes
-top -tagignore=bytes=[0-9]b
-tags -tagfocus=thread
-traces -tagshow=state|thread
-traces -taghide=request
-tags -tagfocus=running,thread
-tags -tagfocus=nothing
-tags -taghide=.
-top -tagroot=state
-tree -tagleaf=thread,state -tagroot=request
-raw -tagroot=thread
-traces -tagroot=nothing,state -tagleaf=latency -unit=ms
-top -trim_path=/src -lines
-top -source_path=/home/x/dir1 -lines
-tree -focus=f1 -tagfocus=running -hide=f2 -compact_labels
"""

# What is misused, or said in another way, on one.
LINES = """
-top
--top --cum=true
-top=true -nodecount 7
-top -nodecount=0x10 -lines
-top -nodecount=-3
-top -nodefraction=0.1 -edgefraction=1e-1
-top -flat -cum
-top -lines -lines=false
-top -tree
-top -peek=f1
-nosuchflag
-top -nodecount=many
-top -nodecount=99999999999999999999
-top -nodefraction=x
-top -nodefraction=Inf
-dot -nodefraction=NaN -edgefraction=-Inf
-top=maybe
-top -cum=T -lines=F
-top ---x
-top -focus=(
-top -ignore=a**
-top -hide=[z-a]
-top -show=(?<=a)b
-top -focus=a{1001}
-top -focus=\\
-top -focus=x(?P<n>y
-top -focus=[[:foo:]]
-top -focus=\\pN+\\d
-top -focus=(?i)F1$
-top -focus=\\Af1
-top -focus=f1|xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
-top -focus=f1|xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
-tags -tagfocus=a(
-top -sample_index=nothing
-top -sample_index=9
-top -sample_index=-1
-top -sample_index=1
-top -sample_index=2
-top -sample_index=samples -inuse_space
-top -total_delay
-top -mean_delay
-top -divide_by=0
-top -divide_by=-2
-top -divide_by=1e-3
-top -divide_by=0x1p4
-top -normalize
-top -base=x -diff_base=y
-top -http=:0
-no_browser
-list
-peek=nothing_of_this_name
-peek=(
-top -unit=hours
-top -unit=widgets
-top -unit=
-top -symbolize=none
-top -symbolize=demangle=full
-top -symbolize=demangle=templates
-top -symbolize=nonsense
-top -symbolize=force:local
-raw -buildid=12345678
-raw -add_comment=hello
-comments -add_comment=#world
-top -seconds=5 -timeout=7
-top -output=OUT
-tree -output=/no/such/directory/out
-h
-help
"""

# Whole command lines; {name} is a profile.
SPECIAL = """
-top {random} {second}
-raw {second} {random}
-top {random} {random} {heap}
-top {random} {milli}
-raw {milli} {random}
-top -base={milli} {random}
-top {random} {plural}
-top {random} {timeless}
-raw {timeless} {addressed}
-list=. {addressed}
-raw -noinlines {addressed}
-top -divide_by=1e9 {random}
-top -mean {addressed}
-top -base={addressed} -normalize {random}
-top -base={heap} -normalize {random}
-top -base={milli} -normalize {random}
-top {random} {cancelling} {twice}
-comments {unusual} {empty}
-top -base={second} {random}
-top -diff_base={second} {random}
-tree -diff_base={second} {random} -trim=false
-tree -diff_base={second} -drop_negative {random}
-traces -diff_base={random} {random}
-raw -base={second} {random}
-tags -diff_base={second} {random}
-top -base={second} -normalize {random}
-raw -diff_base={second} -normalize {random}
-peek=f1 -base={random} {second}
-proto -base={second} {random}
-topproto -diff_base={second} {random}
-top -base={heap} {random}
-top -base=/no/such/file {random}
-top -focus
-top -nodecount
-top /no/such/file
-top /no/such/file {random}
-top /no/such/file /no/such/other
-top
-top abcdef {random}
-raw abcdef12 {random}
-raw -buildid=77 abcdef12 {random}
-top /bin/true {random}
-raw /bin/true {mapless}
-top -focus {random}
-top -- {random}
-top {random} -cum
-top -tagfocus=size=2kb {units}
-top -tagfocus=age=5 {units}
-tags {units}
-traces -tagroot=age,size {units}
-png -nodecount=8 {random}
-svg -nodecount=8 {random}
-pdf=false -ps -nodecount=4 {random}
-weblist=main.grow -output=OUT {go_cpu}
-list=main.grow {go_cpu}
-list=main -lines -cum {go_heap}
-disasm=main.grow {go_cpu}
-text {unusual}
-text -lines {unusual}
-text -focus=unsampled {unusual}
-text -ignore=unsampled -hide=never.c -show_from=unsampled {unusual}
-text -sample_index=inuse_space {unusual}
-top -mean_delay {delay}
-top -total_delay {delay}
-top -contentions {delay}
-top -inuse_objects {heap}
-top -alloc_space {heap}
-top -alloc_objects {heap}
-disasm=nothing_of_this_name {go_cpu}
-disasm=f {addressed}
-weblist=nothing_of_this_name -output=OUT {go_cpu}
-top {server}/good
-raw -seconds=2 {server}/good
-top -seconds=75 {server}/good?x=1&seconds=3
-top -seconds=-3 {server}/good?seconds=2
-top -timeout=9 {host}
-top -seconds=1 -timeout=3 {host}/debug/pprof/heap
-proto -output=OUT -seconds=3600 {server}/packed
-top -add_comment=mine -buildid=77 {server}/redirect
-top -base={server}/good {random}
-top -diff_base={random} -seconds=3 {server}/good
-traces -symbolize=remote {server}/debug/pprof/nameless
-traces -symbolize=none {server}/debug/pprof/nameless
-top {server}/good {server}/nowhere
-top {server}/nowhere
-top -- {ca}
-top {server}/busy
-top {server}/empty
-top -tls_ca={ca} {tls}/good
-top -tls_ca={ca} -tls_cert={cert} -tls_key={key} -seconds=4 {strict}/good
-top {insecure}/good
-top -tls_cert={cert} {tls}/good
-top -tls_key={key} {server}/good
-top -tls_ca=/no/such/file {tls}/good
-top -tls_ca={ca} {strict}/good
-top {tls}/good
"""

# Differences that we want, at most ten: what a cell contains, which stream differs, and why.
Wanted = collections.namedtuple('Wanted', 'pattern stream reason')
WANTED = [
    Wanted(r'^-top \{random\} \{plural\}', '.*',
           'types whose names differ by a plural s are merged; pprof means to do it and cannot'),
    Wanted(r'^-top \{random\} \{timeless\}', '.*',
           'the time of a merged profile is the earliest that is known, not that none is known'),
    Wanted(r'^-disasm=(main|f )', '.*',
           "machine code in the notation of binutils, for every language, not of Go's assembler; one "
           'line says why there is none'),
    Wanted(r'^-weblist=main', 'files', 'as -disasm, and a page that says where it is from'),
    Wanted(r'-normalize \{random\}', 'errors',
           'types that cannot be normalized are named, where pprof prints where they lie in memory'),
    Wanted(r'-tls_|\{(tls|strict)\}', '.*',
           'certificates that are named are used: go tool pprof takes the flags and fetches without; '
           'what is wrong with one is said with the next step'),
    Wanted(r'\{server\}/(busy|empty)|^-top -- \{ca\}', 'errors',
           'one line says more closely what is wrong with a file or with what a server answers'),
    Wanted(r'^-svg', 'output', 'the picture moves and zooms by a script of ours'),
]


Cell = collections.namedtuple('Cell', 'line profiles')
# wanted: rows of WANTED; chance: pprof does not agree with itself either, or says no order.
Result = collections.namedtuple('Result', 'cell equal wanted chance difference')

ATTEMPTS = 12  # pprof takes some orders from maps, which are another each time


def is_excused(line):
    """Whether some difference is wanted for this cell."""
    return any(re.search(row.pattern, line) for row in WANTED)


CALL = re.compile(r'N\d+ -> N\d+ \[label=" ([^"\\]*).* tooltip="([^"]*)"')
ROW = re.compile(r' *(\S+) +(\S+%) \| +(.*?)(?: \(inline\))?$')


def differ_by_ties(theirs, ours):
    """Whether drawings and tables of calls differ in nothing but the order of calls of one value
    between functions that print alike, whether inlined or not: nothing that pprof sorts by tells
    those apart, so its order is its sort's own."""
    def order(text):
        calls = [CALL.search(line) or ROW.fullmatch(line)
                 for line in text.decode(errors='replace').splitlines()]
        return [call.groups() for call in calls if call]

    return all(theirs[stream] == ours[stream] or
               (sorted(theirs[stream].splitlines()) == sorted(ours[stream].splitlines()) and
                order(theirs[stream]) == order(ours[stream]) != [])
               for stream in theirs)


def lines(text):
    return [line for line in text.splitlines() if line.strip()]


def cells(names):
    """Every cell, in a fixed order."""
    found = []
    for name in names:
        found += [f'{line} {{{name}}}' for line in lines(TABLES)]
    for name in set(names) - {'second', 'milli', 'plural', 'go_threadcreate', 'timeless',
                              'addressed'}:
        # Of what was recorded just now, many calls of a tree have one name and no score: the order in
        # which pprof draws those is its sort's own, and another for each recording.
        recorded = name.startswith('go_') or name in ('python', 'waits')
        found += [f'{line} {{{name}}}' for line in lines(DRAWINGS)
                  if not (recorded and '-call_tree' in line)]
    for name in ('random', 'negative', 'unusual', 'heap', 'go_cpu', 'go_heap', 'python', 'waits'):
        if name in names:
            found += [f'{line} {{{name}}}' for line in lines(FILTERS)]
    found += [line if line.startswith('-h') else f'{line} {{random}}' for line in lines(LINES)]
    found += lines(SPECIAL)
    return sorted(set(found))


def some(found):
    """Of all cells every command line: those of a few profiles on all of them, others on the profile
    that has most to be chosen from, and those of all profiles on one more, which take turns."""
    same_line = collections.defaultdict(list)
    for cell in found:
        alone = cell.count('{') == 1
        same_line[re.sub(r' \{\w+\}$', '', cell) if alone else cell].append(cell)
    chosen = set()
    for turn, cells_ in enumerate(same_line.values()):
        chosen.update(cell for cell in cells_ if len(cells_) < 4 or cell.endswith(' {random}'))
        if len(cells_) > 12:
            chosen.add(cells_[turn % len(cells_)])
    return sorted(chosen)


def go_profiles(directory):
    """What Go's own runtime writes, of a small program."""
    source = pathlib.Path(__file__).parent / 'pprof_go' / 'main.go'
    program = directory / 'go_program'
    subprocess.run(['go', 'build', '-o', program, source], check=True, timeout=300,
                   env={**os.environ, 'GO111MODULE': 'off'})
    subprocess.run([program, directory], check=True, timeout=60)
    return {path.name.split('.')[0]: str(path) for path in sorted(directory.glob('go_*.pb.gz'))}


def recorded_profiles(directory):
    """What Hone records of real programs: names of an interpreter, threads that wait."""
    work = 'import json\nfor i in range(60): json.loads(json.dumps(list(range(20000))))'
    waits = ('import threading, time\n'
             'def f(n):\n for i in range(n): time.sleep(.01); sum(range(9000))\n'
             'for n in (5, 9, 20): threading.Thread(target=f, args=(n,)).start()')
    found = {}
    for name, types, program in (('python', 'cpu', work), ('waits', 'wall', waits)):
        subprocess.run([HONE, 'record', '--types', types, '-o', directory / name, sys.executable,
                        '-c', program], check=True, timeout=120, capture_output=True)
        found[name] = str(directory / name / f'{types}.prof')
    return found


def in_one_order(said):
    """Several sources are fetched at once, and who says so first is left to chance."""
    lines = []
    for fetching, group in itertools.groupby(said.splitlines(keepends=True),
                                             lambda line: line.startswith(b'Fetching profile')):
        lines += sorted(group) if fetching else group
    return b''.join(lines)


class Matrix:
    """The profiles in a directory of their own, and the two programs."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.profiles = pprof_profiles.make_all(self.directory)
        self.profiles.update(go_profiles(self.directory))
        self.profiles.update(recorded_profiles(self.directory))
        self.words = {**self.profiles, **self.serve()}
        self.go = subprocess.run(['go', 'tool', '-n', 'pprof'], capture_output=True, text=True,
                                 check=True).stdout.strip()
        self.environment = {'PATH': os.environ['PATH'], 'HOME': str(self.directory / 'home'),
                            'TZ': 'Europe/Berlin', 'TERM': 'dumb',
                            'PPROF_TMPDIR': 'saved'}  # in the directory of each run

    def serve(self):
        """Word to what it stands for: servers of a profile, and certificates."""
        made = profile_server.make_certificates(self.directory)
        own = (made['server.pem'], made['server.key'])
        data = pathlib.Path(self.profiles['random']).read_bytes()
        plain, secure, strict = self.servers = [
            profile_server.Server(data), profile_server.Server(data, own),
            profile_server.Server(data, own, made['ca.pem'])]
        return {'server': plain.url(''), 'host': f'127.0.0.1:{plain.port}', 'tls': secure.url(''),
                'insecure': secure.url('', scheme='https+insecure'), 'strict': strict.url(''),
                'ca': made['ca.pem'], 'cert': made['client.pem'], 'key': made['client.key']}

    def close(self):
        for server in self.servers:
            server.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def run(self, program, words, directory):
        done = subprocess.run([*program, *words], cwd=directory, env=self.environment,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=120,
                              check=False)
        return done.stdout, done.returncode, done.stderr

    def decode(self, data):
        """A profile as text, for bytes of gzip are nobody's business."""
        if data[:2] != b'\x1f\x8b':
            return data
        with tempfile.NamedTemporaryFile(dir=self.directory) as file:
            file.write(data)
            file.flush()
            return self.run([self.go], ['-symbolize=none', '-raw', file.name],
                            self.directory)[0]

    def outcome(self, program, words):
        with tempfile.TemporaryDirectory(dir=self.directory) as directory:
            out, status, said = self.run(program, words, directory)
            left = {str(file.relative_to(directory)): self.decode(file.read_bytes())
                    for file in sorted(pathlib.Path(directory).rglob('*')) if file.is_file()}
        return {'status': str(status).encode(), 'output': self.decode(out),
                'errors': in_one_order(said),
                'files': repr(left).encode()}

    def judge(self, line):
        words = self.split(line)
        theirs = self.outcome([self.go], words)
        ours = self.outcome([str(HONE), 'pprof'], words)
        others = []
        while theirs != ours and len(others) < ATTEMPTS:
            others.append(theirs)
            theirs = self.outcome([self.go], words)
            # An order that is left to chance may come rarely; what is wanted is known at once.
            if is_excused(line) and len(others) == 2 and theirs == others[0] == others[1]:
                break
        chance = theirs != ours and (any(other != theirs for other in others) or
                                     differ_by_ties(theirs, ours))
        different = [stream for stream in theirs if theirs[stream] != ours[stream]]
        wanted = {i for i, row in enumerate(WANTED) for stream in different
                  if re.fullmatch(row.stream, stream) and re.search(row.pattern, line)}
        difference = ''
        for stream in different:
            if not any(re.fullmatch(WANTED[i].stream, stream) for i in wanted):
                difference += self.show(stream, theirs[stream], ours[stream])
        if difference and chance:
            return Result(line, False, set(), True, '')
        return Result(line, not different, wanted if not difference else set(), False, difference)

    def split(self, line):
        return [self.fill(word) for word in line.split()]

    def fill(self, word):
        return re.sub(r'\{(\w*[a-z]\w*)\}', lambda m: self.words[m[1]], word)

    @staticmethod
    def show(stream, theirs, ours):
        diff = difflib.unified_diff(theirs.decode(errors='replace').splitlines(),
                                    ours.decode(errors='replace').splitlines(),
                                    f'{stream} of go tool pprof', f'{stream} of hone', n=1,
                                    lineterm='')
        return '\n'.join(list(diff)[:14]) + '\n'

    def run_all(self, chosen):
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 2) as pool:
            return list(pool.map(self.judge, chosen))


def main(words):
    with tempfile.TemporaryDirectory() as directory, Matrix(directory) as matrix:
        chosen = [line for line in cells(matrix.profiles) if all(word in line for word in words)]
        results = matrix.run_all(chosen)
    bad = [result for result in results if result.difference]
    for result in bad:
        print(f'--- {result.cell}\n{result.difference}')
    print(f'{len(results)} cells: {sum(r.equal for r in results)} equal, '
          f'{sum(bool(r.wanted) for r in results)} wanted differences, '
          f'{sum(r.chance for r in results)} where pprof differs from itself, {len(bad)} different')
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
