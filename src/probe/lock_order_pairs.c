// Pairs of locks that were told: a table of hashes that only grows.
#include "probe/lock_order.h"

#include "core/hash.h"
#include "probe/heap_blocks.h"

enum {
    SLOTS = 1 << 15, // 512 KiB, mapped when it is asked for, and touched as it is used
    PROBES = 16,
    SEVERAL = UINT32_MAX, // threads
};

struct slot {
    _Atomic uint64_t hash;   // 0: free
    _Atomic uint32_t thread; // index plus one, or SEVERAL; 0: about to be
};

static struct slot *slots;

bool hone_lock_pairs_begin(void)
{
    if (!slots)
        slots = hone_heap_reserve(SLOTS * sizeof *slots);
    return slots != NULL;
}

static enum hone_lock_pair_news meet(struct slot *slot, uint32_t thread)
{
    uint32_t known = atomic_load_explicit(&slot->thread, memory_order_relaxed);
    if (known == SEVERAL || known == thread || !known)
        return HONE_LOCK_PAIR_KNOWN;
    return atomic_compare_exchange_strong_explicit(&slot->thread, &known, SEVERAL,
                                                   memory_order_relaxed, memory_order_relaxed)
               ? HONE_LOCK_PAIR_NEW
               : HONE_LOCK_PAIR_KNOWN;
}

enum hone_lock_pair_news hone_lock_pair_note(const struct hone_lock_pair *pair)
{
    const uint64_t words[] = {pair->held, pair->taken, pair->set,
                              (uint64_t)pair->held_stack << 32 | pair->taken_stack};
    uint64_t hash = hone_hash_words(words, sizeof words / sizeof words[0], 0) | 1;
    for (uint32_t i = 0; i < PROBES; i++) {
        struct slot *slot = &slots[((hash >> 40) + i) % SLOTS];
        uint64_t found = atomic_load_explicit(&slot->hash, memory_order_relaxed);
        if (!found && atomic_compare_exchange_strong_explicit(
                          &slot->hash, &found, hash, memory_order_relaxed, memory_order_relaxed)) {
            atomic_store_explicit(&slot->thread, pair->thread + 1, memory_order_relaxed);
            return HONE_LOCK_PAIR_NEW;
        }
        if (found == hash)
            return meet(slot, pair->thread + 1);
    }
    return HONE_LOCK_PAIR_LOST;
}

void hone_lock_pairs_forget(void)
{
    for (uint32_t i = 0; slots && i < SLOTS; i++) {
        if (!atomic_load_explicit(&slots[i].hash, memory_order_relaxed))
            continue; // and stays untouched
        atomic_store_explicit(&slots[i].hash, 0, memory_order_relaxed);
        atomic_store_explicit(&slots[i].thread, 0, memory_order_relaxed);
    }
}
