// Waits whose stacks the kernel copied as they began (draws.h): they come in the order of time, in
// between what the scheduler tells. So the thread is known to run when its stack is walked, and the
// scheduler's next record of it says that it waits; how long, it says later.
#include "capture/wall_parts.h"

#include "core/core.h"

#include <signal.h>

// A stack takes some 13 µs in the kernel, half of them for the kernel's own frames, in which
// whoever wakes the thread up waits for it, and 5 µs here, for the walk. So where there are more
// than the first of these in a second, they are thinned out to the second, which take half a
// percent of a CPU; a share of a hundredth is still known within a tenth of it after half a minute.
enum {
    ALL_PER_SECOND = 3000,
    DRAWS_PER_SECOND = 300,
    // Judged over so long, or when there have been so many: waits come in bursts.
    PART_NS = 100000000,
    PART_DRAWS = 150,
};

// The next copies of the thread's stack shall have what this one lacks.
static void have_more_copied(struct hone_wall *wall, struct hone_wall_thread *thread,
                             const struct hone_draw *draw)
{
    uint64_t sp = draw->registers.r[HONE_REGISTER_SP];
    if (draw->stack_is_full && !thread->drawn_whole) {
        thread->drawn_whole = true;
        hone_draws_watch_whole(wall->draws, (pid_t)thread->tid);
    } else if (!draw->stack_is_full && thread->touched_sp != sp) {
        thread->touched_sp = sp;
        hone_remote_touch(wall->processes[thread->process].look.remote, sp, HONE_LOOK_COPY_BYTES);
    }
}

static bool walk(struct hone_wall *wall, struct hone_wall_thread *thread,
                 const struct hone_draw *draw, uint32_t *ret_stack)
{
    struct hone_wall_process *process = &wall->processes[thread->process];
    struct hone_kernel_stack kernel = {0};
    if (wall->kernel)
        hone_kernel_stack_of_wait(wall->kernel, draw->chain, draw->chain_count, &kernel);
    process->look.pid = process->pid;
    struct hone_look_copy copy = {.registers = &draw->registers,
                                  .stack = draw->stack,
                                  .bytes = draw->stack_bytes,
                                  .waiting = thread->tid};
    if (!draw->stack || hone_look_copied(&wall->look, &process->look, &copy, &kernel, ret_stack))
        return false;
    if (HONE_UNLIKELY(copy.lacks))
        have_more_copied(wall, thread, draw);
    return true;
}

// What a descriptor is open on is asked once for all draws that are read together; of a process
// that has ended meanwhile, what it was.
static enum hone_wait_kind kind_of(const struct hone_wall *wall, struct hone_wall_process *process,
                                   const struct hone_blocked *blocked)
{
    if (blocked->stopped)
        return HONE_KIND_STOPPED;
    uint64_t call = (uint64_t)blocked->call, descriptor = blocked->arguments[0];
    struct hone_wall_file *file =
        &process->files[(call * 31 + descriptor) % HONE_ARRAY_LENGTH(process->files)];
    bool same = file->seen_ns && file->call == call && file->descriptor == descriptor;
    if (same && file->seen_ns == wall->drawn_ns)
        return file->kind;
    enum hone_wait_kind kind = hone_blocked_kind(process->pid, blocked);
    if (kind == HONE_KIND_IO && same && kill((pid_t)process->pid, 0))
        return file->kind;
    *file = (struct hone_wall_file){call, descriptor, wall->drawn_ns, kind};
    return kind;
}

// Of a thread that still waits there, the kernel may tell in which call.
static void ask_what_goes_on(const struct hone_wall_process *process, uint32_t tid,
                             struct hone_blocked *blocked)
{
    struct hone_blocked now;
    if (hone_restart_is_open(blocked) && hone_blocked_read(process->pid, tid, &now) == 0 &&
        now.ip == blocked->ip && now.sp == blocked->sp)
        blocked->call = now.call;
}

static void take(struct hone_wall *wall, const struct hone_draw *draw)
{
    struct hone_wall_thread *thread = hone_wall_find(wall, draw->tid);
    if (!thread && draw->tid == wall->expected) // it is no program yet
        return;
    if (!thread || (thread->state == HONE_WALL_BLOCKED && !thread->asked)) {
        wall->facts.torn++; // one of both records was lost
        return;
    }
    struct hone_wall_process *process = &wall->processes[thread->process];
    uint32_t stack;
    if (!walk(wall, thread, draw, &stack)) {
        hone_wall_refuse(wall, thread);
        return;
    }
    struct hone_blocked blocked = {
        .call = draw->call,
        .stopped = draw->stopped,
        .sp = draw->registers.r[HONE_REGISTER_SP],
        .ip = draw->registers.r[HONE_REGISTER_IP],
    };
    for (int i = 0; i < 6; i++)
        blocked.arguments[i] = draw->arguments[i];
    hone_restart_recall(&thread->last_call, &blocked);
    ask_what_goes_on(process, thread->tid, &blocked);
    thread->draw = (struct hone_wall_draw){
        .time_ns = draw->time_ns,
        .one_in = draw->one_in,
        .stack = stack,
        .kind = kind_of(wall, process, &blocked),
    };
    wall->facts.draws++;
    if (draw->one_in > wall->facts.one_in)
        wall->facts.one_in = draw->one_in;
}

uint64_t hone_wall_count_losses(struct hone_wall *wall)
{
    uint64_t lost, no_room, before = wall->facts.draws_lost;
    hone_draws_losses(wall->draws, &lost, &no_room);
    wall->facts.draws_lost = lost;
    wall->facts.too_many_to_draw = no_room;
    return lost - before;
}

static uint32_t one_in_of(double waits_per_second)
{
    double one_in = waits_per_second / DRAWS_PER_SECOND;
    return waits_per_second <= ALL_PER_SECOND ? 1 : one_in >= 1e6 ? 1000000 : (uint32_t)one_in;
}

// As many as there were since it was last set, and those that the kernel had no room for, say how
// many there will be in the next one. What a draw stands for is in its record, so the sums stay
// right.
static void set_part(struct hone_wall *wall, uint64_t now_ns)
{
    wall->drawn_ns = now_ns;
    uint64_t passed_ns = now_ns - wall->part_ns;
    if (passed_ns < PART_NS && wall->part_drawn < PART_DRAWS)
        return;
    double seconds = (double)(passed_ns ? passed_ns : 1) / 1e9;
    double waits = (double)wall->part_waits + (double)hone_wall_count_losses(wall) * wall->one_in;
    wall->part_ns = now_ns;
    wall->part_drawn = wall->part_waits = 0;
    uint32_t one_in = one_in_of(waits / seconds);
    // What is drawn tells how many there were within a tenth or two: that is no reason.
    if (one_in == wall->one_in || (one_in < 2 * wall->one_in && 2 * one_in > wall->one_in))
        return;
    wall->one_in = one_in;
    hone_draws_set_part(wall->draws, one_in);
}

void hone_wall_read_draws(struct hone_wall *wall, uint64_t until_ns)
{
    struct hone_draw draw;
    hone_draws_look(wall->draws);
    while (!wall->status && hone_draws_next(wall->draws, until_ns, &draw)) {
        hone_wall_read_switches(wall, draw.time_ns);
        take(wall, &draw);
        wall->part_drawn++;
        wall->part_waits += draw.one_in;
    }
    set_part(wall, until_ns);
}
