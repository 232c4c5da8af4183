#include "profile/profile.h"

#include "base/base.h"
#include "check.h"
#include "profile/fixture.h"

#include <errno.h>
#include <math.h>

TEST(scaling_rounds_halves_away_from_zero)
{
    struct hone_profile *p = hone_fixture_small();
    p->samples.values[1][0] = 5;
    p->samples.values[1][1] = -5;
    CHECK_EQ(hone_profile_scale_types(p, (double[]){1, 0.5}), 0);
    CHECK_EQ(p->samples.values[0][0], 3);
    CHECK_EQ(p->samples.values[1][0], 3);
    CHECK_EQ(p->samples.values[1][1], -3);
    hone_profile_free(p);
}

TEST(scaling_stops_at_the_largest_number)
{
    struct hone_profile *p = hone_fixture_small();
    p->samples.values[1][0] = INT64_MAX / 2;
    p->samples.values[1][1] = INT64_MIN / 2;
    CHECK_EQ(hone_profile_scale(p, 3), 0);
    CHECK(p->samples.values[1][0] == INT64_MAX && p->samples.values[1][1] == INT64_MIN);
    CHECK_EQ(hone_profile_scale(p, -1), 0);
    CHECK(p->samples.values[1][0] == -INT64_MAX && p->samples.values[1][1] == INT64_MAX);
    CHECK_EQ(hone_profile_scale(p, NAN), -EINVAL);
    CHECK_EQ(hone_profile_scale(p, INFINITY), -EINVAL);
    CHECK(p->samples.values[1][1] == INT64_MAX);
    hone_profile_free(p);
}

TEST(scaling_drops_what_became_nothing_and_the_rest_is_found_again)
{
    struct hone_profile *p = hone_fixture_small();
    CHECK_EQ(hone_profile_scale_types(p, (double[]){0.4, 0}), 0); // 3 and 1 become 1 and 0
    CHECK_EQ(p->samples.count, 1);
    CHECK_EQ(p->samples.values[0][0], 1);
    uint32_t again = hone_profile_add_sample_in_set(p, p->samples.stack[0], (int64_t[]){1, 1},
                                                    p->samples.label_set[0]);
    CHECK_EQ(again, 0);
    CHECK_EQ(hone_profile_add_sample(p, 2, (int64_t[]){1, 1}, NULL, 0), 1);
    CHECK_EQ(p->samples.count, 2);
    CHECK_EQ(hone_profile_validate(p, NULL), 0);
    hone_profile_free(p);
}

// A type that is 0 in all samples has no ratio; one that is not scaled keeps its samples.
TEST(scaling_keeps_samples_that_have_any_value)
{
    struct hone_profile *p = hone_fixture_small();
    p->samples.values[1][0] = 0;
    CHECK_EQ(hone_profile_scale_types(p, (double[]){1, 2}), 0);
    CHECK_EQ(p->samples.count, 2);
    CHECK_EQ(p->samples.values[0][0], 3);
    hone_profile_free(p);
}

TEST(types_may_be_added_when_all_samples_are_gone)
{
    struct hone_profile *p = hone_fixture_small();
    CHECK_EQ(hone_profile_scale(p, 0), 0);
    CHECK_EQ(p->samples.count, 0);
    CHECK_EQ(hone_profile_add_type(p, "wall", "nanoseconds"), 2);
    CHECK_EQ(hone_profile_add_sample(p, 1, (int64_t[]){1, 2, 3}, NULL, 0), 0);
    CHECK_EQ(p->samples.values[2][0], 3);
    hone_profile_free(p);
}

TEST(normalizing_gives_the_totals_of_the_base)
{
    struct hone_profile *p = hone_fixture_small();
    struct hone_profile *base = hone_fixture_small();
    base->samples.values[0][0] = 2;
    base->samples.values[0][1] = 6; // 8 samples where p has 4
    base->samples.values[1][0] = 20000000;
    base->samples.values[1][1] = 0; // half
    CHECK_EQ(hone_profile_normalize(p, base, NULL), 0);
    CHECK_EQ(p->samples.values[0][0], 6);
    CHECK_EQ(p->samples.values[0][1], 2);
    CHECK_EQ(p->samples.values[1][0], 15000000);
    CHECK_EQ(p->samples.values[1][1], 5000000);
    base->types[0].type = hone_profile_intern(base, "other");
    struct hone_error err = {0};
    CHECK_EQ(hone_profile_normalize(p, base, &err), -EINVAL);
    CHECK_STR(err.message,
              "cannot normalize: type 0 is samples/count in profile 1, but other/count "
              "in profile 2");
    hone_profile_free(p);
    hone_profile_free(base);
}

TEST(a_label_for_all_samples_takes_the_place_of_others_of_its_key)
{
    struct hone_profile *p = hone_fixture_small();
    CHECK_EQ(hone_profile_set_label(p, "process", ""), -EINVAL);
    CHECK_EQ(hone_profile_set_label(p, "process", "all"), 0);
    struct hone_profile_label_span labels = hone_profile_labels_of(p, p->samples.label_set[0]);
    CHECK_EQ(labels.count, 2);
    CHECK_STR(hone_profile_text(p, labels.at[0].text), "all");
    CHECK_EQ(labels.at[1].number, 7);
    CHECK_EQ(hone_profile_labels_of(p, p->samples.label_set[1]).count, 1);
    CHECK_EQ(hone_profile_validate(p, NULL), 0);
    hone_profile_free(p);
}

TEST(samples_that_only_a_label_told_apart_become_one)
{
    struct hone_profile *p = hone_fixture_small();
    struct hone_profile_label label = {.key = hone_profile_intern(p, "state"),
                                       .text = hone_profile_intern(p, "running")};
    (void)hone_profile_add_sample(p, 2, (int64_t[]){10, 20}, &label, 1);
    CHECK_EQ(p->samples.count, 3);
    CHECK_EQ(hone_profile_set_label(p, "state", "any"), 0);
    CHECK_EQ(p->samples.count, 2);
    CHECK_EQ(p->samples.values[0][1], 11);
    CHECK_EQ(p->samples.values[1][1], 10000020);
    hone_profile_free(p);
}
