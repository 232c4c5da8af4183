// Work areas: what a sample needs besides the program's stack, which may be tiny. The work is done
// on the stack of one of a few static areas, and the frames go there too. An area is taken by
// writing an owner to it; when all are taken (more samples at once than areas, so more than that
// many threads stopped in the middle of one) the sample is dropped and counted by the caller.
#include "probe/areas.h"

#include "core/load.h"
#include "core/syscall.h"
#include "probe/heap.h"

#include <signal.h>
#include <sys/resource.h>

enum {
    AREAS = 32,
    PAGE = 4096,
    // How far below its thread pointer a thread's stack is looked at page by page. Deeper stacks
    // are read with a probe per page by the walker itself.
    STACK_PAGES = 16,
    // The first thread's stack grows on demand: what lies between the stack pointer and its end
    // is there. A stack pointer further away than this is on another stack.
    MAIN_STACK_BYTES = 64 << 20,
    // Without a limit, or one beyond that, so much of it is taken to be there.
    MAIN_STACK_SURE = 8 << 20,
    // What is left of a stack when work is done on it: five times what that takes, for a handler
    // may come in the middle of it.
    ROOM_BYTES = 64 << 10,
    // Of an alternate stack, which programs make small: twice what that takes.
    ALTERNATE_ROOM_BYTES = 24 << 10,
};

static struct hone_area areas[AREAS];
static _Atomic(const void *) owners[AREAS]; // NULL: free

// What threads' last walks read, so that the next one verifies the frames that are still the same
// instead of looking up their rules, which are cold by then.
enum { TRAILS = 8 };

static struct trail {
    alignas(64) _Atomic(const void *) taken; // by the owner of this area; NULL: free
    uint64_t thread;                         // epoch and index
    struct hone_trail walk;
} trails[TRAILS];

// In one step, so that there is no moment in which an area is taken and nobody knows by whom.
static bool take(_Atomic(const void *) *at, const void *owner)
{
    const void *nobody = NULL;
    return !atomic_load_explicit(at, memory_order_relaxed) &&
           atomic_compare_exchange_strong_explicit(at, &nobody, owner, memory_order_acquire,
                                                   memory_order_relaxed);
}

struct hone_area *hone_area_take_as(const void *owner)
{
    for (unsigned i = 0; i < AREAS; i++)
        if (take(&owners[i], owner))
            return &areas[i];
    return NULL;
}

struct hone_area *hone_area_take(void)
{
    return hone_area_take_as(hone_thread_self());
}

void hone_area_give_back(const struct hone_area *area)
{
    atomic_store_explicit(&owners[area - areas], NULL, memory_order_release);
}

void hone_areas_abandon(const void *owner)
{
    for (unsigned i = 0; i < TRAILS; i++)
        if (atomic_load_explicit(&trails[i].taken, memory_order_relaxed) == owner) {
            trails[i].walk.first = 0; // of what it read last it may be at the middle
            atomic_store_explicit(&trails[i].taken, NULL, memory_order_release);
        }
    for (unsigned i = 0; i < AREAS; i++)
        if (atomic_load_explicit(&owners[i], memory_order_relaxed) == owner)
            hone_area_give_back(&areas[i]);
}

void hone_areas_tell(struct hone_scan_places *ret)
{
    hone_heap_tell_own(ret, areas, sizeof areas);
    hone_heap_tell_own(ret, trails, sizeof trails);
}

void hone_areas_after_fork(void)
{
    for (unsigned i = 0; i < AREAS; i++)
        atomic_store_explicit(&owners[i], NULL, memory_order_relaxed);
    for (unsigned i = 0; i < TRAILS; i++)
        atomic_store_explicit(&trails[i].taken, NULL, memory_order_relaxed);
}

