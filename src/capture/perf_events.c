#include "capture/perf_events.h"

#include "base/file.h"
#include "unwind/perf_registers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    RING_BYTES_MIN = 64 << 10,     // below that a few samples fill it
    RING_BYTES_MAX = 16 << 20,     // a quarter of a second at 1000 Hz with the largest copies
    RING_BYTES_LARGEST = 64 << 20, // the kernel takes all of it at once, before we can begin
    USUAL_MEMORY = 256 << 20,      // who asks for more than that wants rings beyond RING_BYTES_MAX
    RING_MS = 100,                 // that a ring must hold: we may be late
    // The kernel's limit is that of a record. Up to there, size is no matter: a program of 1.9 s
    // took 0.08 s more with 8 KiB at 1000 Hz, 0.10 s with 64 KiB (medians of 4, in noise of 0.1 s).
    STACK_BYTES_MAX = 65528,
    STACK_BYTES_MIN = 4096,
    // The rings of processes have this part of a ring of samples: an exec takes some 2 KiB.
    PROCESS_PART = 4,
    COUNT_PART = 16, // and those of counts this one: 80 bytes for each thread that ends
};

static const uint32_t NO_RING = UINT32_MAX; // of an anchor

// Copied in a second on all CPUs together, at most: what a machine does not feel.
#define STACK_BYTES_PER_SECOND (512ull << 20)

// The largest copy of a stack with which a ring does not overflow.
static uint32_t fitting_stack(const struct hone_perf *perf)
{
    uint64_t ring = perf->ring_bytes < RING_BYTES_MAX ? perf->ring_bytes : RING_BYTES_MAX;
    uint64_t per_ring = ring * perf->options.period_ns / (RING_MS * 1000000ull);
    uint64_t in_all =
        STACK_BYTES_PER_SECOND / perf->cpu_count * perf->options.period_ns / 1000000000u;
    uint64_t bytes = per_ring < in_all ? per_ring : in_all;
    if (bytes > STACK_BYTES_MAX)
        bytes = STACK_BYTES_MAX;
    return bytes < STACK_BYTES_MIN ? STACK_BYTES_MIN : (uint32_t)bytes & ~7u;
}

static uint64_t read_number(const char *path, uint64_t otherwise)
{
    char *text = NULL;
    size_t len = 0;
    uint64_t number = otherwise;
    if (hone_file_read(path, 64, &text, &len, NULL) == 0)
        number = strtoull(text, NULL, 10);
    free(text);
    return number;
}

// What one CPU's ring may have, where memory that cannot be swapped is limited.
static uint64_t lockable_bytes(uint32_t cpus)
{
    if (geteuid() == 0)
        return UINT64_MAX;
    struct rlimit limit;
    uint64_t own = read_number("/proc/sys/kernel/perf_event_mlock_kb", 516) << 10;
    if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0)
        own += limit.rlim_cur > RING_BYTES_MAX * (uint64_t)cpus ? RING_BYTES_MAX
                                                                : limit.rlim_cur / cpus;
    return own - HONE_PERF_KINDS * (uint64_t)sysconf(_SC_PAGESIZE);
}

int hone_perf_init(struct hone_perf *perf, const struct hone_perf_event_options *options)
{
    long cpus = sysconf(_SC_NPROCESSORS_CONF);
    *perf = (struct hone_perf){
        .options = *options,
        .cpu_count = cpus > 0 ? (uint32_t)cpus : 1,
        .sees_kernel = true,
        .ring_bytes = RING_BYTES_MAX,
    };
    uint64_t lockable = lockable_bytes(perf->cpu_count);
    if (options->memory_bytes > USUAL_MEMORY)
        while (perf->ring_bytes < RING_BYTES_LARGEST &&
               2 * perf->ring_bytes * perf->cpu_count <= options->memory_bytes)
            perf->ring_bytes *= 2;
    while (perf->ring_bytes > RING_BYTES_MIN &&
           perf->ring_bytes * perf->cpu_count > options->memory_bytes)
        perf->ring_bytes /= 2;
    while (perf->ring_bytes > RING_BYTES_MIN &&
           perf->ring_bytes + perf->ring_bytes / PROCESS_PART + perf->ring_bytes / COUNT_PART >
               lockable) {
        perf->ring_bytes /= 2;
        perf->ring_limited = true;
    }
    perf->stack_bytes = fitting_stack(perf);
    perf->ring_count = HONE_PERF_KINDS * perf->cpu_count;
    perf->rings = calloc(perf->ring_count, sizeof *perf->rings);
    return perf->rings ? 0 : -ENOMEM;
}

