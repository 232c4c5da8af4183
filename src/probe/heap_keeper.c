#include "probe/heap_keeper.h"

#include "core/syscall.h"
#include "probe/heap.h"

#include <errno.h>

enum {
    KEEPERS = 4096,
    PAGE = 4096,
    LOOKED_THROUGH = 64, // after so many new ones, all are looked at for threads that are no more
};

static _Atomic(struct hone_keeper *) keepers[KEEPERS];
static _Atomic uint32_t made; // keepers[0] to keepers[made - 1] may be there

static _Atomic uint32_t first_of; // the epoch whose first keeper is there

__thread struct hone_keeper *hone_keeper_mine;
__thread bool hone_keeper_borrows;

static struct hone_keeper *make(uint32_t number)
{
    struct hone_keeper *keeper =
        hone_heap_reserve((sizeof *keeper + PAGE - 1) & ~(size_t)(PAGE - 1));
    if (keeper)
        keeper->number = number + 1;
    return keeper;
}

static bool take(struct hone_keeper *keeper, uint32_t tid)
{
    uint32_t nobody = 0;
    return atomic_compare_exchange_strong_explicit(&keeper->taken, &nobody, tid,
                                                   memory_order_acquire, memory_order_relaxed);
}

// One that nobody has, else one whose thread is no more: it ended without a word.
static struct hone_keeper *take_any(uint32_t tid, bool of_the_dead)
{
    uint32_t count = atomic_load_explicit(&made, memory_order_acquire);
    for (uint32_t i = 0; i < count && i < KEEPERS; i++) {
        struct hone_keeper *keeper = atomic_load_explicit(&keepers[i], memory_order_acquire);
        if (!keeper)
            continue;
        uint32_t holder = atomic_load_explicit(&keeper->taken, memory_order_relaxed);
        if (!holder
                ? take(keeper, tid)
                : of_the_dead && hone_syscall3(SYS_tgkill, hone_probe.pid, holder, 0) == -ESRCH &&
                      atomic_compare_exchange_strong(&keeper->taken, &holder, tid))
            return keeper;
    }
    return NULL;
}

static struct hone_keeper *take_one(void)
{
    uint32_t tid = (uint32_t)hone_syscall0(SYS_gettid);
    struct hone_keeper *keeper = take_any(tid, false);
    uint32_t count = atomic_load_explicit(&made, memory_order_relaxed);
    if (!keeper && count && count % LOOKED_THROUGH == 0)
        keeper = take_any(tid, true);
    if (keeper)
        return keeper;
    uint32_t number = atomic_fetch_add_explicit(&made, 1, memory_order_acq_rel);
    if (number >= KEEPERS) {
        atomic_store_explicit(&made, KEEPERS, memory_order_relaxed);
        return take_any(tid, true);
    }
    keeper = make(number);
    if (keeper) {
        atomic_store_explicit(&keeper->taken, tid, memory_order_relaxed);
        atomic_store_explicit(&keepers[number], keeper, memory_order_release);
    }
    return keeper;
}

struct hone_keeper *hone_keeper_renew(uint32_t epoch)
{
    if (!hone_keeper_mine) {
        hone_keeper_mine = take_one();
        if (hone_keeper_mine) { // another thread had it
            hone_keeper_mine->trail.first = 0;
            hone_keeper_mine->stack = (struct hone_own_stack){0};
            if (!hone_keeper_borrows)
                hone_thread_tells_its_end();
        }
    }
    if (hone_keeper_mine && hone_keeper_mine->epoch != epoch) {
        hone_keeper_forget_sites(hone_keeper_mine);
        hone_keeper_mine->untold = 0;
        hone_keeper_mine->is_first =
            atomic_exchange_explicit(&first_of, epoch, memory_order_relaxed) != epoch;
        hone_keeper_mine->epoch = epoch;
        hone_exact_keep_back(); // no part of a parent's peak, and there may be one thread more
    }
    return hone_keeper_mine;
}

void hone_keeper_leave(void)
{
    struct hone_keeper *keeper = hone_keeper_mine;
    if (!keeper)
        return;
    // In a forked child, what it has not told is its parent's.
    if (hone_probe.writer.process &&
        keeper->epoch == atomic_load_explicit(&hone_probe.epoch, memory_order_relaxed))
        hone_keeper_tell(keeper);
    hone_keeper_mine = NULL;
    atomic_store_explicit(&keeper->taken, 0, memory_order_release);
}

uint32_t hone_keeper_count(void)
{
    uint32_t count = atomic_load_explicit(&made, memory_order_relaxed);
    return count ? count : 1;
}

void hone_keepers_tell_last(void)
{
    uint32_t count = atomic_load_explicit(&made, memory_order_acquire);
    uint32_t epoch = atomic_load_explicit(&hone_probe.epoch, memory_order_relaxed);
    int64_t untold = 0;
    for (uint32_t i = 0; i < count && i < KEEPERS; i++) {
        const struct hone_keeper *keeper = atomic_load_explicit(&keepers[i], memory_order_acquire);
        if (keeper && keeper->epoch == epoch)
            untold += *(volatile const int64_t *)&keeper->untold;
    }
    if (hone_probe.writer.process && untold > 0)
        hone_keeper_tell_last(untold);
}

// The parent's other threads are not here.
void hone_keepers_after_fork(void)
{
    for (uint32_t i = 0; i < KEEPERS; i++) {
        struct hone_keeper *keeper = atomic_load_explicit(&keepers[i], memory_order_relaxed);
        if (keeper && keeper != hone_keeper_mine)
            atomic_store_explicit(&keeper->taken, 0, memory_order_relaxed);
    }
}

void hone_keepers_tell(struct hone_scan_places *ret)
{
    uint32_t count = atomic_load_explicit(&made, memory_order_acquire);
    ret->keepers = (uintptr_t)keepers;
    ret->keeper_count = count < KEEPERS ? count : KEEPERS;
    ret->keeper_bytes = sizeof(struct hone_keeper);
}
