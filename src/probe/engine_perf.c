// Perf events on the CPU clock of the process's own threads.
//
// perf_trap: one event, inherited by every thread that is started later, raises SIGTRAP in the
// thread that spent the period, with no system call by anyone (Linux 5.13, and 5.19 where it may be
// blocked). When the period ends inside the kernel, the signal comes at the return to user code, so
// system calls are seen. One danger comes with that: a period that ends inside execve() raises
// SIGTRAP in the new program, where nobody handles it and it kills; measured at 100 us: 12 % of
// execs. So exec is hooked (hooks_exec.c), and where there are no hooks only user code is sampled,
// which is safe.
//
// perf_signal: an event for each thread that sends an ordinary signal to it.
#include "probe/probe.h"

#include "core/syscall.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

#ifndef TRAP_PERF
#define TRAP_PERF 6
#endif

enum {
    THREADS_BEFORE = 256, // threads that were there before us and have an event of their own
};

static const uint64_t cookie = 0x686f6e6500747261;       // "hone", "tra"
static const uint64_t first_cookie = 0x686f6e6500666972; // "hone", "fir"
static const uint64_t drawn_cookie = 0x686f6e6500647261; // "hone", "dra"

// Events of threads that drew their first period, plus one: a thread takes a place, and gives it
// back at its end. When all are taken, one more that draws goes without.
enum { DRAWN_EVENTS = 256 };
static _Atomic int drawn_fds[DRAWN_EVENTS];
enum { DRAWN_TAKEN = -1 };            // by a thread that is about to open its event
static _Atomic uint32_t drawn_places; // of them that are used, plus one; 0: not asked yet
static _Atomic uint32_t drawn_rounds; // how often all of them were closed

static int event_fd = -1;
static int first_fd = -1;
static int before_fds[THREADS_BEFORE];
static uint32_t before_count;

static uint64_t random_word(void)
{
    uint64_t word = 0;
    if (hone_syscall3(SYS_getrandom, &word, sizeof word, 1 /* GRND_NONBLOCK */) != sizeof word)
        word = (uint64_t)(uintptr_t)&word * 0x9e3779b97f4a7c15u;
    return word;
}

// For whom an event is.
enum reach {
    EVENT_INHERITED, // a thread, and with perf_trap all threads that it starts
    EVENT_FIRST,     // the calling thread alone, for its first period
    EVENT_DRAWN,     // the calling thread alone, if it drew
};

static int open_event(const struct hone_engine_kind *kind, uint32_t tid, uint64_t period_ns,
                      enum reach reach)
{
    bool trap = kind->id == HONE_ENGINE_PERF_TRAP || kind->id == HONE_ENGINE_PERF_TRAP_USER;
    struct perf_event_attr attr = {
        .size = sizeof attr,
        .type = PERF_TYPE_SOFTWARE,
        .config = PERF_COUNT_SW_TASK_CLOCK,
        .sample_period = period_ns,
        .disabled = 1,
        .exclude_hv = 1,
        .exclude_kernel =
            kind->id == HONE_ENGINE_PERF_TRAP_USER || kind->id == HONE_ENGINE_PERF_SIGNAL_USER,
    };
    if (trap) {
        attr.sigtrap = 1;
        attr.remove_on_exec = 1; // the kernel asks for it
        attr.inherit = 1;
        attr.inherit_thread = 1; // threads only: a child process is armed by our fork handler
        attr.sig_data = cookie;
        if (reach != EVENT_INHERITED) {
            attr.inherit = attr.inherit_thread = 0;
            attr.sig_data = reach == EVENT_FIRST ? first_cookie : drawn_cookie;
        }
    } else {
        attr.wakeup_events = 1;
    }
    long fd = hone_syscall5(SYS_perf_event_open, &attr, tid, -1, -1, PERF_FLAG_FD_CLOEXEC);
    if (fd < 0)
        return (int)fd;
    return reach == EVENT_DRAWN ? hone_descriptor_adopt_spare((int)fd)
                                : hone_descriptor_adopt((int)fd);
}

static void enable(int fd)
{
    (void)hone_syscall3(SYS_ioctl, fd, PERF_EVENT_IOC_ENABLE, 0);
}

