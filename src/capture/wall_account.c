// The account of each thread: what the scheduler tells becomes time in states, and blocks whose
// stacks were read.
#include "base/array.h"
#include "capture/waits.h"
#include "capture/wall_parts.h"
#include "core/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    LATE_MAX = 1024, // threads that came since one ended of which is told late
    // Events of CPUs tell of the last switches of a thread whose end was told. No number is given
    // away again so soon.
    LEAVING_NS = 1000000000,
};

bool hone_wall_reserve(struct hone_wall *wall, void *array, uint32_t *room, uint64_t need,
                       size_t size)
{
    if (hone_array_reserve(array, room, need, size))
        return true;
    wall->status = -ENOMEM;
    return false;
}

// --- threads and processes -----------------------------------------------------------------------

static bool read_text(const char *path, char *ret, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : read(fd, ret, size - 1);
    if (fd >= 0)
        (void)close(fd);
    ret[len > 0 ? len : 0] = '\0';
    return len > 0;
}

// Threads of the kernel have no memory of their own: nothing to show of them.
static bool is_left_out(uint32_t pid)
{
    if (pid == (uint32_t)getpid())
        return true;
    char path[64], text[512];
    (void)snprintf(path, sizeof path, "/proc/%u/stat", pid);
    if (!read_text(path, text, sizeof text))
        return false;
    const char *behind_name = strrchr(text, ')');
    unsigned flags;
    enum { KERNEL_THREAD = 0x00200000 }; // PF_KTHREAD
    return behind_name && sscanf(behind_name, ") %*c %*d %*d %*d %*d %*d %u", &flags) == 1 &&
           flags & KERNEL_THREAD;
}

static uint32_t process_of(struct hone_wall *wall, uint32_t pid)
{
    if (wall->by_pid[pid])
        return wall->by_pid[pid] - 1;
    if (!hone_wall_reserve(wall, &wall->processes, &wall->process_room,
                           (uint64_t)wall->process_count + 1, sizeof *wall->processes))
        return UINT32_MAX;
    wall->processes[wall->process_count] =
        (struct hone_wall_process){.pid = pid,
                                   .left_out = wall->everybody && is_left_out(pid),
                                   .settle_ns = hone_now_ns() + HONE_WALL_SETTLE_NS};
    wall->by_pid[pid] = ++wall->process_count;
    return wall->process_count - 1;
}

struct hone_wall_thread *hone_wall_find(struct hone_wall *wall, uint32_t tid)
{
    if (tid >= HONE_WALL_TIDS_MAX || !wall->by_tid[tid])
        return NULL;
    return &wall->threads[wall->by_tid[tid] - 1];
}

static void be_asked(struct hone_wall *wall, struct hone_wall_thread *thread)
{
    if (!wall->summed || thread->awake ||
        !hone_wall_reserve(wall, &wall->awake, &wall->awake_room, (uint64_t)wall->awake_count + 1,
                           sizeof *wall->awake))
        return;
    wall->awake[wall->awake_count++] = (uint32_t)(thread - wall->threads);
    thread->awake = true;
}

struct hone_wall_thread *hone_wall_add(struct hone_wall *wall, uint32_t pid, uint32_t tid,
                                       uint64_t born_ns, const char *name)
{
    if (!pid || !tid || tid >= HONE_WALL_TIDS_MAX || pid >= HONE_WALL_TIDS_MAX)
        return NULL;
    if (wall->thread_count >= HONE_WALL_THREADS_MAX) {
        wall->facts.too_many++;
        return NULL;
    }
    uint32_t process = process_of(wall, pid);
    if (process == UINT32_MAX || wall->processes[process].left_out ||
        !hone_wall_reserve(wall, &wall->threads, &wall->thread_room,
                           (uint64_t)wall->thread_count + 1, sizeof *wall->threads))
        return NULL;
    struct hone_wall_thread *thread = &wall->threads[wall->thread_count];
    *thread = (struct hone_wall_thread){
        .pid = pid, .tid = tid, .process = process, .born_ns = born_ns, .since_ns = born_ns};
    (void)snprintf(thread->name, sizeof thread->name, "%s", name);
    wall->by_tid[tid] = ++wall->thread_count;
    wall->processes[process].alive++;
    wall->alive++;
    wall->facts.threads++;
    be_asked(wall, thread);
    return thread;
}

