"""libhone.so as a guest: what it brings into somebody else's process, read from the file itself."""

import os
import re
import subprocess
import unittest

from harness import BUILD, TestCase

LIBRARY = os.path.join(BUILD, 'libhone.so')


def readelf(*options):
    return subprocess.run(['readelf', '--wide', *options, LIBRARY], capture_output=True, text=True,
                          check=True).stdout


class Guest(TestCase):
    def test_needs_the_c_library_alone(self):
        needed = re.findall(r'\(NEEDED\).*\[(.*)\]', readelf('-d'))
        self.assertLessEqual({re.sub(r'\.so.*', '', name) for name in needed},
                             {'libc', 'ld-linux-x86-64', 'ld-linux-aarch64', 'libc.musl-x86_64'})

    def test_has_no_executable_stack_and_no_text_relocations(self):
        stack = re.search(r'GNU_STACK.*', readelf('-l'))[0]
        self.assertNotIn('E', stack.split()[-2])
        self.assertNotIn('TEXTREL', readelf('-d'))

    def test_is_marked_for_branch_tracking_and_shadow_stacks(self):
        # One object without the mark turns the protection off for the whole process.
        notes = readelf('-n')
        if 'x86-64' in readelf('-h').lower():
            self.assertRegex(notes, r'IBT')
            self.assertRegex(notes, r'SHSTK')

    def test_leaves_vector_registers_and_floating_point_alone(self):
        # They need a stack that is aligned, which not each caller has, and leave flags behind.
        text = subprocess.run(['objdump', '-d', '--no-show-raw-insn', LIBRARY], capture_output=True,
                              text=True, check=True).stdout
        function, found = '', set()
        for line in text.splitlines():
            if line.endswith('>:'):
                function = line.split('<')[1][:-2]
            elif re.search(r'%[xyz]mm\d', line):
                found.add(function)
        self.assertIn('malloc', text)
        self.assertEqual(found, set())

    def test_thread_locals_are_small_and_never_allocate(self):
        found = re.search(r'^\s+TLS\s+(.*)$', readelf('-l'), re.M)
        if found:
            size = int(found[1].split()[4], 16)
            self.assertLess(size, 1024, 'the space for libraries loaded later is 1.6 KiB')
        self.assertNotRegex(readelf('-r'), r'R_X86_64_(DTPMOD64|TLSDESC)|TLSGD')

    def test_exports_nothing_that_is_not_ours_or_a_hook(self):
        lines = [line.split() for line in readelf('--dyn-syms').splitlines()]
        exported = {words[7].split('@')[0] for words in lines
                    if len(words) > 7 and words[4] in ('GLOBAL', 'WEAK') and words[6] != 'UND'
                    and words[6] != 'ABS'}
        foreign = {name for name in exported if not name.startswith('hone_')}
        self.assertFalse([n for n in foreign if n.startswith(('_Unwind', '__cxa', '__gxx'))])
        # What is left interposes the C library: each name must be there. And C++'s new and delete.
        foreign = {n for n in foreign if not n.startswith(('_Znw', '_Zna', '_Zdl', '_Zda'))}
        libc = subprocess.run('readelf --wide --dyn-syms "$(ldconfig -p | '
                              'sed -n "s/.*libc\\.so\\.6.*=> //p" | head -1)"', shell=True,
                              capture_output=True, text=True, check=True).stdout
        known = {words[7].split('@')[0] for words in map(str.split, libc.splitlines())
                 if len(words) > 7}
        self.assertLessEqual(foreign, known)

    def test_is_small(self):
        self.assertLess(os.path.getsize(LIBRARY), 2 << 20)


if __name__ == '__main__':
    unittest.main()
