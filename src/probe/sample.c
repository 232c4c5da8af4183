// One CPU sample: in the handler, on whatever stack the program left us, in a few microseconds.
//
// The work is done on the stack of one of a few static work areas, and the frames go there too: the
// program's stack, or its alternate one, may be tiny. An area is taken by setting its bit; when all
// are taken (more handlers at once than areas, so more than that many threads stopped in the middle
// of a handler) the sample is dropped and counted.
#include "probe/probe.h"

#include "core/clock.h"
#include "core/load.h"

#include <errno.h>

enum {
    AREAS = 32,
    AREA_STACK_BYTES = 32 * 1024, // a walk takes 2 KiB, one that adopts a module 12
    PAGE = 4096,
    // How far below its thread pointer a thread's stack is looked at page by page. Deeper stacks
    // are read with a probe per page by the walker itself.
    STACK_PAGES = 16,
    // The first thread's stack grows on demand: what lies between the stack pointer and its end
    // is there. A stack pointer further away than this is on another stack.
    MAIN_STACK_BYTES = 64 << 20,
};

struct area {
    alignas(64) unsigned char stack[AREA_STACK_BYTES];
    uint64_t addresses[HONE_STACK_MAX];
    const void *ucontext;
    bool random_period;
};

static struct area areas[AREAS];
static _Atomic uint32_t areas_taken;

// What threads' last walks read, so that the next one verifies the frames that are still the same
// instead of looking up their rules, which are cold by then.
enum { TRAILS = 8 };

static struct trail {
    alignas(64) _Atomic bool taken;
    uint64_t owner; // epoch and index of its thread
    struct hone_trail walk;
} trails[TRAILS];

static struct area *area_take(void)
{
    uint32_t taken = atomic_load_explicit(&areas_taken, memory_order_relaxed);
    while (~taken) {
        uint32_t bit = (uint32_t)__builtin_ctz(~taken);
        if (atomic_compare_exchange_weak_explicit(&areas_taken, &taken, taken | 1u << bit,
                                                  memory_order_acquire, memory_order_relaxed))
            return &areas[bit];
    }
    return NULL;
}

static void area_give_back(const struct area *area)
{
    atomic_fetch_and_explicit(&areas_taken, ~(1u << (area - areas)), memory_order_release);
}

void hone_sample_after_fork(void)
{
    atomic_store_explicit(&areas_taken, 0, memory_order_relaxed);
    for (unsigned i = 0; i < TRAILS; i++)
        atomic_store_explicit(&trails[i].taken, false, memory_order_relaxed);
}

// The part of the thread's own stack that can be read without asking: from sp to its end. False
// when sp is on another stack (an alternate one, a fiber's), which the walker probes.
static bool own_stack(uint64_t sp, struct hone_stack *ret)
{
    uint64_t main_high = hone_probe.main_stack_high;
    if (sp < main_high && main_high - sp < MAIN_STACK_BYTES) {
        *ret = (struct hone_stack){sp, main_high};
        return true;
    }
    // Other threads have their control block at the upper end of their stack. When every page from
    // sp up to it can be read, sp is on that stack.
    uint64_t high = (uint64_t)(uintptr_t)__builtin_thread_pointer();
    if (sp >= high || high - sp > (uint64_t)STACK_PAGES * PAGE)
        return false;
    for (uint64_t page = high & ~(uint64_t)(PAGE - 1); page > sp; page -= PAGE)
        if (!hone_safe_probe(page - PAGE))
            return false;
    *ret = (struct hone_stack){sp, high};
    return true;
}

// What a sample stands for: the CPU time since the thread's last one. One at the end of a period
// that was cut short at random stands for a whole period: so the expected total is the true one.
//
// The thread's CPU clock is a system call, 1 to 2 us where caches are cold, and mostly says what is
// known: when about a period of wall time has passed since the last sample, a period of CPU time
// has, for the engine never fires early. It is asked only when more has passed (the thread waited,
// a sample was lost), and then makes up for whatever was taken for granted.
static uint64_t weigh(struct hone_thread *self, uint64_t now_ns, bool random_period)
{
    uint64_t period_ns = hone_probe.period_ns;
    uint64_t passed_ns = now_ns - self->last_ns;
    self->last_ns = now_ns;
    if (HONE_LIKELY(passed_ns - period_ns / 2 < period_ns && self->sampled && !random_period)) {
        self->last_cpu_ns += period_ns;
        return period_ns;
    }
    uint64_t cpu_ns = hone_thread_cpu_ns();
    uint64_t since = cpu_ns - self->last_cpu_ns;
    self->last_cpu_ns = cpu_ns;
    self->sampled = true;
    if ((int64_t)since < 0)
        return period_ns;
    if (random_period && since > period_ns &&
        atomic_load_explicit(&hone_probe.writer.process->state, memory_order_relaxed) ==
            HONE_PROCESS_STARTING) {
        self->begun_cpu_ns += since - period_ns; // arming took that long, which is our time
        return period_ns;
    }
    if (random_period && since < period_ns)
        return period_ns;
    uint64_t periods = (since + period_ns / 2) / period_ns;
    if (periods > 1)
        hone_count(&hone_counters()->lost_overrun, periods - 1);
    return since;
}