// For one period of a random length, which may be very short. Its handler is not sure to come: who
// traces the program may keep the signal from it, and then an event that went on would stop the
// program again and again, without end. (Linux before 6.1 takes no such limit from an event that
// raises SIGTRAP: there the handler has to disable it, as it does anyway.)
static void enable_once(int fd)
{
    (void)hone_syscall3(SYS_ioctl, fd, PERF_EVENT_IOC_REFRESH, 1);
}

// Those of all threads. One that is about to open its event finds out by the number of rounds.
static void close_drawn(void)
{
    atomic_fetch_add(&drawn_rounds, 1);
    for (uint32_t i = 0; i < DRAWN_EVENTS; i++) {
        int value = atomic_load(&drawn_fds[i]);
        if (value <= 0 || !atomic_compare_exchange_strong(&drawn_fds[i], &value, 0))
            continue;
        // A child that was forked a moment ago may hold it open.
        (void)hone_syscall3(SYS_ioctl, value - 1, PERF_EVENT_IOC_DISABLE, 0);
        (void)hone_descriptor_close_once(value - 1);
    }
}

// In a forked child: the events are those of threads that are not here, and go on.
static void forget_drawn(void)
{
    for (uint32_t i = 0; i < DRAWN_EVENTS; i++) {
        int fd = atomic_exchange(&drawn_fds[i], 0) - 1;
        if (fd >= 0)
            hone_descriptor_close(fd);
    }
    hone_thread_self()->draws = false;
}

static void close_all(void)
{
    if (event_fd >= 0)
        hone_descriptor_close(event_fd);
    if (first_fd >= 0)
        hone_descriptor_close(first_fd);
    for (uint32_t i = 0; i < before_count; i++)
        hone_descriptor_close(before_fds[i]);
    forget_drawn();
    event_fd = first_fd = -1;
    before_count = 0;
}

// A stop from a handler keeps the descriptors: closing them is for threads that may wait.
static void stop(void)
{
    if (event_fd >= 0)
        (void)hone_syscall3(SYS_ioctl, event_fd, PERF_EVENT_IOC_DISABLE, 0);
    if (first_fd >= 0)
        (void)hone_syscall3(SYS_ioctl, first_fd, PERF_EVENT_IOC_DISABLE, 0);
    for (uint32_t i = 0; i < before_count; i++)
        (void)hone_syscall3(SYS_ioctl, before_fds[i], PERF_EVENT_IOC_DISABLE, 0);
    for (uint32_t i = 0; i < DRAWN_EVENTS; i++) {
        int fd = atomic_load_explicit(&drawn_fds[i], memory_order_relaxed) - 1;
        if (fd >= 0)
            (void)hone_syscall3(SYS_ioctl, fd, PERF_EVENT_IOC_DISABLE, 0);
    }
    struct hone_thread *self = hone_thread_self();
    if (self->armed)
        (void)hone_syscall3(SYS_ioctl, self->engine_handle, PERF_EVENT_IOC_DISABLE, 0);
}

static _Atomic int *drawn_fd_of(const struct hone_thread *thread)
{
    uint32_t places = atomic_load_explicit(&drawn_places, memory_order_relaxed) - 1;
    return &drawn_fds[thread->index % places];
}

// NULL: all were closed since the thread has drawn, its place may be another's.
static _Atomic int *drawn_fd_held(const struct hone_thread *thread)
{
    return thread->draws && thread->drawn_round == atomic_load(&drawn_rounds) ? drawn_fd_of(thread)
                                                                              : NULL;
}

static void end_drawn(struct hone_thread *thread)
{
    _Atomic int *place = drawn_fd_held(thread);
    thread->draws = false;
    int value = place ? atomic_load(place) : 0;
    while (value > 0 && !atomic_compare_exchange_strong(place, &value, 0))
        continue; // it has moved
    if (value > 0)
        (void)hone_descriptor_close_once(value - 1);
}

// Before an exec nothing may be left that fires. Where a sandbox forbids to disable an event it is
// closed, which is allowed everywhere, and ends those that threads inherited as well.
static void silence(int *fd)
{
    if (*fd >= 0 && !hone_descriptor_is_ours(*fd)) { // the program has that number, ours has moved
        *fd = -1;
        return;
    }
    if (*fd < 0 || hone_syscall3(SYS_ioctl, *fd, PERF_EVENT_IOC_DISABLE, 0) >= 0)
        return;
    hone_descriptor_close(*fd);
    *fd = -1;
}

