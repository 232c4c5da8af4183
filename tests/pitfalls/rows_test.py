"""The list of pitfalls stays true: its tests exist, and each damage can still be done."""

import os
import re
import unittest

from rows import ROWS

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), '../..')


def read(name):
    with open(os.path.join(ROOT, name), encoding='utf-8') as file:
        return file.read()


class Rows(unittest.TestCase):
    def test_each_row_has_a_test_and_a_mutation_or_a_reason(self):
        for row in ROWS:
            with self.subTest(pitfall=row.name):
                self.assertTrue(row.why or (row.test and row.edits))
        self.assertEqual(len({row.name for row in ROWS}), len(ROWS))

    def test_each_test_exists(self):
        for row in ROWS:
            if not row.test or row.test.startswith('unit:'):
                continue
            with self.subTest(test=row.test):
                file, _, name = row.test.partition(':')
                group, _, method = name.partition('.')
                text = read(os.path.join('tests', file))
                self.assertRegex(text, rf'(?m)^class {group}\b')
                self.assertRegex(text, rf'(?m)^    def {re.escape(method)}\(self')

    def test_each_mutation_finds_its_place(self):
        for row in ROWS:
            for file, search, replacement in row.edits:
                with self.subTest(pitfall=row.name, file=file):
                    self.assertEqual(read(file).count(search), 1, search)
                    self.assertNotEqual(search, replacement)


if __name__ == '__main__':
    unittest.main()