// Of a thread's stack below its thread pointer, at least; what lies further down may be another's.
static uint64_t least_bytes(void)
{
    // Of what the C library says, its own part, which lies at the thread pointer, takes less.
    uint64_t bytes = hone_thread_stack_bytes, taken = 2 * (uint64_t)PAGE;
    uint64_t looked_at = (uint64_t)STACK_PAGES * PAGE;
    if (!bytes || bytes > looked_at + taken)
        return looked_at;
    return bytes > taken ? bytes - taken : 0;
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
    if (sp >= high || high - sp > least_bytes())
        return false;
    for (uint64_t page = high & ~(uint64_t)(PAGE - 1); page > sp; page -= PAGE)
        if (!hone_safe_probe(page - PAGE))
            return false;
    *ret = (struct hone_stack){sp, high};
    return true;
}

bool hone_area_same_own_stack(uint64_t low, uint64_t high)
{
    uint64_t end = hone_probe.main_stack_high, bytes = MAIN_STACK_BYTES;
    if (low >= end || end - low >= bytes) {
        end = (uint64_t)(uintptr_t)__builtin_thread_pointer();
        bytes = hone_thread_stack_bytes;
    }
    return low <= high && high < end && end - low < bytes;
}

bool hone_area_may_be_own_stack(uint64_t low)
{
    uint64_t end = hone_probe.main_stack_high, most = MAIN_STACK_BYTES;
    if (low < end && end - low < most)
        return true;
    end = (uint64_t)(uintptr_t)__builtin_thread_pointer();
    most = hone_thread_stack_bytes ? hone_thread_stack_bytes : (uint64_t)STACK_PAGES * PAGE;
    return low < end && end - low < most;
}

// The lowest stack pointer with room below it, of a stack that ends at `high`. Nothing is touched
// to find out, for that would make it the program's memory.
static uint64_t roomy_from(uint64_t high)
{
    // Of what the C library says, its own part, which lies at the thread pointer, takes less.
    uint64_t bytes = hone_thread_stack_bytes, taken = 2 * (uint64_t)PAGE;
    if (high == hone_probe.main_stack_high) {
        uint64_t limit[2];
        if (hone_syscall4(SYS_prlimit64, 0, RLIMIT_STACK, NULL, limit) != 0)
            return UINT64_MAX;
        bytes = limit[0] < MAIN_STACK_BYTES ? limit[0] : MAIN_STACK_SURE;
    }
    return bytes > ROOM_BYTES + taken ? high - bytes + taken + ROOM_BYTES : UINT64_MAX;
}

// Threads that compute at the same time have a trail each; others take turns, and begin anew.
static struct trail *trail_take(const struct hone_area *area, const struct hone_thread *self)
{
    struct trail *trail = &trails[self->index % TRAILS];
    // Acquire: what the last one to hold it wrote. Pairs with the release in hone_area_walk().
    const void *owner = atomic_load_explicit(&owners[area - areas], memory_order_relaxed);
    if (!take(&trail->taken, owner))
        return NULL;
    uint64_t thread = (uint64_t)self->epoch << 32 | self->index;
    if (trail->thread != thread) {
        trail->thread = thread;
        trail->walk.first = 0;
    }
    return trail;
}

size_t hone_area_frames_from_hook(void)
{
    enum { HOOKS = 8 };
    uint32_t max = hone_probe.stack_max + HOOKS;
    return max < HONE_STACK_MAX ? max : HONE_STACK_MAX;
}

static void walk(struct hone_area *area, const struct hone_thread *self,
                 const struct hone_registers *registers, const struct hone_stack *stack,
                 bool is_known, size_t max, struct hone_walk *ret)
{
    struct trail *trail = trail_take(area, self);
    if (!trail) {
        (void)hone_unwind_walk(&hone_probe.unwinder, registers, stack, is_known, area->addresses,
                               max, ret);
        return;
    }
    (void)hone_unwind_rewalk(&hone_probe.unwinder, &trail->walk, registers, stack, is_known,
                             area->addresses, max, ret);
    atomic_store_explicit(&trail->taken, NULL, memory_order_release);
}

void hone_area_walk(struct hone_area *area, const struct hone_thread *self,
                    const struct hone_registers *registers, size_t max, struct hone_walk *ret)
{
    struct hone_stack stack;
    bool is_known = own_stack(registers->r[HONE_REGISTER_SP], &stack);
    walk(area, self, registers, &stack, is_known, max, ret);
}

