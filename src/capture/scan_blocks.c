// Reads the tables of live blocks in a process's memory.
#include "capture/scan.h"

#include "base/array.h"
#include "base/cleanup.h"
#include "capture/scan_memory.h"
#include "probe/heap_blocks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    PAGE = 4096,
    GRANULE = 16, // bytes of heap to an entry, which is as large
    READ_BYTES = 1 << 18,
    SHARDS_MAX = 1024,
    SHARD_BYTES_MAX = 1 << 20,
    KEEPERS_MAX = 1 << 16,
    EARLY_MAX = 1 << 16,
    DIRECTORY_BYTES_MAX = 1 << 26,
    ADDRESS_BITS = 47,
};

void hone_scan_found_done(struct hone_scan_found *found)
{
    free(found->blocks);
    free(found->heap);
    *found = (struct hone_scan_found){0};
}

static int add_block(struct hone_scan_found *found, uint64_t address, uint64_t size, uint64_t what)
{
    const uint64_t end = (uint64_t)1 << ADDRESS_BITS;
    if (address >= end || size >= end - address)
        return 0; // no block of a program
    if (found->count == HONE_SCAN_BLOCKS_MAX)
        return -E2BIG;
    if (!hone_array_reserve(&found->blocks, &found->room, (uint64_t)found->count + 1,
                            sizeof *found->blocks))
        return -ENOMEM;
    found->blocks[found->count++] = (struct hone_scan_block){address, size, what};
    return 0;
}

static int add_heap(struct hone_scan_found *found, uint64_t from, uint64_t to)
{
    struct hone_scan_run *last = found->heap_count ? &found->heap[found->heap_count - 1] : NULL;
    if (last && last->to == from) {
        last->to = to;
        return 0;
    }
    if (!hone_array_reserve(&found->heap, &found->heap_room, (uint64_t)found->heap_count + 1,
                            sizeof *found->heap) ||
        !found->heap)
        return -ENOMEM;
    found->heap[found->heap_count++] = (struct hone_scan_run){from, to};
    return 0;
}

// --- every block ---------------------------------------------------------------------------------

struct table {
    struct hone_scan_process *process;
    struct hone_scan_found *found;
    unsigned char *buffer;
};

static int add_entries(struct table *table, const struct hone_block *entries, size_t count,
                       uint64_t address)
{
    const uint32_t epoch = table->found->places.epoch;
    int r = 0;
    for (size_t i = 0; !r && i < count; i++) {
        const struct hone_block entry = entries[i];
        const uint32_t site = hone_block_site(entry);
        if (site)
            r = add_block(table->found, address + i * GRANULE + hone_block_is_odd(entry) * 8,
                          hone_block_size(entry),
                          (site - 1) | (hone_block_is_of(entry, epoch) ? 0 : HONE_SCAN_PARENTS));
    }
    return r;
}

// The entries at `at` of the process are those of the blocks from `heap` on.
static int read_region(struct table *table, uint64_t at, uint64_t bytes, uint64_t heap)
{
    struct hone_scan_memory *memory = &table->process->memory;
    uint64_t from = at, run_from, run_to;
    if (!memory->go_on(memory->context))
        return -ETIME;
    int r = hone_scan_process_leave_out(table->process, at, at + bytes);
    while (!r && memory->next(memory->context, from, at + bytes, &run_from, &run_to)) {
        r = add_heap(table->found, heap + (run_from - at), heap + (run_to - at));
        for (uint64_t now = run_from; !r && now < run_to;) {
            size_t part = run_to - now < READ_BYTES ? (size_t)(run_to - now) : READ_BYTES;
            if (!memory->go_on(memory->context))
                return -ETIME;
            if (hone_scan_read(table->process, now, table->buffer, part))
                r = add_entries(table, (const struct hone_block *)(void *)table->buffer,
                                part / sizeof(struct hone_block), heap + (now - at));
            now += part;
        }
        from = run_to;
    }
    return r;
}

static int by_address(const void *a, const void *b)
{
    const struct hone_scan_block *one = a, *other = b;
    return one->address < other->address ? -1 : one->address > other->address;
}

