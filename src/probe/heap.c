#include "probe/heap.h"

#include "core/clock.h"
#include "probe/areas.h"
#include "probe/heap_draw.h"
#include "probe/heap_exact.h"
#include "probe/heap_keeper.h"
#include "probe/imports.h"
#include "probe/usdt.h"

#include <errno.h>

enum {
    RATE_LOOKED_AT = 1 << 20, // bytes until a thread looks whether the rate is another one
};

__thread struct hone_heap_thread hone_heap_self = {.countdown = -1};

_Atomic enum hone_heap_state hone_heap_state;
static _Atomic uint64_t next_block;               // given out
static _Atomic uint64_t early_count, early_bytes; // before the state was known

// The first of those: what they point to is not lost.
enum { EARLY_KEPT = 1024 };
static struct hone_scan_range early[EARLY_KEPT];

// A tracked block: whose it is and its number. A forked child inherits the table, but not the
// blocks: in its profile they are its parent's.
enum { EPOCH_SHIFT = HONE_SCAN_EPOCH_SHIFT };

static uint64_t epoch_bits(void)
{
    return (uint64_t)atomic_load_explicit(&hone_probe.epoch, memory_order_relaxed) << EPOCH_SHIFT;
}

// What the program has asked for: its rate plus one (0: nothing), and the recording's rate then.
// Whoever has spoken last is heard.
_Atomic uint64_t hone_heap_wished;
static _Atomic uint64_t wished_at;

static uint64_t rate_of_recording(void)
{
    return atomic_load_explicit(&hone_probe.writer.header->heap_rate, memory_order_relaxed);
}

// Where the program has asked for one of its own.
uint64_t hone_heap_rate_wished(uint64_t rate)
{
    uint64_t wished = atomic_load_explicit(&hone_heap_wished, memory_order_acquire);
    return wished && atomic_load_explicit(&wished_at, memory_order_relaxed) == rate ? wished - 1
                                                                                    : rate;
}

static uint64_t rate_asked_for(void)
{
    return hone_heap_rate_wished(rate_of_recording());
}

void hone_heap_wish(uint64_t rate)
{
    uint64_t before = rate_asked_for();
    atomic_store_explicit(&wished_at, rate_of_recording(), memory_order_relaxed);
    // Release: when it was wished before the wish. Pairs with hone_heap_rate_wished().
    atomic_store_explicit(&hone_heap_wished, rate + 1, memory_order_release);
    hone_session_rate_changed(hone_probe.writer.header, before, rate_asked_for());
}

void hone_heap_wish_nothing(void)
{
    uint64_t before = rate_asked_for();
    atomic_store_explicit(&hone_heap_wished, 0, memory_order_relaxed);
    hone_session_rate_changed(hone_probe.writer.header, before, rate_asked_for());
}

bool hone_heap_maps;

void hone_heap_begin(bool wanted)
{
    if (wanted) {
        struct hone_process_counters *counters = hone_counters();
        hone_count(&counters->heap_early, atomic_exchange(&early_count, 0));
        hone_count(&counters->heap_early_bytes, atomic_exchange(&early_bytes, 0));
    }
    hone_heap_maps = wanted && hone_probe.writer.header->config.heap_maps;
    // Release: the session before the state. Pairs with hone_heap_rate().
    atomic_store_explicit(&hone_heap_state, wanted ? HONE_HEAP_WANTED : HONE_HEAP_UNWANTED,
                          memory_order_release);
}

bool hone_heap_is_wanted(void)
{
    return atomic_load_explicit(&hone_heap_state, memory_order_acquire) == HONE_HEAP_WANTED;
}

void hone_heap_after_fork(void)
{
    hone_heap_self.inside = 0;
    hone_heap_live_after_fork();
    hone_imports_after_fork();
    hone_maps_after_fork();
    hone_keepers_after_fork();
}

void hone_heap_thread_leave(void)
{
    hone_keeper_leave();
    hone_keepers_tell_last();
}

