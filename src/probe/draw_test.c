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
    uint64_t state = 1;
    enum { DRAWS = 200000 };
    double sum = 0;
    int beyond = 0;
    for (int i = 0; i < DRAWS; i++) {
        int64_t bytes = hone_heap_draw(&state, 1000000);
        sum += (double)bytes;
        beyond += bytes > 1000000;
    }
    // Five standard errors, of the same draws each time.
    CHECK(fabs(sum / DRAWS - 1e6) < 5 * 1e6 / sqrt(DRAWS));
    CHECK(fabs((double)beyond / DRAWS - exp(-1)) < 5 * 0.5 / sqrt(DRAWS));
}
