#include "probe/heap_blocks.h"

#include "check.h"

#include <math.h>

static const uint64_t even = 0x7f00deadbee0, odd = 0x7f00deadbee8;

TEST(block_keeps_all_that_it_was_made_of)
{
    enum { SIZE = 0x76543210 };
    struct hone_block block =
        hone_block_of(even, SIZE, (1u << HONE_BLOCK_SITE_BITS) - 1, 5, 0x89abcdef, 0xfedcba98);
    CHECK_EQ(hone_block_size(block), SIZE);
    CHECK_EQ(hone_block_site(block), (1u << HONE_BLOCK_SITE_BITS) - 1);
    CHECK_EQ(hone_block_ticks(block), 0x89abcdef);
    CHECK(hone_block_is_of_operation(block, 0xfedcba98));
    CHECK(!hone_block_is_of_operation(block, 0xfedcba99));
    CHECK(!hone_block_is_drawn(block));
    block = hone_block_of(even, SIZE, 1, 5, HONE_BLOCK_DRAWN | 7, 0x12345678);
    CHECK(hone_block_is_drawn(block));
    CHECK_EQ(hone_block_ticks(block), 7);
    CHECK(hone_block_is_of_operation(block, 0x12345678));
    block = hone_block_of(odd, 0, 1, UINT32_MAX, 0, 0);
    CHECK_EQ(hone_block_size(block), 0);
    CHECK_EQ(hone_block_site(block), 1);
    CHECK_EQ(block.when, 0);
}

TEST(large_blocks_are_counted_in_whole_mebibytes)
{
    const uint64_t mib = (uint64_t)1 << 20, sizes[] = {4095 * mib - 1,    4095 * mib,
                                                       4095 * mib + 1,    4096 * mib - 1,
                                                       4096 * mib,        4096 * mib + 100,
                                                       5000 * mib + 1,    ((uint64_t)1 << 40) + 1,
                                                       HONE_BLOCK_LARGEST};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint64_t whole = i ? sizes[i] / mib * mib : sizes[i];
        struct hone_block block = hone_block_of(even, sizes[i], 1, 1, 0, 0);
        CHECK_EQ(hone_block_size(block), whole);
        CHECK_EQ(hone_block_whole_size(sizes[i]), whole);
        CHECK_EQ(hone_block_site(block), 1);
        CHECK(!hone_block_is_odd(block));
        CHECK(hone_block_is_of(block, 1));
    }
}

TEST(block_of_one_address_is_not_taken_for_that_of_the_other_half)
{
    CHECK(hone_block_is_at(hone_block_of(even, 1, 1, 0, 0, 0), even));
    CHECK(!hone_block_is_at(hone_block_of(even, 1, 1, 0, 0, 0), odd));
    CHECK(hone_block_is_at(hone_block_of(odd, 1, 1, UINT32_MAX, 0, 0), odd));
    CHECK(!hone_block_is_at(hone_block_of(odd, 1, 1, UINT32_MAX, 0, 0), even));
    CHECK(!hone_block_is_at((struct hone_block){0}, even)); // there is none
}

TEST(block_of_a_parent_is_told_apart_by_its_epoch)
{
    const uint32_t again = 1u << HONE_BLOCK_EPOCH_BITS; // epochs come round
    struct hone_block block = hone_block_of(even, 1, 1, 3, 0, 0);
    CHECK(hone_block_is_of(block, 3));
    CHECK(hone_block_is_of(block, again + 3));
    CHECK(!hone_block_is_of(block, 2));
    CHECK(!hone_block_is_of(block, again + 2));
}

// --- which lives are looked at -------------------------------------------------------------------

enum { DRAWS = 1 << 18, FIRST_SITE = 1, SITES = 40 };

// How far a count is from what chance alone gives, in standard deviations.
static double off(double count, double of, double part)
{
    return (count - of * part) / sqrt(of * part * (1 - part));
}

TEST(lives_are_drawn_one_in_so_many_whatever_order_the_program_has)
{
    static const uint32_t periods[] = {2, 3, 4, 8, 15, 16, 17, 32, 64, 256, 1000, 4096};
    double squares = 0, furthest = 0;
    int count = 0;
    for (uint32_t site = FIRST_SITE; site < FIRST_SITE + SITES; site++)
        for (size_t i = 0; i < sizeof periods / sizeof periods[0]; i++) {
            double drawn = 0, first = 0, first_drawn = 0; // of each period's first half
            for (uint64_t number = 0; number < DRAWS; number++) {
                bool is_first = number % periods[i] < (periods[i] + 1) / 2;
                bool is_drawn = hone_block_draw(number, site);
                drawn += is_drawn;
                first += is_first;
                first_drawn += is_first && is_drawn;
            }
            CHECK(fabs(off(drawn, DRAWS, 1.0 / HONE_HEAP_LIVES_PART)) < 4);
            double distance = off(first_drawn, drawn, first / DRAWS);
            squares += distance * distance;
            furthest = fmax(furthest, fabs(distance));
            count++;
        }
    CHECK(furthest < 5);
    CHECK(squares / count < 1.2);
}

TEST(sites_draw_apart)
{
    for (uint32_t site = FIRST_SITE; site < FIRST_SITE + SITES; site++)
        for (uint32_t other = site + 1; other < FIRST_SITE + SITES; other++) {
            double both = 0;
            for (uint64_t number = 0; number < DRAWS; number++)
                both += hone_block_draw(number, site) && hone_block_draw(number, other);
            CHECK(fabs(off(both, DRAWS, 1.0 / HONE_HEAP_LIVES_PART / HONE_HEAP_LIVES_PART)) < 5);
        }
}
