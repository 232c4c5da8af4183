// A keeper's stacks and their sites. A stack that was seen before is found by its hash, and the
// hash is made only of the frames that differ from the last stack's.
#include "probe/heap_keeper.h"

#include "core/hash.h"
#include "probe/heap.h"

#include <string.h>

enum {
    FIRST_SLOTS = 1024,
    FIRST_SITES = 2, // many threads come by few stacks
};

// The sites of a chunk that no keeper has yet: the epoch of whose they are, and the first one's
// number. Of an epoch, no value comes twice.
static _Atomic uint64_t shared;

// A slot: the upper 40 bits of the stack's hash, by which it is known, and the site plus one; 0: it
// is free. Where it is tells the lower 24 bits.
#define SLOT_SITE (((uint64_t)1 << HONE_BLOCK_SITE_BITS) - 1)

static size_t slots_bytes(uint32_t count)
{
    return count * sizeof(uint64_t);
}

static void put(uint64_t *slots, uint32_t mask, uint64_t hash, uint32_t site)
{
    uint32_t at = (uint32_t)(hash & SLOT_SITE) & mask;
    while (slots[at])
        at = (at + 1) & mask;
    slots[at] = (hash & ~SLOT_SITE) | site;
}

// A quarter stays empty.
static bool is_full(const struct hone_keeper *keeper)
{
    return !keeper->slots || keeper->count >= (keeper->mask + 1) / 4 * 3;
}

static bool grow(struct hone_keeper *keeper)
{
    uint32_t count = keeper->slots ? (keeper->mask + 1) * 2 : FIRST_SLOTS;
    uint64_t *slots = hone_heap_reserve(slots_bytes(count));
    if (!slots)
        return false;
    for (uint32_t i = 0; keeper->slots && i <= keeper->mask; i++) {
        uint32_t site = (uint32_t)(keeper->slots[i] & SLOT_SITE);
        if (site)
            put(slots, count - 1, hone_site_at(site - 1)->hash, site);
    }
    uint64_t *before = keeper->slots;
    uint32_t before_mask = keeper->mask;
    keeper->slots = slots; // at no time is it memory that we have not got
    atomic_signal_fence(memory_order_seq_cst);
    keeper->mask = count - 1;
    if (before)
        hone_heap_unreserve(before, slots_bytes(before_mask + 1));
    return true;
}

static void forget_recent(struct hone_recent *recent, uint32_t generation)
{
    memset(recent->tags, 0, sizeof recent->tags);
    recent->generation = generation;
}

// A stack that the thread is at just now. Where such ones hardly ever come again, few are
// remembered.
static void remember(struct hone_keeper *keeper, const struct hone_caller *caller,
                     const struct hone_walk *walk, uint32_t site)
{
    enum { TRIED_EVERY = 16 };
    struct hone_recent *recent = &keeper->recent;
    if (recent->generation != keeper->trail.generation)
        forget_recent(recent, keeper->trail.generation);
    const uint64_t tag = hone_recent_tag(caller), set = tag >> 58;
    uint8_t *tries = &recent->tries[hone_recent_group(tag)];
    if (*tries >= HONE_RECENT_TRIES && keeper->operation % TRIED_EVERY)
        return;
    *tries += *tries < HONE_RECENT_TRIES;
    uint32_t way = recent->oldest[set];
    recent->tags[set][way] = 0;
    if (!hone_imprint_take(&recent->imprints[set][way], &keeper->trail, caller, walk))
        return;
    recent->tags[set][way] = tag;
    recent->sites[set][way] = site;
    recent->oldest[set] = (uint8_t)((way + 1) % HONE_RECENT_WAYS);
}

void hone_keeper_abandon(struct hone_keeper *keeper)
{
    keeper->chained = 0;
    keeper->trail.first = 0;
    forget_recent(&keeper->recent, 0);
}

void hone_keeper_forget_sites(struct hone_keeper *keeper)
{
    uint64_t *before = keeper->slots;
    keeper->slots = NULL;
    atomic_signal_fence(memory_order_seq_cst);
    if (before)
        hone_heap_unreserve(before, slots_bytes(keeper->mask + 1));
    keeper->count = keeper->mask = 0;
    keeper->left = 0;
    hone_keeper_abandon(keeper);
}

static uint32_t left_of_chunk(uint32_t number)
{
    uint32_t place = number % HONE_HEAP_SITES_STRIDE;
    return place < HONE_HEAP_SITES ? HONE_HEAP_SITES - place : 0;
}

// As many as it has, so that most are used in the end. With a chunk for each thread, many that came
// at once would be faster than who makes memory ready.
static bool take_sites(struct hone_keeper *keeper)
{
    const uint64_t epoch = (uint64_t)keeper->epoch << 32;
    uint32_t wanted = keeper->count < FIRST_SITES ? FIRST_SITES : keeper->count;
    wanted = wanted < HONE_HEAP_SITES ? wanted : HONE_HEAP_SITES;
    // Acquire: the window that they are in. Pairs with the release of who took the chunk.
    uint64_t now = atomic_load_explicit(&shared, memory_order_acquire);
    uint32_t first, count;
    do {
        first = (uint32_t)now;
        count = now >> 32 == keeper->epoch ? left_of_chunk(first) : 0;
        if (!count)
            break;
        count = wanted < count ? wanted : count;
    } while (!atomic_compare_exchange_weak_explicit(&shared, &now, epoch | (first + count),
                                                    memory_order_acq_rel, memory_order_acquire));
    if (!count) {
        if (!hone_writer_take_sites(&hone_probe.writer, &first))
            return false;
        // Where another thread was faster, the rest is ours, too.
        bool others = atomic_compare_exchange_strong_explicit(
            &shared, &now, epoch | (first + wanted), memory_order_acq_rel, memory_order_relaxed);
        count = others ? wanted : HONE_HEAP_SITES;
    }
    keeper->sites_end = first + count;
    atomic_signal_fence(memory_order_seq_cst);
    keeper->left = count;
    return true;
}

