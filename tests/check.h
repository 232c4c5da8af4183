// The test vocabulary: TEST(sentence_about_behaviour) registers itself with Criterion and runs in a
// process of its own with a time limit; CHECK… ends the test at the first thing that is not so.
#ifndef HONE_TESTS_CHECK_H
#define HONE_TESTS_CHECK_H

#include <criterion/criterion.h>
#include <string.h>

#ifndef HONE_SUITE
#define HONE_SUITE hone
#endif

#define HONE_TEST_IN(suite, name) Test(suite, name, .timeout = 300)
#define HONE_TEST_EXPAND(suite, name) HONE_TEST_IN(suite, name)
#define TEST(name) HONE_TEST_EXPAND(HONE_SUITE, name)

#define CHECK(condition) cr_assert((condition), "%s", #condition)
#define CHECK_EQ(actual, expected)                                                                 \
    do {                                                                                           \
        long long actual_ = (long long)(actual), expected_ = (long long)(expected);                \
        cr_assert(actual_ == expected_, "%s is %lld, expected %lld", #actual, actual_, expected_); \
    } while (0)
#define CHECK_NEAR(actual, expected, tolerance)                                                    \
    do {                                                                                           \
        double actual_ = (double)(actual), expected_ = (double)(expected);                         \
        double tolerance_ = (double)(tolerance);                                                   \
        cr_assert(actual_ >= expected_ - tolerance_ && actual_ <= expected_ + tolerance_,          \
                  "%s is %g, expected %g within %g", #actual, actual_, expected_, tolerance_);     \
    } while (0)
#define CHECK_STR(actual, expected)                                                                \
    do {                                                                                           \
        const char *actual_ = (actual), *expected_ = (expected);                                   \
        cr_assert(strcmp(actual_, expected_) == 0, "%s is '%s', expected '%s'", #actual, actual_,  \
                  expected_);                                                                      \
    } while (0)

#endif
