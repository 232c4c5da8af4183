#include "probe/lock_order.h"

#include "core/clock.h"
#include "core/hash.h"
#include "probe/areas.h"
#include "probe/heap.h"
#include "probe/heap_blocks.h"

#include <errno.h>

_Atomic bool hone_lock_order_wanted;

// By thread; a thread takes the first place that is free and keeps it until it ends.
HONE_EXPORT struct hone_lock_holder *hone_lock_holders;

static __thread struct hone_lock_holder *mine;
static __thread uint64_t inside; // frame of who is in the middle of a change; 0: nobody
static __thread bool ending;     // nothing is seen any more
static __thread struct hone_own_stack own;
static _Atomic uint32_t hint;

bool hone_lock_order_begin(bool wanted)
{
    if (wanted && !hone_lock_holders)
        hone_lock_holders = hone_heap_reserve(HONE_LOCK_HOLDERS * sizeof *hone_lock_holders);
    bool can = !wanted || (hone_lock_holders && hone_lock_pairs_begin());
    atomic_store_explicit(&hone_lock_order_wanted, wanted && can, memory_order_release);
    return can;
}

// The child holds what the thread that forked held, under its new number; others are not there.
void hone_lock_order_after_fork(void)
{
    inside = 0;
    for (uint32_t i = 0; hone_lock_holders && i < HONE_LOCK_HOLDERS; i++) {
        struct hone_lock_holder *holder = &hone_lock_holders[i];
        if (!atomic_load_explicit(&holder->tid, memory_order_relaxed))
            continue;
        atomic_store_explicit(&holder->tid,
                              holder == mine ? (uint32_t)hone_syscall0(SYS_gettid) : 0,
                              memory_order_relaxed);
    }
    // Numbers of its parent's stacks mean nothing here.
    for (uint32_t i = 0; mine && i < HONE_LOCK_HELD_MAX; i++)
        mine->held[i].stack = 0;
    hone_lock_pairs_forget();
}

void hone_lock_order_tell(struct hone_scan_range *ret)
{
    if (hone_lock_holders)
        *ret = (struct hone_scan_range){(uintptr_t)hone_lock_holders,
                                        HONE_LOCK_HOLDERS * sizeof *hone_lock_holders};
}

void hone_lock_order_thread_leave(bool ends)
{
    struct hone_lock_holder *holder = mine;
    mine = NULL;
    ending |= ends;
    if (!holder)
        return;
    atomic_store_explicit(&holder->count, 0, memory_order_relaxed);
    holder->set = 0;
    atomic_store_explicit(&holder->tid, 0, memory_order_release);
}

static struct hone_lock_holder *take_place(uint32_t tid)
{
    uint32_t first = atomic_fetch_add_explicit(&hint, 1, memory_order_relaxed);
    for (uint32_t i = 0; i < HONE_LOCK_HOLDERS; i++) {
        struct hone_lock_holder *holder = &hone_lock_holders[(first + i) % HONE_LOCK_HOLDERS];
        uint32_t free = 0;
        if (atomic_load_explicit(&holder->tid, memory_order_relaxed) == 0 &&
            atomic_compare_exchange_strong_explicit(&holder->tid, &free, tid, memory_order_acquire,
                                                    memory_order_relaxed)) {
            atomic_store_explicit(&holder->count, 0, memory_order_relaxed);
            holder->set = 0;
            return holder;
        }
    }
    return NULL;
}

// --- being inside --------------------------------------------------------------------------------

// A handler of the program's that has jumped out of us is found as in heap_left.c. What the thread
// held may be written half then. It is forgotten: so an order may be missed, but none is made up.
HONE_HOOK static bool was_left(uint64_t here)
{
    if (hone_probe.locked_in || !hone_area_same_own_stack(inside, here) ||
        hone_is_on_alternate_stack())
        return false;
    hone_writer_abandon(&hone_probe.writer, here);
    hone_areas_abandon(&own);
    if (mine) {
        atomic_store_explicit(&mine->count, 0, memory_order_relaxed);
        mine->set = 0;
    }
    hone_count(&hone_counters()->lock_order_lost, 1);
    return true;
}

static inline __attribute__((always_inline)) bool enter(void)
{
    uint64_t here = (uintptr_t)__builtin_frame_address(0);
    if (HONE_UNLIKELY(ending) || (HONE_UNLIKELY(inside) && !was_left(here)))
        return false;
    inside = here;
    atomic_signal_fence(memory_order_seq_cst);
    return true;
}

static inline void leave(void)
{
    atomic_signal_fence(memory_order_seq_cst);
    inside = 0;
}

// A set is known by the sum of its members' hashes: whatever their order, and one goes as it came.
static uint64_t member(uint64_t lock)
{
    return hone_hash_fold(lock ^ 0x9e3779b97f4a7c15u, 0xa0761d6478bd642fu);
}

static struct hone_lock_holding *find(struct hone_lock_holder *holder, uint64_t lock)
{
    for (uint32_t i = atomic_load_explicit(&holder->count, memory_order_relaxed); i-- > 0;)
        if (atomic_load_explicit(&holder->held[i].lock, memory_order_relaxed) == lock)
            return &holder->held[i];
    return NULL;
}

// --- taking --------------------------------------------------------------------------------------

struct taking {
    struct hone_area *area;
    const struct hone_registers *registers;
    struct hone_lock_holding holding;
    bool tried;
    bool whole;
};

