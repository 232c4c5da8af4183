#include "base/table.h"

#include "check.h"

#include <stdlib.h>

static uint64_t hash_of(uint64_t value)
{
    return hone_table_hash(&value, sizeof value, 7);
}

static uint32_t find(const struct hone_table *table, uint64_t hash, const uint64_t *values,
                     uint64_t value)
{
    struct hone_table_probe probe = hone_table_probe(table, hash);
    uint32_t at;
    while ((at = hone_table_next(table, &probe)) != HONE_TABLE_END)
        if (values[at] == value)
            return at;
    return HONE_TABLE_END;
}

TEST(empty_table_finds_nothing)
{
    struct hone_table table = {0};
    CHECK_EQ(find(&table, 123, NULL, 5), HONE_TABLE_END);
    hone_table_done(&table);
}

TEST(table_finds_everything_it_was_given_and_nothing_else)
{
    enum { COUNT = 100000 };
    static uint64_t values[COUNT];
    struct hone_table table = {0};
    for (uint32_t i = 0; i < COUNT; i++) {
        values[i] = (uint64_t)i * i;
        CHECK_EQ(hone_table_add(&table, hash_of(values[i]), i), 0);
    }
    CHECK_EQ(table.count, COUNT);
    for (uint32_t i = 0; i < COUNT; i++)
        CHECK_EQ(find(&table, hash_of(values[i]), values, values[i]), i);
    CHECK_EQ(find(&table, hash_of(3), values, 3), HONE_TABLE_END);
    hone_table_done(&table);
}

TEST(equal_hashes_are_told_apart_by_the_caller)
{
    uint64_t values[500];
    struct hone_table table = {0};
    for (uint32_t i = 0; i < 500; i++) {
        values[i] = 1000 + i;
        CHECK_EQ(hone_table_add(&table, 42, i), 0);
    }
    for (uint32_t i = 0; i < 500; i++)
        CHECK_EQ(find(&table, 42, values, 1000 + i), i);
    hone_table_done(&table);
}

TEST(reserved_table_does_not_move)
{
    struct hone_table table = {0};
    CHECK_EQ(hone_table_reserve(&table, 1000), 0);
    const uint64_t *slots = table.slots;
    for (uint32_t i = 0; i < 1000; i++)
        CHECK_EQ(hone_table_add(&table, hash_of(i), i), 0);
    CHECK(table.slots == slots);
    hone_table_done(&table);
}

TEST(hash_depends_on_every_byte_and_on_the_length)
{
    unsigned char bytes[70] = {0};
    for (size_t len = 0; len <= sizeof bytes; len++) {
        uint64_t before = hone_table_hash(bytes, len, 1);
        if (len)
            CHECK(before != hone_table_hash(bytes, len - 1, 1));
        for (size_t i = 0; i < len; i++) {
            bytes[i] = 0x40;
            CHECK(hone_table_hash(bytes, len, 1) != before);
            bytes[i] = 0;
        }
        CHECK(hone_table_hash(bytes, len, 2) != before);
    }
}