static int by_start(const void *a, const void *b)
{
    const struct hone_scan_run *one = a, *other = b;
    return one->from < other->from ? -1 : one->from > other->from;
}

// Tables come by rising address, but for those of a second directory.
static void put_in_order(struct hone_scan_found *found)
{
    bool rising = true;
    for (uint32_t i = 1; rising && i < found->count; i++)
        rising = found->blocks[i - 1].address <= found->blocks[i].address;
    if (!rising)
        qsort(found->blocks, found->count, sizeof *found->blocks, by_address);
    if (!found->heap_count)
        return;
    qsort(found->heap, found->heap_count, sizeof *found->heap, by_start);
    uint32_t last = 0;
    for (uint32_t i = 1; i < found->heap_count; i++) {
        struct hone_scan_run *run = &found->heap[last], *next = &found->heap[i];
        if (next->from <= run->to)
            run->to = next->to > run->to ? next->to : run->to;
        else
            found->heap[++last] = *next;
    }
    found->heap_count = last + 1;
}

static int read_directory(struct table *table)
{
    const struct hone_scan_places *places = &table->found->places;
    struct hone_scan_memory *memory = &table->process->memory;
    if (places->block_bytes != sizeof(struct hone_block) || places->region_shift < 16 ||
        places->region_shift > 32 || places->directory_bytes > DIRECTORY_BYTES_MAX ||
        places->directory % PAGE)
        return -EBADMSG;
    HONE_CLEANUP(hone_freep) uint64_t *slots = calloc(1, PAGE);
    if (!slots)
        return -ENOMEM;
    // There may be a second directory behind the first, of the same addresses.
    uint64_t regions = ((uint64_t)1 << (ADDRESS_BITS - places->region_shift)) - 1;
    uint64_t at = places->directory, end = at + places->directory_bytes, run_from, run_to;
    int r = hone_scan_process_leave_out(table->process, at, end);
    while (!r && memory->next(memory->context, at, end, &run_from, &run_to)) {
        for (at = run_from; !r && at < run_to; at += PAGE) {
            if (!hone_scan_read(table->process, at, slots, PAGE))
                continue;
            uint64_t first = (at - places->directory) / sizeof *slots;
            for (size_t i = 0; !r && i < PAGE / sizeof *slots; i++)
                if (slots[i])
                    r = read_region(table, slots[i], (uint64_t)1 << places->region_shift,
                                    ((first + i) & regions) << places->region_shift);
        }
    }
    if (!r)
        put_in_order(table->found);
    return r;
}

// --- sampled ones --------------------------------------------------------------------------------

// What a shard has that needs many entries is memory of its own, which is no root.
static int read_shard(struct table *table, const unsigned char *shard,
                      struct hone_scan_sampled *entries)
{
    const struct hone_scan_places *places = &table->found->places;
    uint64_t many, bytes = places->many * sizeof *entries;
    uint32_t count = places->few;
    memcpy(&many, shard + places->many_at, sizeof many);
    int r = 0;
    if (many) {
        count = places->many;
        if (!hone_scan_read(table->process, many, entries, bytes))
            return -EBADMSG;
        r = hone_scan_process_leave_out(table->process, many, many + bytes);
    } else {
        memcpy(entries, shard + places->few_at, count * sizeof *entries);
    }
    for (uint32_t i = 0; !r && i < count; i++) {
        uint64_t number = entries[i].tracked & (((uint64_t)1 << HONE_SCAN_EPOCH_SHIFT) - 1);
        bool own = entries[i].tracked >> HONE_SCAN_EPOCH_SHIFT ==
                   (places->epoch & ((1u << (64 - HONE_SCAN_EPOCH_SHIFT)) - 1));
        if (entries[i].address)
            r = add_block(table->found, entries[i].address, entries[i].size,
                          number | (own ? 0 : HONE_SCAN_PARENTS));
    }
    return r;
}

