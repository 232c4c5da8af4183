#include "capture/deadly.h"

#include "base/base.h"
#include "core/core.h"
#include "session/layout.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

// What a recording asks of the kernel beyond what libc's start, files and processes need. The first
// is tried first: it keeps the attempts from leaving cores behind.
static const struct call {
    long number;
    const char *name;
    uint32_t spared; // HONE_DEADLY_…; 0: nothing is recorded without it
} calls[] = {
    {SYS_prlimit64, "prlimit64", 0},
    {SYS_perf_event_open, "perf_event_open", HONE_DEADLY_PERF},
    {SYS_timer_create, "timer_create", HONE_DEADLY_TIMER},
    {SYS_timer_settime, "timer_settime", HONE_DEADLY_TIMER},
    {SYS_bpf, "bpf", HONE_DEADLY_BPF},
    {SYS_prctl, "prctl", HONE_DEADLY_PRCTL},
    {SYS_epoll_create1, "epoll_create1", 0},
    {SYS_epoll_ctl, "epoll_ctl", 0},
    {SYS_signalfd4, "signalfd4", 0},
    {SYS_pidfd_open, "pidfd_open", 0},
    {SYS_pidfd_send_signal, "pidfd_send_signal", 0},
    {SYS_getrandom, "getrandom", 0},
    {SYS_statx, "statx", 0},
    {SYS_flock, "flock", 0},
    {SYS_ftruncate, "ftruncate", 0},
    {SYS_fallocate, "fallocate", 0},
    {SYS_process_vm_readv, "process_vm_readv", 0},
    {SYS_sched_getaffinity, "sched_getaffinity", 0},
};

// Arguments of -1 are no address, no descriptor and no flags that the kernel knows. Returns the
// last answer, as hone_call_answer().
static int try_calls(const struct call *tried, size_t count, bool quiet)
{
    pid_t child = fork();
    if (child == 0) {
        const struct rlimit none = {0, 0};
        if (quiet)
            (void)setrlimit(RLIMIT_CORE, &none);
        long r = 0;
        for (size_t i = 0; i < count; i++)
            r = syscall(tried[i].number, -1L, -1L, -1L, -1L, -1L, -1L);
        _exit(r < 0 ? errno : 0);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child)
        return HONE_CALL_UNTRIED;
    return WIFSIGNALED(status) ? HONE_CALL_KILLS : WEXITSTATUS(status);
}

static bool dies(const struct call *tried, size_t count, bool quiet)
{
    return try_calls(tried, count, quiet) == HONE_CALL_KILLS;
}

int hone_call_answer(long number)
{
    return try_calls(&(struct call){.number = number}, 1, false);
}

static bool is_filtered(void)
{
    HONE_CLEANUP(hone_freep) char *text = NULL;
    size_t len;
    if (hone_file_read("/proc/self/status", 1 << 16, &text, &len, NULL))
        return false;
    const char *mode = strstr(text, "\nSeccomp:\t");
    return mode && mode[strlen("\nSeccomp:\t")] != '0';
}

bool hone_perf_kills(void)
{
    static bool asked, kills;
    if (!asked)
        kills = is_filtered() && hone_call_answer(SYS_perf_event_open) == HONE_CALL_KILLS;
    asked = true;
    return kills;
}

int hone_deadly_find(uint32_t *ret, struct hone_error *err)
{
    *ret = 0;
    // Most filters answer with an error: then one child has tried all.
    if (!is_filtered() || !dies(calls, HONE_ARRAY_LENGTH(calls), false))
        return 0;
    bool quiet = !dies(calls, 1, false);
    for (size_t i = 0; i < HONE_ARRAY_LENGTH(calls); i++) {
        if (!dies(&calls[i], 1, quiet))
            continue;
        if (!calls[i].spared) {
            (void)hone_error_set(err, -EACCES,
                                 "cannot record in here: a sandbox (seccomp) kills who calls %s",
                                 calls[i].name);
            hone_error_hint(err, "run hone outside of the sandbox, and the program in it");
            return -EACCES;
        }
        *ret |= calls[i].spared;
    }
    return 0;
}
