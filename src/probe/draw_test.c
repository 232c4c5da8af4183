#include "probe/heap_draw.h"

#include "check.h"

#include <math.h>

TEST(a_sampled_block_stands_for_its_size_by_its_chance)
{
    for (double rate = 2; rate < 1e12; rate *= 7)
        for (double size = 1; size < 1e13; size *= 3) {
            double expected = floor(size) / -expm1(-floor(size) / floor(rate));
            double found = (double)hone_heap_weight_bytes((uint64_t)size, (uint64_t)rate);
            CHECK(fabs(found - expected) <= 1 + expected * 1e-9);
        }
    CHECK_EQ(hone_heap_weight_bytes(48, 1), 48);
    CHECK_EQ(hone_heap_weight_bytes(48, 0), 48);
}

TEST(draws_are_exponential)
{
    static const double beyond[] = {0.001, 0.01, 0.1, 0.3, 0.69, 0.7, 1, 1.38, 1.39, 2, 3, 5, 8};
    enum { DRAWS = 1000000, LIMITS = sizeof beyond / sizeof beyond[0] };
    uint64_t state = 1;
    double sum = 0, squares = 0;
    uint32_t count[LIMITS] = {0};
    for (int i = 0; i < DRAWS; i++) {
        double drawn = (double)hone_heap_draw(&state, 1000000000) / 1e9;
        sum += drawn;
        squares += drawn * drawn;
        for (int limit = 0; limit < LIMITS; limit++)
            count[limit] += drawn > beyond[limit];
    }
    // Five standard errors, of the same draws each time.
    CHECK(fabs(sum / DRAWS - 1) < 5 / sqrt(DRAWS));
    CHECK(fabs(squares / DRAWS - 2) < 5 * sqrt(20) / sqrt(DRAWS));
    for (int limit = 0; limit < LIMITS; limit++) {
        double share = exp(-beyond[limit]);
        CHECK(fabs((double)count[limit] / DRAWS - share) < 5 * sqrt(share * (1 - share) / DRAWS));
    }
}

TEST(draws_do_not_depend_on_the_one_before)
{
    enum { DRAWS = 1000000 };
    uint64_t state = 1;
    double before = 1, products = 0;
    for (int i = 0; i < DRAWS; i++) {
        double drawn = (double)hone_heap_draw(&state, 1000000000) / 1e9;
        products += (drawn - 1) * (before - 1);
        before = drawn;
    }
    CHECK(fabs(products / DRAWS) < 5 / sqrt(DRAWS));
}
