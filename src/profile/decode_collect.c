// Samples of a block into the profile. Looking a stack up in a table of 400 000 is a cache miss, so
// the table is read ahead for those that come next.
#include "profile/decode.h"

#include "base/cleanup.h"

#include <stdlib.h>

enum { AHEAD = 16, EXPECTED_MAX = 1 << 28 };

// The block's label sets to those of the whole file.
static int collect_labels(struct hone_decoder *d, const struct hone_decode_labels *theirs,
                          uint32_t *sets)
{
    struct hone_decode_labels *all = &d->labels;
    for (uint32_t i = 1; i < theirs->set_count; i++) {
        const struct hone_decode_label_set *set = &theirs->sets[i];
        for (uint32_t k = 0; k < set->count; k++) {
            if (!hone_decode_room(&all->at, &all->room, all->count + k, sizeof *all->at))
                return hone_decode_out_of_memory(d);
            all->at[all->count + k] = theirs->at[set->first + k];
        }
        if (!hone_decode_labels_close(all, set->count, set->hash, &sets[i]))
            return hone_decode_out_of_memory(d);
    }
    return 0;
}

// What the whole file will hold, if the rest is like this first block.
static void expect(struct hone_decoder *d, const struct hone_decode_block *b)
{
    double share = b->share;
    double samples = b->sample_count / share * 1.05;
    double frames = (double)b->frame_count / share * 1.05;
    if (share < 0.5 && samples * 16 < EXPECTED_MAX && frames < EXPECTED_MAX)
        hone_profile_expect(d->profile, (uint32_t)samples, (uint32_t)frames);
}

int hone_decode_collect(struct hone_decoder *d, struct hone_decode_block *b)
{
    if (b->status) {
        if (d->err)
            *d->err = b->err;
        return b->status;
    }
    struct hone_profile *p = d->profile;
    HONE_CLEANUP(hone_freep)
    uint32_t *sets = calloc((size_t)b->labels.set_count + 1, sizeof *sets);
    if (!sets)
        return hone_decode_out_of_memory(d);
    int r = collect_labels(d, &b->labels, sets);
    if (r)
        return r;
    if (b->max_frame > d->max_frame)
        d->max_frame = b->max_frame;
    // Those of the types are the rest's to tell. Before the first sample nobody knows it, and
    // whoever fills a later block may just be finding it.
    if (b->sample_count)
        p->type_count = d->value_count;
    if (!p->samples.count && b->sample_count)
        expect(d, b);
    for (uint32_t i = 0; i < b->sample_count; i++) {
        const struct hone_decode_sample *sample = &b->samples[i];
        if (i + AHEAD < b->sample_count)
            hone_table_prefetch(&p->index->stacks, sample[AHEAD].hash);
        bool is_new;
        uint32_t stack = hone_profile_stack_copy(p, b->frames + sample->first_frame,
                                                 sample->frame_count, sample->hash, &is_new);
        hone_profile_sample_append(p, stack, is_new, b->values + (size_t)i * d->value_count,
                                   sets[sample->label_set]);
    }
    return hone_decode_status(d);
}