// What was found to be this thread's stack stays its stack; it may reach further down now.
static bool stack_from(uint64_t sp, struct hone_own_stack *known, struct hone_stack *ret)
{
    *ret = (struct hone_stack){sp, known->high};
    if (sp >= known->low && sp < known->high)
        return true;
    if (!own_stack(sp, ret))
        return false;
    *known = (struct hone_own_stack){ret->low, ret->high, roomy_from(ret->high)};
    return true;
}

// A module that another thread keeps us from adopting is there in a moment. A handler cannot wait,
// for it may have interrupted that thread; a hook can, for a while.
struct patience {
    uint32_t not_now, tries;
};

// False: it is of no use, or we have waited long enough, and the stack stays stale.
static bool is_worth_another(struct patience *patience, struct hone_walk *walk)
{
    enum { TRIES = 200 }; // a microsecond or two each; the other one takes 100
    uint32_t not_now = hone_modules_not_now(&hone_probe_modules);
    walk->stale = !patience->tries || not_now != patience->not_now;
    patience->not_now = not_now;
    if (!walk->stale || patience->tries++ == TRIES)
        return false;
    (void)hone_syscall0(SYS_sched_yield);
    return true;
}

void hone_area_walk_own(struct hone_area *area, const struct hone_thread *self,
                        struct hone_own_stack *own, const struct hone_registers *registers,
                        struct hone_walk *ret)
{
    struct hone_stack stack;
    bool is_known = stack_from(registers->r[HONE_REGISTER_SP], own, &stack);
    struct patience patience = {0};
    do
        walk(area, self, registers, &stack, is_known, hone_area_frames_from_hook(), ret);
    while (HONE_UNLIKELY(ret->stale) && is_worth_another(&patience, ret));
}

void hone_area_rewalk(struct hone_area *area, struct hone_trail *trail,
                      struct hone_own_stack *known, const struct hone_registers *registers,
                      const struct hone_caller *caller, struct hone_walk *ret)
{
    struct hone_stack stack;
    bool is_known = stack_from(registers->r[HONE_REGISTER_SP], known, &stack);
    struct patience patience = {0};
    for (;;) {
        (void)hone_unwind_rewalk_from(&hone_probe.unwinder, trail, registers, caller, &stack,
                                      is_known, area->addresses, hone_area_frames_from_hook(), ret);
        if (HONE_LIKELY(!ret->stale) || !is_worth_another(&patience, ret))
            return;
        trail->first = 0; // what is the same is told of the caller's last stack
    }
}

// Our own samples may come.
void hone_area_call(struct hone_area *area, void (*work)(void *), void *argument)
{
    uint64_t held = ~(1ull << (SIGTRAP - 1) | 1ull << (HONE_PROBE_SIGNAL - 1)), before;
    (void)hone_syscall4(SYS_rt_sigprocmask, SIG_BLOCK, &held, &before, sizeof held);
    hone_call_on_stack(work, argument, area->stack + sizeof area->stack);
    (void)hone_syscall4(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, sizeof before);
}

enum hone_alternate hone_alternate_stack(uint64_t sp)
{
    stack_t alternate = {0};
    const struct hone_heap_thread *self = &hone_heap_self;
    if (sp - self->disarmed_low < self->disarmed_bytes)
        return sp - self->disarmed_low >= ALTERNATE_ROOM_BYTES ? HONE_ALTERNATE_ROOMY
                                                               : HONE_ALTERNATE_TIGHT;
    if (hone_syscall2(SYS_sigaltstack, NULL, &alternate) != 0 || !(alternate.ss_flags & SS_ONSTACK))
        return HONE_ALTERNATE_NOT_ON;
    return sp - (uintptr_t)alternate.ss_sp >= ALTERNATE_ROOM_BYTES ? HONE_ALTERNATE_ROOMY
                                                                   : HONE_ALTERNATE_TIGHT;
}

bool hone_is_on_alternate_stack(void)
{
    return hone_alternate_stack((uintptr_t)__builtin_frame_address(0)) != HONE_ALTERNATE_NOT_ON;
}
