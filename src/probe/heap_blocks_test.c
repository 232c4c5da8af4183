#include "probe/heap_blocks.h"

#include "check.h"

static const uint64_t even = 0x7f00deadbee0, odd = 0x7f00deadbee8;

TEST(block_keeps_all_that_it_was_made_of)
{
    enum { SIZE = 0x76543210 };
    struct hone_block block =
        hone_block_of(even, SIZE, (1u << HONE_BLOCK_SITE_BITS) - 1, 5, 0x89abcdef, 0x12345678);
    CHECK_EQ(hone_block_size(block), SIZE);
    CHECK_EQ(hone_block_site(block), (1u << HONE_BLOCK_SITE_BITS) - 1);
    CHECK_EQ(hone_block_ticks(block), 0x89abcdef);
    CHECK_EQ(hone_block_operation(block), 0x12345678);
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
