// sandbox KIND [PROGRAM ARGUMENT…]: system calls are forbidden, by seccomp.
//
// lock        works in `outside`, locks itself in so that any call but those that a signal handler
//             of libc itself needs ends it, and works on in `locked_in`
// no-perf     answers perf_event_open() with EPERM and becomes PROGRAM
// no-timer    the same, and timer_create() with EPERM
//
// Right answer: lock prints `outside NANOSECONDS` and `locked_in NANOSECONDS`, and ends with 0.
#include "burn.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NUMBER BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))
#define ANSWER(what) BPF_STMT(BPF_RET | BPF_K, (what))
#define WHEN(number, what) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, 1), ANSWER(what)

static void install(struct sock_filter *filter, size_t length)
{
    struct sock_fprog program = {(unsigned short)length, filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0)) {
        perror("sandbox");
        exit(1);
    }
}

OWN_NAME static void outside(void)
{
    burn_ns(400 * MS);
}

OWN_NAME static void locked_in(void)
{
    burn_ns(400 * MS);
}

static int lock(void)
{
    long long start = thread_cpu_ns();
    outside();
    long long middle = thread_cpu_ns();
    struct sock_filter filter[] = {
        NUMBER,
        WHEN(SYS_write, SECCOMP_RET_ALLOW),
        WHEN(SYS_exit_group, SECCOMP_RET_ALLOW),
        WHEN(SYS_clock_gettime, SECCOMP_RET_ALLOW),
        ANSWER(SECCOMP_RET_KILL_PROCESS),
    };
    install(filter, sizeof filter / sizeof *filter);
    locked_in();
    char text[100];
    int length = snprintf(text, sizeof text, "outside %lld\nlocked_in %lld\n", middle - start,
                          thread_cpu_ns() - middle);
    return write(STDOUT_FILENO, text, (size_t)length) != length;
}

int main(int argc, char **argv)
{
    const char *kind = argc > 1 ? argv[1] : "";
    if (!strcmp(kind, "lock")) {
        syscall(SYS_exit_group, lock()); // destructors need more than the filter allows
    }
    if (argc < 3 || (strcmp(kind, "no-perf") && strcmp(kind, "no-timer")))
        return misused("sandbox lock | no-perf|no-timer PROGRAM [ARGUMENT…]");
    uint32_t timer = strcmp(kind, "no-timer") ? SECCOMP_RET_ALLOW : SECCOMP_RET_ERRNO | EPERM;
    struct sock_filter filter[] = {
        NUMBER,
        WHEN(SYS_perf_event_open, SECCOMP_RET_ERRNO | EPERM),
        WHEN(SYS_timer_create, timer),
        ANSWER(SECCOMP_RET_ALLOW),
    };
    install(filter, sizeof filter / sizeof *filter);
    execvp(argv[2], argv + 2);
    perror(argv[2]);
    return 127;
}
