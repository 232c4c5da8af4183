// Threads that run: where they are is known by interrupting them only. A perf event does so in the
// kernel, for the time of copying registers and stack, and the thread does not stop. It is armed
// for one sample, some tens of microseconds of the thread's own time away, so that a thread that
// goes on to wait is left in peace.
//
// Where perf events are not permitted the thread is stopped by ptrace, alone, and goes on as soon
// as its stack is copied. A wait that it had begun just then is taken up again.
#include "capture/deadly.h"
#include "capture/dump_parts.h"

#include "capture/perf_ring.h"
#include "capture/scan_threads.h"
#include "core/clock.h"
#include "unwind/perf_registers.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    AT_ONCE = 32,       // events at the same time
    PERIOD_NS = 50000,  // of the thread's own time to its sample
    LOOK_MS = 20,       // between two looks at who waits by now
    STOP_NS = 10000000, // that a thread has to stop in, times a thousand: it must get a CPU
    RING_LARGEST = 128 << 10,
    RING_SMALLEST = 16 << 10,
};

struct armed {
    uint32_t number; // of the thread
    int fd;
    struct hone_perf_ring ring;
};

struct batch {
    struct hone_dump *dump;
    struct armed at[AT_ONCE];
    uint32_t count;
    uint64_t ring_bytes; // as much as we may lock in memory
    bool user_only;      // samples in the kernel are not permitted
    int refused;         // why there are no events at all
};

static uint32_t pid_of(const struct hone_dump *dump, const struct hone_dump_thread *thread)
{
    return dump->processes[thread->process].pid;
}

// --- events --------------------------------------------------------------------------------------

static int open_event(const struct batch *batch, uint32_t tid)
{
    struct perf_event_attr attr = {
        .size = sizeof attr,
        .type = PERF_TYPE_SOFTWARE,
        .config = PERF_COUNT_SW_TASK_CLOCK,
        .sample_period = PERIOD_NS,
        .sample_type = HONE_PERF_SAMPLE_TYPE,
        .sample_regs_user = hone_perf_register_mask,
        // Half of the ring, for a record has more than the stack.
        .sample_stack_user = (uint32_t)(batch->ring_bytes / 2 - 8),
        .disabled = 1,
        .exclude_kernel = batch->user_only,
        .exclude_hv = 1,
        .exclude_callchain_user = 1,
        .exclude_callchain_kernel = 1,
        .sample_id_all = 1,
        .use_clockid = 1,
        .clockid = CLOCK_MONOTONIC,
        .wakeup_events = 1,
    };
    if (hone_perf_kills())
        return -EACCES;
    long fd = syscall(SYS_perf_event_open, &attr, (pid_t)tid, -1, -1, PERF_FLAG_FD_CLOEXEC);
    return fd < 0 ? -errno : (int)fd;
}

static void disarm(struct armed *armed)
{
    hone_perf_ring_close(&armed->ring);
    if (armed->fd >= 0)
        (void)close(armed->fd);
}

// Returns 0 or why not: -ESRCH, or what stands in the way of all of them.
static int arm(struct batch *batch, uint32_t tid, struct armed *ret)
{
    *ret = (struct armed){.fd = open_event(batch, tid)};
    if ((ret->fd == -EACCES || ret->fd == -EPERM) && !batch->user_only) {
        batch->user_only = true;
        ret->fd = open_event(batch, tid);
    }
    if (ret->fd < 0)
        return ret->fd;
    int r;
    while ((r = hone_perf_ring_open(&ret->ring, ret->fd, batch->ring_bytes,
                                    hone_perf_register_count)) == -EPERM &&
           batch->ring_bytes > RING_SMALLEST) {
        batch->ring_bytes /= 2; // with a smaller copy of the stack
        (void)close(ret->fd);
        ret->fd = open_event(batch, tid);
        if (ret->fd < 0)
            return ret->fd;
    }
    if (!r && ioctl(ret->fd, PERF_EVENT_IOC_REFRESH, 1))
        r = -errno;
    if (r)
        disarm(ret);
    return r;
}

// --- samples -------------------------------------------------------------------------------------

static int keep_sample(struct hone_dump *dump, struct hone_dump_thread *thread,
                       const struct hone_perf_record *record)
{
    struct hone_dump_state *state = dump->state;
    uint64_t sampled[HONE_PERF_REGISTERS_MAX];
    struct hone_registers registers;
    uint32_t stack;
    if (record->abi != PERF_SAMPLE_REGS_ABI_64)
        return 0;
    memcpy(sampled, record->registers, hone_perf_register_count * sizeof sampled[0]);
    (void)hone_perf_registers(sampled, hone_perf_register_mask, &registers);
    struct hone_look_copy copy = {
        .registers = &registers, .stack = record->stack, .bytes = record->stack_bytes};
    int r = hone_look_copied(&state->look, &state->looks[thread->process], &copy, NULL, &stack);
    if (r == -ENOMEM)
        return r;
    thread->looked_ns = record->time_ns;
    thread->miss = r ? HONE_DUMP_REFUSED : HONE_DUMP_HAS_STACK;
    thread->stack = r ? 0 : stack + 1;
    dump->sampled += !r;
    return 0;
}

