// Signals on their way to the program, in whose place we stand.
#include "capture/recorder.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// Those that ask a program to end or to do something reach us in its place.
static const int passed_on[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGTERM,
                                SIGUSR1, SIGUSR2, SIGALRM, SIGWINCH};

void hone_recorder_signals(sigset_t *set)
{
    (void)sigemptyset(set);
    (void)sigaddset(set, SIGCHLD); // the program may stop
    (void)sigaddset(set, SIGCONT); // and go on
    (void)sigaddset(set, SIGURG);  // a look at who is stuck; whoever sends it here means us
    for (size_t i = 0; i < sizeof passed_on / sizeof passed_on[0]; i++)
        (void)sigaddset(set, passed_on[i]);
}

void hone_recorder_end_signals(sigset_t *set)
{
    hone_recorder_signals(set);
    for (size_t i = 0; i < sizeof passed_on / sizeof passed_on[0]; i++) {
        struct sigaction now;
        if (sigaction(passed_on[i], NULL, &now) == 0 && now.sa_handler == SIG_IGN)
            (void)sigdelset(set, passed_on[i]);
    }
}

// 0: it is not.
static int stopped_by(const struct hone_recorder *recorder)
{
    siginfo_t info = {0};
    if (recorder->program_ended ||
        waitid(P_PID, (id_t)recorder->launch.pid, &info, WSTOPPED | WNOHANG | WNOWAIT))
        return 0;
    return info.si_pid ? info.si_status : 0;
}

static bool in_foreground(void)
{
    HONE_CLEANUP(hone_fd_closep) int fd = open("/dev/tty", O_RDONLY | O_CLOEXEC | O_NOCTTY);
    return fd >= 0 && tcgetpgrp(fd) == getpgrp();
}

// Programs that read keys themselves (editors, pagers) stop themselves at Ctrl-Z, and the shell
// that waits for us shall see it. When the terminal has stopped all of us, the program may go on in
// a moment as we did.
static void stop_with_program(const struct hone_recorder *recorder)
{
    const struct timespec moment = {.tv_nsec = 20000000};
    if (stopped_by(recorder) != SIGTSTP || !in_foreground())
        return;
    (void)nanosleep(&moment, NULL);
    if (stopped_by(recorder) == SIGTSTP)
        (void)raise(SIGSTOP);
}

static uint64_t bit(uint32_t number)
{
    return 1ull << (number - 1);
}

struct came {
    uint64_t any, by_kernel; // bits as the sentinel's
};

// What has reached us and is to be passed on.
static struct came take_signals(struct hone_recorder *recorder)
{
    struct came came = {0};
    struct signalfd_siginfo info;
    while (read(recorder->signal_fd, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo == SIGURG) {
            hone_recorder_stuck_ask(recorder);
            continue;
        }
        if (info.ssi_signo == SIGCHLD) {
            stop_with_program(recorder);
            continue;
        }
        if (info.ssi_signo == SIGCONT) {
            // Who asks us to go on has asked the program, too, unless it still stands.
            if (stopped_by(recorder))
                (void)kill(recorder->launch.pid, SIGCONT);
            continue;
        }
        came.any |= bit(info.ssi_signo);
        if (info.ssi_code == SI_KERNEL)
            came.by_kernel |= bit(info.ssi_signo);
    }
    return came;
}

// Of those that came, what the program has already, being of the group that it was sent to.
static uint64_t program_has(struct hone_recorder *recorder, pid_t pid, const struct came *came)
{
    uint64_t group;
    if (!hone_sentinel_ask(&recorder->sentinel, &group))
        return came->by_kernel; // from the terminal, most likely
    recorder->group_sent |= group;
    // A program that has left our group stands for the job all the same: with nobody in its place
    // it would have got what is sent to the job; but not what is typed.
    return recorder->group_sent & (getpgid(pid) == getpgrp() ? ~0ull : came->by_kernel);
}

// What comes once more while we look is one with what came before, as it is for a program that has
// not run meanwhile; so the group's signals count until nothing more has come, when all that the
// sentinel told of has been taken here, too.
static void pass_on(struct hone_recorder *recorder, pid_t pid, bool has_none)
{
    enum { ROUNDS = 8 }; // who is sent more than that also has other things to do
    for (int i = 0; i < ROUNDS; i++) {
        struct came came = take_signals(recorder);
        if (!came.any) {
            recorder->group_sent = 0;
            return;
        }
        if (recorder->program_ended)
            continue;
        uint64_t has = program_has(recorder, pid, &came);
        for (uint32_t number = 1; number <= 64; number++)
            if (came.any & (has_none ? ~0ull : ~has) & bit(number))
                (void)kill(pid, (int)number);
    }
}

static void end_when_asked(struct hone_recorder *recorder)
{
    struct signalfd_siginfo info;
    while (read(recorder->signal_fd, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo == SIGURG)
            hone_recorder_stuck_ask(recorder);
        recorder->program_ended |= info.ssi_signo == SIGINT || info.ssi_signo == SIGTERM ||
                                   info.ssi_signo == SIGHUP || info.ssi_signo == SIGQUIT;
    }
}

void hone_recorder_pass_on(struct hone_recorder *recorder)
{
    if (recorder->attached)
        end_when_asked(recorder);
    else
        pass_on(recorder, recorder->launch.pid, false);
}

// Its signals are blocked, so what it has got already and gets once more is one.
void hone_recorder_pass_on_first(struct hone_recorder *recorder, pid_t pid)
{
    hone_sentinel_start(&recorder->sentinel);
    pass_on(recorder, pid, true);
}
