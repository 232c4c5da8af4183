"""More real programs, for the table in docs/programs.md: too many to install for each test run.

Their input is generated, always the same; work of one to four seconds each on the machines of 2020
to 2026. tools/packages lists the packages under `programs`.
"""

import os
import random
import subprocess

from programs import Program

RUBY = r'''
words = File.read("words.txt").split
n = Hash.new(0)
2.times { words.each { |w| n[w.tr("a-m", "n-z")] += 1 } }
puts n.sort_by { |w, c| [-c, w] }.first(5).inspect
puts words.each_slice(9).map { |s| s.join("-").gsub(/[aeiou]+/) { |v| v.upcase } }.map(&:size).sum
puts (1..250000).inject(0) { |a, i| (a * 31 + i * i) % 1000003 }
Node = Struct.new(:left, :right)
def tree(d) = d == 0 ? Node.new : Node.new(tree(d - 1), tree(d - 1))
def count(t) = t.left ? 1 + count(t.left) + count(t.right) : 1
puts count(tree(16))
'''

LUA = r'''
local n, order, text = {}, {}, io.open("words.txt"):read("*a")
for round = 1, ROUNDS do
  for w in text:gmatch("%a+") do n[w] = (n[w] or 0) + #w end
end
for w in pairs(n) do order[#order + 1] = w end
table.sort(order, function(a, b) return n[a] > n[b] or n[a] == n[b] and a < b end)
for i = 1, 5 do print(order[i], n[order[i]]) end
local function fib(i) return i < 2 and i or fib(i - 1) + fib(i - 2) end
print(fib(FIB))
local x = 0
for i = 1, LOOPS do x = (x * 1103 + i) % 1000003 end
print(x, (text:sub(1, 400000):gsub("[aeiou]+", string.upper):len()))
'''

TCL = r'''
set f [open words.txt]; set text [read $f 3000000]
foreach w $text { incr n([string reverse $w]) [string length $w] }
puts [lrange [lsort -integer -decreasing [lmap {k v} [array get n] {set v}]] 0 5]
puts [regsub -all {[aeiou]+} [string range $text 0 400000] "<&>" out]
proc fib i { if {$i < 2} { return $i }; expr {[fib [expr {$i - 1}]] + [fib [expr {$i - 2}]]} }
puts "[fib 26] [string length $out] [llength [lsort -unique $text]]"
'''

PHP = r'''<?php
$text = file_get_contents("words.txt"); $n = [];
for ($round = 0; $round < 5; $round++)
    foreach (explode(" ", str_replace("\n", " ", $text)) as $w) { $k = strrev($w); $n[$k] = ($n[$k] ?? 0) + 1; }
arsort($n); echo json_encode(array_slice($n, 0, 1)), " ", count($n), "\n";
echo crc32(preg_replace_callback('/[aeiou]{2,}/', fn($m) => strtoupper($m[0]), $text)), "\n";
function fib($i) { return $i < 2 ? $i : fib($i - 1) + fib($i - 2); }
echo fib(31), " ", md5(serialize(array_map(fn($i) => sqrt($i) * 3, range(1, 300000)))), "\n";
'''

AWK = r'''
{ for (i = 1; i <= NF; i++) { n[substr($i, 2)]++; if ($i ~ /[aeiou][^aeiou]+[aeiou]/) v++
    gsub(/[xyz]/, "_", $i); len += length($i) } }
END { for (w in n) if (n[w] > best || n[w] == best && w < name) { best = n[w]; name = w }
    for (i = 1; i < 900000; i++) x = (x * 31 + i) % 100003
    print name, best, v, len, x }
'''

PROLOG = r'''
:- initialization(main).
queens(N, Qs) :- numlist(1, N, Ns), select_all(Ns, [], Qs).
select_all([], Qs, Qs).
select_all(Ns, Safe, Qs) :- select(Q, Ns, Rest), no_attack(Q, 1, Safe), select_all(Rest, [Q|Safe], Qs).
no_attack(_, _, []).
no_attack(Q, D, [Q1|Qs]) :- Q =\= Q1 + D, Q =\= Q1 - D, D1 is D + 1, no_attack(Q, D1, Qs).
main :- findall(Q, queens(11, Q), All), length(All, N), write(N), nl, halt.
'''

