#include "probe/lock_order.h"

#include "check.h"

static struct hone_lock_pair pair_of(uint64_t held, uint64_t taken, uint64_t set, uint32_t thread)
{
    return (struct hone_lock_pair){held, taken, set, 1, 2, thread};
}

TEST(a_pair_is_new_once_and_once_more_for_another_thread)
{
    CHECK(hone_lock_pairs_begin());
    struct hone_lock_pair first = pair_of(1, 2, 3, 0), second = pair_of(1, 2, 3, 1),
                          third = pair_of(1, 2, 3, 2);
    CHECK_EQ(hone_lock_pair_note(&first), HONE_LOCK_PAIR_NEW);
    CHECK_EQ(hone_lock_pair_note(&first), HONE_LOCK_PAIR_KNOWN);
    CHECK_EQ(hone_lock_pair_note(&second), HONE_LOCK_PAIR_NEW);
    CHECK_EQ(hone_lock_pair_note(&first), HONE_LOCK_PAIR_KNOWN);
    CHECK_EQ(hone_lock_pair_note(&third), HONE_LOCK_PAIR_KNOWN);
}

TEST(pairs_are_told_apart_by_locks_places_and_what_else_is_held)
{
    CHECK(hone_lock_pairs_begin());
    struct hone_lock_pair pair = pair_of(1, 2, 3, 0);
    CHECK_EQ(hone_lock_pair_note(&pair), HONE_LOCK_PAIR_NEW);
    struct hone_lock_pair other = pair;
    other.held = 2;
    other.taken = 1;
    CHECK_EQ(hone_lock_pair_note(&other), HONE_LOCK_PAIR_NEW);
    other = pair;
    other.set = 4;
    CHECK_EQ(hone_lock_pair_note(&other), HONE_LOCK_PAIR_NEW);
    other = pair;
    other.taken_stack = 9;
    CHECK_EQ(hone_lock_pair_note(&other), HONE_LOCK_PAIR_NEW);
}

TEST(a_full_table_says_so_and_keeps_what_it_has)
{
    CHECK(hone_lock_pairs_begin());
    uint32_t lost = 0;
    for (uint32_t i = 0; i < 100000; i++) {
        struct hone_lock_pair pair = pair_of(i, 1, 1, 0);
        lost += hone_lock_pair_note(&pair) == HONE_LOCK_PAIR_LOST;
    }
    CHECK(lost > 100000 - (1 << 15) - 1);
    struct hone_lock_pair first = pair_of(0, 1, 1, 0);
    CHECK_EQ(hone_lock_pair_note(&first), HONE_LOCK_PAIR_KNOWN);
    hone_lock_pairs_forget();
    CHECK_EQ(hone_lock_pair_note(&first), HONE_LOCK_PAIR_NEW);
}