void hone_heap_thread_ends(void)
{
    if (hone_heap_enter()) // else nobody would find out who was left, where a handler ends a thread
        hone_heap_leave();
    hone_keeper_only_borrow();
    hone_keeper_leave();
}

// --- one sample ----------------------------------------------------------------------------------

struct allocation {
    struct hone_area *area;
    const struct hone_registers *registers;
    const void *block;
    uint64_t size, rate;
};

static uint32_t hook_frames(const uint64_t *addresses, uint32_t count)
{
    uint32_t hooks = 0;
    while (hooks < count && hone_heap_is_hook(addresses[hooks]))
        hooks++;
    return hooks;
}

uint32_t hone_heap_hook_frames(const uint64_t *addresses, const struct hone_caller *caller,
                               struct hone_walk *walk)
{
    uint32_t hooks = caller ? caller->frames : hook_frames(addresses, walk->count);
    hooks = hooks < walk->count ? hooks : walk->count;
    if (walk->count - hooks > hone_probe.stack_max) {
        walk->count = hooks + hone_probe.stack_max;
        walk->end = HONE_WALK_TOO_DEEP;
    }
    return hooks;
}

// What was found to be the calling thread's stack.
static __thread struct hone_own_stack own_stack;

static uint32_t stack_now(const struct allocation *at, struct hone_thread *self)
{
    struct hone_walk walk;
    hone_area_walk_own(at->area, self, &own_stack, at->registers, &walk);
    hone_modules_emit();
    uint32_t hooks = hone_heap_hook_frames(at->area->addresses, NULL, &walk);
    if (HONE_UNLIKELY(walk.stale))
        return 0;
    if (walk.end != HONE_WALK_COMPLETE)
        hone_count(&hone_counters()->heap_truncated, 1);
    return hone_stack_id(at->area->addresses + hooks, walk.count - hooks,
                         (enum hone_stack_end)walk.end);
}

// On the program's stack or the area's own.
static void take_sample(void *argument)
{
    const struct allocation *at = argument;
    struct hone_process_counters *counters = hone_counters();
    struct hone_thread *self = hone_thread_self();
    hone_thread_meet(self, NULL);
    uint32_t stack = stack_now(at, self);
    struct hone_record_heap_alloc *record =
        stack ? hone_writer_claim(&hone_probe.writer, sizeof *record) : NULL;
    if (!record) {
        hone_count(&counters->heap_lost, 1);
        return;
    }
    uint64_t number = atomic_fetch_add_explicit(&next_block, 1, memory_order_relaxed) + 1;
    record->record.small = self->index;
    record->time_ns = hone_now_ns();
    record->stack = stack;
    record->size = at->size;
    record->rate = at->rate;
    if (hone_heap_live_add(at->block, epoch_bits() | number, at->size))
        record->block = number;
    else
        hone_count(&counters->heap_untracked, 1);
    hone_writer_commit(&hone_probe.writer, record, HONE_RECORD_HEAP_ALLOC);
    hone_count(&counters->heap_samples, 1);
}

struct counted {
    struct hone_keeper *keeper;
    const void *block;
    size_t size;
    const struct hone_registers *registers;
    const struct hone_caller *caller; // NULL: not known
};

#if HONE_HOOKS_KEEP_FRAMES
// What leads from a changed function to its hook has two words in its frame, not one.
extern const char hone_gate[] __attribute__((visibility("hidden")));
extern const char hone_gate_end[] __attribute__((visibility("hidden")));
extern const char hone_gate_without_result[] __attribute__((visibility("hidden")));
extern const char hone_gate_without_result_end[] __attribute__((visibility("hidden")));

static bool is_gate(uint64_t address)
{
    return address - (uintptr_t)hone_gate < (uintptr_t)(hone_gate_end - hone_gate) ||
           address - (uintptr_t)hone_gate_without_result <
               (uintptr_t)(hone_gate_without_result_end - hone_gate_without_result);
}
#else
static bool is_gate(uint64_t address)
{
    (void)address;
    return true;
}
#endif

