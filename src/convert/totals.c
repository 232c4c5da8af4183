#include "convert/totals.h"

#include "base/cleanup.h"

#include <errno.h>

static void add(int64_t *to, const struct hone_profile *p, uint32_t sample)
{
    for (uint32_t type = 0; type < p->type_count; type++)
        if (__builtin_add_overflow(to[type], p->samples.values[type][sample], &to[type]))
            to[type] = to[type] < 0 ? INT64_MIN : INT64_MAX;
}

int hone_totals_init(struct hone_totals *totals, const struct hone_profile *p)
{
    *totals = (struct hone_totals){0};
    int r = hone_frames_init(&totals->frames, p, false);
    if (r)
        return r;
    size_t values = (size_t)totals->frames.count * p->type_count + 1;
    totals->flat = calloc(values, sizeof *totals->flat);
    totals->cum = calloc(values, sizeof *totals->cum);
    totals->seen = calloc((size_t)totals->frames.count + 1, sizeof *totals->seen);
    if (!totals->flat || !totals->cum || !totals->seen)
        return -ENOMEM;
    HONE_CLEANUP(hone_run_done) struct hone_run run = {0};
    for (uint32_t i = 0; i < p->samples.count; i++) {
        if (hone_run_of(&totals->frames, p, p->samples.stack[i], &run))
            return -ENOMEM;
        for (uint32_t k = 0; k < run.count; k++) {
            if (totals->seen[run.at[k]] != i + 1)
                add(totals->cum + (size_t)run.at[k] * p->type_count, p, i);
            totals->seen[run.at[k]] = i + 1;
        }
        if (run.count)
            add(totals->flat + (size_t)run.at[run.count - 1] * p->type_count, p, i);
    }
    return 0;
}

void hone_totals_done(struct hone_totals *totals)
{
    hone_frames_done(&totals->frames);
    free(totals->flat);
    free(totals->cum);
    free(totals->seen);
}
