#include "capture/heap_series.h"

#include "base/array.h"
#include "core/hash.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

enum { FIRST_WIDTH_NS = 10000000 };

void hone_heap_series_done(struct hone_heap_series *series)
{
    free(series->at);
    hone_table_done(&series->table);
    *series = (struct hone_heap_series){0};
}

static uint64_t hash_of(const struct hone_heap_change *change)
{
    const uint64_t key[] = {(uint64_t)change->process << 32 | change->stack,
                            (uint64_t)change->interval << 32 | change->generation};
    return hone_hash_words(key, 2, 0);
}

static bool is_same(const struct hone_heap_change *a, const struct hone_heap_change *b)
{
    return a->process == b->process && a->stack == b->stack && a->interval == b->interval &&
           a->generation == b->generation;
}

static int add(struct hone_heap_series *series, const struct hone_heap_change *change)
{
    uint64_t hash = hash_of(change);
    struct hone_table_probe probe = hone_table_probe(&series->table, hash);
    uint32_t at;
    while ((at = hone_table_next(&series->table, &probe)) != HONE_TABLE_END) {
        if (!is_same(&series->at[at], change))
            continue;
        series->at[at].objects += change->objects;
        series->at[at].bytes += change->bytes;
        return 0;
    }
    if (!hone_array_grow(&series->at, &series->room, (uint64_t)series->count + 1,
                         sizeof *series->at) ||
        hone_table_add(&series->table, hash, series->count))
        return -ENOMEM;
    series->at[series->count++] = *change;
    return 0;
}

static bool is_nothing(const struct hone_heap_change *change)
{
    return fabs(change->objects) < 1e-6 && fabs(change->bytes) < 1e-6;
}

// Two intervals become one. The rows are put in again, in their place.
static int widen(struct hone_heap_series *series)
{
    uint32_t count = series->count;
    series->width_ns *= 2;
    series->count = 0;
    hone_table_clear(&series->table);
    for (uint32_t i = 0; i < count; i++) {
        struct hone_heap_change change = series->at[i];
        change.interval /= 2;
        int r = is_nothing(&change) ? 0 : add(series, &change);
        if (r)
            return r;
    }
    return 0;
}

// Each site has a row at least: where that is too much already, so many are let in.
static int make_room(struct hone_heap_series *series, uint64_t since_ns)
{
    int r = 0;
    while (!r && series->count > series->rows_most / 2 && since_ns / series->width_ns)
        r = widen(series);
    if (series->count > series->rows_most / 2)
        series->rows_most = series->count * 2;
    return r;
}

int hone_heap_series_add(struct hone_heap_series *series, uint64_t time_ns,
                         const struct hone_heap_change *change)
{
    if (!series->width_ns) {
        series->width_ns = FIRST_WIDTH_NS;
        series->rows_most = HONE_SERIES_ROWS;
    }
    uint64_t since_ns = time_ns > series->started_ns ? time_ns - series->started_ns : 0;
    int r = 0;
    while (!r && since_ns / series->width_ns >= HONE_SERIES_INTERVALS)
        r = widen(series);
    if (!r && series->count >= series->rows_most)
        r = make_room(series, since_ns);
    struct hone_heap_change placed = *change;
    placed.interval = (uint32_t)(since_ns / series->width_ns);
    return r ? r : add(series, &placed);
}

static int by_site_and_time(const void *a, const void *b)
{
    const struct hone_heap_change *x = a, *y = b;
    if (x->process != y->process)
        return x->process < y->process ? -1 : 1;
    if (x->stack != y->stack)
        return x->stack < y->stack ? -1 : 1;
    if (x->interval != y->interval)
        return x->interval < y->interval ? -1 : 1;
    return x->generation < y->generation ? -1 : x->generation > y->generation;
}

// Less than one half, so that nothing begins with a block too few or too many.
static double rest_of(double value)
{
    const double most = 0.499;
    return value > most ? most : value < -most ? -most : value;
}

// What is rounded away at the end of one site begins the next one: of many with one block each that
// stands for 1.2, all would have one otherwise.
void hone_heap_series_settle(struct hone_heap_series *series)
{
    if (series->count)
        qsort(series->at, series->count, sizeof *series->at, by_site_and_time);
    uint32_t kept = 0, process = 0, stack = 0;
    double objects = 0, bytes = 0, told_objects = 0, told_bytes = 0;
    for (uint32_t i = 0; i < series->count; i++) {
        struct hone_heap_change change = series->at[i];
        if (change.process != process || change.stack != stack) {
            objects = rest_of(objects - told_objects);
            bytes = rest_of(bytes - told_bytes);
            told_objects = told_bytes = 0;
        }
        process = change.process;
        stack = change.stack;
        objects += change.objects;
        bytes += change.bytes;
        change.objects = round(objects) - told_objects;
        change.bytes = round(bytes) - told_bytes;
        told_objects += change.objects;
        told_bytes += change.bytes;
        if (!is_nothing(&change))
            series->at[kept++] = change;
    }
    series->count = kept;
}
