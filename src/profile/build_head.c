// Strings, and what stands at the head of a profile.
#include "profile/build.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

uint32_t hone_profile_intern_str(struct hone_profile *p, struct hone_str text)
{
    if (!text.len)
        return 0;
    struct hone_table *table = &p->index->strings;
    uint64_t hash = hone_profile_hash(p, text.at, text.len);
    struct hone_table_probe probe = hone_table_probe(table, hash);
    uint32_t at;
    while ((at = hone_table_next(table, &probe)) != HONE_TABLE_END)
        if (hone_str_equal(p->strings.text[at], text))
            return at;
    if (!RESERVE(p, string_room, p->strings.count, COLUMN(p->strings.text)))
        return 0;
    char *copy = hone_arena_alloc(&p->index->text, text.len + 1);
    if (!copy)
        return hone_profile_fail(p, -ENOMEM);
    memcpy(copy, text.at, text.len);
    copy[text.len] = '\0';
    p->strings.text[p->strings.count] = (struct hone_str){copy, text.len};
    return hone_profile_commit(p, table, hash, &p->strings.count);
}

uint32_t hone_profile_intern(struct hone_profile *profile, const char *text)
{
    return hone_profile_intern_str(profile, hone_str_of(text));
}

uint32_t hone_profile_add_type(struct hone_profile *p, const char *type, const char *unit)
{
    assert(!p->samples.count);
    if (p->type_count == HONE_PROFILE_TYPES_MAX)
        return hone_profile_fail(p, -EOVERFLOW);
    uint32_t place = p->type_count;
    if (p->index->sample_room) { // there were samples before
        p->samples.values[place] = calloc(p->index->sample_room, sizeof *p->samples.values[0]);
        if (!p->samples.values[place])
            return hone_profile_fail(p, -ENOMEM);
    }
    p->types[place] =
        (struct hone_profile_type){hone_profile_intern(p, type), hone_profile_intern(p, unit)};
    return p->type_count++;
}

void hone_profile_add_comment(struct hone_profile *p, const char *text)
{
    hone_profile_add_comment_string(p, hone_profile_intern(p, text));
}

void hone_profile_add_comment_string(struct hone_profile *p, uint32_t string)
{
    if (RESERVE(p, comment_room, p->comment_count, COLUMN(p->comments)))
        p->comments[p->comment_count++] = string;
}

void hone_profile_set_period(struct hone_profile *p, const char *type, const char *unit,
                             int64_t period)
{
    p->period_type =
        (struct hone_profile_type){hone_profile_intern(p, type), hone_profile_intern(p, unit)};
    p->period = period;
}

void hone_profile_set_default_type(struct hone_profile *p, const char *type)
{
    p->default_type = hone_profile_intern(p, type);
}

void hone_profile_set_doc_url(struct hone_profile *p, const char *url)
{
    p->doc_url = hone_profile_intern(p, url);
}