// No site of another process.
static void begin_to_expect(struct hone_keeper *keeper)
{
    if (keeper->next_epoch && keeper->next_epoch != keeper->epoch)
        memset(keeper->next, 0, sizeof keeper->next);
    keeper->next_epoch = keeper->epoch;
    atomic_signal_fence(memory_order_seq_cst);
}

static uint32_t add(struct hone_keeper *keeper, uint64_t hash, const uint64_t *addresses,
                    uint32_t count, enum hone_stack_end end)
{
    if (is_full(keeper) && !grow(keeper))
        return 0;
    if (!keeper->left && !take_sites(keeper))
        return 0;
    uint32_t stack = hone_stack_id(addresses, count, end);
    if (!stack)
        return 0;
    // First: no site is given out twice, whenever a handler jumps away.
    uint32_t number = keeper->sites_end - keeper->left--;
    struct hone_heap_site *site = hone_site_at(number);
    atomic_signal_fence(memory_order_seq_cst);
    site->keeper = keeper->number;
    site->hash = hash;
    site->mark = atomic_load_explicit(&hone_probe.writer.header->mark_count, memory_order_relaxed);
    // Release: all of the site is zero before it counts as one.
    atomic_store_explicit(&site->stack, stack, memory_order_release);
    put(keeper->slots, keeper->mask, hash, number + 1);
    if (keeper->count + 1 == HONE_KEEPER_NEXT_FROM)
        begin_to_expect(keeper);
    keeper->count++;
    return number + 1;
}

// The hash of the frames from the outermost on, of which `same` are those of the last stack.
static uint64_t chain(struct hone_keeper *keeper, const uint64_t *addresses, uint32_t count,
                      uint32_t same)
{
    uint64_t *links = keeper->chain;
    // The hooks' own frames, which are no links, may be the same, too.
    same = same < keeper->chained ? same : keeper->chained;
    same = same < count ? same : count;
    if (same == 0)
        links[0] = (uint64_t)keeper->epoch << 40;
    // Where a module has gone, its addresses may be another's: each frame counts with who lies
    // there. Who stays keeps its sites, and so does who comes back.
    const bool have_gone = hone_modules_have_gone(&hone_probe_modules);
    for (uint32_t i = same; i < count; i++) {
        uint64_t address = addresses[count - 1 - i];
        if (HONE_UNLIKELY(have_gone))
            address ^= hone_modules_place(&hone_probe_modules, address);
        links[i + 1] = hone_hash_fold(links[i] ^ address, 0xa0761d6478bd642fu + 2 * (uint64_t)i);
    }
    keeper->chained = count;
    return hone_hash_fold(links[count] ^ count, 0xe7037ed1a0b428dbu);
}

static uint32_t find(const struct hone_keeper *keeper, uint64_t hash)
{
    if (!keeper->slots)
        return 0;
    uint32_t at = (uint32_t)(hash & SLOT_SITE) & keeper->mask;
    for (uint64_t slot; (slot = keeper->slots[at]); at = (at + 1) & keeper->mask)
        if ((slot ^ hash) <= SLOT_SITE)
            return (uint32_t)(slot & SLOT_SITE);
    return 0;
}

// Where the site plus one is that the next stack probably has, 0 where there is no telling; NULL:
// there are too few.
static inline uint32_t *expect(struct hone_keeper *keeper)
{
    if (keeper->count < HONE_KEEPER_NEXT_FROM)
        return NULL;
    uint32_t *next = &keeper->next[keeper->last % HONE_KEEPER_NEXT];
    if (*next) {
        const struct hone_heap_site *site = hone_site_at(*next - 1);
        __builtin_prefetch(site, 1);
        __builtin_prefetch(&site->sizes[0], 1);
    }
    return next;
}

uint32_t hone_keeper_site(struct hone_keeper *keeper, const struct hone_registers *registers,
                          const struct hone_caller *caller)
{
    uint32_t *next = expect(keeper);
    struct hone_walk walk;
    hone_area_rewalk(&keeper->area, &keeper->trail, &keeper->stack, registers, caller, &walk);
    hone_modules_emit();
    if (HONE_UNLIKELY(walk.stale)) {
        keeper->chained = 0;
        return 0;
    }
    uint32_t hooks = hone_heap_hook_frames(keeper->area.addresses, caller, &walk);
    const uint64_t *addresses = keeper->area.addresses + hooks;
    uint32_t count = walk.count - hooks;
    bool whole = walk.end == HONE_WALK_COMPLETE;
    if (HONE_UNLIKELY(!whole))
        hone_count(&hone_counters()->heap_truncated, 1);
    uint64_t hash = chain(keeper, addresses, count, whole ? walk.same : 0) ^ walk.end;
    if (!whole)
        keeper->chained = 0;
    uint32_t site = next ? *next : 0;
    if (!site || hone_site_at(site - 1)->hash != hash) {
        site = find(keeper, hash);
        if (HONE_LIKELY(site))
            __builtin_prefetch(hone_site_at(site - 1), 1);
        else
            site = add(keeper, hash, addresses, count, (enum hone_stack_end)walk.end);
        if (next)
            *next = site;
    }
    if (site && caller)
        remember(keeper, caller, &walk, site);
    return site;
}