// The program's frame that called the hooks. They keep frame pointers, so that their frames need
// not be walked by rules each time.
__attribute__((always_inline)) static inline bool find_caller(struct hone_caller *ret)
{
    enum { HOOKS_MAX = 8 };
    const uint64_t *frame = __builtin_frame_address(0);
    for (uint32_t frames = 1; HONE_HOOKS_KEEP_FRAMES && frames <= HOOKS_MAX; frames++) {
        uint64_t address = frame[1] - 1;
        if (!hone_heap_is_hook(address)) {
            *ret = (struct hone_caller){address, (uintptr_t)(frame + 2), frame[0], frames};
            return true;
        }
        if (is_gate(address))
            return false;
        frame = (const uint64_t *)frame[0];
    }
    return false;
}

// On the program's stack or the keeper's own.
static void count_block(void *argument)
{
    const struct counted *at = argument;
    uint32_t site = hone_keeper_site(at->keeper, at->registers, at->caller);
    hone_exact_allocated(at->keeper, at->block, at->size, site);
}

HONE_HOOK bool hone_heap_counts_by_walk(struct hone_keeper *keeper,
                                        const struct hone_caller *caller, const void *block,
                                        size_t size)
{
    struct hone_registers registers;
    hone_registers_here(&registers);
    uint64_t sp = registers.r[HONE_REGISTER_SP];
    if (HONE_UNLIKELY(sp < keeper->stack.low || !hone_stack_has_room(&keeper->stack, sp) ||
                      hone_heap_self.asks))
        return false;
    int saved = errno;
    hone_heap_self.told++;
    hone_heap_self.countdown = -1;
    uint32_t site = hone_keeper_site(keeper, &registers, caller);
    hone_exact_allocated(keeper, block, size, site);
    errno = saved;
    return true;
}

// By a walk. False: it must not be made here.
HONE_HOOK static bool count_at_length(struct hone_keeper *keeper, const void *block, size_t size)
{
    // Wanted behind the walk, and seldom in the processor's cache.
    __builtin_prefetch(hone_block_at((uintptr_t)block, false), 1);
    struct hone_registers registers;
    hone_registers_here(&registers);
    uint64_t sp = registers.r[HONE_REGISTER_SP];
    bool known = sp >= keeper->stack.low && sp < keeper->stack.high && !hone_heap_self.asks;
    enum hone_alternate alternate = known ? HONE_ALTERNATE_NOT_ON : hone_alternate_stack(sp);
    if (HONE_UNLIKELY(alternate == HONE_ALTERNATE_TIGHT)) {
        hone_count(&hone_counters()->heap_in_handler, 1);
        return false;
    }
    struct hone_caller caller;
    struct counted at = {keeper, block, size, &registers, find_caller(&caller) ? &caller : NULL};
    if (HONE_LIKELY(hone_stack_has_room(&keeper->stack, sp)) || alternate == HONE_ALTERNATE_ROOMY)
        count_block(&at);
    else
        hone_area_call(&keeper->area, count_block, &at);
    return true;
}

__attribute__((always_inline)) static inline void count(const void *block, size_t size)
{
    struct hone_keeper *keeper = hone_keeper_self();
    if (HONE_UNLIKELY(!keeper || size > HONE_BLOCK_LARGEST)) {
        hone_count(&hone_counters()->heap_no_site, 1);
        return;
    }
    struct hone_caller caller;
    uint32_t site = find_caller(&caller) ? hone_keeper_recall(keeper, &caller) : 0;
    if (HONE_LIKELY(site))
        hone_exact_allocated(keeper, block, size, site);
    else if (!count_at_length(keeper, block, size))
        return;
    hone_usdt_alloc(block, size, 1);
}

