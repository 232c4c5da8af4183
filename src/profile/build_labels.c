// Sets of labels, in one order however they were given.
#include "profile/build.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static int compare_text(struct hone_str a, struct hone_str b)
{
    int order = memcmp(a.at, b.at, a.len < b.len ? a.len : b.len);
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static int compare_labels(const struct hone_profile *p, const struct hone_profile_label *a,
                          const struct hone_profile_label *b)
{
    if ((a->text != 0) != (b->text != 0))
        return a->text ? -1 : 1;
    return a->key == b->key ? 0 : compare_text(p->strings.text[a->key], p->strings.text[b->key]);
}

// Insertion sort: stable, and labels are few and mostly in order.
static void sort_labels(const struct hone_profile *p, struct hone_profile_label *labels,
                        size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct hone_profile_label label = labels[i];
        size_t to = i;
        for (; to && compare_labels(p, &labels[to - 1], &label) > 0; to--)
            labels[to] = labels[to - 1];
        labels[to] = label;
    }
}

static bool same_labels(const struct hone_profile_label *a, const struct hone_profile_label *b,
                        size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (a[i].key != b[i].key || a[i].text != b[i].text || a[i].number != b[i].number ||
            a[i].unit != b[i].unit)
            return false;
    return true;
}

uint32_t hone_profile_add_label_set(struct hone_profile *p, const struct hone_profile_label *labels,
                                    size_t count)
{
    if (!count)
        return 0;
    if (count > HONE_PROFILE_LABELS_MAX)
        return hone_profile_fail(p, -EOVERFLOW);
    uint32_t first = p->labels.count;
    if (!RESERVE(p, label_room, (uint64_t)first + count, COLUMN(p->labels.at)) ||
        !RESERVE(p, label_set_room, (uint64_t)p->label_sets.count + 1,
                 COLUMN(p->label_sets.first_label)))
        return 0;
    struct hone_profile_label *mine = p->labels.at + first;
    for (size_t i = 0; i < count; i++) {
        assert(labels[i].key < p->strings.count && labels[i].text < p->strings.count &&
               labels[i].unit < p->strings.count);
        mine[i] = labels[i];
        if (mine[i].text)
            mine[i].number = mine[i].unit = 0;
    }
    sort_labels(p, mine, count);
    uint64_t hash = p->index->seed ^ count;
    for (size_t i = 0; i < count; i++) { // field by field: the struct has padding
        uint64_t key[] = {(uint64_t)mine[i].key << 32 | mine[i].text, (uint64_t)mine[i].number,
                          mine[i].unit};
        hash = hone_table_hash(key, sizeof key, hash);
    }
    struct hone_table *table = &p->index->label_sets;
    struct hone_table_probe probe = hone_table_probe(table, hash);
    uint32_t at;
    while ((at = hone_table_next(table, &probe)) != HONE_TABLE_END) {
        struct hone_profile_label_span there = hone_profile_labels_of(p, at);
        if (there.count == count && same_labels(there.at, mine, count))
            return at;
    }
    uint32_t number = hone_profile_commit(p, table, hash, &p->label_sets.count);
    if (number) {
        p->labels.count += (uint32_t)count;
        p->label_sets.first_label[p->label_sets.count] = p->labels.count;
    }
    return number;
}
