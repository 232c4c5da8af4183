// Each engine is tried in a child of its own, which computes for a while and counts what comes: so
// a signal that kills, or a filter that does, ends nothing but the attempt.
#include "capture/doctor_parts.h"
#include "capture/perf_events.h"

#include "base/base.h"

#include "core/kernel.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

enum {
    RATE_HZ = 1000,
    BURN_NS = 60 * 1000000, // of CPU time: 15 ticks of the slowest kernel, 60 periods
    BURN_STEPS = 100000,    // in user code, some 0.1 ms, for each look at the clock
    SECONDS_MAX = 10,       // and then a child is given up
};

struct attempt {
    int error;         // 0: it could be armed
    uint64_t signals;  // that came
    uint64_t burnt_ns; // CPU time in which they did
};

static volatile sig_atomic_t signals_seen;

static void on_signal(int signal)
{
    (void)signal;
    signals_seen++;
}

static uint64_t cpu_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

// As probe/engine_perf.c opens it.
static int arm_trap(bool user_only)
{
    struct perf_event_attr attr = {
        .size = sizeof attr,
        .type = PERF_TYPE_SOFTWARE,
        .config = PERF_COUNT_SW_TASK_CLOCK,
        .sample_period = 1000000000 / RATE_HZ,
        .disabled = 1,
        .exclude_hv = 1,
        .exclude_kernel = user_only,
        .sigtrap = 1,
        .remove_on_exec = 1,
        .inherit = 1,
        .inherit_thread = 1,
    };
    int fd = (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
    if (fd < 0)
        return errno;
    (void)signal(SIGTRAP, on_signal);
    return ioctl(fd, PERF_EVENT_IOC_ENABLE, 0) == 0 ? 0 : errno; // it stays open until we end
}

// As probe/engine_timer.c makes it.
static int arm_timer(bool of_thread)
{
    struct sigevent event = {.sigev_signo = SIGURG,
                             .sigev_notify = of_thread ? SIGEV_THREAD_ID : SIGEV_SIGNAL};
    event._sigev_un._tid = (int)syscall(SYS_gettid);
    timer_t timer;
    if (timer_create(of_thread ? CLOCK_THREAD_CPUTIME_ID : CLOCK_PROCESS_CPUTIME_ID, &event,
                     &timer) != 0)
        return errno;
    (void)signal(SIGURG, on_signal);
    struct timespec period = {0, 1000000000 / RATE_HZ};
    struct itimerspec spec = {.it_interval = period, .it_value = period};
    return timer_settime(timer, 0, &spec, NULL) == 0 ? 0 : errno;
}

static int arm(enum hone_engine engine)
{
    switch (engine) {
    case HONE_ENGINE_PERF_TRAP:
        return arm_trap(false);
    case HONE_ENGINE_PERF_TRAP_USER:
        return arm_trap(true);
    case HONE_ENGINE_THREAD_TIMER:
        return arm_timer(true);
    default:
        return arm_timer(false);
    }
}

static void try_here(enum hone_engine engine, int to)
{
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGALRM, SIG_DFL);
    (void)alarm(SECONDS_MAX);
    struct attempt attempt = {.error = arm(engine)};
    uint64_t begun = cpu_ns();
    uint64_t used = 0;
    while (!attempt.error && used < BURN_NS) {
        for (volatile int i = 0; i < BURN_STEPS; i++) {
        }
        used = cpu_ns() - begun;
    }
    attempt.signals = (uint64_t)signals_seen;
    attempt.burnt_ns = used;
    ssize_t wrote = write(to, &attempt, sizeof attempt);
    _exit(wrote == sizeof attempt ? 0 : 1);
}

// False when the attempt ended without an answer.
static bool try_engine(enum hone_engine engine, struct attempt *ret, int *ret_status)
{
    int ends[2];
    *ret_status = 0;
    if (pipe(ends) != 0)
        return false;
    pid_t child = fork();
    if (child == 0)
        try_here(engine, ends[1]);
    (void)close(ends[1]);
    bool read_all = child > 0 && read(ends[0], ret, sizeof *ret) == sizeof *ret;
    (void)close(ends[0]);
    if (child > 0)
        (void)waitpid(child, ret_status, 0);
    return read_all;
}

// --- what to say ---------------------------------------------------------------------------------

static const char *const goods[HONE_ENGINES] = {
    [HONE_ENGINE_PERF_TRAP] = "user code and system calls",
    [HONE_ENGINE_PERF_TRAP_USER] = "user code only",
    [HONE_ENGINE_THREAD_TIMER] = "the kernel's tick is the limit",
    [HONE_ENGINE_PROCESS_TIMER] = "one timer for all threads",
};

static bool is_perf(enum hone_engine engine)
{
    return engine == HONE_ENGINE_PERF_TRAP || engine == HONE_ENGINE_PERF_TRAP_USER;
}

static const char too_old[] = "this kernel is too old for it: it needs Linux 5.19";