static bool is_plausible(const struct hone_scan_places *places)
{
    const uint64_t entry = sizeof(struct hone_scan_sampled), shard = places->shard_bytes;
    return places->shard_count <= SHARDS_MAX && shard <= SHARD_BYTES_MAX &&
           places->few_at <= shard && places->few * entry <= shard - places->few_at &&
           places->many_at + sizeof(uint64_t) <= shard && places->many * entry <= SHARD_BYTES_MAX &&
           places->few <= places->many;
}

static int read_shards(struct table *table)
{
    const struct hone_scan_places *places = &table->found->places;
    if (!is_plausible(places))
        return -EBADMSG;
    HONE_CLEANUP(hone_freep) unsigned char *shard = calloc(1, places->shard_bytes + 1);
    HONE_CLEANUP(hone_freep)
    struct hone_scan_sampled *entries = calloc(places->many + 1, sizeof *entries);
    if (!shard || !entries)
        return -ENOMEM;
    int r = 0;
    for (uint32_t i = 0; !r && i < places->shard_count; i++) {
        uint64_t at = places->shards + (uint64_t)i * places->shard_bytes;
        if (!hone_scan_read(table->process, at, shard, places->shard_bytes))
            return -EBADMSG;
        r = read_shard(table, shard, entries);
    }
    if (table->found->count)
        qsort(table->found->blocks, table->found->count, sizeof *table->found->blocks, by_address);
    return r;
}

// --- both ----------------------------------------------------------------------------------------

// Keepers have the program's words on their stacks.
static int leave_out_keepers(struct hone_scan_process *process,
                             const struct hone_scan_places *places)
{
    if (places->keeper_count > KEEPERS_MAX)
        return -EBADMSG;
    size_t bytes = places->keeper_count * sizeof(uint64_t);
    HONE_CLEANUP(hone_freep) uint64_t *keepers = calloc(1, bytes + 1);
    if (!keepers)
        return -ENOMEM;
    if (bytes && !hone_scan_read(process, places->keepers, keepers, bytes))
        return -EBADMSG;
    int r = 0;
    for (uint32_t i = 0; !r && i < places->keeper_count; i++) {
        if (!process->memory.go_on(process->memory.context))
            return -ETIME;
        if (keepers[i])
            r = hone_scan_process_leave_out(process, keepers[i], keepers[i] + places->keeper_bytes);
    }
    return r;
}

// Our own data: the tables of sampled blocks are among it.
static int leave_out_own(struct hone_scan_process *process, const struct hone_scan_target *target,
                         const struct hone_scan_places *places)
{
    int r = 0;
    for (int i = 0; !r && i < HONE_SCAN_APART; i++)
        if (places->apart[i].size)
            r = hone_scan_process_leave_out(process, places->apart[i].address,
                                            places->apart[i].address + places->apart[i].size);
    for (uint32_t i = 0; !r && i < places->own_count; i++)
        r = hone_scan_process_leave_out(process, places->own[i].address,
                                        places->own[i].address + places->own[i].size);
    for (uint32_t i = 0; !r && !places->own_count && i < process->area_count; i++) {
        const struct hone_scan_area *area = &process->areas[i];
        if (area->module && target->places >= area->start && target->places < area->end)
            r = hone_scan_process_leave_out(process, area->start, area->end);
    }
    return r;
}

int hone_scan_find_blocks(struct hone_scan_process *process, const struct hone_scan_target *target,
                          struct hone_scan_found *ret)
{
    *ret = (struct hone_scan_found){0};
    if (!hone_scan_read(process, target->places, &ret->places, sizeof ret->places) ||
        ret->places.magic != HONE_SCAN_MAGIC || ret->places.started_ns != target->started_ns ||
        ret->places.early_count > EARLY_MAX || ret->places.own_count > HONE_SCAN_OWN)
        return -EBADMSG;
    HONE_CLEANUP(hone_freep) unsigned char *buffer = malloc(READ_BYTES);
    if (!buffer)
        return -ENOMEM;
    struct table table = {process, ret, buffer};
    int r = leave_out_keepers(process, &ret->places);
    if (!r)
        r = leave_out_own(process, target, &ret->places);
    if (!r)
        r = ret->places.exact ? read_directory(&table) : read_shards(&table);
    return r;
}
