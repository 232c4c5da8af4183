// Who counts every block: one keeper for each thread at a time, so that nobody waits for anybody. A
// thread's keeper goes to the next one when it ends. Private to the heap's exact mode.
//
//   heap_exact.c    blocks made and freed, the total and its peak
//   heap_keeper.c   keepers come and go        heap_sites.c   a keeper's stacks and their sites
//   heap_blocks.c   blocks by address          heap_count.h   the way that most blocks take
#ifndef HONE_PROBE_HEAP_KEEPER_H
#define HONE_PROBE_HEAP_KEEPER_H

#include "probe/areas.h"
#include "probe/probe.h"

// Stacks that the thread allocated at lately, by their innermost frame. Most programs come by the
// same ones again and again, and where nothing of what was read of one has changed it is neither
// walked nor hashed nor looked up. 300 KiB for each thread, touched as they are used.
//
// To remember one takes a good part of the time that it saves, so each group of innermost frames
// may do that a few times before one of its stacks is found again; then only now and then.
enum {
    HONE_RECENT_SETS = 64,
    HONE_RECENT_WAYS = 4,
    HONE_RECENT_GROUPS = 1024,
    HONE_RECENT_TRIES = 4
};

struct hone_recent {
    uint32_t generation;                               // of the module table: never an odd one
    uint64_t tags[HONE_RECENT_SETS][HONE_RECENT_WAYS]; // 0: none
    uint32_t sites[HONE_RECENT_SETS][HONE_RECENT_WAYS];
    uint8_t oldest[HONE_RECENT_SETS];
    uint8_t tries[HONE_RECENT_GROUPS]; // since one of the group was found again
    struct hone_imprint imprints[HONE_RECENT_SETS][HONE_RECENT_WAYS];
};

enum { HONE_KEEPER_NEXT = 4096, HONE_KEEPER_NEXT_FROM = 64 };

struct hone_keeper {
    alignas(64) _Atomic uint32_t taken; // by the thread of this id; 0: free
    uint32_t number;
    uint32_t epoch;     // of the process that it counts for
    uint32_t operation; // allocations so far
    int64_t untold;     // live bytes that the process's total does not have yet
    bool is_first;      // in its process: its part of the total is apart, so that it need not lock

    // Sites by the hash of their stack: private memory. As small as can be, for nearly each stack
    // that is not a recent one costs a miss of the processor's cache here.
    uint64_t *slots;
    uint32_t mask, count;
    uint32_t last;      // the last block's site plus one; 0: none
    uint32_t sites_end; // the number behind those that were taken last
    uint32_t left;      // so many before that are not used yet

    // The last stack: the hash of its [i] outermost frames, which is not made anew for those that
    // are the same again.
    uint32_t chained;
    uint64_t chain[HONE_STACK_MAX + 1];
    struct hone_trail trail;
    struct hone_own_stack stack;
    struct hone_area area;
    struct hone_recent recent;

    // The site plus one of the stack that was looked for when last a block of this site had gone
    // before, by the lower bits of its number: three times out of four it is the next one, too.
    // Then neither it nor what is counted there has to be waited for. Of who has few sites it is
    // not touched: those are at hand anyway.
    uint32_t next_epoch; // of the process that they are of; 0: there are none
    uint32_t next[HONE_KEEPER_NEXT];
};

extern __thread struct hone_keeper *hone_keeper_mine __attribute__((visibility("hidden")));

// One for the calling thread, or its own made ready for another process; NULL when there is no
// memory or no room for one more.
struct hone_keeper *hone_keeper_renew(uint32_t epoch);

// The calling thread's.
static inline struct hone_keeper *hone_keeper_self(void)
{
    uint32_t epoch = atomic_load_explicit(&hone_probe.epoch, memory_order_relaxed);
    struct hone_keeper *keeper = hone_keeper_mine;
    return HONE_LIKELY(keeper && keeper->epoch == epoch) ? keeper : hone_keeper_renew(epoch);
}

// Another thread may have the calling one's keeper.
void hone_keeper_leave(void);
// The calling thread ends, but what it leaves behind is still given back to the allocator, by
// destructors and by the C library, after the last time that we hear of it. From here on it has a
// keeper for one block at a time.
extern __thread bool hone_keeper_borrows __attribute__((visibility("hidden")));
static inline void hone_keeper_only_borrow(void)
{
    hone_keeper_borrows = true;
}
static inline void hone_keeper_return_borrowed(void)
{
    if (HONE_UNLIKELY(hone_keeper_borrows))
        hone_keeper_leave();
}
void hone_keepers_after_fork(void);
// Where all keepers lie, for who looks at the process from outside.
void hone_keepers_tell(struct hone_scan_places *ret);

// The site of the stack that `registers` are the innermost frame of, plus one; 0: no room. `caller`
// is the program's frame in it, where that is known, else NULL.
uint32_t hone_keeper_site(struct hone_keeper *keeper, const struct hone_registers *registers,
                          const struct hone_caller *caller);
// The low bit: no tag is 0.
static inline uint64_t hone_recent_tag(const struct hone_caller *caller)
{
    return (caller->address ^ caller->sp << 20) * 0x9e3779b97f4a7c15u | 1;
}

static inline uint64_t hone_recent_group(uint64_t tag)
{
    _Static_assert(HONE_RECENT_GROUPS == 1 << 10, "one for each value of the tag's top 10 bits");
    return tag >> 54;
}

// The same where that stack is one of the recent ones; 0: it is not.
__attribute__((always_inline)) static inline uint32_t
hone_keeper_recall(struct hone_keeper *keeper, const struct hone_caller *caller)
{
    struct hone_recent *recent = &keeper->recent;
    const uint64_t tag = hone_recent_tag(caller);
    const uint64_t set = tag >> 58, high = keeper->stack.high;
    _Static_assert(HONE_RECENT_SETS == 1 << 6, "a set for each value of the tag's top 6 bits");
    if (HONE_UNLIKELY(caller->sp - keeper->stack.low >= high - keeper->stack.low ||
                      recent->generation != hone_modules_generation(&hone_probe_modules)))
        return 0;
    for (uint32_t way = 0; way < HONE_RECENT_WAYS; way++)
        if (recent->tags[set][way] == tag &&
            hone_imprint_holds(&recent->imprints[set][way], caller, high)) {
            recent->tries[hone_recent_group(tag)] = 0;
            return recent->sites[set][way];
        }
    return 0;
}

static inline struct hone_heap_site *hone_site_at(uint32_t site)
{
    return hone_window_site(&hone_probe.writer.windows, site);
}
// Its thread was left by a jump in the middle of what it did: what was half remembered is not used.
void hone_keeper_abandon(struct hone_keeper *keeper);
// Forgets all sites: they were another process's.
void hone_keeper_forget_sites(struct hone_keeper *keeper);

// Tells the process's total what this thread has added or taken.
void hone_keeper_tell(struct hone_keeper *keeper);
// The process ends while other threads have not told that: the peak is no less than what lives.
void hone_keeper_tell_last(int64_t untold);
void hone_keepers_tell_last(void);
// The peak has risen, or there is one more thread: what each may keep back is another part of it.
void hone_exact_keep_back(void);
// How many there have been, at most so many at once; no less than 1.
uint32_t hone_keeper_count(void);

#endif
