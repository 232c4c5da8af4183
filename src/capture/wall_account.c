// The account of each thread: what the scheduler tells becomes time in states, and blocks whose
// stacks were read.
#include "base/array.h"
#include "base/file.h"
#include "capture/wall_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool hone_wall_reserve(struct hone_wall *wall, void *array, uint32_t *room, uint64_t need,
                       size_t size)
{
    if (hone_array_reserve(array, room, need, size))
        return true;
    wall->status = -ENOMEM;
    return false;
}

// --- threads and processes -----------------------------------------------------------------------

// Threads of the kernel have no memory of their own: nothing to show of them.
static bool is_left_out(uint32_t pid)
{
    if (pid == (uint32_t)getpid())
        return true;
    char path[64], text[512];
    (void)snprintf(path, sizeof path, "/proc/%u/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        (void)close(fd);
    if (len <= 0)
        return false;
    text[len] = '\0';
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
        (struct hone_wall_process){.pid = pid, .left_out = wall->everybody && is_left_out(pid)};
    wall->by_pid[pid] = ++wall->process_count;
    return wall->process_count - 1;
}

struct hone_wall_thread *hone_wall_find(struct hone_wall *wall, uint32_t tid)
{
    if (tid >= HONE_WALL_TIDS_MAX || !wall->by_tid[tid])
        return NULL;
    return &wall->threads[wall->by_tid[tid] - 1];
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
    return thread;
}

static void forget_process(struct hone_wall *wall, uint32_t process)
{
    hone_look_process_done(&wall->processes[process].look);
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

void hone_wall_thread_name(uint32_t pid, uint32_t tid, char ret[16])
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%u/task/%u/comm", pid, tid);
    char *name = NULL;
    size_t len = 0;
    ret[0] = '\0';
    if (hone_file_read(path, 64, &name, &len, NULL) == 0 && len)
        (void)snprintf(ret, 16, "%.*s", (int)strcspn(name, "\n"), name);
    free(name);
}

// --- the account ---------------------------------------------------------------------------------

void hone_wall_seen(struct hone_wall *wall, uint32_t thread, uint32_t stack, enum hone_wait wait,
                    uint64_t long_ns, uint64_t short_ns)
{
    uint64_t hash = hone_hash_fold(((uint64_t)thread << 32 | stack) ^ 0x9e3779b97f4a7c15u,
                                   0xe7037ed1a0b428dbu + wait);
    struct hone_table_probe probe = hone_table_probe(&wall->seen_table, hash);
    uint32_t at;
    while ((at = hone_table_next(&wall->seen_table, &probe)) != HONE_TABLE_END)
        if (wall->seen[at].thread == thread && wall->seen[at].stack == stack &&
            wall->seen[at].wait == wait)
            break;
    if (at == HONE_TABLE_END) {
        if (!hone_wall_reserve(wall, &wall->seen, &wall->seen_room, (uint64_t)wall->seen_count + 1,
                               sizeof *wall->seen) ||
            hone_table_add(&wall->seen_table, hash, wall->seen_count)) {
            wall->status = -ENOMEM;
            return;
        }
        at = wall->seen_count++;
        wall->seen[at] = (struct hone_wall_seen){.thread = thread, .stack = stack, .wait = wait};
    }
    wall->seen[at].samples++;
    wall->seen[at].long_ns += long_ns;
    wall->seen[at].short_ns += short_ns;
}

// What a block of this length counts for that was seen: its length over the chance to see it. It
// is seen when a tick falls into it and the reading, which takes a while, ends before it does. At
// its end, the thread has been woken and waits for a CPU: that is no part of it.
static uint64_t weigh(const struct hone_wall *wall, const struct hone_wall_thread *thread,
                      uint64_t length_ns)
{
    uint64_t least_ns = length_ns / 4; // one lucky look shall not stand for everything
    uint64_t wait_ns = length_ns > thread->wakeup_ns ? length_ns - thread->wakeup_ns : 0;
    if (wait_ns < least_ns)
        wait_ns = least_ns;
    uint64_t reading_ns = thread->read_ns - thread->looked_ns;
    uint64_t window_ns = wait_ns > reading_ns ? wait_ns - reading_ns : 0;
    if (window_ns < least_ns)
        window_ns = least_ns;
    if (window_ns >= wall->period_ns)
        return wait_ns;
    return (uint64_t)((double)wait_ns * (double)wall->period_ns / ((double)window_ns + 1));
}

// A block is over. One of two ticks' length or more cannot have been missed, unless there was no
// time to look: it counts what it lasted. The others stand for those that were not seen.
static void end_block(struct hone_wall *wall, struct hone_wall_thread *thread, uint64_t time_ns)
{
    uint64_t length_ns = time_ns - thread->since_ns;
    bool lasting = length_ns >= 2 * wall->period_ns;
    thread->blocks++;
    if (lasting)
        thread->long_ns += length_ns;
    else
        thread->short_ns += length_ns;
    if (!thread->seen)
        return;
    thread->seen = false;
    if (time_ns < thread->read_ns) {
        wall->facts.torn++;
        return;
    }
    hone_wall_seen(wall, (uint32_t)(thread - wall->threads), thread->stack, thread->wait,
                   lasting ? length_ns : 0, lasting ? 0 : weigh(wall, thread, length_ns));
}

void hone_wall_enter(struct hone_wall *wall, struct hone_wall_thread *thread,
                     enum hone_wall_state state, uint64_t time_ns)
{
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
}

static void on_end(struct hone_wall *wall, const struct hone_switch *event)
{
    struct hone_wall_thread *thread = hone_wall_find(wall, event->tid);
    if (!thread)
        return;
    hone_wall_enter(wall, thread, HONE_WALL_ENDED, event->time_ns);
    hone_wall_forget(wall, thread);
}

// The thread goes on as the only one of another program.
static void on_exec(struct hone_wall *wall, const struct hone_switch *event)
{
    if (event->pid >= HONE_WALL_TIDS_MAX)
        return;
    struct hone_switch end = *event;
    end.tid = event->pid;
    on_end(wall, &end);
    if (event->tid != event->pid)
        on_end(wall, event);
    if (wall->by_pid[event->pid]) // threads whose end was lost
        forget_process(wall, wall->by_pid[event->pid] - 1);
    struct hone_wall_thread *thread =
        hone_wall_add(wall, event->pid, event->pid, event->time_ns, event->name);
    if (thread)
        thread->state = HONE_WALL_RUNNING;
}

void hone_wall_event(void *context, const struct hone_switch *event)
{
    struct hone_wall *wall = context;
    struct hone_wall_thread *thread;
    switch (event->kind) {
    case HONE_SWITCH_NEW: {
        const struct hone_wall_thread *creator = hone_wall_find(wall, event->creator_tid);
        char name[16] = "";
        if (creator)
            memcpy(name, creator->name, sizeof name);
        if (hone_wall_find(wall, event->tid))
            return; // met while the process was looked through
        thread = hone_wall_add(wall, event->pid, event->tid, event->time_ns, name);
        if (thread)
            thread->state = HONE_WALL_PREEMPTED;
        return;
    }
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
        if (event->pid < HONE_WALL_TIDS_MAX && wall->by_pid[event->pid])
            wall->processes[wall->by_pid[event->pid] - 1].look.stale = true;
        return;
    case HONE_SWITCH_IN:
    case HONE_SWITCH_PREEMPTED:
    case HONE_SWITCH_BLOCKED:
        thread = hone_wall_find(wall, event->tid);
        if (!thread) // its beginning was lost
            thread = hone_wall_add(wall, event->pid, event->tid, event->time_ns, "");
        if (thread)
            hone_wall_enter(wall, thread,
                            event->kind == HONE_SWITCH_IN          ? HONE_WALL_RUNNING
                            : event->kind == HONE_SWITCH_PREEMPTED ? HONE_WALL_PREEMPTED
                                                                   : HONE_WALL_BLOCKED,
                            event->time_ns);
        return;
    }
}
