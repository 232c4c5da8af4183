"""Real programs that nobody here wrote, from Debian packages, with work of two to four seconds.

Shared by tests/real_test.py and bench/. Their input is generated, always the same, once for each
directory.
"""

import os
import random
import shutil
from collections import namedtuple

# kind: what stands for what in the acceptance. outputs: files that the program writes.
Program = namedtuple('Program', 'name kind command outputs environment', defaults=((), {}))

PYTHON = '''
import ast, collections, difflib, json, re, textwrap, zlib
text = open("words.txt").read()
words = text.split()
lines = text.splitlines()
print(collections.Counter(re.findall(r"[aeiou]{2,}", text[:6000000])).most_common(5))
tree = {str(i): {"words": words[i:i + 9], "n": i * 0.5} for i in range(60000)}
print(zlib.crc32(json.dumps(json.loads(json.dumps(tree)), indent=1).encode()))
print(len(difflib.SequenceMatcher(None, words[:1800], words[900:2700]).get_opcodes()))
print(len(ast.dump(ast.parse("x = [a*b+c for a in f(b)]\\n" * 12000))))
print(sum(map(len, textwrap.wrap(" ".join(words[:150000]), 60))))
print(sum(hash(w) for w in sorted(words, key=lambda w: (len(w), w[::-1])))  & 0xffff)
'''

PERL = r'''
open my $f, "<", "words.txt"; local $/; my $t = <$f>; my (%n, $v);
for my $round (1 .. 6) { $n{lc $1}++ while $t =~ /(\w+)/g; $v += () = $t =~ /[aeiou]+[^aeiou]/g }
print join(" ", map { "$_=$n{$_}" } (sort { $n{$b} <=> $n{$a} || $a cmp $b } keys %n)[0 .. 9]), " $v\n";
'''

SQL = '''
CREATE TABLE t(a INTEGER, b INTEGER, c TEXT);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500000)
  INSERT INTO t SELECT i, (i * 7919) % 100003, 'row ' || (i * 31 % 977) FROM n;
CREATE INDEX t_b ON t(b);
SELECT count(*), sum(x.b) FROM t x JOIN t y ON y.b = x.a WHERE y.c LIKE '%7%';
SELECT c, count(*), avg(b) FROM t GROUP BY c ORDER BY 3 DESC LIMIT 5;
SELECT sum(length(replace(c, '1', 'one'))) FROM t;
'''

CXX = '''
#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <regex>
#include <string>
#include <tuple>
#include <unordered_map>
#include <variant>
#include <vector>
template <int N> struct Row {
    std::map<std::string, std::vector<std::tuple<int, double, std::string>>> cells;
    std::variant<int, std::string, std::vector<int>> value;
    std::function<int(int)> f = [this](int x) { return x + N + int(cells.size()); };
    int run(std::vector<int> v) {
        std::sort(v.begin(), v.end(), [](int a, int b) { return a % (N + 2) < b % (N + 2); });
        for (int x : v) cells[std::to_string(x % (N + 3))].emplace_back(x, x * .5, "n");
        return f(int(v.size())) + std::visit([](auto &y) { return int(sizeof y); }, value);
    }
};
int matches(const std::string &s) { return std::regex_match(s, std::regex("(a|b)+c[0-9]{2,}")); }
int sum(std::vector<int> v) {
    return 0 ROWS;
}
'''

CMAKE = '''
set(list "")
foreach(i RANGE 1 9000)
  math(EXPR h "(${i} * 7919) % 10007")
  string(APPEND text "item-${h};")
  list(APPEND list "${h}")
endforeach()
list(SORT list COMPARE NATURAL)
list(REMOVE_DUPLICATES list)
foreach(i RANGE 1 100)
  string(REGEX REPLACE "item-([0-9]+)([02468]);" "<\\\\2\\\\1>" out "${text}")
  string(SHA256 sum "${out}${i}")
endforeach()
foreach(i RANGE 1 400000)
  math(EXPR x "${i} * 3 + 1")
  string(LENGTH "${x}" n)
endforeach()
list(LENGTH list length)
message("${length} ${sum}")
'''