NODE = r'''
const text = require("fs").readFileSync("words.txt", "utf8"); const n = new Map();
for (let round = 0; round < 4; round++)
  for (const w of text.split(/\s+/)) n.set(w, (n.get(w) ?? 0) + w.length);
console.log([...n].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).slice(0, 5));
const tree = Object.fromEntries([...n].slice(0, 9000).map(([k, v]) => [k, {v, k, list: [v, k, 0.5]}]));
let size = 0; for (let i = 0; i < 25; i++) size += JSON.stringify(JSON.parse(JSON.stringify(tree))).length;
class Body { constructor(i) { this.x = i; this.y = i * i % 97; this.v = 0; } }
const bodies = Array.from({length: 300}, (_, i) => new Body(i));
for (let t = 0; t < 120; t++)
  for (const a of bodies) for (const b of bodies) a.v += Math.sqrt((a.x - b.x) ** 2 + (a.y - b.y) ** 2 + 1);
console.log(size, bodies.reduce((s, b) => s + b.v, 0).toFixed(3), text.replace(/[aeiou]+/g, "*").length);
'''

JAVA = r'''
import java.nio.file.*; import java.util.*; import java.util.stream.*;
public class Work {
    public static void main(String[] a) throws Exception {
        String text = Files.readString(Path.of("words.txt"));
        Map<String, Integer> n = new TreeMap<>();
        for (int round = 0; round < 2; round++)
            for (String w : text.split("\\s+")) n.merge(w, w.length(), Integer::sum);
        System.out.println(n.entrySet().stream().sorted(Map.Entry.<String, Integer>comparingByValue()
            .reversed().thenComparing(Map.Entry.comparingByKey())).limit(5).collect(Collectors.toList()));
        double x = 0; for (int i = 1; i < 30000000; i++) x += Math.sqrt(i) / (i % 7 + 1);
        System.out.println(Math.round(x) + " " + text.replaceAll("[aeiou]+", "*").hashCode());
    }
}
'''

SCHEME = r'''
(define (tak x y z) (if (< y x) (tak (tak (- x 1) y z) (tak (- y 1) z x) (tak (- z 1) x y)) z))
(define (count n) (let loop ((i 0) (x 0)) (if (< i n) (loop (+ i 1) (modulo (+ (* x 31) i) 1000003)) x)))
(define table (make-hash-table))
(do ((i 0 (+ i 1))) ((= i 400000)) (hash-set! table (modulo (* i 7919) 65537) (number->string i)))
(display (list (tak 22 14 7) (count 9000000) (hash-count (const #t) table)
  (length (sort (hash-map->list (lambda (k v) (string-length v)) table) <)))) (newline)
'''

LISP = r'''
(defun tak (x y z) (if (< y x) (tak (tak (1- x) y z) (tak (1- y) z x) (tak (1- z) x y)) z))
(compile 'tak)
(let ((table (make-hash-table :test 'equal)))
  (loop for i below 1500000 do (incf (gethash (format nil "~36R" (mod (* i 7919) 65537)) table 0)))
  (format t "~A ~A ~A~%" (tak 24 16 8) (hash-table-count table)
    (reduce #'+ (sort (loop for v being the hash-values of table collect v) #'<))))
'''

OCAML_PART = r'''
module M%d = struct
  type t = A of int | B of string * t | C of (int * float) list | D of { x : int; mutable y : t }
  let rec eval env = function
    | A n -> n + %d
    | B (s, t) -> String.length s + eval (s :: env) t
    | C l -> List.fold_left (fun a (i, f) -> a + i + int_of_float (f *. %d.5)) 0 l
    | D { x; y } -> if x > %d then x else eval env y
  module S = Map.Make (struct type t = int * string let compare = compare end)
  let build n = List.fold_left (fun m i -> S.add (i mod %d, string_of_int i) (A i) m) S.empty (List.init n Fun.id)
  let run n = S.fold (fun (i, s) t a -> a + i + String.length s + eval [ s ] t) (build n) 0
end
'''

