// One label for all samples.
#include "profile/index.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>

// The labels of a set without the texts of this key, and the new one behind.
static uint32_t labelled(struct hone_profile *p, uint32_t set, struct hone_profile_label label,
                         struct hone_profile_label *room)
{
    struct hone_profile_label_span labels = hone_profile_labels_of(p, set);
    size_t count = 0;
    for (uint32_t i = 0; i < labels.count; i++)
        if (labels.at[i].key != label.key || !labels.at[i].text)
            room[count++] = labels.at[i];
    room[count++] = label;
    return hone_profile_add_label_set(p, room, count);
}

int hone_profile_set_label(struct hone_profile *p, const char *key, const char *text)
{
    if (!text || !*text)
        return -EINVAL; // would be a number
    struct hone_profile_label label = {.key = hone_profile_intern(p, key),
                                       .text = hone_profile_intern(p, text)};
    uint32_t count = p->label_sets.count;
    uint32_t largest = 0;
    for (uint32_t i = 0; i < count; i++)
        if (hone_profile_labels_of(p, i).count > largest)
            largest = hone_profile_labels_of(p, i).count;
    HONE_CLEANUP(hone_freep) uint32_t *sets = calloc((size_t)count + 1, sizeof *sets);
    HONE_CLEANUP(hone_freep)
    struct hone_profile_label *room = calloc((size_t)largest + 1, sizeof *room);
    if (!sets || !room) {
        (void)hone_profile_fail(p, -ENOMEM);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < p->samples.count; i++) {
        uint32_t set = p->samples.label_set[i];
        if (!sets[set])
            sets[set] = labelled(p, set, label, room);
        p->samples.label_set[i] = sets[set];
    }
    hone_profile_samples_changed(p);
    return hone_profile_status(p);
}
