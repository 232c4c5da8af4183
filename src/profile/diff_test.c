#include "profile/profile.h"

#include "base/base.h"
#include "check.h"
#include "profile/fixture.h"

static struct hone_profile *difference(const struct hone_profile *profile,
                                       const struct hone_profile *base,
                                       const struct hone_profile_diff_options *options)
{
    struct hone_profile *ret = NULL;
    struct hone_error err = {0};
    int r = hone_profile_diff(profile, base, options, &ret, &err);
    CHECK_STR(err.message, "");
    CHECK_EQ(r, 0);
    CHECK_EQ(hone_profile_validate(ret, NULL), 0);
    return ret;
}

TEST(difference_from_itself_is_nothing)
{
    struct hone_profile *p = hone_fixture_small();
    p->samples.values[1][0] = (INT64_C(1) << 60) + 1; // more than a double holds
    struct hone_profile *d = difference(p, p, NULL);
    CHECK_EQ(d->samples.count, 0);
    CHECK_EQ(d->type_count, 2);
    CHECK_EQ(p->samples.count, 2); // unchanged
    hone_profile_free(d);
    hone_profile_free(p);
}

TEST(difference_subtracts_the_base)
{
    struct hone_profile *base = hone_fixture_small();
    struct hone_profile *p = hone_fixture_small();
    p->samples.values[1][0] += 7;
    p->samples.values[1][1] -= 3;
    struct hone_profile *d = difference(p, base, NULL);
    CHECK_EQ(d->samples.count, 2);
    CHECK_EQ(d->samples.values[1][0], 7);
    CHECK_EQ(d->samples.values[1][1], -3);
    CHECK_EQ(d->samples.values[0][0], 0);
    hone_profile_free(d);
    hone_profile_free(p);
    hone_profile_free(base);
}

TEST(difference_marks_the_samples_of_its_base)
{
    struct hone_profile *p = hone_fixture_small();
    struct hone_profile *d =
        difference(p, p, &(struct hone_profile_diff_options){.label_base = true});
    CHECK_EQ(d->samples.count, 4);
    CHECK_EQ(d->samples.values[1][2], -30000000);
    struct hone_profile_label_span labels = hone_profile_labels_of(d, d->samples.label_set[2]);
    CHECK_EQ(labels.count, 3);
    CHECK_STR(hone_profile_text(d, labels.at[0].key), "pprof::base");
    CHECK_STR(hone_profile_text(d, labels.at[0].text), "true");
    CHECK_EQ(hone_profile_labels_of(d, d->samples.label_set[3]).count, 1); // had none
    CHECK_EQ(hone_profile_labels_of(d, d->samples.label_set[0]).count, 2);
    hone_profile_free(d);
    hone_profile_free(p);
}

TEST(difference_after_normalizing_is_of_shares)
{
    struct hone_profile *base = hone_fixture_small();
    struct hone_profile *p = hone_fixture_small();
    CHECK_EQ(hone_profile_scale(p, 5), 0); // five times as long a run
    struct hone_profile *d =
        difference(p, base, &(struct hone_profile_diff_options){.normalize = true});
    CHECK_EQ(d->samples.count, 0);
    CHECK_EQ(p->samples.values[1][0], 150000000); // unchanged
    hone_profile_free(d);
    hone_profile_free(p);
    hone_profile_free(base);
}