def make_inputs(directory):
    """Writes every program's input; the same bytes each time."""
    chance = random.Random(60_30_10)
    letters = 'etaoinshrdlucmfwypvbgkjqxz'
    words = [''.join(chance.choices(letters, weights=range(26, 0, -1), k=chance.randint(2, 11)))
             for _ in range(20000)]

    def write(name, text):
        with open(os.path.join(directory, name), 'w', encoding='utf-8') as file:
            file.write(text)

    lines = (' '.join(chance.choices(words, k=10)) for _ in range(90000))
    write('words.txt', '\n'.join(lines) + '\n')
    write('work.py', PYTHON)
    write('work.pl', PERL)
    write('work.sql', SQL)
    write('work.cmake', CMAKE)
    write('rows.cpp', CXX.replace('ROWS', ''.join(f' + Row<{i}>().run(v)' for i in range(7))))
    write('functions.c', '#include <string.h>\nstruct s { int a[16]; char *p; double d; };\n'
          + ''.join(c_function(chance, i) for i in range(330)))
    write('pigeons.smt2', pigeons(10))


def c_function(chance, number):
    """A function with loops, branches, a switch and calls of those before it."""
    called = f'f{chance.randrange(number)}(s, x + {number}, n / 2)' if number else 'x'
    cases = ''.join(f'    case {i}: s->a[{chance.randrange(16)}] += x * {chance.randrange(99)}; '
                    f'{chance.choice(["break;", ""])}\n' for i in range(8))
    return (f'int f{number}(struct s *s, int x, int n)\n{{\n'
            f'    for (int i = 0; i < n; i++) {{\n'
            f'        s->a[i % 16] ^= x * {chance.randrange(1, 999)} + i;\n'
            f'        if (s->a[(i * {chance.randrange(1, 16)}) & 15] % {chance.randrange(2, 9)} == 1)'
            f' s->d += s->a[i & 15] / 3.0;\n    }}\n'
            f'    switch (x & 7) {{\n{cases}    }}\n'
            f'    if (n > 3) x += {called};\n'
            f'    return x + (s->p ? (int)strlen(s->p) : (int)s->d);\n}}\n')


def pigeons(holes):
    """One pigeon more than there are holes: short to say, long to refute."""
    text = ''
    for p in range(holes + 1):
        text += ''.join(f'(declare-const p{p}h{h} Bool)\n' for h in range(holes))
        text += '(assert (or ' + ' '.join(f'p{p}h{h}' for h in range(holes)) + '))\n'
    for h in range(holes):
        for p in range(holes + 1):
            text += ''.join(f'(assert (not (and p{p}h{h} p{q}h{h})))\n' for q in range(p))
    return text + '(check-sat)\n'


PROGRAMS = [
    Program('python3', 'interpreter', ['/usr/bin/python3', 'work.py'],
            environment={'PYTHONHASHSEED': '0'}),
    Program('perl', 'interpreter', ['perl', 'work.pl'], environment={'PERL_HASH_SEED': '0'}),
    Program('gcc', 'compiler', ['gcc', '-O2', '-c', 'functions.c', '-o', 'functions.o'],
            ['functions.o']),
    Program('g++', 'compiler', ['g++', '-std=c++17', '-O1', '-c', 'rows.cpp', '-o', 'rows.o'],
            ['rows.o']),
    Program('clang', 'compiler, C++', ['clang', '-O2', '-c', 'functions.c', '-o', 'clang.o'],
            ['clang.o']),
    Program('xz', 'threads', ['xz', '-T2', '-6', '--block-size=2MiB', '-k', '-c', 'words.txt']),
    Program('zstd', 'threads', ['zstd', '-q', '-T2', '-17', '-B1MiB', '-k', '-c', 'words.txt']),
    Program('sqlite3', 'database', ['sqlite3', '-init', '/dev/null', ':memory:', '.read work.sql']),
    Program('cmake', 'C++', ['cmake', '-P', 'work.cmake']),
    Program('z3', 'C++', ['z3', 'pigeons.smt2']),
    Program('ffmpeg', 'threads', ['ffmpeg', '-nostdin', '-loglevel', 'error', '-threads', '2',
                                  '-f', 'lavfi', '-i', 'testsrc2=s=1920x1080:r=25:d=35',
                                  '-c:v', 'mpeg4', '-threads', '2', '-bitexact', '-f',
                                  'avi', '-']),
]


def installed(program):
    return shutil.which(program.command[0]) is not None
