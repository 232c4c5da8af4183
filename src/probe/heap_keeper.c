#include "probe/heap_keeper.h"

#include "core/syscall.h"
#include "probe/heap.h"

#include <errno.h>

enum {
    KEEPERS = 32768, // no process has more threads whose stacks are mapped each for itself
    PAGE = 4096,
    WORD = 64,
    // Beyond so many, who wants one and finds none free looks at so many for threads that are no
    // more: as often as one is wanted, so that it costs the same however many there are, and often
    // enough that there are few more than threads.
    LOOKED_AT_FROM = 64,
    LOOKED_AT = 4,
    WITHOUT = 1024, // blocks until who got none tries once more, though nobody has left one
};

typedef _Atomic(struct hone_keeper *) keeper_slot;

// KEEPERS of them, from the first keeper on: a program that locks its memory would have to lock
// these, too. The first `made` may be there.
static _Atomic(keeper_slot *) keepers;
static _Atomic uint32_t made;

// Which may be free. Only a hint, `taken` says who has one: so a handler may jump away, or a
// process be forked, between the two. One that is free without a bit is found by look_for_dead().
static _Atomic uint64_t free_ones[KEEPERS / WORD];
static _Atomic uint32_t left;    // how often one became free
static _Atomic uint32_t next_at; // who looks for threads that are no more begins there

static _Atomic uint32_t first_of; // the epoch whose first keeper is there

__thread struct hone_keeper *hone_keeper_mine;
__thread bool hone_keeper_borrows;

// The thread got none when `left` was this, plus one; 0: it has not asked in vain.
static __thread uint32_t refused, without;

static struct hone_keeper *keeper_at(uint32_t number)
{
    keeper_slot *all = atomic_load_explicit(&keepers, memory_order_acquire);
    return all ? atomic_load_explicit(&all[number], memory_order_acquire) : NULL;
}

static keeper_slot *slots_for_keepers(void)
{
    keeper_slot *all = atomic_load_explicit(&keepers, memory_order_acquire), *other = NULL;
    if (all)
        return all;
    all = hone_heap_reserve(KEEPERS * sizeof *all);
    if (all && !atomic_compare_exchange_strong_explicit(&keepers, &other, all, memory_order_acq_rel,
                                                        memory_order_acquire)) {
        hone_heap_unreserve(all, KEEPERS * sizeof *all);
        all = other; // somebody else was faster
    }
    return all;
}

static uint32_t count_made(void)
{
    uint32_t count = atomic_load_explicit(&made, memory_order_acquire);
    return count < KEEPERS ? count : KEEPERS;
}

static void set_free(struct hone_keeper *keeper)
{
    uint32_t number = keeper->number - 1;
    // Not where nobody has it: a forked child would copy the page.
    if (atomic_load_explicit(&keeper->taken, memory_order_relaxed)) // Pairs with that in take().
        atomic_store_explicit(&keeper->taken, 0, memory_order_release);
    // Release: pairs with the acquire in take_free(), whose take() then finds nobody.
    atomic_fetch_or_explicit(&free_ones[number / WORD], (uint64_t)1 << number % WORD,
                             memory_order_release);
    atomic_fetch_add_explicit(&left, 1, memory_order_relaxed);
}

static bool take(struct hone_keeper *keeper, uint32_t from, uint32_t tid)
{
    return atomic_compare_exchange_strong_explicit(&keeper->taken, &from, tid, memory_order_acquire,
                                                   memory_order_relaxed);
}

static struct hone_keeper *take_free(uint32_t tid)
{
    uint32_t words = (count_made() + WORD - 1) / WORD;
    for (uint32_t i = 0; i < words; i++) {
        uint64_t bits;
        while ((bits = atomic_load_explicit(&free_ones[i], memory_order_relaxed))) {
            uint64_t bit = bits & -bits;
            // Acquire: pairs with the release in set_free().
            bits = atomic_fetch_and_explicit(&free_ones[i], ~bit, memory_order_acquire);
            struct hone_keeper *keeper = keeper_at(i * WORD + (uint32_t)__builtin_ctzll(bit));
            if (bits & bit && keeper && take(keeper, 0, tid))
                return keeper;
        }
    }
    return NULL;
}

