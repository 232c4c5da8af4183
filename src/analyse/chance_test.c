// Against values of tables and exact fractions.
#include "analyse/chance.h"

#include "check.h"

#include <math.h>

TEST(tails_and_points_of_the_normal_distribution)
{
    CHECK_NEAR(hone_chance_normal_tail(1.959963984540054), 0.025, 1e-14);
    CHECK_NEAR(hone_chance_normal_point(0.025), 1.959963985, 1e-8);
    CHECK_NEAR(hone_chance_normal_point(0.975), -1.959963985, 1e-8);
    CHECK_NEAR(hone_chance_normal_point(1e-20), 9.262340, 1e-5);
    CHECK_NEAR(hone_chance_normal_point(1e-200), 30.20559, 1e-4);
}

TEST(tails_and_points_of_students_t)
{
    CHECK_NEAR(hone_chance_t_tail(4.302652730, 2), 0.025, 1e-10);
    CHECK_NEAR(hone_chance_t_point(0.025, 2), 4.302652730, 1e-7);
    CHECK_NEAR(hone_chance_t_point(0.025, 1), 12.70620474, 1e-6);
    CHECK_NEAR(hone_chance_t_point(0.0001, 8), 6.441999, 1e-5);
    CHECK_NEAR(hone_chance_t_point(0.025, INFINITY), 1.959963985, 1e-7);
    CHECK_NEAR(hone_chance_t_tail(-1, 5), 1 - hone_chance_t_tail(1, 5), 1e-14);
}

TEST(incomplete_beta_function)
{
    CHECK_NEAR(hone_chance_beta(2, 3, 0.5), 0.6875, 1e-14);
    CHECK_NEAR(hone_chance_beta(0.5, 0.5, 0.25), 1.0 / 3, 1e-13);
    CHECK_NEAR(hone_chance_beta(5000, 5001, 0.5), 0.5039894, 1e-6);
    CHECK_NEAR(hone_chance_beta(0, 3, 0.5), 1, 0);
    CHECK_NEAR(hone_chance_beta(3, 0, 0.5), 0, 0);
}

TEST(digamma_and_trigamma)
{
    CHECK_NEAR(hone_chance_digamma(1), -0.5772156649, 1e-10);
    CHECK_NEAR(hone_chance_digamma(2.5), 0.7031566406, 1e-10);
    CHECK_NEAR(hone_chance_trigamma(1), 1.644934067, 1e-9);
    CHECK_NEAR(hone_chance_trigamma(0.5), 4.934802201, 1e-9);
    CHECK_NEAR(hone_chance_trigamma_inverse(1.644934067), 1, 1e-8);
    CHECK_NEAR(hone_chance_trigamma_inverse(1e-4), 10000.5, 0.01);
}

TEST(two_counts_are_tested_exactly)
{
    struct hone_chance_counts even = {{3, 9}, {1, 1}};
    double z = hone_chance_ratio_z(&even, 1); // P(X >= 9 of 12 at 1/2) = 299/4096
    CHECK_NEAR(hone_chance_normal_tail(z), 299.0 / 4096, 1e-9);
    struct hone_chance_counts none = {{10, 0}, {1, 1}};
    CHECK_NEAR(hone_chance_normal_tail(-hone_chance_ratio_z(&none, 1)), 1.0 / 1024, 1e-9);
    CHECK_NEAR(hone_chance_ratio_z_most(&none), -hone_chance_ratio_z(&none, 1), 1e-9);
    struct hone_chance_counts same = {{7, 7}, {1, 1}};
    CHECK_NEAR(hone_chance_ratio_z(&same, 1), 0, 0);
}

TEST(limits_of_a_ratio_are_the_exact_ones)
{
    double low;
    double high;
    struct hone_chance_counts counts = {{100, 120}, {1, 1}};
    hone_chance_ratio_limits(&counts, 1.959963985, &low, &high);
    struct hone_chance_counts at = counts;
    CHECK_NEAR(hone_chance_ratio_z(&at, low), 1.959963985, 1e-5);
    CHECK_NEAR(hone_chance_ratio_z(&at, high), -1.959963985, 1e-5);
    cr_assert(low > 0.9 && low < 0.95 && high > 1.5 && high < 1.6, "%g to %g", low, high);
    struct hone_chance_counts gone = {{10, 0}, {1, 1}};
    hone_chance_ratio_limits(&gone, 1.959963985, &low, &high);
    CHECK_NEAR(low, 0, 0);
    CHECK_NEAR(high, 0.4459, 0.0005); // 0.3085 / 0.6915
    struct hone_chance_counts fresh = {{0, 10}, {1, 1}};
    hone_chance_ratio_limits(&fresh, 1.959963985, &low, &high);
    CHECK(isinf(high));
    CHECK_NEAR(low, 1 / 0.4459, 0.003);
}

TEST(limits_hold_for_any_size_of_counts)
{
    for (double first = 1; first < 1e9; first *= 7)
        for (double second = 1; second < 1e9; second *= 9) {
            double low;
            double high;
            struct hone_chance_counts counts = {{first, second}, {3, 40}};
            hone_chance_ratio_limits(&counts, 3, &low, &high);
            double ratio = second / 40 / (first / 3);
            cr_assert(low < ratio && ratio < high, "%g %g: %g %g", first, second, low, high);
            // Where the way of counting changes, the place is missed by as much as the ways differ.
            CHECK_NEAR(hone_chance_ratio_z(&counts, high), -3, 0.02);
            CHECK_NEAR(hone_chance_ratio_z(&counts, low), 3, 0.02);
        }
}
