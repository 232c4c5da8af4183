#include "probe/lock_work.h"

#include "core/clock.h"
#include "core/ticks.h"
#include "probe/lock_draw.h"

enum { RATE_KNOWN_NS = 10000000 };

__thread struct hone_lock_thread hone_lock_self;

// --- time ----------------------------------------------------------------------------------------

static uint64_t begun_ticks, begun_ns;

void hone_lock_clock_begin(void)
{
    if (begun_ticks)
        return;
    begun_ns = hone_now_ns();
    begun_ticks = hone_ticks();
}

static const uint64_t RATIO_ONE = (uint64_t)1 << 32;

// number / divisor in whole numbers, within 2^-31 of it; 1 is RATIO_ONE. 0 where divisor is 0.
static uint64_t ratio(uint64_t number, uint64_t divisor)
{
    while (number >> 32) {
        number >>= 1;
        divisor >>= 1;
    }
    return divisor ? (number << 32) / divisor : 0;
}

static uint64_t times(uint64_t number, uint64_t ratio)
{
    hone_wide product = (hone_wide)number * ratio >> 32;
    return product >> 64 ? UINT64_MAX : (uint64_t)product;
}

// How many nanoseconds a tick takes is known the better the longer we run, and never worse than
// what is asked about: that took place since we began.
uint64_t hone_lock_ns(uint64_t ticks)
{
    uint64_t passed = hone_ticks() - begun_ticks, passed_ns = hone_now_ns() - begun_ns;
    return times(ticks, ratio(passed_ns, passed));
}

uint64_t hone_lock_ticks(uint64_t ns)
{
    static _Atomic uint64_t known;
    uint64_t rate = atomic_load_explicit(&known, memory_order_relaxed);
    if (HONE_UNLIKELY(rate == 0)) {
        uint64_t passed = hone_ticks() - begun_ticks, passed_ns = hone_now_ns() - begun_ns;
        rate = passed_ns ? ratio(passed, passed_ns) : RATIO_ONE;
        if (passed_ns > RATE_KNOWN_NS)
            atomic_store_explicit(&known, rate, memory_order_relaxed);
    }
    return times(ns, rate);
}

// --- the thread ----------------------------------------------------------------------------------

struct hone_lock_thread *hone_lock_myself(void)
{
    struct hone_lock_thread *self = &hone_lock_self;
    uint32_t epoch = atomic_load_explicit(&hone_probe.epoch, memory_order_relaxed);
    if (HONE_UNLIKELY(self->epoch != epoch)) {
        self->held_count = self->waiting = 0;
        self->charged = self->known = self->pending = NULL;
        self->wanted = 0;
        self->contentions = 0;
        self->epoch = epoch;
        self->random =
            (hone_now_ns() ^ (uint64_t)(uintptr_t)self << 20 ^ (uint64_t)epoch << 50) | 1;
        (void)hone_random_next(&self->random);
        self->releases = hone_draw_skip(&self->random, hone_lock_config()->mutex_fraction);
        self->shows = hone_lock_draw_show(self);
        self->thinned = hone_draw_skip(&self->random, hone_lock_config()->mutex_fraction);
        self->thin_times[HONE_LOCK_RELEASES] = self->thin_times[HONE_LOCK_WAITS] = 1;
    }
    hone_thread_meet(hone_thread_self(), NULL);
    return self;
}

struct walking {
    struct hone_area *area;
    const struct hone_registers *registers;
    uint32_t stack;
};

// On the program's stack or the area's own.
static void walk_now(void *argument)
{
    struct walking *at = argument;
    struct hone_walk walk;
    hone_area_walk_own(at->area, hone_thread_self(), &hone_lock_self.stack, at->registers, &walk);
    hone_modules_emit();
    uint32_t hooks = hone_heap_hook_frames(at->area->addresses, NULL, &walk);
    at->stack = hone_stack_id(at->area->addresses + hooks, walk.count - hooks,
                              (enum hone_stack_end)walk.end);
}

HONE_HOOK uint32_t hone_lock_stack_here(void)
{
    struct hone_registers registers;
    hone_registers_here(&registers);
    // Where the program's handler has a stack of its own, a signal would begin that anew while we
    // are on ours.
    uint64_t sp = registers.r[HONE_REGISTER_SP];
    const struct hone_own_stack *own = &hone_lock_self.stack;
    bool elsewhere = (sp < own->low || sp >= own->high) && hone_is_on_alternate_stack();
    struct walking at = {elsewhere ? NULL : hone_area_take_as(&hone_heap_self), &registers, 0};
    if (!at.area)
        return 0;
    if (HONE_LIKELY(hone_stack_has_room(own, sp))) // two system calls less, with the lock in hand
        walk_now(&at);
    else
        hone_area_call(at.area, walk_now, &at);
    hone_area_give_back(at.area);
    return at.stack;
}