// Why perf events are refused and how to get them.
static void explain_refusal(struct hone_findings *findings, const struct hone_rights *rights,
                            enum hone_engine engine, int error, struct hone_finding *ret)
{
    if (rights->refused) {
        ret->what = "the sandbox (seccomp) refuses perf_event_open";
        ret->next = "in a container: --security-opt seccomp=unconfined --cap-add PERFMON";
    } else if (error == EACCES || error == EPERM) {
        bool user_only = engine == HONE_ENGINE_PERF_TRAP_USER;
        ret->what = rights->paranoid == INT_MIN
                        ? "not permitted"
                        : hone_finding_text(findings, "not permitted: perf_event_paranoid is %d",
                                            rights->paranoid);
        ret->next = user_only ? "sudo sysctl kernel.perf_event_paranoid=2"
                              : "sudo sysctl kernel.perf_event_paranoid=1";
    } else if (error == ENOSYS) {
        ret->what = "this kernel is built without perf events";
    } else if (error == EINVAL || error == E2BIG || error == EOPNOTSUPP) {
        ret->what = too_old;
    } else {
        ret->what = hone_finding_text(findings, "refused: %s", strerror(error));
    }
}

// Returns whether a sandbox ends who tries it.
static bool add_attempt(struct hone_findings *findings, const struct hone_rights *rights,
                        enum hone_engine engine)
{
    bool killed = false;
    struct attempt attempt = {0};
    int status = 0;
    struct hone_finding finding = {
        .mark = HONE_MARK_BAD, .topic = "Engines", .name = hone_engine_name(engine)};
    bool best = findings->engine == HONE_ENGINE_NONE;
    if ((engine == HONE_ENGINE_PERF_TRAP || engine == HONE_ENGINE_PERF_TRAP_USER) &&
        !hone_kernel_keeps_traps()) {
        finding.what = too_old;
    } else if (!try_engine(engine, &attempt, &status)) {
        killed = WIFSIGNALED(status);
        finding.mark = killed ? HONE_MARK_BAD : HONE_MARK_UNKNOWN;
        finding.what = killed ? hone_finding_text(findings, "a program that tries it is killed: %s",
                                                  strsignal(WTERMSIG(status)))
                              : "could not be tried: no process can be started";
    } else if (attempt.error && is_perf(engine)) {
        explain_refusal(findings, rights, engine, attempt.error, &finding);
    } else if (attempt.error) {
        finding.what = hone_finding_text(findings, "refused: %s", strerror(attempt.error));
        if (attempt.error == EAGAIN)
            finding.next = "ulimit -i unlimited";
    } else if (!attempt.signals) {
        finding.what = "it can be armed, but no signal comes";
    } else {
        double rate = (double)attempt.signals * 1e9 / (double)attempt.burnt_ns;
        finding.mark = rate < 0.9 * RATE_HZ ? HONE_MARK_LESS : HONE_MARK_GOOD;
        finding.what =
            hone_finding_text(findings, "%.0f Hz of %d asked; %s", rate, RATE_HZ, goods[engine]);
        if (best) {
            findings->engine = engine;
            findings->rate_hz = rate;
        }
    }
    if (best && finding.mark == HONE_MARK_BAD && engine == HONE_ENGINE_PERF_TRAP)
        finding.why = "time in system calls goes to the next sample in user code";
    if (best && finding.mark == HONE_MARK_BAD && engine == HONE_ENGINE_PERF_TRAP_USER)
        finding.why = "the rate is limited to the kernel's tick";
    hone_finding_add(findings, finding);
    return killed;
}

// What static and Go programs need, and those that run already: events with copies of stacks.
static void add_outside(struct hone_findings *findings, const struct hone_rights *rights)
{
    enum { BUFFER_BYTES = 1 << 20 };
    struct hone_finding finding = {
        .mark = HONE_MARK_BAD, .topic = "Engines", .name = "perf-outside"};
    struct hone_perf perf;
    int r =
        hone_perf_init(&perf, &(struct hone_perf_event_options){.period_ns = 1000000000 / RATE_HZ,
                                                                .memory_bytes = BUFFER_BYTES});
    if (!r) {
        r = hone_perf_add_thread(&perf, getpid(), NULL);
        findings->outside = !r;
        if (r) {
            explain_refusal(findings, rights, HONE_ENGINE_PERF_TRAP_USER, -r, &finding);
            finding.why = "static and Go programs, and those that run already, cannot be recorded";
        } else {
            finding.mark = perf.sees_kernel ? HONE_MARK_GOOD : HONE_MARK_LESS;
            finding.what = perf.sees_kernel
                               ? "static, Go and running programs; with the kernel's frames"
                               : "static, Go and running programs; without the kernel's frames";
        }
        hone_perf_done(&perf);
    } else {
        finding.what = hone_finding_text(findings, "could not be tried: %s", strerror(-r));
    }
    hone_finding_add(findings, finding);
}

void hone_doctor_engines(struct hone_findings *findings, const struct hone_rights *rights)
{
    static const enum hone_engine best_first[] = {HONE_ENGINE_PERF_TRAP, HONE_ENGINE_PERF_TRAP_USER,
                                                  HONE_ENGINE_THREAD_TIMER,
                                                  HONE_ENGINE_PROCESS_TIMER};
    bool killed = false;
    for (size_t i = 0; i < sizeof best_first / sizeof best_first[0]; i++)
        killed |= add_attempt(findings, rights, best_first[i]);
    if (!killed)
        add_outside(findings, rights);
}