RUST_PART = r'''
pub mod m%d {
    use std::collections::BTreeMap; use std::fmt::Write;
    #[derive(Clone, Debug, PartialEq)] pub enum T { A(i64), B(String, Box<T>), C(Vec<(i64, f64)>) }
    pub fn eval(t: &T) -> i64 { match t { T::A(n) => n + %d, T::B(s, t) => s.len() as i64 + eval(t),
        T::C(v) => v.iter().filter(|x| x.0 %% 3 != 1).map(|(i, f)| i + (f * %d.5) as i64).sum() } }
    pub fn run(n: i64) -> i64 {
        let m: BTreeMap<_, _> = (0..n).map(|i| (format!("{}", i %% %d), T::A(i))).collect();
        let mut s = String::new(); for (k, v) in &m { write!(s, "{}{:?}", k, v).unwrap(); }
        m.values().map(eval).sum::<i64>() + s.len() as i64 }
}
'''

GO_PART = r'''
type T%d struct { n int; s string; next *T%d; m map[string][]float64 }
func (t *T%d) run(n int) (r int) {
	for i := 0; i < n; i++ { t.m[fmt.Sprint(i %% %d)] = append(t.m[t.s], float64(i)*%d.5) }
	keys := []string{}; for k := range t.m { keys = append(keys, k) }
	sort.Slice(keys, func(i, j int) bool { return keys[i] < keys[j] })
	switch { case n > %d: r = len(keys); case t.next != nil: r = t.next.run(n - 1); default: r = -1 }
	return r
}
'''

PAGE = r'''<!doctype html><title>work</title><table id=t></table><p id=p></p><script>
const rows = []; let x = 1;
for (let i = 0; i < 1500; i++) { x = x * 48271 % 2147483647; rows.push([i, x % 977, (x % 99991).toString(36)]); }
rows.sort((a, b) => a[1] - b[1] || a[0] - b[0]);
for (const r of rows) { const tr = document.createElement('tr');
  for (const c of r) { const td = document.createElement('td'); td.textContent = c; tr.append(td); }
  document.getElementById('t').append(tr); if (r[0] % 100 == 0) document.body.offsetHeight; }
let s = 0; for (let i = 1; i < 4e7; i++) s = (s * 31 + i) % 1000003;
document.getElementById('p').textContent = s;
</script>
'''

POSTSCRIPT = r'''%!PS
/Helvetica findfont 9 scalefont setfont
/leaf { dup 0 gt { gsave 0 0 moveto 0 40 lineto stroke 0 40 translate 0.72 dup scale
  gsave 31 rotate dup 1 sub leaf grestore gsave -27 rotate dup 1 sub leaf grestore grestore } if pop } def
1 1 PAGES { pop 300 60 translate 2.4 dup scale 11 leaf
  0 3 90 { /g exch def g 90 div setgray 0 g 2 mul moveto (hone measures what a page costs) show
  } for showpage } for
'''

SQL_BENCH = r'''
\set a random(1, 100000)
\set b random(1, 100000)
SELECT sum(abalance), count(*) FROM pgbench_accounts WHERE aid BETWEEN :a AND :a + 300;
UPDATE pgbench_tellers SET tbalance = tbalance + 1 WHERE tid = 1 + :b % 10;
'''