static void pause_events(bool paused)
{
    struct hone_thread *self = hone_thread_self();
    if (paused) {
        silence(&event_fd);
        silence(&first_fd);
        for (uint32_t i = 0; i < before_count; i++)
            silence(&before_fds[i]);
        if (self->armed)
            silence(&self->engine_handle);
        close_drawn();
        return;
    }
    if (event_fd >= 0)
        enable(event_fd);
    if (first_fd >= 0 && !atomic_load_explicit(&hone_probe.settled, memory_order_relaxed))
        enable_once(first_fd); // it may be over, without its signal having come
    for (uint32_t i = 0; i < before_count; i++)
        if (before_fds[i] >= 0)
            enable(before_fds[i]);
    if (self->armed && self->engine_handle >= 0)
        enable(self->engine_handle);
}

static bool moves(int *fd, int from, int to)
{
    if (*fd != from)
        return false;
    *fd = to;
    return true;
}

static bool moved(int from, int to)
{
    bool ours = moves(&event_fd, from, to) || moves(&first_fd, from, to);
    for (uint32_t i = 0; i < before_count && !ours; i++)
        ours = moves(&before_fds[i], from, to);
    if (!ours && hone_thread_self()->armed)
        ours = moves(&hone_thread_self()->engine_handle, from, to);
    for (uint32_t i = 0; i < DRAWN_EVENTS && !ours; i++) {
        int known = from + 1;
        ours = atomic_compare_exchange_strong(&drawn_fds[i], &known, to + 1);
    }
    return ours;
}

// It may be another thread's, which goes on under a number that it does not know.
static bool moved_signal(int from, int to)
{
    (void)moved(from, to);
    return true;
}

static bool alive(void)
{
    return event_fd < 0 || hone_syscall2(SYS_fcntl, event_fd, F_GETFD) >= 0;
}

// The first period is a random part of a period, so that short programs that always do the same are
// not always met at the same places, or never. It has an event of its own; when it is over, the
// other one begins anew. Called at the first sample, and before the first thread is begun.
//
// The first event stays where it is. At a switch between two threads whose events were all
// inherited, the kernel lets them swap events instead of stopping one and starting the other. A
// thread that runs in short turns is then always handed a fresh period and never sampled. An event
// that is not inherited keeps ours where they are.
static bool settle(void)
{
    if (HONE_LIKELY(atomic_load_explicit(&hone_probe.settled, memory_order_relaxed)))
        return false;
    if (atomic_exchange_explicit(&hone_probe.settled, 1, memory_order_relaxed))
        return false;
    uint64_t period_ns = hone_probe.period_ns;
    (void)hone_syscall3(SYS_ioctl, first_fd, PERF_EVENT_IOC_DISABLE, 0);
    (void)hone_syscall3(SYS_ioctl, event_fd, PERF_EVENT_IOC_PERIOD, &period_ns);
    return true;
}

static void settle_before_thread(void)
{
    (void)settle();
}

HONE_HANDLER static void sample(void *ucontext, bool random_period)
{
    const struct hone_engine_kind *engine = hone_probe.engine;
    if (HONE_UNLIKELY(!engine))
        return; // another thread has locked the program in meanwhile
    if (HONE_UNLIKELY(atomic_load_explicit(&hone_probe.writer.header->stop, memory_order_relaxed)))
        engine->stop();
    else
        hone_sample_cpu(ucontext, random_period);
}

// Whether there are places at all.
static bool have_drawn_places(void)
{
    uint32_t places = atomic_load_explicit(&drawn_places, memory_order_relaxed);
    if (HONE_UNLIKELY(!places)) {
        uint32_t spare = hone_descriptors_spare();
        places = (spare < DRAWN_EVENTS ? spare : DRAWN_EVENTS) + 1;
        atomic_store_explicit(&drawn_places, places, memory_order_relaxed);
    }
    return places > 1;
}

