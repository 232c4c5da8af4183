#include "elf/ranges.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>

void hone_ranges_add(struct hone_ranges *ranges, uint64_t low, uint64_t high, uint32_t value)
{
    if (low >= high || ranges->failed)
        return;
    if (ranges->count == ranges->capacity) {
        size_t capacity = ranges->capacity ? ranges->capacity * 2 : 64;
        struct hone_range *grown = reallocarray(ranges->at, capacity, sizeof *ranges->at);
        if (!grown || ranges->count >= UINT32_MAX) {
            ranges->failed = true;
            ranges->at = grown ? grown : ranges->at;
            return;
        }
        ranges->at = grown;
        ranges->capacity = capacity;
    }
    ranges->at[ranges->count] = (struct hone_range){low, high, value, (uint32_t)ranges->count};
    ranges->count++;
}

// The longest first, so that what is nested comes later.
static int by_low(const void *left, const void *right)
{
    const struct hone_range *a = left, *b = right;
    if (a->low != b->low)
        return a->low < b->low ? -1 : 1;
    if (a->high != b->high)
        return a->high > b->high ? -1 : 1;
    return a->order < b->order ? -1 : a->order > b->order;
}

// Compilers mostly write in order of address; then there is nothing to sort.
static void sort(struct hone_ranges *ranges)
{
    for (size_t i = 1; i < ranges->count; i++) {
        if (by_low(&ranges->at[i - 1], &ranges->at[i]) > 0) {
            qsort(ranges->at, ranges->count, sizeof *ranges->at, by_low);
            return;
        }
    }
}

struct sweep {
    struct hone_range *flat;
    size_t count;
    const struct hone_range **open; // outermost first
    size_t depth;
    uint64_t at; // all before is written
};

static void emit(struct sweep *sweep, uint64_t until)
{
    if (until <= sweep->at)
        return;
    struct hone_range range = *sweep->open[sweep->depth - 1];
    range.low = sweep->at;
    range.high = until;
    sweep->flat[sweep->count++] = range;
    sweep->at = until;
}

static void close_until(struct sweep *sweep, uint64_t low)
{
    while (sweep->depth && sweep->open[sweep->depth - 1]->high <= low) {
        emit(sweep, sweep->open[sweep->depth - 1]->high);
        sweep->depth--;
    }
}

int hone_ranges_settle(struct hone_ranges *ranges)
{
    if (ranges->failed)
        return -ENOMEM;
    sort(ranges);
    // Each range is interrupted by at most one that begins and has at most one end: 2 pieces.
    HONE_CLEANUP(hone_freep)
    struct hone_range *flat = calloc(2 * ranges->count + 1, sizeof *flat);
    HONE_CLEANUP(hone_freep)
    const struct hone_range **open = calloc(ranges->count + 1, sizeof(struct hone_range *));
    if (!flat || !open)
        return -ENOMEM;
    struct sweep sweep = {.flat = flat, .open = open};
    for (size_t i = 0; i < ranges->count; i++) {
        close_until(&sweep, ranges->at[i].low);
        if (sweep.depth)
            emit(&sweep, ranges->at[i].low);
        sweep.at = ranges->at[i].low;
        open[sweep.depth++] = &ranges->at[i];
    }
    close_until(&sweep, UINT64_MAX);
    free(ranges->at);
    ranges->at = hone_take(flat);
    ranges->capacity = 2 * ranges->count + 1;
    ranges->count = sweep.count;
    return 0;
}

const struct hone_range *hone_ranges_find(const struct hone_ranges *ranges, uint64_t address)
{
    size_t low = 0, high = ranges->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (ranges->at[middle].high <= address)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == ranges->count || ranges->at[low].low > address)
        return NULL;
    return &ranges->at[low];
}

void hone_ranges_done(struct hone_ranges *ranges)
{
    free(ranges->at);
    *ranges = (struct hone_ranges){0};
}
