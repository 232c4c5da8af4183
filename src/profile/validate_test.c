#include "profile/profile.h"

#include "base/base.h"
#include "check.h"
#include "profile/fixture.h"

#include <errno.h>

static void check_found(struct hone_profile *p, uint32_t *place, uint32_t wrong,
                        const char *message)
{
    uint32_t right = *place;
    struct hone_error err = {0};
    *place = wrong;
    CHECK_EQ(hone_profile_validate(p, &err), -EINVAL);
    CHECK_STR(err.message, message);
    *place = right;
    CHECK_EQ(hone_profile_validate(p, NULL), 0);
}

TEST(validation_finds_each_kind_of_number_that_leads_nowhere)
{
    struct hone_profile *p = hone_fixture_small();
    CHECK_EQ(hone_profile_validate(p, NULL), 0);
    check_found(p, &p->types[1].unit, 999, "a sample type 1 has string 999, where there are 17");
    check_found(p, &p->doc_url, 999, "the head 5 has string 999, where there are 17");
    check_found(p, &p->comments[1], 17, "comment 1 has string 17, where there are 17");
    check_found(p, &p->mappings.at[1].build_id, 50,
                "a mapping 1 has string 50, where there are 17");
    check_found(p, &p->functions.name[2], 17, "function 2 has string 17, where there are 17");
    check_found(p, &p->locations.mapping[2], 3, "location 2 has mapping 3, where there are 3");
    check_found(p, &p->locations.first_line[2], 9, "the ranges of lines do not follow each other");
    check_found(p, &p->lines.at[0].function, 0, "line 0 has function 0, where there are 4");
    check_found(p, &p->stacks.first_frame[1], 9, "the ranges of stacks do not follow each other");
    check_found(p, &p->frames.location[0], 0, "frame 0 has location 0, where there are 5");
    check_found(p, &p->labels.at[0].key, 18, "a label 0 has string 18, where there are 17");
    check_found(p, &p->label_sets.first_label[1], 1,
                "the ranges of labels do not follow each other");
    check_found(p, &p->samples.stack[0], 3, "sample 0 has stack 3, where there are 3");
    check_found(p, &p->samples.label_set[1], 2, "sample 1 has label set 2, where there are 2");
    check_found(p, &p->type_count, 0, "2 samples of 0 types");
    hone_profile_free(p);
}

TEST(a_failed_profile_is_not_valid)
{
    struct hone_profile *p = hone_profile_new();
    for (uint32_t i = 0; i <= HONE_PROFILE_TYPES_MAX; i++)
        (void)hone_profile_add_type(p, "a", "b");
    CHECK_EQ(hone_profile_validate(p, NULL), -EOVERFLOW);
    hone_profile_free(p);
}
