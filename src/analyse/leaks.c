#include "analyse/leaks.h"

#include "analyse/alike.h"
#include "base/cleanup.h"
#include "base/table.h"
#include "profile/profile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void hone_leaks_done(struct hone_leaks *leaks)
{
    free(leaks->rows);
    free(leaks->suppressed);
    *leaks = (struct hone_leaks){0};
}

// The columns of the profile.
struct columns {
    const struct hone_profile *profile;
    uint32_t objects, bytes, reachable, reachable_bytes;
};

static bool find_type(const struct hone_profile *profile, const char *name, uint32_t *ret)
{
    for (uint32_t i = 0; i < profile->type_count; i++) {
        if (strcmp(hone_profile_text(profile, profile->types[i].type), name) == 0) {
            *ret = i;
            return true;
        }
    }
    return false;
}

static int find_columns(const struct hone_profile *profile, struct columns *ret,
                        struct hone_error *err)
{
    ret->profile = profile;
    if (find_type(profile, "leaked_objects", &ret->objects) &&
        find_type(profile, "leaked_space", &ret->bytes) &&
        find_type(profile, "reachable_objects", &ret->reachable) &&
        find_type(profile, "reachable_space", &ret->reachable_bytes))
        return 0;
    (void)hone_error_set(err, -EINVAL, "it is no profile of leaks: it has no type leaked_space");
    hone_error_hint(err, "make one: hone record -t heap --heap-rate 1 PROGRAM");
    return -EINVAL;
}

static const char *reach_of(const struct hone_profile *profile, uint32_t label_set)
{
    struct hone_profile_label_span labels = hone_profile_labels_of(profile, label_set);
    for (uint32_t i = 0; i < labels.count; i++)
        if (strcmp(hone_profile_text(profile, labels.at[i].key), "reach") == 0)
            return hone_profile_text(profile, labels.at[i].text);
    return "";
}

static void add(int64_t *sum, int64_t value)
{
    if (__builtin_add_overflow(*sum, value, sum))
        *sum = value > 0 ? INT64_MAX : INT64_MIN;
}

// Adds one sample to the row of its stack.
static void add_sample(const struct columns *columns, uint32_t sample, struct hone_leaks *leaks,
                       struct hone_leak_row *row)
{
    int64_t *const *values = columns->profile->samples.values;
    const char *reach = reach_of(columns->profile, columns->profile->samples.label_set[sample]);
    bool indirect = strcmp(reach, "indirect") == 0;
    add(indirect ? &row->indirect : &row->objects, values[columns->objects][sample]);
    add(indirect ? &row->indirect_bytes : &row->bytes, values[columns->bytes][sample]);
    add(&leaks->reachable, values[columns->reachable][sample]);
    add(&leaks->reachable_bytes, values[columns->reachable_bytes][sample]);
    if (strcmp(reach, "mapped") == 0) {
        add(&leaks->mapped, values[columns->reachable][sample]);
        add(&leaks->mapped_bytes, values[columns->reachable_bytes][sample]);
    }
}

static int64_t all_bytes(const struct hone_leak_row *row)
{
    int64_t sum = row->bytes;
    add(&sum, row->indirect_bytes);
    return sum;
}

static int64_t all_objects(const struct hone_leak_row *row)
{
    int64_t sum = row->objects;
    add(&sum, row->indirect);
    return sum;
}

static int worst_first(const void *a, const void *b)
{
    const struct hone_leak_row *one = a, *other = b;
    int64_t bytes = all_bytes(one), others = all_bytes(other);
    if (bytes != others)
        return bytes > others ? -1 : 1;
    if (all_objects(one) != all_objects(other))
        return all_objects(one) > all_objects(other) ? -1 : 1;
    return one->stack < other->stack ? -1 : one->stack > other->stack;
}

// Takes rows away that a pattern names, and those without a leak; sums up the others.
static void keep_rows(const struct columns *columns, const struct hone_suppressions *suppressions,
                      struct hone_leaks *leaks)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < leaks->count; i++) {
        const struct hone_leak_row *row = &leaks->rows[i];
        if (!row->objects && !row->bytes && !row->indirect && !row->indirect_bytes)
            continue;
        uint32_t pattern = hone_suppressions_find(suppressions, columns->profile, row->stack);
        bool hidden = pattern != UINT32_MAX;
        add(hidden ? &leaks->hidden : &leaks->objects, all_objects(row));
        add(hidden ? &leaks->hidden_bytes : &leaks->bytes, all_bytes(row));
        if (hidden) {
            struct hone_leak_suppressed *suppressed = &leaks->suppressed[pattern];
            suppressed->pattern = hone_suppressions_pattern(suppressions, pattern);
            add(&suppressed->objects, all_objects(row));
            add(&suppressed->bytes, all_bytes(row));
        } else {
            leaks->rows[kept++] = *row;
        }
    }
    leaks->count = kept;
    for (uint32_t i = 0; i < hone_suppressions_count(suppressions); i++)
        if (leaks->suppressed[i].pattern)
            leaks->suppressed[leaks->suppressed_count++] = leaks->suppressed[i];
}

