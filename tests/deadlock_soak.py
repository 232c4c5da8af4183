#!/usr/bin/env python3
"""Looks for deadlocks, again and again, in programs that are busy and sound: a pool of threads with
locks and conditions, and a database with its load. Nobody may be accused.

    HONE_BUILD=build tests/deadlock_soak.py [SECONDS]     (600)

Prints how often it looked at what. Not part of `make test`.
"""

import json
import sys
import threading
import time

import deadlock_test
import servers
from harness import workload

looks, accused, lock = {}, [], threading.Lock()


def look(pid, what):
    try:
        status, text = deadlock_test.deadlocks(pid, '--json')
    except ProcessLookupError:
        return
    with lock:
        looks[what] = looks.get(what, 0) + 1
        if status or json.loads(text)['findings']:
            accused.append(text)


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
    workers = [threading.Thread(target=soak_pool, args=(seconds,))]
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
