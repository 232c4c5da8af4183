"""Pitfalls: programs that trace their own children, as debuggers and strace do, and such as take
SIGTRAP by another way than a handler.
"""

import os
import subprocess
import unittest

import harness

# Its children ask to be traced, compute for some periods and become another program: the tracer
# waits for the stop at exec alone. How many saw another one?
ASKING = r"""
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
static void burn(long milliseconds)
{
    struct timespec now;
    do
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    while (now.tv_sec * 1000 + now.tv_nsec / 1000000 < milliseconds);
}
int main(int argc, char **argv)
{
    (void)argc;
    int wrong = 0, status;
    for (int i = 0; i < 20; i++) {
        int pid = fork();
        if (pid == 0) {
            if (strcmp(argv[1], "syscall") == 0)
                syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0);
            else
                ptrace(PTRACE_TRACEME, 0, 0, 0);
            if (ptrace(PTRACE_TRACEME, 0, 0, 0) == 0)
                _exit(2);
            burn(20);
            execl("/bin/true", "true", (char *)0);
            _exit(1);
        }
        char path[64], name[16] = "";
        waitpid(pid, &status, 0);
        snprintf(path, sizeof path, "/proc/%d/comm", pid);
        FILE *comm = fopen(path, "r");
        wrong += !comm || !fgets(name, sizeof name, comm) || strcmp(name, "true\n") != 0;
        if (comm)
            fclose(comm);
        while (WIFSTOPPED(status)) {
            ptrace(PTRACE_CONT, pid, 0, 0);
            waitpid(pid, &status, 0);
        }
        wrong += status != 0;
    }
    printf("wrong %d\n", wrong);
    return 0;
}
"""

# What is read by a descriptor must not end the program when it lets everything through later.
BY_DESCRIPTOR = r"""
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>
int main(void)
{
    sigset_t all, before;
    struct signalfd_siginfo info;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    int fd = signalfd(-1, &all, SFD_NONBLOCK);
    raise(SIGTRAP);
    kill(getpid(), SIGTRAP);
    raise(SIGUSR1);
    int others = 0;
    while (read(fd, &info, sizeof info) == sizeof info)
        others += info.ssi_signo != SIGTRAP;
    sigprocmask(SIG_SETMASK, &before, NULL);
    printf("others %d\n", others);
    return 0;
}
"""


class Programs(harness.TestCase):
    def compiled(self, source):
        program = os.path.join(self.tmp, 'program')
        subprocess.run(('cc', '-O1', '-x', 'c', '-o', program, '-'), input=source.encode(), check=True)
        return program


class Descriptors(Programs):
    def test_a_signal_that_was_to_be_read_does_not_end_the_program(self):
        program = self.compiled(BY_DESCRIPTOR)
        self.assertEqual(self.run_plain(program).stdout, b'others 1\n')
        recording = self.record(program)
        self.assertEqual((recording.status, recording.stdout), (0, b'others 1\n'))

# Its child is traced and computes for a second: nobody samples it.
TRACED_WORK = r"""
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
int main(void)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        while (clock() < CLOCKS_PER_SEC)
            ;
        _exit(4);
    }
    while (waitpid(child, &status, 0) == child && WIFSTOPPED(status))
        ptrace(PTRACE_CONT, child, 0, 0);
    return WEXITSTATUS(status);
}
"""

# Each child becomes a program that computes for 20 ms, and is traced once that runs, by who keeps
# the profiler's signals from it. How often is it stopped?
KEEPING = r"""
#include <signal.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
static int child(void)
{
    struct timespec now;
    char byte;
    if (write(1, "", 1) != 1 || read(0, &byte, 1) != 1)
        return 1;
    do
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    while (now.tv_sec == 0 && now.tv_nsec < 20000000);
    return 0;
}
int main(int argc, char **argv)
{
    int stops = 0;
    if (argc > 1)
        return child();
    for (int i = 0; i < 100; i++) {
        int to[2], from[2], status;
        char byte;
        if (pipe(to) || pipe(from))
            return 1;
        pid_t pid = fork();
        if (pid == 0) {
            dup2(to[0], 0), dup2(from[1], 1);
            execl(argv[0], argv[0], "child", (char *)0);
            _exit(1);
        }
        if (read(from[0], &byte, 1) != 1)
            return 1;
        ptrace(PTRACE_SEIZE, pid, 0, 0);
        if (write(to[1], "", 1) != 1)
            return 1;
        for (waitpid(pid, &status, 0); WIFSTOPPED(status); waitpid(pid, &status, 0)) {
            stops += WSTOPSIG(status) == SIGTRAP;
            ptrace(PTRACE_CONT, pid, 0, 0);
        }
        close(to[0]), close(to[1]), close(from[0]), close(from[1]);
    }
    printf("%d\n", stops);
    return 0;
}
"""


class Children(Programs):
    def test_who_asks_to_be_traced_gets_none_of_our_signals(self):
        program = self.compiled(ASKING)
        for how in ('ptrace', 'syscall'):
            for engine in ('perf-trap', 'thread-timer', 'process-timer'):
                with self.subTest(how=how, engine=engine):
                    recording = self.record(program, how, options=('--engine', engine))
                    self.assertEqual(recording.stdout, b'wrong 0\n')
                    self.assertIn('traced by its parent', '\n'.join(recording.profile.comments))

    def test_who_is_kept_from_our_signals_is_not_stopped_without_end(self):
        recording = self.record(self.compiled(KEEPING), rate=100, options=('--types', 'cpu'))
        self.assertEqual(recording.status, 0, recording.stderr)
        # At a random moment of the first 10 ms, and once or twice after that.
        self.assertGreater(int(recording.stdout), 0)
        self.assertLess(int(recording.stdout), 100 * 3.5)

    def test_why_who_is_traced_is_not_sampled(self):
        recording = self.record(self.compiled(TRACED_WORK), options=('--types', 'cpu'))
        self.assertEqual(recording.status, 4)
        # Whether or not its parent was sampled, which takes a few ms.
        rest = [c for c in recording.profile.comments if c.startswith(('not sampled: ', 'empty: '))]
        self.assertEqual(len(rest), 1, recording.profile.comments)
        self.assertIn('traced by its parent', rest[0])


if __name__ == '__main__':
    unittest.main()
