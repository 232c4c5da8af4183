// What -sample_index means, and the units of labels.
#include "pprof/driver.h"

#include "base/cleanup.h"
#include "pprof/tell.h"
#include "profile/filter.h"
#include "profile/profile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool find_name(const struct hone_profile *p, const char *name, uint32_t *ret)
{
    for (uint32_t i = 0; i < p->type_count; i++)
        if (strcmp(hone_profile_text(p, p->types[i].type), name) == 0) {
            *ret = i;
            return true;
        }
    return false;
}

static int no_such_type(const struct hone_profile *p, const char *name, struct hone_error *err)
{
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer names = {0};
    for (uint32_t i = 0; i < p->type_count; i++)
        hone_buffer_format(&names, "%s%s", i ? " " : "", hone_profile_text(p, p->types[i].type));
    hone_buffer_add(&names, "", 1);
    return hone_error_set(err, -EINVAL, "sample_index \"%s\" must be one of: [%s]", name,
                          names.failed ? "" : names.at);
}

int hone_pprof_find_type(const struct hone_profile *p, const char *sample_index, uint32_t *ret,
                         struct hone_error *err)
{
    if (!p->type_count)
        return hone_error_set(err, -EINVAL, "profile has no samples");
    if (!*sample_index) {
        if (!p->default_type || !find_name(p, hone_profile_text(p, p->default_type), ret))
            *ret = p->type_count - 1;
        return 0;
    }
    int64_t place;
    if (hone_pprof_parse_int(sample_index, false, &place) == 0) {
        if (place < 0 || place >= p->type_count)
            return hone_error_set(err, -EINVAL, "sample_index %s is outside the range [0..%u]",
                                  sample_index, p->type_count - 1);
        *ret = (uint32_t)place;
        return 0;
    }
    // The first type that has this name, or this name without "inuse_" as heap profiles once had.
    static const char prefix[] = "inuse_";
    const char *old = strncmp(sample_index, prefix, sizeof prefix - 1) == 0
                          ? sample_index + sizeof prefix - 1
                          : sample_index;
    for (uint32_t i = 0; i < p->type_count; i++) {
        const char *name = hone_profile_text(p, p->types[i].type);
        if (strcmp(name, sample_index) == 0 || strcmp(name, old) == 0) {
            *ret = i;
            return 0;
        }
    }
    return no_such_type(p, sample_index, err);
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

// The units of one key's numbers besides the one that counts.
static int warn_key(const struct hone_profile *p, uint32_t key, const char *unit)
{
    const char **others = NULL;
    size_t count = 0;
    for (uint32_t i = 0; i < p->labels.count; i++) {
        const struct hone_profile_label *label = &p->labels.at[i];
        const char *other = hone_profile_text(p, label->unit);
        bool known = label->key != key || label->text || !label->unit || strcmp(other, unit) == 0;
        for (size_t k = 0; !known && k < count; k++)
            known = strcmp(others[k], other) == 0;
        if (known)
            continue;
        // NOLINTNEXTLINE(bugprone-sizeof-expression): pointers are what it holds
        const char **more = reallocarray(others, count + 1, sizeof *others);
        if (!more) {
            free(others);
            return -ENOMEM;
        }
        others = more;
        others[count++] = other;
    }
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer list = {0};
    if (count)
        // NOLINTNEXTLINE(bugprone-sizeof-expression): pointers are what it holds
        qsort(others, count, sizeof *others, compare_texts);
    for (size_t i = 0; i < count; i++)
        hone_buffer_format(&list, "%s%s", i ? ", " : "", others[i]);
    hone_buffer_add(&list, "", 1);
    if (count && !list.failed)
        hone_pprof_tell("For tag %s used unit %s, also encountered unit(s) %s",
                        hone_profile_text(p, key), unit, list.at);
    free(others);
    return list.failed ? -ENOMEM : 0;
}

int hone_pprof_warn_units(const struct hone_profile *p, struct hone_error *err)
{
    HONE_CLEANUP(hone_freep) const char **units = hone_profile_label_units(p);
    HONE_CLEANUP(hone_freep) bool *told = calloc(p->strings.count, sizeof *told);
    int r = units && told ? 0 : -ENOMEM;
    for (uint32_t i = 0; !r && i < p->labels.count; i++) {
        const struct hone_profile_label *label = &p->labels.at[i];
        if (label->text || !label->unit || told[label->key] ||
            strcmp(hone_profile_text(p, label->unit), units[label->key]) == 0)
            continue;
        told[label->key] = true;
        r = warn_key(p, label->key, units[label->key]);
    }
    return r ? hone_error_set(err, r, "cannot read the labels") : 0;
}
