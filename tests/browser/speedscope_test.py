"""speedscope, which shares no code with Hone or Go's pprof, opens our profiles.

    npm install --prefix DIR speedscope
    SPEEDSCOPE=DIR/node_modules/speedscope HONE_BUILD=build \
        python3 -m unittest discover -s tests/browser -p speedscope_test.py -v

Skipped without SPEEDSCOPE or Chromium. It imports the profile of a program whose answer is known
and compares speedscope's table of functions with `hone top`.
"""

import base64
import glob
import json
import os
import re
import subprocess
import tempfile
import time
import unittest

from chromium import PROGRAM, Browser

HONE = os.path.join(os.path.abspath(os.environ.get('HONE_BUILD', 'build')), 'hone')
SPEEDSCOPE = os.environ.get('SPEEDSCOPE')

SCRIPT = 'while :; do i=$((i + 1)); [ $i -gt 300000 ] && break; done'


def index_page():
    found = glob.glob(os.path.join(SPEEDSCOPE or '', 'dist', 'release', 'index.html'))
    return os.path.abspath(found[0]) if SPEEDSCOPE and found else None


class Speedscope(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not index_page() or not PROGRAM:
            raise unittest.SkipTest('no speedscope (set SPEEDSCOPE) or no chromium')
        cls.directory = tempfile.TemporaryDirectory(prefix='hone-speedscope-')
        cls.addClassCleanup(cls.directory.cleanup)
        cls.recording = os.path.join(cls.directory.name, 'recording')
        subprocess.run([HONE, 'record', '-F', '1000', '-o', cls.recording, 'sh', '-c', SCRIPT],
                       check=True, capture_output=True)
        cls.browser = Browser()
        cls.addClassCleanup(cls.browser.close)

    def table(self, profile, words='protobuf encoded pprof'):
        """Rows of speedscope's sandwich view: {function: (total %, self %)}."""
        with open(profile, 'rb') as file:
            data = base64.b64encode(file.read()).decode()
        script = os.path.join(self.directory.name, 'profile.js')
        with open(script, 'w', encoding='utf-8') as file:
            name = json.dumps(os.path.basename(profile))
            file.write(f'speedscope.loadFileFromBase64({name}, "{data}")')
        page = self.browser.page(f'file://{index_page()}#localProfilePath={script}')
        deadline = time.monotonic() + 30
        while words not in str(page.errors):  # it logs what it imports
            page.settle()
            self.assertLess(time.monotonic(), deadline, page.errors)
        time.sleep(0.5)
        page.key('3')
        page.settle()
        rows = page.evaluate('[...document.querySelectorAll("tr")].map(row => row.innerText)')
        found = {}
        for row in rows:
            cells = re.findall(r'\(\s*([\d.]+)%\)', row)
            name = row.rstrip().split('\t')[-1].strip()
            if len(cells) == 2:
                found[name] = (float(cells[0]), float(cells[1]))
        return found

    def test_speedscope_shows_the_shares_that_top_shows(self):
        profile = os.path.join(self.recording, 'cpu.prof')
        top = subprocess.run([HONE, 'top', '-n', '12', profile], check=True, capture_output=True,
                             text=True).stdout
        rows = re.findall(r'^ *\S+ +([\d.]+)% +[\d.]+% +\S+ +([\d.]+)%  (.*)$', top, re.MULTILINE)
        self.assertGreater(len(rows), 3, top)
        table = self.table(profile)
        # Its table holds what fits the window: the rows with the largest self values.
        compared = 0
        for flat, cum, name in rows:
            name = name.replace(' (inline)', '').replace(' (partial-inline)', '')
            if name not in table:
                continue
            compared += 1
            total, own = table[name]  # columns: total, then self
            with self.subTest(function=name):
                self.assertAlmostEqual(max(total, own), float(cum), delta=0.6)
                # speedscope knows no inlined frames: theirs goes to the function around them.
                self.assertGreaterEqual(min(total, own), float(flat) - 0.6)
        self.assertGreater(compared, 3, table)

    def test_speedscope_imports_what_convert_writes(self):
        profile = os.path.join(self.recording, 'cpu.prof')
        top = subprocess.run([HONE, 'top', '-n', '12', profile], check=True, capture_output=True,
                             text=True).stdout
        rows = re.findall(r'^ *\S+ +([\d.]+)% +[\d.]+% +\S+ +([\d.]+)%  (.*)$', top, re.MULTILINE)
        for name, words in (('cpu.speedscope.json', 'speedscope json'),
                            ('cpu.collapsed', 'collapsed stack')):
            with self.subTest(name):
                path = os.path.join(self.directory.name, name)
                subprocess.run([HONE, 'convert', profile, path], check=True)
                table, compared = self.table(path, words), 0
                for flat, cum, function in rows:
                    function = function.replace(' (inline)', '').replace(' (partial-inline)', '')
                    if function not in table:
                        continue
                    compared += 1
                    total, own = table[function]
                    self.assertAlmostEqual(max(total, own), float(cum), delta=0.6)
                    # Inlined frames are frames of their own here.
                    self.assertAlmostEqual(min(total, own), float(flat), delta=0.6)
                self.assertGreater(compared, 3, table)


if __name__ == '__main__':
    unittest.main()
