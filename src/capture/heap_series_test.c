#include "capture/heap_series.h"
#include "capture/held.h"

#include "check.h"

#include <stdio.h>
#include <string.h>

enum { MS = 1000000 };

static void add(struct hone_heap_series *series, uint64_t time_ns, uint32_t stack,
                uint32_t generation, double objects, double bytes)
{
    const struct hone_heap_change change = {
        .stack = stack, .generation = generation, .objects = objects, .bytes = bytes};
    CHECK_EQ(hone_heap_series_add(series, time_ns, &change), 0);
}

static double sum_of(const struct hone_heap_series *series, uint32_t stack, uint32_t generation)
{
    double sum = 0;
    for (uint32_t i = 0; i < series->count; i++)
        if (series->at[i].stack == stack && series->at[i].generation == generation)
            sum += series->at[i].bytes;
    return sum;
}

TEST(changes_of_one_interval_are_one_row)
{
    struct hone_heap_series series = {.started_ns = 5000};
    add(&series, 6000, 1, 0, 1, 100);
    add(&series, 7000, 1, 0, 2, 200);
    add(&series, 8000, 1, 1, 4, 400); // after a mark
    add(&series, 9000, 2, 1, 8, 800); // elsewhere
    add(&series, 1000, 2, 1, 8, 800); // before the start, as it is told late
    CHECK_EQ(series.count, 3);
    CHECK_EQ(sum_of(&series, 1, 0), 300);
    CHECK_EQ(sum_of(&series, 1, 1), 400);
    CHECK_EQ(sum_of(&series, 2, 1), 1600);
    hone_heap_series_done(&series);
}

TEST(intervals_double_and_their_sums_stay)
{
    struct hone_heap_series series = {0};
    for (uint64_t i = 0; i < 100000; i++)
        add(&series, i * MS, i % 7, i / 50000, 1, (double)i);
    CHECK(series.width_ns >= 100000ull * MS / HONE_SERIES_INTERVALS);
    CHECK(series.width_ns <= 4 * 100000ull * MS / HONE_SERIES_INTERVALS);
    hone_heap_series_settle(&series);
    CHECK(series.count <= 7 * (HONE_SERIES_INTERVALS + 2));
    double sums[7][2] = {0};
    for (uint64_t i = 0; i < 100000; i++)
        sums[i % 7][i / 50000] += (double)i;
    for (uint32_t stack = 0; stack < 7; stack++)
        for (uint32_t generation = 0; generation < 2; generation++)
            CHECK_EQ(sum_of(&series, stack, generation), sums[stack][generation]);
    for (uint32_t i = 0; i < series.count; i++)
        CHECK(series.at[i].interval < HONE_SERIES_INTERVALS);
    hone_heap_series_done(&series);
}

TEST(what_came_and_went_in_one_interval_is_left_out)
{
    struct hone_heap_series series = {0};
    add(&series, 1 * MS, 1, 0, 1, 64);
    add(&series, 2 * MS, 1, 0, -1, -64);
    add(&series, 3 * MS, 2, 0, 1, 64);
    add(&series, 63 * MS, 2, 0, -1, -64); // another one
    hone_heap_series_settle(&series);
    CHECK_EQ(series.count, 2);
    hone_heap_series_done(&series);
}

TEST(parts_of_blocks_are_rounded_as_a_whole)
{
    struct hone_heap_series series = {0};
    for (uint64_t i = 0; i < 100; i++)
        add(&series, i * 10 * MS, 1, 0, 0.3, 1.4);
    hone_heap_series_settle(&series);
    double objects = 0, bytes = 0;
    for (uint32_t i = 0; i < series.count; i++) {
        CHECK(series.at[i].objects == (double)(int64_t)series.at[i].objects);
        objects += series.at[i].objects;
        bytes += series.at[i].bytes;
    }
    CHECK_EQ(objects, 30);
    CHECK_EQ(bytes, 140);
    hone_heap_series_done(&series);
}