// Some threads ended without a word. What they had and we do not need is free from here on.
static struct hone_keeper *look_for_dead(uint32_t tid)
{
    struct hone_keeper *ret = NULL;
    uint32_t count = count_made();
    if (count < LOOKED_AT_FROM)
        return NULL;
    uint32_t from = atomic_fetch_add_explicit(&next_at, LOOKED_AT, memory_order_relaxed);
    for (uint32_t i = 0; i < LOOKED_AT; i++) {
        struct hone_keeper *keeper = keeper_at((from + i) % count);
        if (!keeper)
            continue;
        uint32_t holder = atomic_load_explicit(&keeper->taken, memory_order_relaxed);
        if (holder && hone_syscall3(SYS_tgkill, hone_probe.pid, holder, 0) != -ESRCH)
            continue;
        if (!take(keeper, holder, tid))
            continue;
        if (ret)
            set_free(keeper);
        else
            ret = keeper;
    }
    return ret;
}

static struct hone_keeper *make(uint32_t tid)
{
    const size_t bytes = (sizeof(struct hone_keeper) + PAGE - 1) & ~(size_t)(PAGE - 1);
    keeper_slot *all = slots_for_keepers();
    if (!all || count_made() == KEEPERS)
        return NULL;
    struct hone_keeper *keeper = hone_heap_reserve(bytes);
    if (!keeper)
        return NULL;
    uint32_t number = atomic_fetch_add_explicit(&made, 1, memory_order_acq_rel);
    if (number >= KEEPERS) {
        atomic_store_explicit(&made, KEEPERS, memory_order_relaxed);
        hone_heap_unreserve(keeper, bytes);
        return NULL;
    }
    keeper->number = number + 1;
    atomic_store_explicit(&keeper->taken, tid, memory_order_relaxed);
    // Release: the number and the taker before the keeper. Pairs with keeper_at().
    atomic_store_explicit(&all[number], keeper, memory_order_release);
    return keeper;
}

static struct hone_keeper *take_one(void)
{
    uint32_t now_left = atomic_load_explicit(&left, memory_order_relaxed) + 1;
    if (HONE_UNLIKELY(refused && refused == now_left && ++without % WITHOUT))
        return NULL;
    uint32_t tid = (uint32_t)hone_syscall0(SYS_gettid);
    struct hone_keeper *keeper = take_free(tid);
    if (!keeper)
        keeper = look_for_dead(tid);
    if (!keeper)
        keeper = make(tid);
    refused = keeper ? 0 : now_left;
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
    set_free(keeper);
}

uint32_t hone_keeper_count(void)
{
    uint32_t count = count_made();
    return count ? count : 1;
}

void hone_keepers_tell_last(void)
{
    uint32_t count = count_made();
    uint32_t epoch = atomic_load_explicit(&hone_probe.epoch, memory_order_relaxed);
    int64_t untold = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct hone_keeper *keeper = keeper_at(i);
        if (keeper && keeper->epoch == epoch)
            untold += *(volatile const int64_t *)&keeper->untold;
    }
    if (hone_probe.writer.process && untold > 0)
        hone_keeper_tell_last(untold);
}

// The parent's other threads are not here.
void hone_keepers_after_fork(void)
{
    uint32_t count = count_made();
    for (uint32_t i = 0; i < count; i++) {
        struct hone_keeper *keeper = keeper_at(i);
        if (keeper && keeper != hone_keeper_mine)
            set_free(keeper);
    }
}

void hone_keepers_tell(struct hone_scan_places *ret)
{
    ret->keepers = (uintptr_t)atomic_load_explicit(&keepers, memory_order_acquire);
    ret->keeper_count = ret->keepers ? count_made() : 0;
    ret->keeper_bytes = sizeof(struct hone_keeper);
}