void hone_perf_done(struct hone_perf *perf)
{
    for (uint32_t i = 0; perf->rings && i < perf->ring_count; i++)
        hone_perf_ring_close(&perf->rings[i]);
    for (uint32_t i = 0; i < perf->event_count; i++)
        if (perf->events[i].fd >= 0)
            (void)close(perf->events[i].fd);
    free(perf->rings);
    free(perf->events);
    *perf = (struct hone_perf){0};
}

static uint64_t ring_bytes(const struct hone_perf *perf, enum hone_perf_kind kind)
{
    static const uint32_t parts[HONE_PERF_KINDS] = {1, PROCESS_PART, COUNT_PART};
    return perf->ring_bytes / parts[kind];
}

static int open_event(const struct hone_perf *perf, pid_t tid, uint32_t cpu,
                      enum hone_perf_kind kind)
{
    bool one = tid != -1, processes = kind == HONE_PERF_PROCESSES;
    uint64_t clock = one ? PERF_COUNT_SW_TASK_CLOCK : PERF_COUNT_SW_CPU_CLOCK;
    struct perf_event_attr attr = {
        .size = sizeof attr,
        .type = PERF_TYPE_SOFTWARE,
        .config = processes ? PERF_COUNT_SW_DUMMY : clock,
        .sample_period = kind == HONE_PERF_SAMPLES ? perf->options.period_ns : 0,
        .sample_type = HONE_PERF_SAMPLE_TYPE,
        .sample_regs_user = hone_perf_register_mask,
        .sample_stack_user = perf->stack_bytes,
        .disabled = !perf->running,
        .inherit = one,
        .inherit_stat = kind == HONE_PERF_COUNTS,
        .enable_on_exec = one && perf->options.on_exec,
        .exclude_kernel = !perf->sees_kernel,
        .exclude_hv = 1,
        .exclude_idle = 1,
        .exclude_callchain_user = 1,
        .exclude_callchain_kernel = !perf->sees_kernel,
        .mmap = processes,
        .mmap2 = processes,
        .comm = processes,
        .comm_exec = processes,
        .task = processes,
        .sample_id_all = 1,
        .use_clockid = 1,
        .clockid = CLOCK_MONOTONIC,
        .watermark = 1,
        .wakeup_watermark = (uint32_t)ring_bytes(perf, kind) / 4,
    };
    long fd = syscall(SYS_perf_event_open, &attr, tid, (int)cpu, -1, PERF_FLAG_FD_CLOEXEC);
    return fd < 0 ? -errno : (int)fd;
}

static int refused(const struct hone_perf *perf, pid_t tid, int r, struct hone_error *err)
{
    bool all = tid == -1;
    if (r == -EACCES || r == -EPERM) {
        (void)hone_error_set(err, r,
                             "cannot record from outside: perf events of %s are not permitted "
                             "(kernel.perf_event_paranoid is %d)",
                             all ? "the whole machine" : "this program",
                             (int)read_number("/proc/sys/kernel/perf_event_paranoid", 2));
        hone_error_hint(err, all ? "run hone as root"
                                 : "run hone as root or as the program's user, with "
                                   "kernel.perf_event_paranoid at most 2");
    } else if (r == -EMFILE || r == -ENFILE) {
        (void)hone_error_set(err, r, "cannot record from outside: %u events for threads and CPUs",
                             perf->event_count);
        hone_error_hint(err, "allow more descriptors with 'ulimit -n', or use -a as root");
    } else {
        (void)hone_error_set(err, r, "cannot record from outside: no perf events here");
        hone_error_hint(err, "a container may forbid them; run hone outside of it");
    }
    return r;
}