HONE_HOOK static void sample(const void *block, size_t size, uint64_t rate)
{
    struct hone_registers registers;
    hone_registers_here(&registers);
    // Each system call that can be spared counts: some take a microsecond where the machine is a
    // virtual one, and all else takes less.
    uint64_t sp = registers.r[HONE_REGISTER_SP];
    bool known = sp >= own_stack.low && sp < own_stack.high && !hone_heap_self.asks;
    enum hone_alternate alternate = known ? HONE_ALTERNATE_NOT_ON : hone_alternate_stack(sp);
    if (HONE_UNLIKELY(alternate == HONE_ALTERNATE_TIGHT)) {
        hone_count(&hone_counters()->heap_in_handler, 1);
        return;
    }
    struct allocation at = {hone_area_take_as(&hone_heap_self), &registers, block, size, rate};
    if (!at.area) {
        hone_count(&hone_counters()->heap_lost, 1);
        return;
    }
    if (HONE_LIKELY(hone_stack_has_room(&own_stack, sp)) || alternate == HONE_ALTERNATE_ROOMY)
        take_sample(&at);
    else
        hone_area_call(at.area, take_sample, &at);
    hone_area_give_back(at.area);
    // On the program's own stack, which who listens walks.
    hone_usdt_alloc(block, size, rate);
}

// --- counting down -------------------------------------------------------------------------------

static void seed(struct hone_heap_thread *self)
{
    self->random =
        hone_now_ns() ^ (uint64_t)(uintptr_t)self << 20 ^ (uint64_t)hone_syscall0(SYS_gettid) << 44;
    (void)hone_random_next(&self->random);
    self->random |= 1;
}

// So many bytes to the next sample, of which a thread counts down a part at a time: however far
// away that is, the thread takes note of another rate before.
static void count_down(struct hone_heap_thread *self, int64_t bytes)
{
    self->countdown = bytes < RATE_LOOKED_AT ? bytes : RATE_LOOKED_AT;
    self->rest = bytes - self->countdown;
}

// Whether the block is to be sampled, by the rate that holds now. A countdown that was drawn for
// another rate, or none, begins with this block.
__attribute__((noinline)) static bool draw(struct hone_heap_thread *self, size_t size,
                                           uint64_t rate)
{
    bool drawn = self->rate == rate && rate;
    self->rate = rate;
    if (!rate) {
        self->countdown = RATE_LOOKED_AT;
        self->rest = 0;
        return false;
    }
    if (!self->random)
        seed(self);
    int64_t left = drawn ? self->countdown + self->rest
                         : (int64_t)((uint64_t)hone_heap_draw(&self->random, rate) - size);
    bool is_it = left < 0;
    count_down(self, is_it ? hone_heap_draw(&self->random, rate) : left);
    return is_it;
}

// The next allocation begins a countdown of its own.
static void draw_anew(struct hone_heap_thread *self)
{
    self->countdown = -1;
    self->rate = 0;
}

static void allocated_early(const void *block, size_t size)
{
    uint64_t at = atomic_fetch_add_explicit(&early_count, 1, memory_order_relaxed);
    hone_count(&early_bytes, size);
    if (at < EARLY_KEPT)
        early[at] = (struct hone_scan_range){(uintptr_t)block, size};
}

// False: what is allocated here is a part of what an outer hook counts, see allocator_inner.c. True
// where a handler has jumped out of that one, as in heap_left.c.
static bool quiet_was_left(struct hone_heap_thread *self)
{
    if (!hone_area_same_own_stack(self->quiet, (uintptr_t)__builtin_frame_address(0)))
        return false;
    self->quiet = 0;
    draw_anew(self);
    return true;
}

void hone_heap_tell_early(struct hone_scan_places *ret)
{
    ret->early = (uintptr_t)early;
    ret->early_count = EARLY_KEPT; // those that were not used are empty
    hone_heap_tell_own(ret, early, sizeof early);
}

