#include "elf/ranges.h"

#include "base/cleanup.h"

#include "check.h"

#include <errno.h>
#include <stdlib.h>

static uint32_t value_at(const struct hone_ranges *ranges, uint64_t address)
{
    const struct hone_range *range = hone_ranges_find(ranges, address);
    return range ? range->value : 0;
}

TEST(innermost_of_nested_ranges_wins_and_the_outer_one_goes_on)
{
    HONE_CLEANUP(hone_ranges_done) struct hone_ranges ranges = {0};
    hone_ranges_add(&ranges, 10, 100, 1);
    hone_ranges_add(&ranges, 20, 50, 2);
    hone_ranges_add(&ranges, 30, 40, 3);
    hone_ranges_add(&ranges, 50, 60, 4);
    CHECK_EQ(hone_ranges_settle(&ranges), 0);
    CHECK_EQ(value_at(&ranges, 9), 0);
    CHECK_EQ(value_at(&ranges, 10), 1);
    CHECK_EQ(value_at(&ranges, 20), 2);
    CHECK_EQ(value_at(&ranges, 39), 3);
    CHECK_EQ(value_at(&ranges, 40), 2);
    CHECK_EQ(value_at(&ranges, 50), 4);
    CHECK_EQ(value_at(&ranges, 60), 1);
    CHECK_EQ(value_at(&ranges, 99), 1);
    CHECK_EQ(value_at(&ranges, 100), 0);
}

TEST(last_added_of_equal_ranges_is_innermost)
{
    HONE_CLEANUP(hone_ranges_done) struct hone_ranges ranges = {0};
    hone_ranges_add(&ranges, 10, 20, 1);
    hone_ranges_add(&ranges, 10, 20, 2);
    hone_ranges_add(&ranges, 10, 20, 3);
    CHECK_EQ(hone_ranges_settle(&ranges), 0);
    CHECK_EQ(ranges.count, 1);
    CHECK_EQ(value_at(&ranges, 15), 3);
}

TEST(empty_and_backward_ranges_are_left_out)
{
    HONE_CLEANUP(hone_ranges_done) struct hone_ranges ranges = {0};
    hone_ranges_add(&ranges, 10, 10, 1);
    hone_ranges_add(&ranges, 20, 10, 2);
    CHECK_EQ(hone_ranges_settle(&ranges), 0);
    CHECK_EQ(ranges.count, 0);
    CHECK(hone_ranges_find(&ranges, 10) == NULL);
}

// The innermost range that covers an address by definition: of those with the highest start the
// shortest, of those the last added. Partial overlap has no innermost one, so ranges nest here.
TEST(random_nested_ranges_agree_with_the_definition)
{
    struct hone_range plain[200];
    srand(7);
    for (int round = 0; round < 200; round++) {
        HONE_CLEANUP(hone_ranges_done) struct hone_ranges ranges = {0};
        int count = 1 + rand() % 200;
        for (int i = 0; i < count; i++) {
            uint64_t low = 0, high = 256;
            for (int depth = rand() % 8; depth > 0; depth--) {
                uint64_t middle = (low + high) / 2;
                *(rand() % 2 ? &low : &high) = middle;
            }
            plain[i] = (struct hone_range){low, high, (uint32_t)i + 1, 0};
            hone_ranges_add(&ranges, low, high, plain[i].value);
        }
        CHECK_EQ(hone_ranges_settle(&ranges), 0);
        for (uint64_t address = 0; address < 260; address++) {
            const struct hone_range *best = NULL;
            for (int i = 0; i < count; i++) {
                const struct hone_range *range = &plain[i];
                if (address >= range->low && address < range->high &&
                    (!best || range->high - range->low <= best->high - best->low))
                    best = range;
            }
            CHECK_EQ(value_at(&ranges, address), best ? best->value : 0);
        }
    }
}

TEST(random_overlapping_ranges_become_sorted_and_apart)
{
    srand(11);
    for (int round = 0; round < 300; round++) {
        HONE_CLEANUP(hone_ranges_done) struct hone_ranges ranges = {0};
        for (int i = rand() % 100; i >= 0; i--) {
            uint64_t low = (uint64_t)rand() % 1000;
            hone_ranges_add(&ranges, low, low + (uint64_t)rand() % 100, 1);
        }
        CHECK_EQ(hone_ranges_settle(&ranges), 0);
        for (size_t i = 0; i < ranges.count; i++) {
            CHECK(ranges.at[i].low < ranges.at[i].high);
            CHECK(i == 0 || ranges.at[i - 1].high <= ranges.at[i].low);
        }
    }
}