TEST(what_is_rounded_away_at_a_site_begins_the_next_one)
{
    struct hone_heap_series series = {0};
    double objects = 0, live = 0;
    for (uint32_t site = 0; site < 1000; site++) {
        add(&series, site * MS, site, 0, 1.3, 130.3);
        if (site % 2)
            add(&series, (site + 200) * MS, site, 0, -1.3, -130.3);
    }
    hone_heap_series_settle(&series);
    for (uint32_t i = 0; i < series.count; i++) {
        bool begins = i == 0 || series.at[i].stack != series.at[i - 1].stack;
        live = (begins ? 0 : live) + series.at[i].objects;
        CHECK(live >= 0);
        objects += series.at[i].objects;
    }
    CHECK(objects > 649 && objects < 651);
    hone_heap_series_done(&series);
}

TEST(rows_are_bounded_where_sites_are_many)
{
    struct hone_heap_series series = {0};
    enum { SITES = 40000, ROUNDS = 60 };
    for (uint64_t round = 0; round < ROUNDS; round++)
        for (uint32_t site = 0; site < SITES; site++)
            add(&series, round * 20 * MS, site, 0, 1, 1);
    CHECK(series.count <= HONE_SERIES_ROWS + SITES);
    CHECK(series.count >= SITES);
    CHECK_EQ(sum_of(&series, SITES - 1, 0), ROUNDS);
    hone_heap_series_done(&series);
}

// --- what an allocator holds ---------------------------------------------------------------------

static uint64_t held(const char *smaps)
{
    FILE *file = fmemopen((void *)smaps, strlen(smaps), "r");
    uint64_t bytes = UINT64_MAX;
    CHECK(file);
    bool read = hone_held_parse(file, &bytes);
    (void)fclose(file);
    return read ? bytes : UINT64_MAX;
}

TEST(heap_and_arenas_are_the_allocators)
{
    CHECK_EQ(held("55d0a0000000-55d0a0010000 rw-p 00000000 00:00 0                 [heap]\n"
                  "Rss:                  40 kB\n"
                  "Swap:                  4 kB\n"
                  "VmFlags: rd wr mr mw me ac \n"
                  "7f0000000000-7f0000021000 rw-p 00000000 00:00 0 \n"
                  "Rss:                  16 kB\n"
                  "VmFlags: rd wr mr mw me nr \n"
                  "7f0010001000-7f0010021000 rw-p 00000000 00:00 0 \n" // the program's own
                  "Rss:                  99 kB\n"
                  "VmFlags: rd wr mr mw me nr \n"),
             60 << 10);
}

TEST(files_stacks_and_our_own_tables_are_not)
{
    CHECK_EQ(held("55d0a0000000-55d0a0010000 rw-p 00002000 08:01 7    /bin/a\n"
                  "Rss:                  40 kB\n"
                  "VmFlags: rd wr mr mw me ac \n"
                  "55d0a0010000-55d0a0020000 rw-p 00000000 00:00 0 \n" // its .bss
                  "Rss:                  12 kB\n"
                  "VmFlags: rd wr mr mw me ac \n"
                  "7f0000000000-7f0000021000 rw-p 00000000 00:00 0 \n"
                  "Rss:                  16 kB\n"
                  "VmFlags: rd wr mr mw me nr dd \n"
                  "7f0000100000-7f0000121000 ---p 00000000 00:00 0 \n"
                  "Rss:                   0 kB\n"
                  "7f0000200000-7f0000221000 rw-s 00000000 00:01 5   /dev/shm/x\n"
                  "Rss:                  64 kB\n"
                  "7ffe00000000-7ffe00021000 rw-p 00000000 00:00 0   [stack]\n"
                  "Rss:                  24 kB\n"),
             0);
}

TEST(text_that_is_no_list_of_mappings_is_unknown)
{
    CHECK(held("Rss: 5 kB\n") == UINT64_MAX);
    CHECK(held("no such process\n") == UINT64_MAX);
}
