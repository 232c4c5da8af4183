// Signals on their way to the program, in whose place we stand.
#include "capture/recorder.h"

#include "base/cleanup.h"
#include "core/clock.h"

#include <fcntl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// A moment in which a program puts its terminal in order before it stops as it was asked to.
enum { STOP_MS = 5000 };

// All that can be caught. Not the signals of faults, see recorder_faults.c.
void hone_recorder_signals(sigset_t *set)
{
    (void)sigfillset(set);
    (void)sigdelset(set, SIGSEGV);
    (void)sigdelset(set, SIGBUS);
    (void)sigdelset(set, SIGFPE);
    (void)sigdelset(set, SIGILL);
}

static bool is_stop(uint32_t number)
{
    return number == SIGTSTP || number == SIGTTIN || number == SIGTTOU;
}

void hone_recorder_end_signals(sigset_t *set)
{
    hone_recorder_signals(set);
    for (int number = 1; number <= 64; number++) {
        struct sigaction now;
        if (number == SIGCHLD || number == SIGURG)
            continue;
        if (is_stop((uint32_t)number) ||
            (sigaction(number, NULL, &now) == 0 && now.sa_handler == SIG_IGN))
            (void)sigdelset(set, number);
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

// So that who waits for us sees what it would see of the program.
static void stop_by(int number)
{
    const struct sigaction as_ever = {.sa_handler = SIG_DFL};
    struct sigaction before;
    sigset_t waiting, this_one;
    if (sigpending(&waiting) == 0 && sigismember(&waiting, SIGCONT) == 1)
        return; // all go on already
    if (number == SIGSTOP) {
        (void)raise(SIGSTOP);
        return;
    }
    (void)sigemptyset(&this_one);
    (void)sigaddset(&this_one, number);
    (void)sigaction(number, &as_ever, &before);
    (void)raise(number);
    (void)sigprocmask(SIG_UNBLOCK, &this_one, NULL);
    (void)sigprocmask(SIG_BLOCK, &this_one, NULL);
    (void)sigaction(number, &before, NULL);
}

// The shell that waits for us shall see that the program stops, where we were asked to, too, or
// where it reads keys itself (editors, pagers) and stops itself at Ctrl-Z. Not when somebody stops
// the program alone, who will not know that we stand as well. When all of us have just gone on, the
// program may do so in a moment.
static void stop_with_program(struct hone_recorder *recorder)
{
    const struct timespec moment = {.tv_nsec = 20000000};
    int number = stopped_by(recorder);
    bool asked =
        recorder->stop_asked_ns && hone_now_ns() - recorder->stop_asked_ns < STOP_MS * 1000000ull;
    if (!number || !(asked || (number == SIGTSTP && in_foreground())))
        return;
    (void)nanosleep(&moment, NULL);
    number = stopped_by(recorder);
    if (!number)
        return;
    recorder->stop_asked_ns = 0;
    stop_by(number);
}

enum { AT_ONCE = 32 };

static size_t take(const struct hone_recorder *recorder, struct signalfd_siginfo ret[AT_ONCE])
{
    const int fds[] = {recorder->signal_fd, recorder->fault_fd};
    size_t count = 0;
    for (int i = 0; i < 2 && count < AT_ONCE; i++) {
        ssize_t n = fds[i] < 0 ? 0 : read(fds[i], ret + count, (AT_ONCE - count) * sizeof *ret);
        count += n > 0 ? (size_t)n / sizeof *ret : 0;
    }
    return count;
}

// What our own doing has sent: a pipe that broke, a file or CPU time beyond its limit.
static bool is_ours(const struct signalfd_siginfo *info)
{
    return (info->ssi_code == SI_USER && info->ssi_pid == (uint32_t)getpid()) ||
           (info->ssi_signo == SIGXCPU && info->ssi_code > 0);
}

// What has reached us and is to be passed on.
static size_t take_signals(struct hone_recorder *recorder, struct signalfd_siginfo ret[AT_ONCE])
{
    size_t count = 0, taken = take(recorder, ret);
    for (size_t i = 0; i < taken; i++) {
        const struct signalfd_siginfo *info = &ret[i];
        if (info->ssi_signo == SIGURG && recorder->stuck) {
            hone_recorder_stuck_ask(recorder); // whoever sends it here means us
            continue;
        }
        if ((info->ssi_signo == SIGCHLD && info->ssi_code > 0) || is_ours(info))
            continue;
        if (is_stop(info->ssi_signo))
            recorder->stop_asked_ns = hone_now_ns();
        if (info->ssi_signo == SIGCONT)
            recorder->stop_asked_ns = 0;
        ret[count++] = *info;
    }
    return count;
}

// That queues, so that each one counts.
static bool is_queued(uint32_t number)
{
    return number >= 32;
}

// Of what came: whether the program has it already, being of the group that it was sent to.
static bool program_has(struct hone_recorder *recorder, const struct signalfd_siginfo *info,
                        bool in_group, bool is_known)
{
    bool by_kernel = info->ssi_code == SI_KERNEL;
    if (!by_kernel && info->ssi_code != SI_USER) // no group can be sent it
        return false;
    if (!is_known)
        return by_kernel; // from the terminal, most likely
    uint32_t *count = &recorder->group_sent.count[info->ssi_signo - 1];
    if (!*count)
        return false;
    if (is_queued(info->ssi_signo))
        --*count;
    // A program that has left our group stands for the job all the same: with nobody in its place
    // it would have got what is sent to the job; but not what is typed.
    return in_group || by_kernel;
}

static void send_on(pid_t pid, const struct signalfd_siginfo *info)
{
    int code = info->ssi_code, number = (int)info->ssi_signo;
    // What kill() sent the kernel lets nobody send in another's name; a timer or a file has sent
    // what has another form.
    if (code < 0 && code != SI_TKILL && code != SI_TIMER && code != SI_SIGIO) {
        siginfo_t sent = {.si_signo = number, .si_code = code};
        sent.si_pid = (pid_t)info->ssi_pid;
        sent.si_uid = info->ssi_uid;
        sent.si_value.sival_ptr = (void *)(uintptr_t)info->ssi_ptr; // NOLINT: a word of the sender
        if (syscall(SYS_rt_sigqueueinfo, pid, number, &sent) == 0)
            return;
    }
    (void)kill(pid, number);
}

// Adds what the group got since.
static bool ask_sentinel(struct hone_recorder *recorder)
{
    struct hone_group_signals came;
    if (!hone_sentinel_ask(&recorder->sentinel, &came))
        return false;
    for (int i = 0; i < 64; i++)
        recorder->group_sent.count[i] += came.count[i];
    return true;
}

// What comes once more while we look is one with what came before, as it is for a program that has
// not run meanwhile; so the group's signals count until nothing more has come, when all that the
// sentinel told of has been taken here, too.
static void pass_on(struct hone_recorder *recorder, pid_t pid, bool has_none)
{
    enum { ROUNDS = 8 }; // who is sent more than that also has other things to do
    struct signalfd_siginfo came[AT_ONCE];
    for (int round = 0; round < ROUNDS; round++) {
        size_t count = take_signals(recorder, came);
        if (!count) {
            recorder->group_sent = (struct hone_group_signals){0};
            return;
        }
        bool is_known = !recorder->program_ended && ask_sentinel(recorder);
        bool in_group = recorder->program_ended || getpgid(pid) == getpgrp();
        for (size_t i = 0; i < count; i++) {
            const struct signalfd_siginfo *info = &came[i];
            uint32_t number = info->ssi_signo;
            // Ctrl-Z stops the job, though the program has left it.
            if (is_stop(number) &&
                (recorder->program_ended || (!in_group && info->ssi_code == SI_KERNEL)))
                stop_by((int)number);
            if (recorder->program_ended)
                continue;
            // Not once more where it stands: it may have gone on, and have stopped itself again.
            bool has = program_has(recorder, info, in_group, is_known);
            if (!has || (has_none && !is_queued(number)))
                send_on(pid, info);
        }
    }
}

// Of a recording of what runs already, which no signal shall lose: all that would end us does, but
// those that mean nothing here.
static bool asks_to_end(const struct signalfd_siginfo *info)
{
    switch (info->ssi_signo) {
    case SIGUSR1:
    case SIGUSR2:
    case SIGALRM:
    case SIGWINCH:
    case SIGURG:
    case SIGCHLD:
    case SIGCONT:
    case SIGPIPE:
        return false;
    default:
        return info->ssi_signo != SIGXFSZ || !is_ours(info);
    }
}

static void end_when_asked(struct hone_recorder *recorder)
{
    struct signalfd_siginfo came[AT_ONCE];
    for (size_t count; (count = take(recorder, came)) > 0;)
        for (size_t i = 0; i < count; i++) {
            if (came[i].ssi_signo == SIGURG)
                hone_recorder_stuck_ask(recorder);
            recorder->program_ended |= asks_to_end(&came[i]);
        }
}

void hone_recorder_pass_on(struct hone_recorder *recorder)
{
    if (recorder->attached) {
        end_when_asked(recorder);
        return;
    }
    pass_on(recorder, recorder->launch.pid, false);
    if (!recorder->program_ended)
        stop_with_program(recorder);
}

// Its signals are blocked, so what it has got already and gets once more is one.
void hone_recorder_pass_on_first(struct hone_recorder *recorder, pid_t pid)
{
    hone_sentinel_start(&recorder->sentinel);
    pass_on(recorder, pid, true);
}