static void draw_first_period(const struct hone_engine_kind *kind)
{
    struct hone_drawn drawn;
    struct hone_thread *self = hone_thread_self();
    uint64_t period_ns = hone_probe.period_ns;
    uint64_t samples = atomic_load_explicit(&hone_counters()->samples, memory_order_relaxed);
    if (atomic_load_explicit(&hone_probe.writer.header->stop, memory_order_relaxed))
        return;
    if (HONE_LIKELY(!hone_drawn_first(&hone_probe.drawn, period_ns, samples * period_ns, &drawn)) ||
        !have_drawn_places())
        return;
    _Atomic int *place = drawn_fd_of(self);
    int none = 0, taken = DRAWN_TAKEN;
    self->drawn_round = atomic_load(&drawn_rounds);
    // Who closes all comes after that, or has come before, and is seen here.
    if (!hone_probe.engine || !atomic_compare_exchange_strong(place, &none, DRAWN_TAKEN))
        return;
    self->drawn = drawn.periods;
    int fd = open_event(kind, 0, drawn.first_ns, EVENT_DRAWN);
    self->draws = fd >= 0;
    (void)atomic_compare_exchange_strong(place, &taken, fd < 0 ? 0 : fd + 1);
    if (fd < 0)
        return;
    if (!hone_descriptor_is_ours(fd)) { // the program got its number before we knew whose it is
        self->draws = false;
        (void)atomic_compare_exchange_strong(place, &(int){fd + 1}, 0);
    } else if (self->drawn_round == atomic_load(&drawn_rounds))
        enable_once(fd);
    else if (taken == DRAWN_TAKEN && atomic_compare_exchange_strong(place, &(int){fd + 1}, 0))
        (void)hone_descriptor_close_once(fd);
}

HONE_HANDLER static void on_drawn(void *ucontext)
{
    struct hone_thread *self = hone_thread_self();
    const struct hone_engine_kind *engine = hone_probe.engine;
    uint32_t periods = self->drawn;
    self->drawn = 0;
    if (!engine)
        return; // another thread has locked the program in meanwhile
    const _Atomic int *place = drawn_fd_held(self);
    int fd = place ? atomic_load(place) - 1 : -1;
    if (fd >= 0)
        (void)hone_syscall3(SYS_ioctl, fd, PERF_EVENT_IOC_DISABLE, 0);
    if (periods && !atomic_load_explicit(&hone_probe.writer.header->stop, memory_order_relaxed))
        hone_sample_drawn(ucontext, periods);
}

HONE_HANDLER static void on_trap(int signal, siginfo_t *info, void *ucontext)
{
    int saved = errno;
    // si_perf_data stands behind si_addr; its name is younger than the libc headers we build with.
    uint64_t data;
    memcpy(&data, (char *)&info->si_addr + sizeof(void *), sizeof data);
    if (HONE_LIKELY(info->si_code == TRAP_PERF && data == cookie)) {
        if (hone_probe.engine)
            (void)settle(); // the first one's signal did not come
        sample(ucontext, false);
    } else if (info->si_code == TRAP_PERF && data == first_cookie) {
        if (hone_probe.engine && settle())
            sample(ucontext, true);
    } else if (info->si_code == TRAP_PERF && data == drawn_cookie) {
        on_drawn(ucontext);
    } else {
        hone_count(&hone_counters()->foreign_traps, 1);
        hone_signal_pass_on(signal, info, ucontext);
    }
    errno = saved;
}

static int start_trap(const struct hone_engine_kind *kind)
{
    if (kind->id == HONE_ENGINE_PERF_TRAP && !hone_has_hooks)
        return -ENODEV;
    uint64_t period_ns = hone_probe.period_ns;
    atomic_store_explicit(&hone_probe.drawn.state, random_word(), memory_order_relaxed);
    close_all();
    int fd = open_event(kind, 0, period_ns, EVENT_INHERITED);
    if (fd < 0)
        return fd;
    event_fd = fd;
    first_fd = open_event(kind, 0, random_word() % period_ns + 1, EVENT_FIRST);
    bool settled = !hone_has_hooks || first_fd < 0;
    atomic_store_explicit(&hone_probe.settled, settled, memory_order_relaxed);
    int r = hone_signal_install(kind->signal, on_trap);
    if (r) {
        close_all();
        return r;
    }
    uint32_t tids[THREADS_BEFORE];
    size_t others = hone_other_threads(tids, THREADS_BEFORE);
    if (others > THREADS_BEFORE)
        hone_count(&hone_counters()->threads_uncovered, others - THREADS_BEFORE);
    for (size_t i = 0; i < others && i < THREADS_BEFORE; i++) {
        int other = open_event(kind, tids[i], period_ns, EVENT_INHERITED);
        if (other == -ESRCH)
            continue; // it has ended
        if (other < 0) {
            hone_count(&hone_counters()->threads_uncovered, 1);
            continue;
        }
        before_fds[before_count++] = other;
        enable(other);
    }
    enable(fd);
    if (!settled)
        enable_once(first_fd);
    return 0;
}

