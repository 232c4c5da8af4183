#include "profile/index.h"

void hone_profile_forget(struct hone_profile *p)
{
    struct hone_table *const tables[] = {&p->index->locations, &p->index->stacks,
                                         &p->index->label_sets, &p->index->samples};
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        hone_table_done(tables[i]);
        *tables[i] = (struct hone_table){0};
    }
}
