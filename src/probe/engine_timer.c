// POSIX timers on CPU clocks: work everywhere, no faster than the kernel's tick. Expirations that
// the tick merges are seen in the thread's CPU clock, so totals stay right.
#include "probe/probe.h"

#include "core/syscall.h"

#include <errno.h>
#include <time.h>

enum { THREADS_BEFORE = 256 };

static const int cookie = 0x686f6e65;
static int process_timer = -1;

HONE_HANDLER static void on_timer(int signal, siginfo_t *info, void *ucontext)
{
    int saved = errno;
    if (HONE_LIKELY(info->si_code == SI_TIMER && info->si_value.sival_int == cookie)) {
        const struct hone_engine_kind *engine = hone_probe.engine;
        if (HONE_UNLIKELY(!engine))
            ; // another thread has locked the program in meanwhile
        else if (HONE_UNLIKELY(
                     atomic_load_explicit(&hone_probe.writer.header->stop, memory_order_relaxed)))
            engine->stop();
        else
            hone_sample_cpu(ucontext, false);
    } else {
        hone_signal_pass_on(signal, info, ucontext);
    }
    errno = saved;
}

// The CPU clock of another thread, as the kernel numbers clocks: inverted id, 4 for "one thread",
// 2 for "as the scheduler counts".
static clockid_t thread_clock(uint32_t tid)
{
    return (clockid_t)((~tid << 3) | 4 | 2);
}

// A period of 0 disarms it.
static long set(int timer, uint64_t period_ns)
{
    struct timespec period = {(time_t)(period_ns / 1000000000), (long)(period_ns % 1000000000)};
    struct itimerspec spec = {.it_interval = period, .it_value = period};
    return hone_syscall4(SYS_timer_settime, timer, 0, &spec, NULL);
}

// Returns the timer, which is not negative.
static int arm(clockid_t clock, int notify, uint32_t tid)
{
    struct sigevent event = {.sigev_signo = HONE_PROBE_SIGNAL, .sigev_notify = notify};
    event.sigev_value.sival_int = cookie;
    event._sigev_un._tid = (int)tid;
    int timer;
    long r = hone_syscall3(SYS_timer_create, clock, &event, &timer);
    if (r < 0)
        return (int)r;
    r = set(timer, hone_probe.period_ns);
    if (r < 0) {
        (void)hone_syscall1(SYS_timer_delete, timer);
        return (int)r;
    }
    return timer;
}

static int arm_thread_here(const struct hone_engine_kind *kind)
{
    (void)kind;
    struct hone_thread *self = hone_thread_self();
    int timer = arm(CLOCK_THREAD_CPUTIME_ID, SIGEV_THREAD_ID, (uint32_t)hone_syscall0(SYS_gettid));
    if (timer < 0)
        return timer;
    self->engine_handle = timer;
    self->armed = true;
    return 0;
}

static int start_threads(const struct hone_engine_kind *kind)
{
    if (!hone_has_hooks)
        return -ENODEV; // threads begun later would not be armed
    int r = hone_signal_install(kind->signal, on_timer);
    if (!r)
        r = arm_thread_here(kind);
    if (r)
        return r;
    uint32_t tids[THREADS_BEFORE];
    size_t others = hone_other_threads(tids, THREADS_BEFORE);
    if (others > THREADS_BEFORE)
        hone_count(&hone_counters()->threads_uncovered, others - THREADS_BEFORE);
    for (size_t i = 0; i < others && i < THREADS_BEFORE; i++)
        if (arm(thread_clock(tids[i]), SIGEV_THREAD_ID, tids[i]) < 0)
            hone_count(&hone_counters()->threads_uncovered, 1);
    return 0;
}

static void end_thread(struct hone_thread *thread)
{
    if (!thread->armed)
        return;
    thread->armed = false;
    (void)hone_syscall1(SYS_timer_delete, thread->engine_handle);
}

static void pause_thread(bool paused)
{
    if (hone_thread_self()->armed)
        (void)set(hone_thread_self()->engine_handle, paused ? 0 : hone_probe.period_ns);
}

static void stop_thread(void)
{
    pause_thread(true);
}

static int start_process(const struct hone_engine_kind *kind)
{
    int r = hone_signal_install(kind->signal, on_timer);
    if (r)
        return r;
    process_timer = arm(CLOCK_PROCESS_CPUTIME_ID, SIGEV_SIGNAL, 0);
    return process_timer < 0 ? process_timer : 0;
}

static void pause_process(bool paused)
{
    if (process_timer >= 0)
        (void)set(process_timer, paused ? 0 : hone_probe.period_ns);
}

static void stop_process(void)
{
    pause_process(true);
}

// Timers end with exec by themselves, and a signal that is still on its way is ignored by default;
// pausing is for sandboxes.
const struct hone_engine_kind hone_engine_thread_timer = {
    .id = HONE_ENGINE_THREAD_TIMER,
    .signal = HONE_PROBE_SIGNAL,
    .start = start_threads,
    .thread_start = arm_thread_here,
    .thread_end = end_thread,
    .pause = pause_thread,
    .stop = stop_thread,
};

const struct hone_engine_kind hone_engine_process_timer = {
    .id = HONE_ENGINE_PROCESS_TIMER,
    .signal = HONE_PROBE_SIGNAL,
    .start = start_process,
    .pause = pause_process,
    .stop = stop_process,
};
