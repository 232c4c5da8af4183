#!/usr/bin/env python3
"""Looks for deadlocks, and for threads that nobody is left to wake, again and again, in programs that
are busy and sound: a pool of threads with locks and conditions, threads that come and go, and a
database with its load. Nobody may be accused.

    HONE_BUILD=build tests/deadlock_soak.py [SECONDS]     (600)

Prints how often it looked at what. Not part of `make test`.
"""

import json
import subprocess
import sys
import threading
import time

import deadlock_test
import servers
from harness import HONE, workload

looks, accused, lock = {}, [], threading.Lock()


def look(pid, what):
    try:
        status, text = deadlock_test.deadlocks(pid, '--json')
    except ProcessLookupError:
        return
    judged = subprocess.run([HONE, 'threads', '--fail-stuck', '-p', str(pid)], capture_output=True,
                            text=True, check=False)
    with lock:
        looks[what] = looks.get(what, 0) + 1
        if status or json.loads(text)['findings']:
            accused.append(text)
        if 'may be stuck' in judged.stdout:
            accused.append(judged.stdout)


def soak_bursts(seconds):
    with deadlock_test.Stuck(workload('stuck'), 'bursts', '64') as bursts:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            look(bursts.pid, 'threads that come and go')


def soak_pool(seconds):
    with deadlock_test.Stuck(workload('stuck'), 'pool', '16',
                             environment={'STUCK_SECONDS': str(seconds)}) as pool:
        while pool.process.poll() is None:
            look(pool.pid, 'pool of 16 threads')


def soak_database(seconds):
    deadlock_test.servers_under_load(lambda pid, looks: look(pid, 'postgres and pgbench'), seconds)


def main():
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 600
    began = time.monotonic()
    workers = [threading.Thread(target=what, args=(seconds,)) for what in (soak_pool, soak_bursts)]
    if servers.installed(servers.SERVERS[0]):
        workers.append(threading.Thread(target=soak_database, args=(seconds,)))
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    print(f'{time.monotonic() - began:.0f} s', looks, f'{len(accused)} accused')
    for text in accused[:10]:
        print(text)
    return 1 if accused else 0


if __name__ == '__main__':
    sys.exit(main())
