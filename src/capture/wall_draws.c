// Waits whose stacks the kernel copied as they began (draws.h): they come in the order of time, in
// between what the scheduler tells. So the thread is known to run when its stack is walked, and the
// scheduler's next record of it says that it waits; how long, it says later.
#include "capture/wall_parts.h"

#include "core/clock.h"
#include "core/core.h"

#include <signal.h>

enum {
    // A stack takes 13 to 20 µs in the kernel, half of that for the kernel's own frames, in which
    // whoever wakes the thread up waits for it, and 5 µs here, for the walk: what is drawn beyond
    // this in a second is thinned out, so that it takes some 1 % of a CPU. A share of a hundredth
    // is still known within a tenth of it after thirty seconds, and threads that wait seldom are
    // drawn besides.
    DRAWS_PER_SECOND = 300,
    // Of those that are drawn, up to so many more than that a second may pass before fewer are.
    SLACK = 2,
    // Judged over so long at least: threads that begin together wait a few times each. That there
    // are fewer, over longer, and then believed in part: now and then there are few by chance, and
    // the many that were copied next would be felt.
    PART_NS = 20000000,
    FEWER_NS = 100000000,
    FEWER_PART = 8,
    // The program in the kernel forgets a process when its first thread ends: it is told again.
    SETTLE_AGAIN_NS = 1000000000,
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
        wall->facts.draws_unread++;
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
        .sure = draw->sure,
        .stack = stack,
        .kind = kind_of(wall, process, &blocked),
    };
    wall->facts.draws++;
    if (draw->soon && draw->time_ns > process->settle_ns) {
        process->settle_ns = draw->time_ns + SETTLE_AGAIN_NS;
        hone_draws_settle(wall->draws, process->pid, true);
    }
}

// Returns those by chance since the last time. What was lost for certain stands for itself alone.
uint64_t hone_wall_count_losses(struct hone_wall *wall)
{
    uint64_t passed, before = wall->draws_passed;
    hone_draws_losses(wall->draws, &wall->facts.draws_lost, &passed, &wall->facts.too_many_to_draw);
    wall->draws_passed = passed;
    return passed - before;
}

// As many as there were since it was last set, and those that the kernel had no room for, say how
// many there will be in the next one. What a draw stands for is in its record, so the sums stay
// right.
static void set_part(struct hone_wall *wall, uint64_t drawn, uint64_t now_ns)
{
    wall->drawn_ns = now_ns;
    wall->part_drawn += drawn;
    uint64_t passed_ns = now_ns - wall->part_ns;
    if (passed_ns < PART_NS)
        return;
    wall->part_drawn += hone_wall_count_losses(wall);
    drawn = wall->part_drawn;
    double allowed = (double)passed_ns * DRAWS_PER_SECOND / 1e9;
    double waits = (double)drawn * wall->one_in;
    double part = waits / allowed;
    uint32_t one_in = part <= 1 ? 1 : part >= 1e6 ? 1000000 : (uint32_t)part + 1;
    bool many = (double)drawn > SLACK * allowed, all = passed_ns >= FEWER_NS;
    bool few = all && one_in < wall->one_in && one_in * SLACK <= wall->one_in;
    if (many || all) {
        wall->part_ns = now_ns;
        wall->part_drawn = 0;
    }
    if (!many && !few)
        return;
    if (few && one_in < wall->one_in / FEWER_PART)
        one_in = wall->one_in / FEWER_PART + 1;
    if (wall->one_in == 1)
        wall->storm_ns = now_ns;
    wall->one_in = one_in;
    if (one_in > wall->facts.one_in)
        wall->facts.one_in = one_in;
    hone_draws_set_part(wall->draws, one_in);
}

void hone_wall_read_draws(struct hone_wall *wall, uint64_t until_ns)
{
    struct hone_draw draw;
    uint64_t drawn = 0;
    hone_draws_look(wall->draws);
    while (!wall->status && hone_draws_next(wall->draws, until_ns, &draw)) {
        hone_wall_read_switches(wall, draw.time_ns);
        take(wall, &draw);
        drawn += !draw.sure;
        if (draw.soon)
            wall->busy_ns = hone_now_ns();
    }
    set_part(wall, drawn, until_ns);
}
