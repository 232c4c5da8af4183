#include "profile/profile.h"

#include "base/base.h"
#include "check.h"
#include "profile/fixture.h"

#include <errno.h>

static int compatible(struct hone_profile *a, struct hone_profile *b, struct hone_error *err)
{
    return hone_profile_make_compatible((struct hone_profile *[]){a, b}, 2, err);
}

static struct hone_profile *of_types(const char *const *types, const char *const *units,
                                     uint32_t count)
{
    struct hone_profile *p = hone_profile_new();
    for (uint32_t i = 0; i < count; i++)
        (void)hone_profile_add_type(p, types[i], units[i]);
    uint32_t location =
        hone_profile_add_location(p, &(struct hone_profile_location){.address = 0x10});
    int64_t values[HONE_PROFILE_TYPES_MAX];
    for (uint32_t i = 0; i < count; i++)
        values[i] = 100 + i;
    (void)hone_profile_add_sample(p, hone_profile_add_stack(p, &location, 1), values, NULL, 0);
    return p;
}

TEST(common_types_are_kept_in_the_order_of_the_first)
{
    struct hone_profile *a = of_types((const char *[]){"allocs", "space", "objects"},
                                      (const char *[]){"count", "bytes", "count"}, 3);
    struct hone_profile *b = of_types((const char *[]){"objects", "wall", "space"},
                                      (const char *[]){"count", "ns", "bytes"}, 3);
    hone_profile_set_default_type(a, "objects");
    hone_profile_set_default_type(b, "wall");
    CHECK_EQ(compatible(a, b, NULL), 0);
    CHECK_EQ(a->type_count, 2);
    CHECK_EQ(b->type_count, 2);
    CHECK_STR(hone_profile_text(b, b->types[0].type), "space");
    CHECK_STR(hone_profile_text(b, b->types[1].type), "objects");
    CHECK_EQ(a->samples.values[0][0], 101);
    CHECK_EQ(b->samples.values[0][0], 102);
    CHECK_EQ(b->samples.values[1][0], 100);
    CHECK_STR(hone_profile_text(a, a->default_type), "objects"); // still there
    CHECK_STR(hone_profile_text(b, b->default_type), "space");   // its own is gone
    struct hone_profile *m = NULL;
    CHECK_EQ(hone_profile_merge((const struct hone_profile *[]){a, b}, 2, &m, NULL), 0);
    CHECK_EQ(m->samples.count, 1);
    CHECK_EQ(m->samples.values[0][0], 203);
    hone_profile_free(m);
    hone_profile_free(a);
    hone_profile_free(b);
}

TEST(units_become_the_finest)
{
    struct hone_profile *a =
        of_types((const char *[]){"cpu", "space"}, (const char *[]){"ms", "bytes"}, 2);
    struct hone_profile *b =
        of_types((const char *[]){"cpu", "space"}, (const char *[]){"microseconds", "kB"}, 2);
    hone_profile_set_period(a, "cpu", "ms", 10);
    hone_profile_set_period(b, "cpu", "ns", 10);
    CHECK_EQ(compatible(a, b, NULL), 0);
    CHECK_STR(hone_profile_text(a, a->types[0].unit), "microseconds");
    CHECK_EQ(a->samples.values[0][0], 100000);
    CHECK_EQ(b->samples.values[0][0], 100);
    CHECK_EQ(a->samples.values[1][0], 101);
    CHECK_EQ(b->samples.values[1][0], 101 * 1024);
    CHECK_EQ(a->period, 10000000);
    CHECK_EQ(b->period, 10);
    CHECK_STR(hone_profile_text(a, a->period_type.unit), "ns");
    struct hone_profile *m = NULL;
    CHECK_EQ(hone_profile_merge((const struct hone_profile *[]){a, b}, 2, &m, NULL), 0);
    hone_profile_free(m);
    hone_profile_free(a);
    hone_profile_free(b);
}

TEST(equal_types_are_left_alone_whatever_their_names)
{
    const char *types[] = {"samples", "samples", ""};
    const char *units[] = {"count", "count", ""};
    struct hone_profile *a = of_types(types, units, 3);
    struct hone_profile *b = of_types(types, units, 3);
    CHECK_EQ(compatible(a, b, NULL), 0);
    CHECK_EQ(a->type_count, 3);
    CHECK_EQ(a->samples.values[1][0], 101);
    CHECK_EQ(hone_profile_validate(a, NULL), 0);
    CHECK_EQ(a->default_type, 0);
    hone_profile_free(a);
    hone_profile_free(b);
}

// Two types of one must not meet one type of the other.
TEST(a_type_is_taken_once)
{
    struct hone_profile *a =
        of_types((const char *[]){"sample", "samples"}, (const char *[]){"count", "count"}, 2);
    struct hone_profile *b = of_types((const char *[]){"samples"}, (const char *[]){"count"}, 1);
    CHECK_EQ(compatible(a, b, NULL), 0);
    CHECK_EQ(a->type_count, 1);
    CHECK_EQ(b->type_count, 1);
    hone_profile_free(a);
    hone_profile_free(b);
}

TEST(what_cannot_be_made_compatible_is_refused_and_unchanged)
{
    struct hone_profile *a = of_types((const char *[]){"cpu"}, (const char *[]){"ms"}, 1);
    struct hone_profile *b = of_types((const char *[]){"space"}, (const char *[]){"bytes"}, 1);
    struct hone_profile *c = of_types((const char *[]){"cpu"}, (const char *[]){"bytes"}, 1);
    struct hone_profile *d = of_types((const char *[]){"cpu"}, (const char *[]){"ns"}, 1);
    struct hone_error err = {0};
    CHECK_EQ(compatible(a, b, &err), -EINVAL);
    CHECK_STR(err.message,
              "the profiles have no sample type in common: the first has cpu, number 2 "
              "has space");
    CHECK_EQ(compatible(a, c, &err), -EINVAL);
    CHECK_STR(err.message, "the profiles do not fit: cpu is in ms in the first, in bytes in number "
                           "2");
    hone_profile_set_period(a, "cpu", "ns", 1);
    hone_profile_set_period(d, "wall", "ns", 1);
    CHECK_EQ(compatible(a, d, &err), -EINVAL);
    CHECK_STR(err.message, "cannot put these profiles together: profile 1 was sampled by cpu, "
                           "profile 2 by wall");
    CHECK_STR(hone_profile_text(a, a->types[0].unit), "ms");
    CHECK_EQ(a->samples.values[0][0], 100);
    hone_profile_free(a);
    hone_profile_free(b);
    hone_profile_free(c);
    hone_profile_free(d);
}
