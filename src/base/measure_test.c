#include "base/measure.h"

#include "check.h"

TEST(values_are_scaled_to_a_unit_that_suits_them)
{
    CHECK_STR(hone_measure_label(1234567890, "nanoseconds", "auto").text, "1.23s");
    CHECK_STR(hone_measure_label(45600000, "ns", "auto").text, "45.60ms");
    CHECK_STR(hone_measure_label(2000000, "nanoseconds", "auto").text, "2ms");
    CHECK_STR(hone_measure_label(7200, "seconds", "auto").text, "2hrs");
    CHECK_STR(hone_measure_label(524288, "bytes", "auto").text, "512kB");
    CHECK_STR(hone_measure_label(-524288, "bytes", "auto").text, "-512kB");
    CHECK_STR(hone_measure_label(42, "count", "auto").text, "42");
    CHECK_STR(hone_measure_label(0, "nanoseconds", "auto").text, "0");
    CHECK_STR(hone_measure_label(INT64_MIN, "bytes", "auto").text, "-9223372036854775808B");
}

TEST(values_are_converted_to_the_unit_asked_for)
{
    CHECK_STR(hone_measure_label(1500000, "ns", "ms").text, "1.50ms");
    CHECK_STR(hone_measure_label(1500000, "ns", "seconds").text, "0");
    CHECK_STR(hone_measure_label(3, "MB", "kB").text, "3072kB");
    CHECK_STR(hone_measure_label(3, "widgets", "widgets").text, "3widgets");
    CHECK_STR(hone_measure_label(3, "widgets", "auto").text, "3");
}

TEST(percentages_keep_two_digits)
{
    CHECK_STR(hone_measure_percentage(1, 3).text, "33.33%");
    CHECK_STR(hone_measure_percentage(1, 40).text, " 2.50%");
    CHECK_STR(hone_measure_percentage(1, 300).text, " 0.33%");
    CHECK_STR(hone_measure_percentage(1, 1000000).text, "0.0001%");
    CHECK_STR(hone_measure_percentage(9999, 10000).text, "  100%");
    CHECK_STR(hone_measure_percentage(-5, 10).text, "50.00%");
    CHECK_STR(hone_measure_percentage(5, 0).text, "    0%");
    CHECK_STR(hone_measure_percentage(5, 2).text, "250.00%");
}

TEST(common_unit_shows_the_smallest_value)
{
    CHECK_STR(hone_measure_common_unit(20000000, 900000000, "ns"), "ms");
    CHECK_STR(hone_measure_common_unit(20000000, 9000000000, "ns"), "s");
    CHECK_STR(hone_measure_common_unit(1, 5, "count"), "count");
}