static void write_pair(const struct hone_lock_holder *holder, const struct hone_lock_holding *held,
                       const struct hone_lock_holding *taken, uint32_t thread)
{
    const struct hone_lock_pair pair = {
        .held = atomic_load_explicit(&held->lock, memory_order_relaxed),
        .taken = atomic_load_explicit(&taken->lock, memory_order_relaxed),
        .set = holder->set,
        .held_stack = held->stack,
        .taken_stack = taken->stack,
        .thread = thread,
    };
    enum hone_lock_pair_news news = hone_lock_pair_note(&pair);
    if (news == HONE_LOCK_PAIR_KNOWN)
        return;
    struct hone_record_lock_order *record =
        news == HONE_LOCK_PAIR_NEW ? hone_writer_claim(&hone_probe.writer, sizeof *record) : NULL;
    if (!record) {
        hone_count(&hone_counters()->lock_order_lost, 1);
        return;
    }
    record->record.small = thread;
    record->time_ns = taken->time_ns;
    record->held = pair.held;
    record->taken = pair.taken;
    record->held_stack = pair.held_stack;
    record->taken_stack = pair.taken_stack;
    record->held_kind = held->kind;
    record->taken_kind = taken->kind;
    record->set = pair.set;
    hone_writer_commit(&hone_probe.writer, record, HONE_RECORD_LOCK_ORDER);
}

// On the area's own stack.
static void tell(void *argument)
{
    struct taking *at = argument;
    struct hone_thread *self = hone_thread_self();
    struct hone_walk walk;
    hone_thread_meet(self, 0);
    hone_area_walk_own(at->area, self, &own, at->registers, &walk);
    hone_modules_emit();
    const uint64_t *addresses = at->area->addresses;
    uint32_t hooks = hone_heap_hook_frames(addresses, NULL, &walk);
    for (uint32_t i = 0; i < HONE_LOCK_PLACES && hooks + i < walk.count; i++)
        at->holding.places[i] = addresses[hooks + i];
    at->holding.stack =
        hone_stack_id(addresses + hooks, walk.count - hooks, (enum hone_stack_end)walk.end);
    uint32_t count = atomic_load_explicit(&mine->count, memory_order_relaxed);
    for (uint32_t i = 0; at->holding.stack && !at->tried && i < count; i++)
        if (mine->held[i].stack)
            write_pair(mine, &mine->held[i], &at->holding, self->index);
    at->whole = at->holding.stack != 0;
}

HONE_HOOK static void take(const void *lock, enum hone_lock_kind kind, bool tried)
{
    struct hone_registers registers;
    hone_registers_here(&registers);
    // Where the program's handler has a stack of its own, a signal would begin that anew while we
    // are on ours. What was found to be the thread's stack is no such one.
    uint64_t sp = registers.r[HONE_REGISTER_SP];
    bool elsewhere = (sp < own.low || sp >= own.high) && hone_is_on_alternate_stack();
    struct taking at = {
        .area = elsewhere ? NULL : hone_area_take_as(&own),
        .registers = &registers,
        .holding = {.lock = (uintptr_t)lock,
                    .time_ns = hone_now_ns(),
                    .kind = (uint8_t)kind,
                    .depth = 1},
        .tried = tried,
    };
    if (at.area) {
        hone_area_call(at.area, tell, &at);
        hone_area_give_back(at.area);
    }
    if (!at.whole)
        hone_count(&hone_counters()->lock_order_lost, 1);
    uint32_t count = atomic_load_explicit(&mine->count, memory_order_relaxed);
    mine->held[count] = at.holding;
    mine->set += member((uintptr_t)lock);
    // Release: what it is before that it is there. Read from outside, where nothing pairs with it.
    atomic_store_explicit(&mine->count, count + 1, memory_order_release);
}

static bool may_go_on(void)
{
    return hone_probe.writer.process && !hone_probe.locked_in &&
           !atomic_load_explicit(&hone_probe.writer.header->stop, memory_order_relaxed);
}

HONE_HOOK void hone_lock_order_taken(const void *lock, enum hone_lock_kind kind, bool tried)
{
    if (!may_go_on() || !enter())
        return;
    int saved = errno;
    if (!mine)
        mine = take_place((uint32_t)hone_syscall0(SYS_gettid));
    struct hone_lock_holding *again = mine ? find(mine, (uintptr_t)lock) : NULL;
    if (again)
        again->depth++;
    else if (mine && atomic_load_explicit(&mine->count, memory_order_relaxed) < HONE_LOCK_HELD_MAX)
        take(lock, kind, tried);
    else
        hone_count(&hone_counters()->lock_order_lost, 1);
    leave();
    errno = saved;
}

static void let_go(struct hone_lock_holding *held)
{
    uint64_t lock = atomic_load_explicit(&held->lock, memory_order_relaxed);
    uint32_t count = atomic_load_explicit(&mine->count, memory_order_relaxed) - 1;
    for (uint32_t i = (uint32_t)(held - mine->held); i < count; i++)
        mine->held[i] = mine->held[i + 1];
    mine->set -= member(lock);
    atomic_store_explicit(&mine->count, count, memory_order_release);
}

void hone_lock_order_released(const void *lock)
{
    if (!mine || !enter())
        return;
    struct hone_lock_holding *held = find(mine, (uintptr_t)lock);
    if (held && !--held->depth)
        let_go(held);
    leave();
}
