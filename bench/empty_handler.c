// A recorder that records nothing: preloaded, it lets the kernel interrupt every thread as Hone's
// best engine does (one inherited perf event on the threads' CPU clock that raises SIGTRAP), and
// its handler returns at once. What it costs is the machine's: the timer interrupt, above all in a
// virtual machine, and the signal. What a recorder costs more is its own.
//
// EMPTY_HANDLER_HZ  samples per second of CPU time (1000)
#include <linux/perf_event.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static void on_trap(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)info;
    (void)context;
}

__attribute__((constructor)) static void begin(void)
{
    const char *hz = getenv("EMPTY_HANDLER_HZ");
    struct perf_event_attr attr = {
        .size = sizeof attr,
        .type = PERF_TYPE_SOFTWARE,
        .config = PERF_COUNT_SW_TASK_CLOCK,
        .sample_period = 1000000000u / (hz && atoi(hz) > 0 ? (unsigned)atoi(hz) : 1000),
        .disabled = 1,
        .exclude_hv = 1,
        .sigtrap = 1,
        .remove_on_exec = 1,
        .inherit = 1,
        .inherit_thread = 1,
    };
    struct sigaction action = {.sa_sigaction = on_trap,
                               .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
    long fd = syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
    if (fd >= 0 && sigaction(SIGTRAP, &action, NULL) == 0)
        (void)ioctl((int)fd, PERF_EVENT_IOC_ENABLE, 0);
}