struct hone_wall_thread *hone_wall_meet(struct hone_wall *wall, uint32_t pid, uint32_t tid,
                                        uint64_t born_ns)
{
    if (hone_wall_find(wall, tid))
        return NULL;
    char name[16] = "";
    (void)hone_thread_name(pid, tid, name);
    return hone_wall_add(wall, pid, tid, born_ns ? born_ns : hone_now_ns(), name);
}

static void forget_process(struct hone_wall *wall, uint32_t process)
{
    hone_look_process_done(&wall->processes[process].look);
    if (wall->draws)
        hone_draws_settle(wall->draws, wall->processes[process].pid, false);
    if (wall->by_pid[wall->processes[process].pid] == process + 1)
        wall->by_pid[wall->processes[process].pid] = 0;
}

void hone_wall_forget(struct hone_wall *wall, struct hone_wall_thread *thread)
{
    wall->by_tid[thread->tid] = 0;
    wall->alive--;
    if (--wall->processes[thread->process].alive == 0)
        forget_process(wall, thread->process);
}

// The first thread of a process that left it to its other ones, or that nobody has waited for.
static bool is_over(const struct hone_wall_thread *thread)
{
    char state = hone_blocked_state(thread->pid, thread->tid);
    return !state || state == 'Z' || state == 'X';
}

void hone_wall_refuse(struct hone_wall *wall, struct hone_wall_thread *thread)
{
    wall->facts.refused += !thread->refused && !is_over(thread);
    thread->refused = true;
}

// --- the account ---------------------------------------------------------------------------------

void hone_wall_seen(struct hone_wall *wall, const struct hone_wall_seen *seen)
{
    uint64_t hash =
        hone_hash_fold(((uint64_t)seen->thread << 32 | seen->stack) ^ 0x9e3779b97f4a7c15u,
                       0xe7037ed1a0b428dbu + seen->kind);
    struct hone_table_probe probe = hone_table_probe(&wall->seen_table, hash);
    uint32_t at;
    while ((at = hone_table_next(&wall->seen_table, &probe)) != HONE_TABLE_END)
        if (wall->seen[at].thread == seen->thread && wall->seen[at].stack == seen->stack &&
            wall->seen[at].kind == seen->kind)
            break;
    if (at == HONE_TABLE_END) {
        if (!hone_wall_reserve(wall, &wall->seen, &wall->seen_room, (uint64_t)wall->seen_count + 1,
                               sizeof *wall->seen) ||
            hone_table_add(&wall->seen_table, hash, wall->seen_count)) {
            wall->status = -ENOMEM;
            return;
        }
        at = wall->seen_count++;
        wall->seen[at] = (struct hone_wall_seen){
            .thread = seen->thread, .stack = seen->stack, .kind = seen->kind};
    }
    struct hone_wall_seen *sum = &wall->seen[at];
    sum->samples++;
    sum->long_ns += seen->long_ns;
    sum->short_ns += seen->short_ns;
    sum->sure_ns += seen->sure_ns;
    sum->longs += seen->longs;
    sum->shorts += seen->shorts;
    sum->sures += seen->sures;
}

// How many blocks one of this length stands for that was seen: one over the chance to see it. It is
// seen when a tick falls into it and the reading, which takes a while, ends before it does. At its
// end, the thread has been woken and waits for a CPU: that is no part of it.
static double stands_for(const struct hone_wall *wall, const struct hone_wall_thread *thread,
                         uint64_t length_ns, uint64_t *ret_wait_ns)
{
    uint64_t least_ns = length_ns / 4; // one lucky look shall not stand for everything
    uint64_t wait_ns = length_ns > thread->wakeup_ns ? length_ns - thread->wakeup_ns : 0;
    if (wait_ns < least_ns)
        wait_ns = least_ns;
    uint64_t reading_ns = thread->read_ns - thread->looked_ns;
    uint64_t window_ns = wait_ns > reading_ns ? wait_ns - reading_ns : 0;
    if (window_ns < least_ns)
        window_ns = least_ns;
    *ret_wait_ns = wait_ns;
    return window_ns >= wall->period_ns ? 1 : (double)wall->period_ns / ((double)window_ns + 1);
}

// What the kernel copied when a block began that is over now.
static bool was_drawn(const struct hone_wall_thread *thread)
{
    enum { SAME_NS = 1000000 }; // the copy comes first, the scheduler's record of it some µs later
    return thread->draw.one_in && thread->since_ns - thread->draw.time_ns < SAME_NS;
}

