#include "profile/profile.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool find(const struct hone_profile *p, struct hone_str name, uint32_t *ret)
{
    for (uint32_t i = 0; i < p->type_count; i++)
        if (hone_str_equal(hone_profile_str(p, p->types[i].type), name)) {
            *ret = i;
            return true;
        }
    return false;
}

static bool parse_place(const struct hone_profile *p, struct hone_str name, uint32_t *ret)
{
    uint32_t place = 0;
    for (size_t i = 0; i < name.len; i++) {
        if (name.at[i] < '0' || name.at[i] > '9' || place >= HONE_PROFILE_TYPES_MAX)
            return false;
        place = place * 10 + (uint32_t)(name.at[i] - '0');
    }
    *ret = place;
    return place < p->type_count;
}

static int no_such_type(const struct hone_profile *p, const char *name, struct hone_error *err)
{
    char choices[200] = "";
    size_t used = 0;
    for (uint32_t i = 0; i < p->type_count && used < sizeof choices; i++) {
        int len = snprintf(choices + used, sizeof choices - used, "%s%s", i ? ", " : "",
                           hone_profile_text(p, p->types[i].type));
        used += len > 0 ? (size_t)len : 0;
    }
    (void)hone_error_set(err, -EINVAL, "the profile has no sample type '%s'", name);
    hone_error_hint(err, "it has %s", choices);
    return -EINVAL;
}

int hone_profile_select_type(const struct hone_profile *p, const char *name, uint32_t *ret,
                             struct hone_error *err)
{
    if (!p->type_count)
        return hone_error_set(err, -EINVAL, "the profile has no sample types");
    if (!name || !*name) {
        if (!p->default_type || !find(p, hone_profile_str(p, p->default_type), ret))
            *ret = p->type_count - 1;
        return 0;
    }
    struct hone_str text = hone_str_of(name);
    if (find(p, text, ret))
        return 0;
    // Types "space" and "objects" also answer to their names in heap profiles.
    struct hone_str inuse = HONE_STR("inuse_");
    if (hone_str_starts(text, inuse) &&
        find(p, (struct hone_str){text.at + inuse.len, text.len - inuse.len}, ret))
        return 0;
    return parse_place(p, text, ret) ? 0 : no_such_type(p, name, err);
}
