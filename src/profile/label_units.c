#include "profile/filter.h"
#include "profile/profile.h"

#include <stdlib.h>
#include <string.h>

static const char *unit_by_name(const char *key)
{
    return strcmp(key, "alignment") == 0 || strcmp(key, "request") == 0 ? "bytes" : key;
}

const char **hone_profile_label_units(const struct hone_profile *p)
{
    // NOLINTNEXTLINE(bugprone-sizeof-expression): pointers are what it holds
    const char **units = calloc(p->strings.count, sizeof *units);
    if (!units)
        return NULL;
    for (uint32_t i = 0; i < p->labels.count; i++) {
        const struct hone_profile_label *label = &p->labels.at[i];
        if (!label->text && label->unit && !units[label->key])
            units[label->key] = hone_profile_text(p, label->unit);
    }
    for (uint32_t i = 0; i < p->labels.count; i++) {
        const struct hone_profile_label *label = &p->labels.at[i];
        if (!label->text && !units[label->key])
            units[label->key] = unit_by_name(hone_profile_text(p, label->key));
    }
    return units;
}