// A block is over. One of two ticks' length or more cannot have been missed, unless there was no
// time to look: it counts what it lasted. Of the others those that were drawn, or seen by chance,
// stand for those that were not.
static void end_block(struct hone_wall *wall, struct hone_wall_thread *thread, uint64_t time_ns)
{
    uint64_t length_ns = time_ns - thread->since_ns;
    bool lasting = length_ns >= HONE_WALL_LONG_TICKS * wall->period_ns;
    struct hone_wall_seen seen = {
        .thread = (uint32_t)(thread - wall->threads), .stack = thread->stack, .kind = thread->kind};
    thread->blocks++;
    if (lasting) {
        thread->long_ns += length_ns;
        thread->longs++;
    } else {
        thread->short_ns += length_ns;
        thread->shorts++;
    }
    bool looked_at = thread->seen, drawn = was_drawn(thread);
    uint32_t one_in = thread->draw.one_in;
    thread->seen = false;
    thread->draw.one_in = 0; // the next one, which may begin at once, is another
    if (drawn && (!lasting || one_in == 1)) {
        seen.stack = thread->draw.stack;
        seen.kind = thread->draw.kind;
    } else if (!looked_at || (wall->draws && !lasting)) {
        return;
    } else if (time_ns < thread->read_ns) {
        wall->facts.torn++;
        return;
    }
    if (lasting) {
        seen.long_ns = length_ns;
        seen.longs = 1;
    } else if (drawn && thread->draw.sure) {
        seen.sure_ns = length_ns;
        seen.sures = 1;
    } else if (drawn) {
        seen.short_ns = length_ns * one_in;
        seen.shorts = one_in;
    } else {
        uint64_t wait_ns;
        seen.shorts = stands_for(wall, thread, length_ns, &wait_ns);
        seen.short_ns = (uint64_t)((double)wait_ns * seen.shorts);
    }
    hone_wall_seen(wall, &seen);
}

bool hone_wall_counted(struct hone_wall_thread *thread, const struct hone_wall_counts *counts)
{
    if (counts->run_ns < thread->counted.run_ns || counts->delay_ns < thread->counted.delay_ns)
        return false;
    thread->counted = *counts;
    thread->counted_blocks = thread->blocks;
    thread->counted_run_ns = thread->run_ns;
    uint64_t delay_ns = counts->delay_ns - thread->counted_first.delay_ns;
    uint64_t run_ns = counts->run_ns - thread->counted_first.run_ns;
    if (!thread->blocks)
        return true;
    thread->wakeup_ns =
        delay_ns > thread->preempted_ns ? (delay_ns - thread->preempted_ns) / thread->blocks : 0;
    thread->switch_ns = run_ns > thread->run_ns ? (run_ns - thread->run_ns) / thread->blocks : 0;
    return true;
}

void hone_wall_enter(struct hone_wall *wall, struct hone_wall_thread *thread,
                     enum hone_wall_state state, uint64_t time_ns)
{
    // A thread that was found and inherited its parent's event, too, is told of twice.
    if (state == HONE_WALL_BLOCKED && thread->state == HONE_WALL_BLOCKED)
        return;
    if (time_ns < thread->since_ns)
        time_ns = thread->since_ns;
    switch (thread->state) {
    case HONE_WALL_RUNNING:
        thread->run_ns += time_ns - thread->since_ns;
        break;
    case HONE_WALL_PREEMPTED:
        thread->preempted_ns += time_ns - thread->since_ns;
        break;
    case HONE_WALL_UNKNOWN: // whoever is taken off a CPU was on it
        if (state == HONE_WALL_PREEMPTED || state == HONE_WALL_BLOCKED)
            thread->run_ns += time_ns - thread->since_ns;
        else
            thread->preempted_ns += time_ns - thread->since_ns;
        break;
    case HONE_WALL_BLOCKED:
        end_block(wall, thread, time_ns);
        break;
    case HONE_WALL_ENDED:
        return;
    }
    thread->state = state;
    thread->since_ns = time_ns;
    if (state == HONE_WALL_BLOCKED && !thread->queued &&
        hone_wall_reserve(wall, &wall->queue, &wall->queue_room, (uint64_t)wall->queue_count + 1,
                          sizeof *wall->queue)) {
        wall->queue[wall->queue_count++] = (uint32_t)(thread - wall->threads);
        thread->queued = true;
    }
    if (state == HONE_WALL_ENDED)
        thread->ended_ns = time_ns;
    else if (state != HONE_WALL_BLOCKED || thread->asked)
        be_asked(wall, thread);
}

