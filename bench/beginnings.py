"""What a recorder costs before it has recorded anything: the start of a program that does nothing, and
the memory that it takes inside one that does something.
"""

import random

START_ROUNDS = 40


def start_rows(tools, run):
    """Rows of {'recorder', 'cpu', 'wall'} in seconds, each a sorted list: `true`, many times over.
    `run(tool, command)` gives the kernel's figures of one run."""
    figures = {tool.name: [] for tool in tools}
    for _ in range(START_ROUNDS):
        for tool in random.sample(tools, len(tools)):
            figures[tool.name].append(run(tool, ['true']))
    return [{'recorder': tool.name,
             'cpu': sorted(usage.cpu_ns / 1e9 for usage in figures[tool.name]),
             'wall': sorted(usage.wall_ns / 1e9 for usage in figures[tool.name])}
            for tool in tools]


def resident_rows(tools, run, commands):
    """Rows of {'recorder', 'program', 'bytes'}: most memory of a program, of three runs the least."""
    return [{'recorder': tool.name, 'program': name,
             'bytes': min(run(tool, command).resident_bytes for _ in range(3))}
            for name, command in commands for tool in tools]


def print_start(rows):
    base = rows[0]
    print(f'\nstart of a program that does nothing (true), {len(base["cpu"])} rounds: '
          'CPU and wall time, median (quartiles)')
    for row in rows:
        cells = []
        for key in ('cpu', 'wall'):
            times, plain = row[key], base[key]
            low, middle, high = (1000 * times[len(times) * i // 4] for i in (1, 2, 3))
            cells.append(f'{key} {middle:6.2f} ms ({low:.2f} to {high:.2f})'
                         f'{middle - 1000 * plain[len(plain) // 2]:+7.2f}')
        print(f'  {row["recorder"]:28}', *cells, sep='   ')


def print_resident(rows):
    print('\nmemory of a recorded program, most resident, best of three runs')
    plain = {}
    for row in rows:
        plain.setdefault(row['program'], row['bytes'])
        more = (row['bytes'] - plain[row['program']]) / 2**20
        print(f'  {row["program"]:10} {row["recorder"]:28} {row["bytes"] / 2**20:8.1f} MiB '
              f'{more:+6.1f}')
