"""`hone pprof` prints what `go tool pprof` prints: hundreds of command lines, to the byte.

The cells, and the few differences that we want, are in pprof_matrix.py. Here each command line is
taken on a profile or two; pprof_matrix_long_test.py takes all of them.
"""

import shutil
import tempfile
import unittest

import pprof_matrix


@unittest.skipUnless(shutil.which('go'), 'go is not here (package golang-go)')
class Matrix(unittest.TestCase):
    @staticmethod
    def choose(cells):
        return pprof_matrix.some(cells)

    def test_every_cell_is_equal_or_wanted(self):
        with tempfile.TemporaryDirectory() as directory, \
                pprof_matrix.Matrix(directory) as matrix:
            cells = pprof_matrix.cells(matrix.profiles)
            self.assertGreater(len(cells), 900)
            results = matrix.run_all(self.choose(cells))
        different = [f'{result.cell}\n{result.difference}'
                     for result in results if result.difference]
        self.assertEqual(different, [], '\n'.join(different))
        used = {row for result in results for row in result.wanted}
        unused = [row for i, row in enumerate(pprof_matrix.WANTED) if i not in used]
        self.assertEqual(unused, [], 'differences that are listed and do not exist')
        self.assertLessEqual(len(pprof_matrix.WANTED), 10)
        equal = sum(result.equal for result in results)
        chance = sum(result.chance for result in results)
        print(f'{len(results)} cells: {equal} equal, {len(results) - equal - chance} wanted '
              f'differences, {chance} where pprof differs from itself')
        # Where pprof contradicts itself nothing is proved; that may not become a hiding place.
        self.assertLess(chance, len(results) / 20)


if __name__ == '__main__':
    unittest.main()