void hone_wall_end(struct hone_wall *wall, struct hone_wall_thread *thread, uint64_t time_ns)
{
    hone_wall_enter(wall, thread, HONE_WALL_ENDED, time_ns);
    struct hone_wall_counts counts;
    if (wall->draws && hone_draws_ended(wall->draws, thread->tid, &counts.run_ns, &counts.delay_ns))
        thread->counted_at_end = hone_wall_counted(thread, &counts);
    // Since it was asked last, it waited for CPUs as it did before.
    uint64_t more = thread->blocks - thread->counted_blocks;
    thread->counted.delay_ns += thread->wakeup_ns * more;
    thread->counted.run_ns += thread->switch_ns * more + (thread->run_ns - thread->counted_run_ns);
    hone_wall_forget(wall, thread);
}

// When an exec gives a thread other rights, the kernel ends all events on it and tells of its end,
// before the program is mapped, though it goes on.
static void on_end(struct hone_wall *wall, const struct hone_switch *event)
{
    struct hone_wall_thread *thread = hone_wall_find(wall, event->tid);
    if (!thread)
        return;
    struct hone_wall_process *process = &wall->processes[thread->process];
    if (process->unmapped && event->tid == event->pid) {
        process->unmapped = false;
        process->events_ended_ns = event->time_ns;
        wall->has_ended = true;
    } else
        hone_wall_end(wall, thread, event->time_ns);
}

// When the thread ended of which one CPU tells this late, after another CPU told of its end; 0: it
// did not end since then.
static uint64_t over_since_ns(const struct hone_wall *wall, const struct hone_switch *event,
                              uint64_t leaving_ns)
{
    uint32_t oldest = wall->thread_count > LATE_MAX ? wall->thread_count - LATE_MAX : 0;
    for (uint32_t i = wall->thread_count; i > oldest; i--) {
        const struct hone_wall_thread *thread = &wall->threads[i - 1];
        if (thread->tid == event->tid)
            return thread->pid == event->pid && thread->ended_ns + leaving_ns >= event->time_ns
                       ? thread->ended_ns
                       : 0;
    }
    return 0;
}

// The thread that called exec has taken over the number of its process; of its own nobody tells any
// more. The others have ended, if that is lost or not.
static void end_others(struct hone_wall *wall, uint32_t pid, uint64_t time_ns)
{
    if (!wall->by_pid[pid])
        return;
    uint32_t process = wall->by_pid[pid] - 1;
    for (uint32_t i = 0; i < wall->thread_count && wall->processes[process].alive; i++) {
        struct hone_wall_thread *thread = &wall->threads[i];
        if (thread->process != process || thread->state == HONE_WALL_ENDED)
            continue;
        hone_wall_end(wall, thread, time_ns);
        if (wall->draws)
            hone_draws_forget(wall->draws, thread->tid);
    }
    if (wall->by_pid[pid])
        forget_process(wall, process);
}

// The thread goes on as the only one of another program; the kernel's counts go on, too.
static void on_exec(struct hone_wall *wall, const struct hone_switch *event)
{
    if (event->pid >= HONE_WALL_TIDS_MAX)
        return;
    uint32_t before = wall->by_tid[event->tid < HONE_WALL_TIDS_MAX ? event->tid : event->pid];
    uint64_t over_ns = over_since_ns(wall, event, 0);
    struct hone_wall_thread *first = hone_wall_find(wall, event->pid);
    if (first) {
        first->replaced = true;
        hone_wall_end(wall, first, event->time_ns);
    }
    end_others(wall, event->pid, event->time_ns);
    struct hone_wall_thread *thread =
        hone_wall_add(wall, event->pid, event->pid, event->time_ns, event->name);
    if (thread) {
        thread->state = HONE_WALL_RUNNING;
        // That its events ended may have been told before.
        wall->processes[thread->process].unmapped = !over_ns;
        wall->processes[thread->process].events_ended_ns = over_ns;
        wall->has_ended |= over_ns != 0;
    }
    if (thread && before)
        thread->counted = thread->counted_first = wall->threads[before - 1].counted;
    if (thread && event->pid == wall->expected) {
        thread->counted = thread->counted_first = wall->expected_counts;
        wall->expected = 0;
    }
}

