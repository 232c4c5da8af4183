// What the program in the kernel summed up of each thread (draws.h): it comes with the few switches
// that are told, and is asked for in the ticks that follow: a block that begins right after a
// thread was told of is not told itself. So a thread that waits a hundred thousand times a second
// costs no more to watch than one that waits now and then.
#include "capture/wall_parts.h"

#include <math.h>

static uint64_t end_of(const struct hone_draws_sums *sums)
{
    return sums->from_ns + sums->run_ns + sums->preempted_ns + sums->short_ns;
}

static bool begin_alike(const struct hone_wall_thread *thread, const struct hone_draws_sums *sums)
{
    return thread->asked && thread->sums.from_ns == sums->from_ns;
}

static uint64_t part_of(uint64_t whole, double part)
{
    return (uint64_t)llround((double)whole * part);
}

// The part since a time: of what is before, which belongs to what the process was then, only the
// sums are known.
static void keep_since(struct hone_draws_sums *sums, uint64_t time_ns)
{
    uint64_t end_ns = end_of(sums);
    double part = end_ns > time_ns && end_ns > sums->from_ns
                      ? (double)(end_ns - time_ns) / (double)(end_ns - sums->from_ns)
                      : 0;
    sums->run_ns = part_of(sums->run_ns, part);
    sums->preempted_ns = part_of(sums->preempted_ns, part);
    sums->short_ns = part_of(sums->short_ns, part);
    sums->shorts = (uint32_t)part_of(sums->shorts, part);
}

// What is new in sums, of which a part was known before; it was running at the end of that, or the
// block that it was in is part of them.
static void subtract(struct hone_draws_sums *sums, const struct hone_draws_sums *known)
{
    sums->run_ns -= known->run_ns;
    sums->preempted_ns -= known->preempted_ns;
    sums->short_ns -= known->short_ns;
    sums->shorts -= known->shorts;
}

void hone_wall_sum(struct hone_wall *wall, struct hone_wall_thread *thread,
                   const struct hone_draws_sums *sums)
{
    struct hone_draws_sums more = *sums;
    uint64_t end_ns = end_of(sums);
    thread->uncovered = false;
    if (begin_alike(thread, sums)) {
        if (end_ns <= end_of(&thread->sums)) // nothing is new
            return;
        subtract(&more, &thread->sums);
        thread->seen = false;
        thread->state = HONE_WALL_RUNNING;
    } else if (sums->from_ns > thread->since_ns) { // what was told in between is lost, or nothing
        if (end_ns == sums->from_ns && thread->state != HONE_WALL_BLOCKED)
            return;
        hone_wall_enter(wall, thread,
                        thread->state == HONE_WALL_PREEMPTED ? HONE_WALL_PREEMPTED
                                                             : HONE_WALL_RUNNING,
                        sums->from_ns);
    } else if (sums->from_ns < thread->since_ns) {
        keep_since(&more, thread->since_ns);
    }
    if (end_ns == sums->from_ns)
        return;
    thread->run_ns += more.run_ns;
    thread->preempted_ns += more.preempted_ns;
    thread->short_ns += more.short_ns;
    thread->shorts += more.shorts;
    thread->blocks += more.shorts;
    thread->state = HONE_WALL_RUNNING;
    if (end_ns > thread->since_ns)
        thread->since_ns = end_ns;
}

// Returns whether there is anything left to ask of it before somebody tells.
static bool ask(struct hone_wall *wall, struct hone_wall_thread *thread, uint64_t until_ns)
{
    static const enum hone_wall_state states[] = {
        [HONE_DRAWS_RUNNING] = HONE_WALL_RUNNING,
        [HONE_DRAWS_PREEMPTED] = HONE_WALL_PREEMPTED,
        [HONE_DRAWS_BLOCKED] = HONE_WALL_BLOCKED,
    };
    enum { TRIES = 3 }; // what does not add up was read while it changed
    struct hone_draws_thread now;
    if (thread->state == HONE_WALL_ENDED || (thread->state == HONE_WALL_BLOCKED && !thread->asked))
        return false;
    for (int i = 0; i < TRIES; i++) {
        if (!hone_draws_thread(wall->draws, thread->tid, &now)) { // it has ended, or has no room
            thread->uncovered = !thread->run_ns && !thread->blocks;
            return false;
        }
        if (now.since_ns == end_of(&now.sums))
            break;
    }
    if (now.state == HONE_DRAWS_UNKNOWN || now.known & HONE_DRAWS_TOLD) // what comes next, or came, is told
        return false;
    // What was told since then is yet to be read.
    if (now.sums.from_ns > until_ns || now.since_ns != end_of(&now.sums) ||
        now.since_ns < thread->since_ns)
        return until_ns < now.sums.from_ns + HONE_WALL_LONG_TICKS * wall->period_ns;
    hone_wall_sum(wall, thread, &now.sums);
    thread->asked = true;
    thread->sums = now.sums;
    if (thread->state != states[now.state])
        hone_wall_enter(wall, thread, states[now.state], now.since_ns);
    // A block that begins later than this is told, and so is the end of one that lasts longer.
    uint64_t since_ns = now.state == HONE_DRAWS_BLOCKED ? now.since_ns : now.sums.from_ns;
    return until_ns < since_ns + HONE_WALL_LONG_TICKS * wall->period_ns;
}

void hone_wall_ask(struct hone_wall *wall, uint64_t until_ns)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < wall->awake_count; i++) {
        struct hone_wall_thread *thread = &wall->threads[wall->awake[i]];
        thread->awake = ask(wall, thread, until_ns);
        if (thread->awake)
            wall->awake[kept++] = wall->awake[i];
    }
    wall->awake_count = kept;
}
