#include "capture/restart.h"

#include "capture/kernel_stack.h"

#include <string.h>
#include <sys/syscall.h>

// All that the kernel goes on with this way; other calls are taken up by their own numbers.
static const struct {
    const char *function;
    int64_t call;
} restarts[] = {
    {"hrtimer_nanosleep_restart", SYS_clock_nanosleep},
    {"alarm_timer_nsleep_restart", SYS_clock_nanosleep}, // a clock that wakes the machine
    {"posix_cpu_nsleep_restart", SYS_clock_nanosleep},   // a clock of CPU time
    {"futex_wait_restart", SYS_futex},
#ifdef SYS_poll
    {"do_restart_poll", SYS_poll},
#endif
};

// How a system call begins in the kernel, in the order of machines.
static const char *const entries[] = {
    "do_syscall_64",  "x64_sys_call", "__x64_sys_restart_syscall",   "__do_sys_restart_syscall",
    "invoke_syscall", "el0_svc",      "__arm64_sys_restart_syscall",
};

bool hone_restart_is_open(const struct hone_blocked *blocked)
{
    return blocked->call == SYS_restart_syscall;
}

void hone_restart_recall(struct hone_restart *last, struct hone_blocked *blocked)
{
    if (!hone_restart_is_open(blocked))
        *last =
            (struct hone_restart){blocked->call, blocked->ip, blocked->sp, blocked->arguments[0]};
    else if (last->ip && last->ip == blocked->ip && last->sp == blocked->sp &&
             last->first_argument == blocked->arguments[0])
        blocked->call = last->call;
}

// "[<0>] futex_wait_restart+0x3e/0x60", or with what the compiler adds to a copy: ".part.0".
static bool is_frame_of(const char *line, const char *function)
{
    const char *name = strchr(line, ' ');
    size_t len = strlen(function);
    return name && strncmp(++name, function, len) == 0 && (name[len] == '+' || name[len] == '.');
}

// The kernel leaves out the functions of its scheduler, and the one that goes on with a sleep by
// the common clocks is among them: of such a sleep there is nothing inside of the call's beginning.
static bool is_bare(const char *stack)
{
    for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++)
        if (is_frame_of(stack, entries[i]))
            return true;
    return false;
}

void hone_restart_parse(const char *stack, struct hone_blocked *blocked)
{
    if (hone_restart_is_open(blocked) && is_bare(stack))
        blocked->call = SYS_clock_nanosleep;
    for (const char *line = stack; *line && hone_restart_is_open(blocked);) {
        for (size_t i = 0; i < sizeof restarts / sizeof restarts[0]; i++)
            if (is_frame_of(line, restarts[i].function))
                blocked->call = restarts[i].call;
        line += strcspn(line, "\n");
        line += *line == '\n';
    }
}

void hone_restart_ask(uint32_t pid, uint32_t tid, struct hone_blocked *blocked)
{
    char text[HONE_KERNEL_STACK_TEXT];
    if (hone_restart_is_open(blocked) && hone_kernel_stack_text(pid, tid, text))
        hone_restart_parse(text, blocked);
}