// The ring of the first event of its kind on a CPU; those after it write into it too.
static int give_ring(struct hone_perf *perf, uint32_t number, enum hone_perf_kind kind, int fd)
{
    struct hone_perf_ring *ring = &perf->rings[number];
    if (ring->page) {
        for (uint32_t i = 0; i < perf->event_count; i++)
            if (perf->events[i].ring == number)
                return ioctl(fd, PERF_EVENT_IOC_SET_OUTPUT, perf->events[i].fd) ? -errno : 0;
        return -EBADF;
    }
    int r;
    // In a container the limit of locked memory may be lower than we can see.
    uint64_t bytes = ring_bytes(perf, kind);
    while ((r = hone_perf_ring_open(ring, fd, bytes, hone_perf_register_count)) == -EPERM &&
           bytes > RING_BYTES_MIN / COUNT_PART)
        bytes /= 2;
    return r;
}

// An anchor has no ring, which looks like an end: it stays as long as the event before it.
static bool is_over(const struct hone_perf *perf, uint32_t i)
{
    const struct hone_perf_event *event = &perf->events[i], *before = event - 1;
    return event->ring == NO_RING ? before->tid == event->tid && before->fd < 0
                                  : hone_perf_is_over(event->fd);
}

// What they counted is kept. The first ones hold the rings.
static void close_those_over(struct hone_perf *perf)
{
    for (uint32_t i = perf->ring_count; i < perf->event_count; i++) {
        struct hone_perf_event *event = &perf->events[i];
        if (event->fd < 0 || !is_over(perf, i) ||
            read(event->fd, &event->counted, sizeof event->counted) != sizeof event->counted)
            continue;
        (void)close(event->fd);
        event->fd = -1;
    }
}

static int make_room(struct hone_perf *perf)
{
    if (perf->event_count < perf->event_room)
        return 0;
    close_those_over(perf);
    uint32_t room = perf->event_room ? perf->event_room * 2 : 64;
    struct hone_perf_event *more = realloc(perf->events, room * sizeof *more);
    if (!more)
        return -ENOMEM;
    perf->events = more;
    perf->event_room = room;
    return 0;
}

static int add(struct hone_perf *perf, pid_t tid, uint32_t cpu, enum hone_perf_kind kind)
{
    if (make_room(perf))
        return -ENOMEM;
    int fd = open_event(perf, tid, cpu, kind);
    if ((fd == -EACCES || fd == -EPERM) && perf->sees_kernel && perf->event_count == 0 &&
        tid != -1) {
        perf->sees_kernel = false;
        fd = open_event(perf, tid, cpu, kind);
    }
    if (fd < 0)
        return fd;
    uint32_t ring = HONE_PERF_KINDS * cpu + kind;
    int r = give_ring(perf, ring, kind, fd);
    if (r) {
        (void)close(fd);
        return r;
    }
    perf->events[perf->event_count++] = (struct hone_perf_event){tid, ring, fd, 0};
    return 0;
}

// As many descriptors as we may have: a thread needs one of each kind for each CPU.
static void raise_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

// Samples are what the descriptors are for, when there are too few for both.
static void drop_counts(struct hone_perf *perf)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < perf->event_count; i++) {
        struct hone_perf_event event = perf->events[i];
        if (event.ring != NO_RING && event.ring % HONE_PERF_KINDS == HONE_PERF_COUNTS) {
            if (event.fd >= 0)
                (void)close(event.fd);
        } else
            perf->events[kept++] = event;
    }
    perf->event_count = kept;
    for (uint32_t i = HONE_PERF_COUNTS; i < perf->ring_count; i += HONE_PERF_KINDS)
        hone_perf_ring_close(&perf->rings[i]);
    perf->without_counts = true;
}

