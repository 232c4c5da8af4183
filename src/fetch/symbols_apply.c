#include "fetch/symbols.h"

#include "profile/filter.h"
#include "profile/profile.h"

#include <errno.h>
#include <stdlib.h>

static bool lacks_name(const struct hone_profile *profile, uint32_t location)
{
    return profile->locations.address[location] && !hone_profile_lines_of(profile, location).count;
}

static struct hone_str name_of(const struct hone_profile *profile,
                               const struct hone_symbols_answer *answers, uint32_t location)
{
    const struct hone_symbols_answer *answer = &answers[profile->locations.mapping[location]];
    if (!lacks_name(profile, location))
        return (struct hone_str){0};
    return hone_symbols_find(&answer->symbols,
                             profile->locations.address[location] + answer->higher);
}

static struct hone_profile_line line_of(struct hone_profile *profile, struct hone_str name)
{
    uint32_t text = hone_profile_intern_str(profile, name);
    const struct hone_profile_function function = {.name = text, .system_name = text};
    return (struct hone_profile_line){.function = hone_profile_add_function(profile, &function)};
}

int hone_symbols_apply(struct hone_profile *profile, const struct hone_symbols_answer *answers)
{
    uint32_t count = profile->locations.count;
    struct hone_profile_line *lines =
        calloc((size_t)profile->lines.count + count + 1, sizeof *lines);
    uint32_t *first = calloc((size_t)count + 2, sizeof *first);
    uint32_t used = 0;
    for (uint32_t i = 0; i < count && lines && first; i++) {
        struct hone_profile_line_span before = hone_profile_lines_of(profile, i);
        struct hone_str name = name_of(profile, answers, i);
        first[i] = used;
        if (name.len)
            lines[used++] = line_of(profile, name);
        for (uint32_t k = 0; k < before.count; k++)
            lines[used++] = before.at[k];
    }
    int r = lines && first ? hone_profile_status(profile) : -ENOMEM;
    if (r) {
        free(lines);
        free(first);
        return r;
    }
    first[count] = used;
    hone_profile_replace_lines(profile, first, lines);
    for (uint32_t i = 1; i < profile->mappings.count; i++)
        if (answers[i].asked)
            profile->mappings.at[i].flags |= HONE_PROFILE_HAS_FUNCTIONS;
    return 0;
}
