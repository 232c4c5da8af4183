// Stacks seen before. A stack is written to the session once and named by its id from then on.
//
// The table is a cache, not a register: a stack that was pushed out is written again under a new
// id, and the reader finds that the two are one. So memory is bounded however many stacks there
// are, and none is lost to a full table.
//
// An entry is two words, check = hash ^ id and id. A reader that meets a half-written entry
// computes a hash that fits nothing and takes it for a miss; so there is nothing to wait for.
#include "probe/probe.h"

#include "core/hash.h"

struct entry {
    _Atomic uint64_t check;
    _Atomic uint64_t id;
};

enum { WAYS = 4, SETS = 4096 }; // 256 KiB, touched as it is used

static struct entry table[SETS][WAYS];

static uint32_t find(struct entry *set, uint64_t hash)
{
    for (int way = 0; way < WAYS; way++) {
        uint64_t id = atomic_load_explicit(&set[way].id, memory_order_relaxed);
        uint64_t check = atomic_load_explicit(&set[way].check, memory_order_relaxed);
        if (id && (check ^ id) == hash)
            return (uint32_t)id;
    }
    return 0;
}

// Newest first: the oldest of the set falls out.
static void keep(struct entry *set, uint64_t hash, uint32_t id)
{
    for (int way = WAYS - 1; way > 0; way--) {
        uint64_t moved = atomic_load_explicit(&set[way - 1].id, memory_order_relaxed);
        uint64_t check = atomic_load_explicit(&set[way - 1].check, memory_order_relaxed);
        atomic_store_explicit(&set[way].id, moved, memory_order_relaxed);
        atomic_store_explicit(&set[way].check, check, memory_order_relaxed);
    }
    atomic_store_explicit(&set[0].id, id, memory_order_relaxed);
    atomic_store_explicit(&set[0].check, hash ^ id, memory_order_relaxed);
}

static uint32_t write_stack(const uint64_t *addresses, uint32_t count, enum hone_stack_end end)
{
    hone_modules_emit(); // those that it lies in
    struct hone_writer *writer = &hone_probe.writer;
    struct hone_record_stack *record =
        hone_writer_claim(writer, sizeof *record + count * sizeof record->addresses[0]);
    if (!record) {
        hone_count(&hone_counters()->records_lost, 1);
        return 0;
    }
    uint32_t id =
        atomic_fetch_add_explicit(&writer->process->next_stack, 1, memory_order_relaxed) + 1;
    record->record.small = id;
    record->count = count;
    record->end = end;
    for (uint32_t i = 0; i < count; i++)
        record->addresses[i] = addresses[i];
    hone_writer_commit(writer, record, HONE_RECORD_STACK);
    hone_count(&hone_counters()->stacks, 1);
    return id;
}

// Where a module has gone, the same addresses may be another one's code.
static uint64_t places_of(const uint64_t *addresses, uint32_t count)
{
    uint64_t places = 0;
    if (HONE_UNLIKELY(hone_modules_have_gone(&hone_probe_modules)))
        for (uint32_t i = 0; i < count; i++)
            places += hone_modules_place(&hone_probe_modules, addresses[i]);
    return places;
}

uint32_t hone_stack_id(const uint64_t *addresses, uint32_t count, enum hone_stack_end end)
{
    // The epoch, because ids of the parent mean nothing in a forked child.
    uint64_t epoch = atomic_load_explicit(&hone_probe.epoch, memory_order_relaxed);
    uint64_t hash =
        hone_hash_words(addresses, count, epoch << 40 ^ end ^ places_of(addresses, count));
    struct entry *set = table[hash >> 52];
    _Static_assert(SETS == 1 << 12, "a set for each value of the hash's top 12 bits");
    uint32_t id = find(set, hash);
    if (id) {
        hone_count(&hone_counters()->stack_repeats, 1);
        return id;
    }
    id = write_stack(addresses, count, end);
    if (id)
        keep(set, hash, id);
    return id;
}