// Whether its sample has come. Negative: -ENOMEM.
static int read_ring(struct batch *batch, struct armed *armed)
{
    struct hone_perf_record record;
    int found = 0, r = 0;
    hone_perf_ring_look(&armed->ring);
    while (!r && hone_perf_ring_peek(&armed->ring, &record)) {
        if (record.type == PERF_RECORD_SAMPLE && !found) {
            found = 1;
            r = keep_sample(batch->dump, &batch->dump->threads[armed->number], &record);
        }
        hone_perf_ring_pass(&armed->ring);
    }
    return r ? r : found;
}

static void drop(struct batch *batch, uint32_t at)
{
    disarm(&batch->at[at]);
    batch->at[at] = batch->at[--batch->count];
}

// A thread that waits, or is gone, is to be looked at again.
static bool runs(const struct hone_dump *dump, const struct hone_dump_thread *thread)
{
    struct hone_task_stat stat;
    return hone_task_stat(pid_of(dump, thread), thread->tid, &stat) == 0 && stat.state == 'R';
}

static void look_again(struct hone_dump *dump, uint32_t number)
{
    dump->state->running[dump->state->running_count++] = number; // there is room: it was there
}

static int wait_for_samples(struct batch *batch, uint64_t until_ns)
{
    struct hone_dump *dump = batch->dump;
    while (batch->count) {
        struct pollfd polled[AT_ONCE];
        for (uint32_t i = 0; i < batch->count; i++)
            polled[i] = (struct pollfd){.fd = batch->at[i].fd, .events = POLLIN};
        int ready = poll(polled, batch->count, LOOK_MS);
        bool over = hone_now_ns() >= until_ns;
        for (uint32_t i = batch->count; i-- > 0;) {
            uint32_t number = batch->at[i].number;
            int found = read_ring(batch, &batch->at[i]);
            if (found < 0)
                return found;
            // Of a thread that has ended the event hangs up.
            bool unsure = ready <= 0 || over || polled[i].revents & (POLLHUP | POLLERR);
            bool idle = !found && unsure && !runs(dump, &dump->threads[number]);
            if (!found && !idle && !over)
                continue;
            if (idle)
                look_again(dump, number);
            else if (!found)
                dump->threads[number].miss = HONE_DUMP_NO_CPU;
            drop(batch, i);
        }
    }
    return 0;
}

// --- stops ---------------------------------------------------------------------------------------

static int stop_and_look(struct hone_dump *dump, uint32_t number)
{
    struct hone_dump_state *state = dump->state;
    struct hone_dump_thread *thread = &dump->threads[number];
    pid_t pid = (pid_t)pid_of(dump, thread);
    thread->miss = HONE_DUMP_NOT_STOPPED;
    if (!hone_dump_can_stop || state->options.never_stop)
        return 0;
    if (!runs(dump, thread)) {
        look_again(dump, number);
        return 0;
    }
    struct hone_scan_thread stopped = {.tid = (pid_t)thread->tid};
    struct hone_registers registers;
    size_t size = 0;
    // What it takes to get a CPU, for a stop that is left behind would be one without end.
    int r = hone_scan_stop_thread(&stopped, pid, hone_now_ns() + (uint64_t)STOP_NS * 1000);
    if (!r)
        r = hone_dump_registers(stopped.tid, &registers);
    uint64_t now_ns = hone_now_ns();
    if (!r)
        size = hone_look_copy(&state->look, thread->tid, registers.r[HONE_REGISTER_SP]);
    hone_scan_let_go(&stopped, pid);
    if (r == -ESRCH)
        look_again(dump, number);
    if (r)
        return 0;
    uint32_t stack;
    struct hone_look_copy copy = {
        .registers = &registers, .stack = state->look.copy, .bytes = size};
    r = hone_look_copied(&state->look, &state->looks[thread->process], &copy, NULL, &stack);
    if (r == -ENOMEM)
        return r;
    thread->looked_ns = now_ns;
    thread->miss = r ? HONE_DUMP_REFUSED : HONE_DUMP_HAS_STACK;
    thread->stack = r ? 0 : stack + 1;
    dump->stopped += !r;
    return 0;
}

// --- all of them ---------------------------------------------------------------------------------

static int add(struct batch *batch, uint32_t number)
{
    struct hone_dump *dump = batch->dump;
    struct armed *armed = &batch->at[batch->count];
    int r = batch->refused ? batch->refused : arm(batch, dump->threads[number].tid, armed);
    if (!r) {
        armed->number = number;
        batch->count++;
        return 0;
    }
    if (r == -ENOMEM)
        return r;
    if (r == -ESRCH) {
        look_again(dump, number);
        return 0;
    }
    batch->refused = r;
    return stop_and_look(dump, number);
}

int hone_dump_running(struct hone_dump *dump)
{
    struct hone_dump_state *state = dump->state;
    struct batch batch = {.dump = dump, .ring_bytes = RING_LARGEST};
    uint32_t all = state->running_count;
    uint64_t until_ns = hone_now_ns() + state->options.running_ns;
    int r = 0;
    // Those that are to be looked at again take the places of those that were gone through.
    state->running_count = 0;
    for (uint32_t i = 0; !r && i < all; i++) {
        r = add(&batch, state->running[i]);
        if (!r && (batch.count == AT_ONCE || i + 1 == all))
            r = wait_for_samples(&batch, until_ns);
    }
    while (batch.count)
        drop(&batch, 0);
    return r;
}
