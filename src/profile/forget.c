#include "profile/filter.h"
#include "profile/index.h"

#include <stdlib.h>

void hone_profile_forget(struct hone_profile *p)
{
    struct hone_table *const tables[] = {&p->index->locations, &p->index->stacks,
                                         &p->index->label_sets, &p->index->samples};
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        hone_table_done(tables[i]);
        *tables[i] = (struct hone_table){0};
    }
}

void hone_profile_replace_lines(struct hone_profile *p, uint32_t *first,
                                struct hone_profile_line *lines)
{
    free(p->lines.at);
    free(p->locations.first_line);
    p->lines.at = lines;
    p->lines.count = first[p->locations.count];
    p->locations.first_line = first;
    p->index->line_room = p->lines.count;
    p->index->location_room = p->locations.count; // what is added next makes room for all columns
    hone_profile_forget(p);
}

void hone_profile_drop_blank_labels(struct hone_profile *p)
{
    uint32_t from = 0;
    uint32_t to = 0;
    for (uint32_t set = 0; set < p->label_sets.count; set++) {
        uint32_t end = p->label_sets.first_label[set + 1];
        p->label_sets.first_label[set] = to;
        for (; from < end; from++) {
            const struct hone_profile_label *label = &p->labels.at[from];
            if (label->text || label->number || label->unit)
                p->labels.at[to++] = *label;
        }
    }
    p->label_sets.first_label[p->label_sets.count] = to;
    if (to != p->labels.count)
        hone_profile_forget(p);
    p->labels.count = to;
}
