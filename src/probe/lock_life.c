#include "core/clock.h"
#include "core/ticks.h"
#include "probe/lock.h"
#include "probe/lock_draw.h"
#include "probe/lock_order.h"
#include "probe/lock_real.h"
#include "probe/lock_record.h"
#include "probe/lock_work.h"

#include <errno.h>

// --- waits for what nobody holds -----------------------------------------------------------------

uint64_t hone_wait_begin(void)
{
    return hone_lock_wanted() & HONE_LOCKS_BLOCK ? hone_ticks() : 0;
}

HONE_HOOK void hone_wait_end(uint64_t began, const void *object, uint32_t kind, bool timed_out)
{
    if (!began)
        return;
    uint64_t waited = hone_ticks() - began;
    if (!hone_lock_is_recording() || !hone_lock_work_begin())
        return;
    int saved = errno;
    struct hone_lock_thread *self = hone_lock_myself();
    struct hone_lock_wait_facts facts = {.lock = (uintptr_t)object,
                                         .delay_ns = hone_lock_ns(waited),
                                         .time_ns = hone_now_ns(),
                                         .rate_ns = hone_lock_config()->block_rate_ns,
                                         .kind = kind,
                                         .timed_out = timed_out};
    if (hone_draw_by_size((uint32_t)hone_random_next(&self->random), facts.delay_ns,
                          facts.rate_ns)) {
        facts.stack = hone_lock_stack_here();
        hone_lock_write_wait(&facts);
    }
    errno = saved;
    hone_lock_work_end();
}

// --- life cycle ----------------------------------------------------------------------------------

void hone_locks_begin(bool allowed)
{
    uint32_t all = 0;
    hone_locks_find();
    if (allowed && hone_lock_config()->mutex_fraction)
        all |= HONE_LOCKS_MUTEX;
    if (allowed && hone_lock_config()->block_rate_ns)
        all |= HONE_LOCKS_BLOCK;
    if (all && hone_locks_are_alone())
        all |= HONE_LOCKS_ALONE;
    if (!all && hone_lock_order_is_on())
        all |= HONE_LOCKS_ORDER;
    hone_lock_clock_begin();
    atomic_store_explicit(&hone_locks_wanted, all, memory_order_release);
}

void hone_locks_shared(void)
{
    if (hone_lock_wanted() & HONE_LOCKS_ALONE)
        atomic_fetch_and_explicit(&hone_locks_wanted, ~(uint32_t)HONE_LOCKS_ALONE,
                                  memory_order_relaxed);
}

void hone_locks_end(void)
{
    atomic_store_explicit(&hone_locks_wanted, hone_lock_order_is_on() ? HONE_LOCKS_ORDER : 0,
                          memory_order_release);
}

void hone_locks_process_leave(void)
{
    if (!hone_lock_is_recording() || !hone_lock_work_begin())
        return;
    struct hone_lock_entry *entry = NULL;
    while ((entry = hone_lock_next_rests(entry)))
        hone_lock_write_left(entry);
    hone_lock_work_end();
}

bool hone_locks_are_wanted(void)
{
    return hone_lock_wanted() & (HONE_LOCKS_MUTEX | HONE_LOCKS_BLOCK);
}

void hone_locks_after_fork(void)
{
    hone_lock_table_after_fork();
    hone_lock_records_after_fork();
}