static int add_everywhere(struct hone_perf *perf, pid_t tid, struct hone_error *err)
{
    bool any = false;
    for (uint32_t i = 0; i < perf->ring_count; i++) {
        enum hone_perf_kind kind = i % HONE_PERF_KINDS;
        if (kind == HONE_PERF_COUNTS && (tid == -1 || perf->without_counts))
            continue; // it tells of threads
        uint32_t cpu = i / HONE_PERF_KINDS;
        int r = add(perf, tid, cpu, kind);
        if (r == -ENODEV || r == -ENXIO) // a CPU that is switched off
            continue;
        if (r == -EMFILE) {
            raise_limit();
            r = add(perf, tid, cpu, kind);
        }
        if (r == -EMFILE && tid != -1 && !perf->without_counts) {
            drop_counts(perf);
            r = kind == HONE_PERF_COUNTS ? 0 : add(perf, tid, cpu, kind);
        }
        if (r == -ESRCH)
            return r;
        if (r)
            return refused(perf, tid, r, err);
        any = true;
    }
    return any ? 0 : refused(perf, tid, -ENODEV, err);
}

// At a switch between two threads whose events were all inherited, the kernel lets them swap events
// instead of stopping one and starting the other. A thread that runs in short turns, such as one
// that starts and joins others, is then always handed a fresh period and never sampled. And what
// they counted is exchanged in the order of the kernel's lists, which is another one for events
// that were opened than for inherited ones. An event that is not inherited, and counts nothing,
// keeps the events of its thread where they are, and those of all that it starts itself.
static void add_anchor(struct hone_perf *perf, pid_t tid)
{
    struct perf_event_attr attr = {
        .size = sizeof attr,
        .type = PERF_TYPE_SOFTWARE,
        .config = PERF_COUNT_SW_DUMMY,
        .disabled = 1,
        .exclude_kernel = 1,
        .exclude_hv = 1,
    };
    if (make_room(perf))
        return;
    long fd = syscall(SYS_perf_event_open, &attr, tid, -1, -1, PERF_FLAG_FD_CLOEXEC);
    if (fd >= 0)
        perf->events[perf->event_count++] = (struct hone_perf_event){tid, NO_RING, (int)fd, 0};
}

int hone_perf_add_thread(struct hone_perf *perf, pid_t tid, struct hone_error *err)
{
    int r = add_everywhere(perf, tid, err);
    if (!r)
        add_anchor(perf, tid);
    return r;
}

int hone_perf_add_cpus(struct hone_perf *perf, struct hone_error *err)
{
    return add_everywhere(perf, -1, err);
}

void hone_perf_enable(struct hone_perf *perf)
{
    for (uint32_t i = 0; i < perf->event_count; i++)
        if (perf->events[i].fd >= 0)
            (void)ioctl(perf->events[i].fd, PERF_EVENT_IOC_ENABLE, 0);
}

void hone_perf_disable(struct hone_perf *perf)
{
    for (uint32_t i = 0; i < perf->event_count; i++)
        if (perf->events[i].fd >= 0)
            (void)ioctl(perf->events[i].fd, PERF_EVENT_IOC_DISABLE, 0);
}

bool hone_perf_count(const struct hone_perf *perf, pid_t tid, uint64_t *ret_ns)
{
    bool any = false;
    *ret_ns = 0;
    for (uint32_t i = 0; i < perf->event_count; i++) {
        uint64_t value = perf->events[i].counted;
        if (perf->events[i].tid != tid || perf->events[i].ring == NO_RING ||
            perf->events[i].ring % HONE_PERF_KINDS != HONE_PERF_COUNTS ||
            (perf->events[i].fd >= 0 &&
             read(perf->events[i].fd, &value, sizeof value) != sizeof value))
            continue;
        *ret_ns += value;
        any = true;
    }
    return any;
}
