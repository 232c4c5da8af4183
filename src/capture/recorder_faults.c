// A fault's signal cannot be blocked and read like the others: a fault that comes while it is
// blocked ends us, also one that a handler would mend. So a handler tells what was sent from what
// is a fault.
#include "capture/recorder.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/signalfd.h>
#include <unistd.h>

static const int numbers[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
enum { COUNT = sizeof numbers / sizeof numbers[0] };

static struct {
    int tell_fd;
    struct sigaction before[COUNT];
} faults = {.tell_fd = -1};

static void on_fault(int number, siginfo_t *info, void *context)
{
    (void)context;
    int saved = errno;
    if (info->si_code > 0) { // happens again at once, and then meets who was there before us
        for (int i = 0; i < COUNT; i++)
            if (numbers[i] == number)
                (void)sigaction(number, &faults.before[i], NULL);
    } else {
        const struct signalfd_siginfo sent = {
            .ssi_signo = (uint32_t)number,
            .ssi_code = info->si_code,
            .ssi_pid = (uint32_t)info->si_pid,
            .ssi_uid = (uint32_t)info->si_uid,
            .ssi_ptr = (uint64_t)(uintptr_t)info->si_value.sival_ptr,
        };
        (void)!write(faults.tell_fd, &sent, sizeof sent); // full: as a signal that waits already
    }
    errno = saved;
}

int hone_recorder_faults_start(struct hone_recorder *recorder)
{
    int pair[2];
    if (pipe2(pair, O_CLOEXEC | O_NONBLOCK))
        return -errno;
    recorder->fault_fd = pair[0];
    faults.tell_fd = pair[1];
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_RESTART};
    for (int i = 0; i < COUNT; i++)
        (void)sigaction(numbers[i], &action, &faults.before[i]);
    return hone_recorder_watch(recorder, recorder->fault_fd, HONE_WATCH_SIGNALS);
}

void hone_recorder_faults_stop(struct hone_recorder *recorder)
{
    if (recorder->fault_fd < 0)
        return;
    for (int i = 0; i < COUNT; i++)
        (void)sigaction(numbers[i], &faults.before[i], NULL);
    (void)close(faults.tell_fd);
    (void)close(recorder->fault_fd);
    faults.tell_fd = recorder->fault_fd = -1;
}
