"""Pitfalls: threads that libc starts by itself, for a timer or a message, with all signals blocked.
"""

import os
import shutil
import subprocess
import unittest

import harness
from harness import NS


# Six times, by one thread after the other: works, and tells its value and what it blocks. Or makes
# many timers, of values of their own, and looks what is told to threads of some.
NOTIFIED = r'''
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
static sem_t told;
static int number, as_int;
static long as_pointer;
static unsigned blocked;
static void work(double seconds)
{
    struct timespec now;
    double until = -1, at;
    do {
        for (volatile int i = 0; i < 10000; i++) {}
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
        at = now.tv_sec + now.tv_nsec / 1e9;
        until = until < 0 ? at + seconds : until;
    } while (at < until);
}
__attribute__((noinline, noclone)) static void notified(union sigval value)
{
    sigset_t mask;
    pthread_sigmask(SIG_BLOCK, NULL, &mask);
    blocked = sigismember(&mask, SIGTRAP) << 2 | sigismember(&mask, SIGURG) << 1 |
              sigismember(&mask, SIGUSR1);
    as_int = value.sival_int;
    as_pointer = (long)value.sival_ptr;
    work(0.1);
    sem_post(&told);
    if (number % 2) pthread_exit(NULL);
}
static void brief(union sigval value)
{
    as_pointer = (long)value.sival_ptr;
    sem_post(&told);
}
static void tell(timer_t timer)
{
    struct itimerspec once = {.it_value = {0, 1000000}};
    timer_settime(timer, 0, &once, NULL);
}
static void wait_for(void)
{
    while (sem_wait(&told)) {}
}
static int notify(int by_queue)
{
    struct sigevent event = {.sigev_notify = SIGEV_THREAD};
    struct mq_attr attr = {.mq_maxmsg = 1, .mq_msgsize = 1};
    char name[40], byte;
    timer_t timer;
    mqd_t queue = -1;
    sprintf(name, "/hone-test-%d", getpid());
    event.sigev_notify_function = notified;
    event.sigev_value.sival_ptr = (void *)0x123456789abcdef0;
    if (by_queue) {
        queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attr);
        if (queue == (mqd_t)-1) return 77;
        mq_unlink(name);
    } else if (timer_create(CLOCK_MONOTONIC, &event, &timer)) {
        return 1;
    }
    for (; number < 6; number++) {
        if (by_queue && (mq_notify(queue, &event) || mq_send(queue, "x", 1, 0))) return 2;
        if (!by_queue) tell(timer);
        wait_for();
        usleep(20000);
        if (by_queue && mq_receive(queue, &byte, 1, NULL) != 1) return 3;
        printf("%d blocked %u value %x %lx\n", number, blocked, as_int, as_pointer);
    }
    return 0;
}
static int many(void)
{
    struct sigevent event = {.sigev_notify = SIGEV_THREAD};
    timer_t timer;
    event.sigev_notify_function = brief;
    for (long i = 0; i < 6000; i++) {
        event.sigev_value.sival_ptr = (void *)(i << 20);
        if (timer_create(CLOCK_MONOTONIC, &event, &timer)) return 4;
        if (i % 500 == 499) {
            tell(timer);
            wait_for();
            if (as_pointer != i << 20) return 5;
        }
        timer_delete(timer);
    }
    event.sigev_notify = SIGEV_NONE;
    if (timer_create(CLOCK_MONOTONIC, &event, &timer)) return 6;
    if (timer_create(CLOCK_MONOTONIC, NULL, &timer)) return 7;
    return timer_create(1000, &event, &timer) != -1 || errno != EINVAL;
}
int main(int argc, char **argv)
{
    return !strcmp(argv[1], "many") ? many() : notify(!strcmp(argv[1], "mq_notify"));
}
'''


class Notified(harness.TestCase):
    def build(self, compiler='cc'):
        program = os.path.join(self.tmp, 'notified')
        subprocess.run([compiler, '-O1', '-w', '-x', 'c', '-', '-o', program, '-pthread'],
                       input=NOTIFIED, text=True, check=True, timeout=60)
        return program

    def check(self, program, kind, engine):
        plain = self.run_plain(program, kind)
        if plain.returncode == 77:
            self.skipTest('no message queues here')
        recording = self.record(program, kind, rate=1000, options=('--engine', engine))
        self.assertEqual((recording.status, recording.stdout), (0, plain.stdout), recording.stderr)
        profile = recording.profile
        inside = profile.total(where=lambda s: s.has('notified') and not s.has('[never sampled]'))
        self.assertGreater(inside, 0.9 * 0.6 * NS)
        self.assertLess(inside, 1.05 * 0.6 * NS)
        self.assertNotIn('not sampled:', '\n'.join(profile.comments).replace('# ', ''))
        return profile

    def test_a_timers_threads_are_sampled(self):
        program = self.build()
        for engine in ('perf-trap', 'thread-timer', 'perf-signal'):
            with self.subTest(engine=engine):
                profile = self.check(program, 'timer_create', engine)
                self.assert_complete(profile)

    def test_a_message_queues_threads_are_sampled(self):
        program = self.build()
        for engine in ('perf-trap', 'thread-timer'):
            with self.subTest(engine=engine):
                self.check(program, 'mq_notify', engine)

    @unittest.skipUnless(shutil.which('musl-gcc'), 'needs musl-gcc')
    def test_those_of_musl_are_sampled(self):
        program = self.build('musl-gcc')
        for kind in ('timer_create', 'mq_notify'):
            for engine in ('perf-trap', 'thread-timer'):
                with self.subTest(kind=kind, engine=engine):
                    self.check(program, kind, engine)

    def test_more_timers_than_are_known_get_their_values(self):
        for compiler in ('cc', 'musl-gcc'):
            if shutil.which(compiler):
                with self.subTest(compiler=compiler):
                    recording = self.record(self.build(compiler), 'many')
                    self.assertEqual(recording.status, 0, recording.stderr)


if __name__ == '__main__':
    unittest.main()
