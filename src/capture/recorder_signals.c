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

void hone_recorder_pass_on(struct hone_recorder *recorder)
{
    struct signalfd_siginfo info;
    while (read(recorder->signal_fd, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo == SIGURG) {
            hone_recorder_stuck_ask(recorder);
            continue;
        }
        if (recorder->attached) {
            recorder->program_ended |= info.ssi_signo == SIGINT || info.ssi_signo == SIGTERM ||
                                       info.ssi_signo == SIGHUP || info.ssi_signo == SIGQUIT;
            continue;
        }
        if (info.ssi_signo == SIGCHLD) {
            stop_with_program(recorder);
            continue;
        }
        // Who asks us to go on has asked the program, too, unless it still stands.
        if (info.ssi_signo == SIGCONT && !stopped_by(recorder))
            continue;
        // What the terminal sends goes to the whole group: the program has it already.
        if (info.ssi_code == SI_KERNEL)
            continue;
        if (!recorder->program_ended)
            (void)kill(recorder->launch.pid, (int)info.ssi_signo);
    }
}