// Threads that compute at the same time have a trail each; others take turns, and begin anew.
static struct trail *trail_take(const struct hone_thread *self)
{
    struct trail *trail = &trails[self->index % TRAILS];
    // Acquire: what the last one to hold it wrote. Pairs with the release in take_sample().
    if (atomic_exchange_explicit(&trail->taken, true, memory_order_acquire))
        return NULL;
    uint64_t owner = (uint64_t)self->epoch << 32 | self->index;
    if (trail->owner != owner) {
        trail->owner = owner;
        trail->walk.first = 0;
    }
    return trail;
}

static void walk_stack(const struct hone_thread *self, const void *ucontext,
                       uint64_t *ret_addresses, struct hone_walk *ret)
{
    struct hone_registers registers;
    hone_registers_from_ucontext(&registers, ucontext);
    struct hone_stack stack;
    bool known = own_stack(registers.r[HONE_REGISTER_SP], &stack);
    struct trail *trail = trail_take(self);
    if (!trail) {
        (void)hone_unwind_walk(&hone_probe.unwinder, &registers, &stack, known, ret_addresses,
                               hone_probe.stack_max, ret);
        return;
    }
    (void)hone_unwind_rewalk(&hone_probe.unwinder, &trail->walk, &registers, &stack, known,
                             ret_addresses, hone_probe.stack_max, ret);
    atomic_store_explicit(&trail->taken, false, memory_order_release);
}

// Where samples take longer than their period the thread would do nothing else: then it gets as
// much time as they took. One that was long may have been interrupted itself, several were not.
static bool is_starving(const struct hone_thread *self)
{
    enum { SLOW_IN_A_ROW = 4 };
    return HONE_UNLIKELY(self->slow >= SLOW_IN_A_ROW) &&
           hone_now_ns() - self->done_ns < self->spent_ns;
}

static void remember_cost(struct hone_thread *self, uint64_t began_ns)
{
    self->done_ns = hone_now_ns();
    self->spent_ns = self->done_ns - began_ns;
    self->slow = HONE_UNLIKELY(self->spent_ns > hone_probe.period_ns) ? self->slow + 1 : 0;
}

static void take_sample_now(struct area *area, struct hone_thread *self)
{
    struct hone_process_counters *counters = hone_counters();
    uint64_t *addresses = area->addresses;
    hone_thread_meet(self, 0);
    struct hone_walk walk;
    walk_stack(self, area->ucontext, addresses, &walk);
    hone_modules_emit();
    uint32_t id = hone_stack_id(addresses, walk.count, (enum hone_stack_end)walk.end);

    hone_count(&counters->frames, walk.count);
    if (walk.misses)
        hone_count(&counters->frame_misses, walk.misses);
    if (walk.end != HONE_WALK_COMPLETE)
        hone_count(&counters->truncated, 1);
    if (walk.frame_pointers)
        hone_count(&counters->frame_pointer, 1);
    if (walk.guessed)
        hone_count(&counters->searched, 1);

    // Without room the time is not taken off the clock: the next sample that is written carries it.
    struct hone_record_cpu *record =
        id ? hone_writer_claim(&hone_probe.writer, sizeof *record) : NULL;
    if (!record) {
        hone_count(&counters->lost_memory, 1);
        return;
    }
    record->record.small = self->index;
    record->time_ns = hone_now_ns();
    record->cpu_ns = weigh(self, record->time_ns, area->random_period);
    record->stack = id;
    hone_writer_commit(&hone_probe.writer, record, HONE_RECORD_CPU);
    hone_count(&counters->samples, 1);
}

HONE_HANDLER // On the area's own stack.
    static void
    take_sample(void *argument)
{
    struct area *area = argument;
    struct hone_thread *self = hone_thread_self();
    if (is_starving(self)) {
        hone_count(&hone_counters()->lost_busy, 1);
        return;
    }
    uint64_t began_ns = hone_now_ns();
    take_sample_now(area, self);
    remember_cost(self, began_ns);
}

void hone_sample_cpu(const void *ucontext, bool random_period)
{
    struct area *area = area_take();
    if (!area) {
        hone_count(&hone_counters()->lost_busy, 1);
        return;
    }
    area->ucontext = ucontext;
    area->random_period = random_period;
    hone_call_on_stack(take_sample, area, area->stack + sizeof area->stack);
    area_give_back(area);
}
