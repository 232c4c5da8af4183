#include "probe/drawn.h"

#include "check.h"

#include <math.h>

enum { PERIOD = 1000000, SHORT = 100000, THREADS = 400000 };

static void end_some(struct hone_drawn_account *account)
{
    for (int i = 0; i < 1000; i++)
        hone_drawn_ended(account, SHORT);
}

TEST(threads_draw_only_when_short_ones_matter)
{
    struct hone_drawn_account account = {0};
    struct hone_drawn drawn;
    CHECK(!hone_drawn_first(&account, PERIOD, 0, &drawn));
    end_some(&account);
    for (int i = 0; i < 1000; i++)
        CHECK(!hone_drawn_first(&account, PERIOD, 1000ull * SHORT * 101, &drawn));
}

// A thread of any length below a period gets its time, in each of its parts.
TEST(what_is_drawn_stands_for_all_moments_of_a_thread)
{
    static const uint64_t lives_ns[] = {SHORT / 2, SHORT, 6 * SHORT, PERIOD};
    struct hone_drawn_account account = {.state = 1};
    end_some(&account);
    for (int life = 0; life < 4; life++) {
        double first_half = 0, second_half = 0, squares = 0;
        for (int i = 0; i < THREADS; i++) {
            struct hone_drawn drawn;
            if (!hone_drawn_first(&account, PERIOD, 0, &drawn) || drawn.first_ns > lives_ns[life])
                continue;
            double ns = (double)drawn.periods * PERIOD;
            *(2 * drawn.first_ns <= lives_ns[life] ? &first_half : &second_half) += ns;
            squares += ns * ns;
        }
        // Five standard errors, of the same draws each time.
        double expected = (double)THREADS * (double)lives_ns[life] / 2;
        CHECK(fabs(first_half - expected) < 5 * sqrt(squares));
        CHECK(fabs(second_half - expected) < 5 * sqrt(squares));
        CHECK(5 * sqrt(squares) < 0.1 * expected);
    }
}

TEST(most_threads_that_are_far_too_short_arm_nothing)
{
    struct hone_drawn_account account = {.state = 1};
    for (int i = 0; i < 1000; i++)
        hone_drawn_ended(&account, PERIOD / 100);
    int armed = 0;
    struct hone_drawn drawn;
    for (int i = 0; i < THREADS; i++)
        armed += hone_drawn_first(&account, PERIOD, 0, &drawn);
    CHECK(armed < THREADS / 8); // 4 of 100, and 1 of 16
}