HONE_HANDLER static void on_signal(int signal, siginfo_t *info, void *ucontext)
{
    int saved = errno;
    if (HONE_LIKELY(info->si_code == POLL_IN || info->si_code == POLL_HUP))
        sample(ucontext, false);
    else
        hone_signal_pass_on(signal, info, ucontext);
    errno = saved;
}

// An event for thread tid whose signal goes to that thread. Returns the descriptor.
static int arm_signal(const struct hone_engine_kind *kind, uint32_t tid)
{
    int fd = open_event(kind, tid, hone_probe.period_ns, EVENT_INHERITED);
    if (fd < 0)
        return fd;
    struct f_owner_ex owner = {.type = F_OWNER_TID, .pid = (pid_t)tid};
    long r = hone_syscall3(SYS_fcntl, fd, F_SETOWN_EX, &owner);
    if (r >= 0)
        r = hone_syscall3(SYS_fcntl, fd, F_SETSIG, kind->signal);
    if (r >= 0)
        r = hone_syscall3(SYS_fcntl, fd, F_SETFL, O_ASYNC | O_NONBLOCK);
    if (r < 0) {
        hone_descriptor_close(fd);
        return (int)r;
    }
    enable(fd);
    return fd;
}

static int arm_signal_here(const struct hone_engine_kind *kind)
{
    struct hone_thread *self = hone_thread_self();
    int fd = arm_signal(kind, (uint32_t)hone_syscall0(SYS_gettid));
    if (fd < 0)
        return fd;
    self->engine_handle = fd;
    self->armed = true;
    return 0;
}

static int start_signal(const struct hone_engine_kind *kind)
{
    if (!hone_has_hooks)
        return -ENODEV; // threads begun later would not be armed
    close_all();
    atomic_store_explicit(&hone_probe.settled, 1, memory_order_relaxed);
    int r = hone_signal_install(kind->signal, on_signal);
    if (!r)
        r = arm_signal_here(kind);
    if (r)
        return r;
    uint32_t tids[THREADS_BEFORE];
    size_t others = hone_other_threads(tids, THREADS_BEFORE);
    if (others > THREADS_BEFORE)
        hone_count(&hone_counters()->threads_uncovered, others - THREADS_BEFORE);
    for (size_t i = 0; i < others && i < THREADS_BEFORE; i++) {
        int fd = arm_signal(kind, tids[i]);
        if (fd >= 0)
            before_fds[before_count++] = fd;
        else
            hone_count(&hone_counters()->threads_uncovered, 1);
    }
    return 0;
}

static void end_signal(struct hone_thread *thread)
{
    if (!thread->armed)
        return;
    thread->armed = false;
    (void)hone_descriptor_close_once(thread->engine_handle); // it may have moved
}

#define TRAP_ENGINE(engine)                                                                        \
    {                                                                                              \
        .id = (engine), .signal = SIGTRAP, .start = start_trap,                                    \
        .before_thread = settle_before_thread, .thread_inherited = draw_first_period,              \
        .thread_end = end_drawn, .pause = pause_events, .moved = moved, .alive = alive,            \
        .stop = stop,                                                                              \
    }
const struct hone_engine_kind hone_engine_perf_trap = TRAP_ENGINE(HONE_ENGINE_PERF_TRAP);
const struct hone_engine_kind hone_engine_perf_trap_user = TRAP_ENGINE(HONE_ENGINE_PERF_TRAP_USER);

#define SIGNAL_ENGINE(engine)                                                                      \
    {                                                                                              \
        .id = (engine), .signal = HONE_PROBE_SIGNAL, .start = start_signal,                        \
        .thread_start = arm_signal_here, .thread_end = end_signal, .pause = pause_events,          \
        .moved = moved_signal, .stop = stop,                                                       \
    }
const struct hone_engine_kind hone_engine_perf_signal = SIGNAL_ENGINE(HONE_ENGINE_PERF_SIGNAL);
const struct hone_engine_kind hone_engine_perf_signal_user =
    SIGNAL_ENGINE(HONE_ENGINE_PERF_SIGNAL_USER);