static void add_row(struct hone_leak_row *to, const struct hone_leak_row *row)
{
    add(&to->objects, row->objects);
    add(&to->bytes, row->bytes);
    add(&to->indirect, row->indirect);
    add(&to->indirect_bytes, row->indirect_bytes);
}

// Rows whose stacks read alike become one.
static int merge_alike(const struct hone_profile *profile, struct hone_leaks *leaks)
{
    struct hone_table table = {0};
    uint32_t kept = 0;
    int r = 0;
    for (uint32_t i = 0; !r && i < leaks->count; i++) {
        const struct hone_leak_row *row = &leaks->rows[i];
        uint64_t hash = hone_stack_hash(profile, row->stack);
        struct hone_table_probe probe = hone_table_probe(&table, hash);
        uint32_t at;
        while ((at = hone_table_next(&table, &probe)) != HONE_TABLE_END &&
               !hone_stacks_are_alike(profile, leaks->rows[at].stack, row->stack))
            ;
        if (at != HONE_TABLE_END) {
            add_row(&leaks->rows[at], row);
            continue;
        }
        r = hone_table_add(&table, hash, kept);
        leaks->rows[kept++] = *row;
    }
    leaks->count = kept;
    hone_table_done(&table);
    return r;
}

// The recorder says so in comments.
static void read_comments(const struct hone_profile *profile, struct hone_leaks *leaks)
{
    for (uint32_t i = 0; i < profile->comment_count; i++) {
        const char *comment = hone_profile_text(profile, profile->comments[i]);
        leaks->none_looked |= strncmp(comment, "empty: no process", 17) == 0;
        leaks->some_unknown |=
            strncmp(comment, "not covered: leaks", 18) == 0 || strncmp(comment, "lost:", 5) == 0;
        leaks->some_not |= strncmp(comment, "not looked through:", 19) == 0;
        leaks->some_uncounted |= strncmp(comment, "the rate was changed", 20) == 0 ||
                                 strncmp(comment, "not known: leaks of ", 20) == 0;
    }
    leaks->some_unknown |= leaks->none_looked;
    leaks->some_not |= leaks->some_unknown;
}

void hone_leaks_leave_small(struct hone_leaks *leaks, int64_t bytes)
{
    while (leaks->count && all_bytes(&leaks->rows[leaks->count - 1]) < bytes) {
        const struct hone_leak_row *row = &leaks->rows[--leaks->count];
        leaks->small_count++;
        add(&leaks->small, all_objects(row));
        add(&leaks->small_bytes, all_bytes(row));
    }
}

int hone_leaks_new(const struct hone_profile *profile, const struct hone_suppressions *suppressions,
                   struct hone_leaks *ret, struct hone_error *err)
{
    struct columns columns;
    HONE_CLEANUP(hone_leaks_done) struct hone_leaks leaks = {0};
    int r = find_columns(profile, &columns, err);
    if (r)
        return r;
    leaks.rows = calloc((size_t)profile->stacks.count + 1, sizeof *leaks.rows);
    leaks.suppressed =
        calloc((size_t)hone_suppressions_count(suppressions) + 1, sizeof *leaks.suppressed);
    if (!leaks.rows || !leaks.suppressed)
        return hone_error_set(err, -ENOMEM, "cannot show leaks");
    leaks.count = profile->stacks.count;
    for (uint32_t i = 0; i < leaks.count; i++)
        leaks.rows[i].stack = i;
    for (uint32_t i = 0; i < profile->samples.count; i++)
        add_sample(&columns, i, &leaks, &leaks.rows[profile->samples.stack[i]]);
    keep_rows(&columns, suppressions, &leaks);
    if (merge_alike(profile, &leaks))
        return hone_error_set(err, -ENOMEM, "cannot show leaks");
    read_comments(profile, &leaks);
    qsort(leaks.rows, leaks.count, sizeof *leaks.rows, worst_first);
    *ret = leaks;
    leaks = (struct hone_leaks){0};
    return 0;
}
