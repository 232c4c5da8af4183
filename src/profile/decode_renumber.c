// The file's numbers of locations become ours, in every stack. Two stacks may turn out to be equal
// then, and two samples.
#include "profile/decode.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>

static int no_location(struct hone_decoder *d, uint32_t stack, uint64_t id)
{
    const struct hone_profile_samples *samples = &d->profile->samples;
    uint32_t sample = 0;
    while (sample < samples->count && samples->stack[sample] != stack)
        sample++;
    return hone_error_set(d->err, -EBADMSG, "cannot read '%s': no location has id %llu, sample %u",
                          hone_unpack_name(d->input), (unsigned long long)id, sample + 1);
}

static int renumber_frames(struct hone_decoder *d)
{
    struct hone_profile *p = d->profile;
    for (uint32_t stack = 1; stack < p->stacks.count; stack++) {
        uint32_t end = p->stacks.first_frame[stack + 1];
        for (uint32_t i = p->stacks.first_frame[stack]; i < end; i++) {
            uint32_t *frame = &p->frames.location[i];
            uint64_t id = *frame & HONE_DECODE_WIDE ? d->wide[*frame & ~HONE_DECODE_WIDE] : *frame;
            *frame = hone_ids_find(&d->locations, id);
            if (!*frame)
                return no_location(d, stack, id);
        }
    }
    return 0;
}

static int renumber_stacks(struct hone_decoder *d)
{
    struct hone_profile *p = d->profile;
    int r = renumber_frames(d);
    if (r)
        return r;
    HONE_CLEANUP(hone_freep) uint32_t *stacks = calloc(p->stacks.count, sizeof *stacks);
    if (!stacks)
        return hone_decode_out_of_memory(d);
    uint32_t before = p->stacks.count;
    hone_profile_stacks_changed(p, stacks);
    for (uint32_t i = 0; i < p->samples.count; i++)
        p->samples.stack[i] = stacks[p->samples.stack[i]];
    if (p->stacks.count != before)
        hone_profile_samples_renumbered(p);
    return hone_decode_status(d);
}

static int string_of(struct hone_decoder *d, uint64_t number, uint64_t byte, uint32_t *ret)
{
    if (number >= d->string_count && number)
        return hone_decode_bad_byte(d, byte, d->err, "string %lld, where there are %u",
                                    (long long)number, d->string_count);
    *ret = number ? d->strings[number] : 0;
    return 0;
}

static int add_label_set(struct hone_decoder *d, const struct hone_decode_label_set *set,
                         struct hone_profile_label *labels, uint32_t *ret)
{
    for (uint32_t i = 0; i < set->count; i++) {
        const struct hone_decode_label *theirs = &d->labels.at[set->first + i];
        struct hone_profile_label *label = &labels[i];
        int r = string_of(d, theirs->key, theirs->at, &label->key);
        r = r ? r : string_of(d, theirs->text, theirs->at, &label->text);
        r = r ? r : string_of(d, theirs->unit, theirs->at, &label->unit);
        if (r)
            return r;
        label->number = theirs->number;
    }
    *ret = hone_profile_add_label_set(d->profile, labels, set->count);
    return hone_decode_status(d);
}

static int renumber_labels(struct hone_decoder *d)
{
    struct hone_profile *p = d->profile;
    uint32_t count = d->labels.set_count ? d->labels.set_count : 1;
    HONE_CLEANUP(hone_freep) uint32_t *sets = calloc(count, sizeof *sets);
    HONE_CLEANUP(hone_freep)
    struct hone_profile_label *labels = calloc(HONE_PROFILE_LABELS_MAX, sizeof *labels);
    if (!sets || !labels)
        return hone_decode_out_of_memory(d);
    bool same = true;
    for (uint32_t i = 1; i < count; i++) {
        int r = add_label_set(d, &d->labels.sets[i], labels, &sets[i]);
        if (r)
            return r;
        same &= sets[i] == i;
    }
    if (same)
        return 0;
    for (uint32_t i = 0; i < p->samples.count; i++)
        p->samples.label_set[i] = sets[p->samples.label_set[i]];
    hone_profile_samples_renumbered(p);
    return hone_decode_status(d);
}

int hone_decode_renumber(struct hone_decoder *d)
{
    bool dangling = d->profile->frames.count && d->max_frame >= d->profile->locations.count - 1;
    int r = d->renumbered || d->wide_count || dangling ? renumber_stacks(d) : 0;
    return r ? r : renumber_labels(d);
}