HONE_HOOK void hone_heap_allocated(const void *block, size_t size)
{
    struct hone_heap_thread *self = &hone_heap_self;
    self->told++;
    if (HONE_UNLIKELY(!block)) { // nothing was counted down for it, however much it was to be
        self->countdown = (int64_t)((uint64_t)self->countdown + size);
        return;
    }
    if (HONE_UNLIKELY(self->quiet) && !quiet_was_left(self))
        return;
    if (self->own) {
        draw_anew(self);
        return;
    }
    switch (atomic_load_explicit(&hone_heap_state, memory_order_acquire)) {
    case HONE_HEAP_UNKNOWN:
        self->countdown = -1;
        allocated_early(block, size);
        return;
    case HONE_HEAP_UNWANTED:
        self->countdown = hone_probe.writer.header ? RATE_LOOKED_AT : INT64_MAX;
        return;
    case HONE_HEAP_WANTED:
        break;
    }
    if (!hone_heap_enter()) { // a handler of the program's has interrupted us
        draw_anew(self);
        hone_count(&hone_counters()->heap_in_handler, 1);
        return;
    }
    int saved = errno;
    uint64_t rate = hone_heap_rate();
    if (rate == 1) {
        self->rate = 1;
        self->countdown = -1;
        self->rest = 0;
        if (HONE_LIKELY(hone_exact_begin()))
            count(block, size);
        else
            sample(block, size, 1);
    } else if (draw(self, size, rate)) {
        sample(block, size, rate);
    }
    hone_keeper_return_borrowed();
    hone_heap_leave();
    errno = saved;
}

// --- ends ----------------------------------------------------------------------------------------

void hone_heap_take(const void *block, struct hone_heap_taken *ret)
{
    *ret = (struct hone_heap_taken){.address = block};
    if (hone_probe.locked_in) // what we would have to ask the kernel may end the program
        return;
    if (!hone_heap_enter()) {
        hone_count(&hone_counters()->heap_frees_lost, 1);
        return;
    }
    ret->counted = hone_exact_is_on() && hone_exact_take(block, &ret->block);
    if (!ret->counted && (!hone_exact_is_on() || hone_heap_live_any()))
        ret->sampled = hone_heap_live_take(block, &ret->size);
    hone_heap_leave();
}

void hone_heap_put_back(const void *block, const struct hone_heap_taken *taken)
{
    if (taken->counted)
        hone_exact_put_back(block, &taken->block);
    else if (taken->sampled && !hone_heap_live_add(block, taken->sampled, taken->size))
        hone_count(&hone_counters()->heap_frees_lost, 1);
}

static void write_end(uint64_t block)
{
    struct hone_thread *self = hone_thread_self();
    hone_thread_meet(self, NULL);
    struct hone_record_heap_free *record = hone_writer_claim(&hone_probe.writer, sizeof *record);
    if (!record) {
        hone_count(&hone_counters()->heap_frees_lost, 1);
        return;
    }
    record->record.small = self->index;
    record->time_ns = hone_now_ns();
    record->block = block;
    hone_writer_commit(&hone_probe.writer, record, HONE_RECORD_HEAP_FREE);
    hone_count(&hone_counters()->heap_frees, 1);
}

void hone_heap_ended(const struct hone_heap_taken *taken, bool moved)
{
    if ((!taken->counted && !taken->sampled) || !hone_probe.writer.process)
        return;
    if (!hone_heap_enter()) {
        hone_count(&hone_counters()->heap_frees_lost, 1);
        return;
    }
    uint64_t epoch = epoch_bits();
    hone_usdt_free(taken->address);
    if (taken->counted)
        hone_exact_ended(&taken->block, moved);
    else if (taken->sampled >> EPOCH_SHIFT == epoch >> EPOCH_SHIFT)
        write_end(taken->sampled - epoch);
    hone_keeper_return_borrowed();
    hone_heap_leave();
}

// As most ends are where every block is counted: false, and nothing was done, of others.
static bool count_end(const void *block)
{
    if (hone_probe.locked_in || !hone_probe.writer.process || !hone_heap_enter())
        return false;
    bool counted = hone_exact_freed(block);
    hone_keeper_return_borrowed();
    hone_heap_leave();
    return counted;
}

void hone_heap_released(const void *block)
{
    int saved = errno;
    if (hone_exact_is_on() && HONE_LIKELY(count_end(block))) {
        errno = saved;
        return;
    }
    struct hone_heap_taken taken;
    hone_heap_take(block, &taken);
    hone_heap_ended(&taken, false);
    errno = saved;
}