def make_inputs(directory):
    """Beside those of programs.make_inputs()."""
    chance = random.Random(2026)

    def write(name, text):
        path = os.path.join(directory, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'w', encoding='utf-8') as file:
            file.write(text)

    write('work.rb', RUBY)
    write('work.lua', LUA.replace('ROUNDS', '4').replace('FIB', '32').replace('LOOPS', '30000000'))
    write('jit.lua', LUA.replace('ROUNDS', '5').replace('FIB', '36').replace('LOOPS', '200000000'))
    write('work.tcl', TCL)
    write('work.php', PHP)
    write('work.awk', AWK)
    write('work.pro', PROLOG)
    write('work.js', NODE)
    write('Work.java', JAVA)
    write('work.scm', SCHEME)
    write('work.lisp', LISP)
    write('page.html', PAGE)
    write('work.ps', POSTSCRIPT.replace('PAGES', '14'))
    write('bench.sql', SQL_BENCH)
    write('parts.ml', parts(OCAML_PART, 'let run n = ', 'M{}.run n', 300) + '\n')
    write('parts.rs', parts(RUST_PART, 'pub fn run(n: i64) -> i64 { ', 'm{}::run(n)', 4) + ' }\n')
    write('parts.go', 'package main\nimport ("fmt"; "sort")\n'
          + parts(GO_PART, 'func main() { fmt.Println(', '(&T{}{{}}).run(3)', 250) + ') }\n')
    edges = (f'n{chance.randrange(i)} -> n{i} [label="{i}"];\n' for i in range(1, 600))
    write('graph.dot', 'digraph g {\n' + ''.join(edges)
          + ''.join(f'n{chance.randrange(600)} -> n{chance.randrange(600)};\n' for _ in range(150))
          + '}\n')
    with open(os.path.join(directory, 'words.txt'), encoding='utf-8') as file:
        lines = file.read().splitlines()
    changed = [line if chance.random() < 0.8 else ' '.join(reversed(line.split()))
               for line in lines[:30000] if chance.random() < 0.97]
    write('old.txt', '\n'.join(lines[:30000]) + '\n')
    write('new.txt', '\n'.join(changed) + '\n')
    for i in range(900):
        write(f'site/content/p{i}.md', f'---\ntitle: page {i}\n---\n# Page {i}\n\n'
              + '\n\n'.join('* ' + line for line in lines[i * 60:i * 60 + 60]) + '\n')
    write('site/config.toml', 'baseURL = "http://localhost/"\ntitle = "words"\n')
    write('site/layouts/_default/single.html', '<h1>{{ .Title }}</h1>{{ .Content }}')
    write('site/layouts/_default/list.html', '{{ range .Pages }}<a href="{{ .Permalink }}">x</a>{{ end }}')
    write('www/index.html', ''.join(f'<p>{line}</p>\n' for line in lines[:60]))
    make_pictures(directory, lines)


def make_pictures(directory, lines):
    """A page of text as a picture, for the program that reads it, where there is one to draw it."""
    text = '\n'.join(line[:60] for line in lines[:14])
    subprocess.run(['/usr/bin/convert', '-size', '1100x700', 'xc:white', '-pointsize', '28', '-fill',
                    'black', '-annotate', '+30+60', text, 'text.png'], cwd=directory, check=False,
                   capture_output=True)


def parts(template, head, call, count):
    """A source file of `count` similar parts and a function that calls all."""
    numbers = template.count('%d')
    chance = random.Random(count)
    body = ''
    for i in range(count):
        # The first ones name the part, where a language needs that.
        named = 3 if template is GO_PART else 1
        body += template % ((i,) * named + tuple(chance.randrange(2, 99)
                                                 for _ in range(numbers - named)))
    calls = [call.format(i) if call.count('{}') == 1 else call.replace('{}', str(i), 1)
             .replace('{{}}', '{}') for i in range(count)]
    return body + head + ' + '.join(calls)


JAVA_OPTIONS = ['-XX:+UseSerialGC', '-XX:TieredStopAtLevel=4', '-Xshare:auto']

