#include "capture/sentinel.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ANSWER_MS = 1000 }; // a busy machine; who is stopped by a debugger never answers

// All signals are blocked: each waits here until it is asked for. It holds nothing of ours, as
// whoever waits for the end of our output does not wait for it.
__attribute__((noreturn)) static void stand(int ask_fd, int answer_fd)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)prctl(PR_SET_NAME, "hone-sentinel");
    // First out of the way of each other.
    int ask = fcntl(ask_fd, F_DUPFD, 3), answer = fcntl(answer_fd, F_DUPFD, 3);
    if (dup2(ask, 0) < 0 || dup2(answer, 1) < 0)
        _exit(1);
    (void)close_range(2, ~0u, 0);
    sigset_t all;
    (void)sigfillset(&all);
    const struct timespec at_once = {0};
    char asked;
    while (read(0, &asked, 1) == 1) { // its end: ours, should that have come before the prctl
        struct hone_group_signals came = {0};
        siginfo_t info;
        for (int number; (number = sigtimedwait(&all, &info, &at_once)) > 0;)
            if (number != SIGCONT || info.si_pid != getppid()) // that one is of who asks
                came.count[number - 1]++;
        if (write(1, &came, sizeof came) != sizeof came)
            break;
    }
    _exit(0);
}

static void close_pair(const int pair[2])
{
    (void)close(pair[0]);
    (void)close(pair[1]);
}

void hone_sentinel_start(struct hone_sentinel *sentinel)
{
    int ask[2], answer[2];
    *sentinel = (struct hone_sentinel){0};
    if (pipe2(ask, O_CLOEXEC))
        return;
    if (pipe2(answer, O_CLOEXEC)) {
        close_pair(ask);
        return;
    }
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, &before);
    pid_t pid = fork();
    if (pid == 0)
        stand(ask[0], answer[1]);
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    (void)close(ask[0]);
    (void)close(answer[1]);
    if (pid > 0) {
        *sentinel = (struct hone_sentinel){.pid = pid, .ask_fd = ask[1], .answer_fd = answer[0]};
        return;
    }
    (void)close(ask[1]);
    (void)close(answer[0]);
}

// As its group did, where only we go on.
static bool stands(const struct hone_sentinel *sentinel)
{
    siginfo_t info = {0};
    return waitid(P_PID, (id_t)sentinel->pid, &info, WSTOPPED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid;
}

bool hone_sentinel_ask(struct hone_sentinel *sentinel, struct hone_group_signals *ret)
{
    if (!sentinel->pid)
        return false;
    // The kernel sends to a group under the lock of its list of processes, and takes the same lock
    // alone here, though nothing is changed: what is on its way is there when this returns.
    (void)setpgid(0, getpgrp());
    if (stands(sentinel))
        (void)kill(sentinel->pid, SIGCONT);
    struct pollfd answer = {.fd = sentinel->answer_fd, .events = POLLIN};
    int answers = write(sentinel->ask_fd, "", 1) == 1 ? 1 : 0;
    if (answers)
        do
            answers = poll(&answer, 1, ANSWER_MS);
        while (answers < 0 && errno == EINTR); // by one of a fault, which is not blocked
    if (answers == 1 && read(sentinel->answer_fd, ret, sizeof *ret) == sizeof *ret) {
        (void)setpgid(0, getpgrp());
        return true;
    }
    hone_sentinel_stop(sentinel);
    return false;
}

void hone_sentinel_stop(struct hone_sentinel *sentinel)
{
    if (!sentinel->pid)
        return;
    (void)kill(sentinel->pid, SIGKILL);
    (void)waitpid(sentinel->pid, NULL, 0);
    (void)close(sentinel->ask_fd);
    (void)close(sentinel->answer_fd);
    *sentinel = (struct hone_sentinel){0};
}