static void on_new(struct hone_wall *wall, const struct hone_switch *event)
{
    const struct hone_wall_thread *creator = hone_wall_find(wall, event->creator_tid);
    char name[sizeof creator->name] = ""; // a copy: threads move when one is added
    if (creator)
        memcpy(name, creator->name, sizeof name);
    struct hone_wall_thread *thread = hone_wall_find(wall, event->tid);
    if (thread) { // met while the process was looked through, or told late
        if (thread->unborn && creator)
            memcpy(thread->name, name, sizeof thread->name);
        thread->unborn = false;
        return;
    }
    thread = hone_wall_add(wall, event->pid, event->tid, event->time_ns, name);
    if (!thread)
        return;
    thread->state = HONE_WALL_PREEMPTED;
    if (!name[0])
        (void)hone_thread_name(event->pid, event->tid, thread->name);
}

// Its beginning was lost, or is told late: then its creator's name comes with it.
static struct hone_wall_thread *add_unborn(struct hone_wall *wall, const struct hone_switch *event)
{
    struct hone_wall_thread *thread =
        over_since_ns(wall, event, wall->everybody ? LEAVING_NS : 0)
            ? NULL
            : hone_wall_add(wall, event->pid, event->tid, event->time_ns, "");
    if (thread) {
        thread->unborn = true;
        (void)hone_thread_name(event->pid, event->tid, thread->name);
    }
    return thread;
}

static void on_switch(struct hone_wall *wall, struct hone_wall_thread *thread,
                      const struct hone_switch *event)
{
    if (event->summed)
        hone_wall_sum(wall, thread, &event->sums);
    if (event->kind == HONE_SWITCH_WAITED && thread->state != HONE_WALL_BLOCKED)
        hone_wall_enter(wall, thread, HONE_WALL_BLOCKED, thread->since_ns);
    thread->asked = false;
    hone_wall_enter(wall, thread,
                    event->kind == HONE_SWITCH_PREEMPTED ? HONE_WALL_PREEMPTED
                    : event->kind == HONE_SWITCH_BLOCKED ? HONE_WALL_BLOCKED
                                                         : HONE_WALL_RUNNING,
                    event->time_ns);
}

// Events of the CPUs tell of everybody.
static bool is_watched(struct hone_wall *wall, const struct hone_switch *event)
{
    if (!wall->summed || wall->everybody || event->summed)
        return true;
    if (event->kind == HONE_SWITCH_NEW)
        return hone_wall_find(wall, event->creator_tid) != NULL;
    return event->pid && event->pid < HONE_WALL_TIDS_MAX &&
           (wall->by_pid[event->pid] ||
            (event->kind == HONE_SWITCH_EXEC && event->pid == wall->expected));
}

void hone_wall_event(void *context, const struct hone_switch *event)
{
    struct hone_wall *wall = context;
    struct hone_wall_thread *thread;
    if (!is_watched(wall, event))
        return;
    if (event->kind == HONE_SWITCH_NEW || event->kind == HONE_SWITCH_END ||
        event->kind == HONE_SWITCH_EXEC || event->kind == HONE_SWITCH_MAPPED)
        wall->busy_ns = hone_now_ns();
    switch (event->kind) {
    case HONE_SWITCH_NEW:
        on_new(wall, event);
        return;
    case HONE_SWITCH_END:
        on_end(wall, event);
        return;
    case HONE_SWITCH_EXEC:
        on_exec(wall, event);
        return;
    case HONE_SWITCH_NAME:
        thread = hone_wall_find(wall, event->tid);
        if (thread)
            memcpy(thread->name, event->name, sizeof thread->name);
        return;
    case HONE_SWITCH_MAPPED:
        if (event->pid < HONE_WALL_TIDS_MAX && wall->by_pid[event->pid]) {
            struct hone_wall_process *process = &wall->processes[wall->by_pid[event->pid] - 1];
            process->look.stale = true;
            process->unmapped = false;
        }
        return;
    case HONE_SWITCH_IN:
    case HONE_SWITCH_PREEMPTED:
    case HONE_SWITCH_BLOCKED:
    case HONE_SWITCH_WAITED:
    case HONE_SWITCH_RUNS:
        thread = hone_wall_find(wall, event->tid);
        if (!thread && (event->leaving || event->tid == wall->expected)) // no more, not yet
            return;
        if (!thread)
            thread = add_unborn(wall, event);
        if (thread)
            on_switch(wall, thread, event);
        return;
    }
}