PROGRAMS = [
    Program('ruby', 'interpreter', ['ruby', 'work.rb']),
    Program('lua', 'interpreter', ['lua5.4', 'work.lua'], environment={}),
    Program('tcl', 'interpreter', ['tclsh', 'work.tcl']),
    Program('php', 'interpreter', ['php', '-d', 'memory_limit=1G', 'work.php']),
    Program('gawk', 'interpreter', ['gawk', '-f', 'work.awk', *['words.txt'] * 3]),
    Program('prolog', 'interpreter', ['swipl', '-q', 'work.pro']),
    Program('bash', 'interpreter', ['bash', '-c', 'x=0; for ((i = 0; i < 300000; i++)); do '
                                    'x=$(((x * 31 + i) % 100003)); w=w$x; [[ $w == *77* ]] && '
                                    'n=${w/77/_}; done; echo $x $n']),
    Program('node', 'JIT', ['node', 'work.js']),
    Program('luajit', 'JIT', ['luajit', 'jit.lua']),
    Program('java', 'JIT', ['java', *JAVA_OPTIONS, 'Work.java']),
    Program('guile', 'JIT', ['guile', '--no-auto-compile', 'work.scm']),
    Program('sbcl', 'compiler, in memory', ['sbcl', '--script', 'work.lisp']),
    Program('rustc', 'compiler', ['/usr/bin/rustc', '-O', '--crate-type', 'rlib', '-C',
                                  'codegen-units=2', 'parts.rs', '-o', 'libparts.rlib'],
            ['libparts.rlib']),
    Program('ocamlopt', 'compiler', ['ocamlopt.opt', '-c', '-O3', 'parts.ml'],
            ['parts.o', 'parts.cmx', 'parts.cmi']),
    Program('go', 'compiler, Go', ['go', 'tool', 'compile', '-p', 'main', '-o', 'parts.out',
                                   'parts.go'], ['parts.out']),
    Program('sort', 'threads', ['sort', '--parallel=2', '-k2,2r', '-k1,1', *['words.txt'] * 8],
            environment={'LC_ALL': 'C.UTF-8'}),
    Program('openssl', 'library', ['openssl', 'enc', '-aes-256-cbc', '-pbkdf2', '-iter', '2500000',
                                   '-S', '0123456789abcdef', '-k', 'key', '-in', 'words.txt']),
    Program('7z', 'threads', ['7z', 'a', '-txz', '-mmt2', '-mx4', '-bd', '-so', '-an',
                              'words.txt']),
    Program('brotli', 'library', ['brotli', '-q', '8', '-c', 'words.txt']),
    Program('pigz', 'threads', ['pigz', '-p2', '-9', '-n', '-c', *['words.txt'] * 5]),
    Program('bzip2', 'library', ['bzip2', '-k', '-c', *['words.txt'] * 3]),
    Program('git', 'C', ['git', '--no-pager', 'grep', '--no-index', '--threads', '2', '-c', '-i',
                         '-E', '(a|e|i)[b-z]*([aeiou])[^ ]* [^ ]*\\2z', '--', 'words.txt', 'old.txt',
                         'new.txt']),
    Program('ghostscript', 'C', ['gs', '-q', '-dSAFER', '-dNOPAUSE', '-dBATCH', '-sDEVICE=ppmraw',
                                 '-r300', '-sOutputFile=-', 'work.ps']),
    Program('imagemagick', 'threads', ['/usr/bin/convert', '-size', '900x900',
                                       'gradient:red-blue', '-swirl', '180', '-blur', '0x14',
                                       '-emboss', '3', '-rotate', '17', 'ppm:-']),
    Program('tesseract', 'C++', ['tesseract', 'text.png', '-'],
            environment={'OMP_THREAD_LIMIT': '2'}),
    Program('graphviz', 'C', ['dot', '-Tplain', 'graph.dot']),
    Program('ripgrep', 'Rust', ['rg', '--threads', '2', '-c', '--no-filename', '-i',
                                '\\b(\\w)\\w*e\\w*\\b.*[aeiou]{3}\\b', *['words.txt'] * 40]),
    Program('fd', 'Rust', ['fdfind', '--threads', '1', '-u', 'lib.*[aeiou]{3}.*\\d', '/usr', *['/usr/share',
                           '/usr/lib'] * 3]),
    Program('hugo', 'Go', ['hugo', '--quiet', '-s', 'site', '-d', 'public'],
            ['site/public/p7/index.html']),
    Program('busybox', 'static', ['busybox', 'awk', '-f', 'work.awk', 'words.txt']),
    # What it complains of (no dbus, no display) holds times and pids.
    Program('chromium', 'browser', ['sh', '-c', 'exec chromium --headless --no-sandbox '
                                    '--disable-gpu --no-first-run --user-data-dir=chrome '
                                    '--dump-dom page.html 2>/dev/null']),
]
