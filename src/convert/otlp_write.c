// A profile as OTLP: one resource, of which nothing is known, one scope and a profile for each
// sample type, the one to be shown first. What OTLP has no field for is in attributes of pprof.*.
#include "convert/otlp.h"
#include "convert/otlp_dictionary.h"
#include "convert/otlp_put.h"
#include "convert/readers.h"

#include "base/cleanup.h"

#include <errno.h>

struct writer {
    const struct hone_profile *profile;
    struct hone_otlp_dictionary dictionary;
    struct hone_buffer head; // of attributes: their indices, packed; the same in each profile
    struct hone_buffer sample;
    struct hone_buffer part;
};

static void writer_done(struct writer *w)
{
    hone_otlp_dictionary_done(&w->dictionary);
    hone_buffer_done(&w->head);
    hone_buffer_done(&w->sample);
    hone_buffer_done(&w->part);
}

// --- attributes of the whole ---------------------------------------------------------------------

static void put_comments(struct writer *w)
{
    const struct hone_profile *p = w->profile;
    struct hone_buffer list = {0};
    struct hone_buffer value = {0};
    for (uint32_t i = 0; i < p->comment_count; i++) {
        w->part.len = 0;
        hone_put_text(&w->part, 1, hone_profile_str(p, p->comments[i]));
        hone_put_message(&list, 1, &w->part);
    }
    hone_put_message(&value, 5, &list);
    hone_put_varint(&w->head, hone_otlp_put_attribute(
                                  &w->dictionary, HONE_STR("pprof.profile.comment"), &value, 0));
    hone_buffer_done(&list);
    hone_buffer_done(&value);
}

static void put_head(struct writer *w)
{
    const struct hone_profile *p = w->profile;
    const struct {
        const char *key;
        uint32_t text;
    } texts[] = {{"pprof.profile.doc_url", p->doc_url},
                 {"pprof.profile.drop_frames", p->drop_frames},
                 {"pprof.profile.keep_frames", p->keep_frames}};
    if (p->comment_count)
        put_comments(w);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (texts[i].text)
            hone_put_varint(&w->head,
                            hone_otlp_put_text_attribute(&w->dictionary, texts[i].key,
                                                         hone_profile_str(p, texts[i].text)));
}

static void put_scope_attribute(struct hone_buffer *scope, const char *key,
                                const struct hone_buffer *value)
{
    struct hone_buffer pair = {0};
    hone_put_text(&pair, 1, hone_str_of(key));
    hone_put_message(&pair, 2, value);
    hone_put_message(scope, 3, &pair);
    hone_buffer_done(&pair);
}

// The scope: who wrote it, and what pprof wants to know of the order of sample types.
static void put_scope(struct writer *w, const uint32_t *order, struct hone_buffer *out)
{
    const struct hone_profile *p = w->profile;
    struct hone_buffer scope = {0};
    struct hone_buffer list = {0};
    struct hone_buffer value = {0};
    hone_put_text(&scope, 1, HONE_STR("hone"));
    for (uint32_t i = 0; i < p->type_count; i++) {
        w->part.len = 0;
        hone_put_explicit(&w->part, 3, order[i]);
        hone_put_message(&list, 1, &w->part);
    }
    hone_put_message(&value, 5, &list);
    put_scope_attribute(&scope, "pprof.scope.sample_type_order", &value);
    if (p->default_type) {
        value.len = 0;
        hone_put_text(&value, 1, hone_profile_str(p, p->default_type));
        put_scope_attribute(&scope, "pprof.scope.default_sample_type", &value);
    }
    hone_put_message(out, 1, &scope);
    hone_buffer_done(&scope);
    hone_buffer_done(&list);
    hone_buffer_done(&value);
}

// --- profiles ------------------------------------------------------------------------------------

static void put_type(struct writer *w, unsigned field, struct hone_profile_type type,
                     struct hone_buffer *out)
{
    w->part.len = 0;
    hone_put_number(&w->part, 1, hone_otlp_put_known(&w->dictionary, type.type));
    hone_put_number(&w->part, 2, hone_otlp_put_known(&w->dictionary, type.unit));
    if (w->part.len || field == 1)
        hone_put_message(out, field, &w->part);
}

static void put_sample(struct writer *w, uint32_t sample, int64_t value, struct hone_buffer *out)
{
    const struct hone_profile *p = w->profile;
    const struct hone_otlp_set *set = &w->dictionary.sets[p->samples.label_set[sample]];
    w->sample.len = 0;
    hone_put_number(&w->sample, 1, p->samples.stack[sample]);
    if (set->count) {
        w->part.len = 0;
        for (uint32_t i = 0; i < set->count; i++)
            hone_put_varint(&w->part, w->dictionary.indices[set->first + i]);
        hone_put_message(&w->sample, 2, &w->part);
    }
    hone_put_number(&w->sample, 3, set->link);
    w->part.len = 0;
    hone_put_varint(&w->part, (uint64_t)value);
    hone_put_message(&w->sample, 4, &w->part);
    hone_put_message(out, 2, &w->sample);
}

// All samples are in the first profile, those that are not zero in the others.
static void put_profile(struct writer *w, uint32_t type, bool first, struct hone_buffer *out)
{
    const struct hone_profile *p = w->profile;
    put_type(w, 1, p->types[type], out);
    for (uint32_t i = 0; i < p->samples.count && !out->failed; i++)
        if (first || p->samples.values[type][i])
            put_sample(w, i, p->samples.values[type][i], out);
    hone_put_fixed64(out, 3, (uint64_t)p->time_ns);
    if (p->duration_ns > 0)
        hone_put_number(out, 4, (uint64_t)p->duration_ns);
    put_type(w, 5, p->period_type, out);
    hone_put_number(out, 6, (uint64_t)p->period);
    if (w->head.len)
        hone_put_message(out, 11, &w->head);
}

// Types with the one to be shown first in front, the others as they are.
static void order_types(const struct hone_profile *p, uint32_t *order)
{
    uint32_t shown = 0;
    if (hone_profile_select_type(p, NULL, &shown, NULL))
        return; // there is none
    order[0] = shown;
    for (uint32_t i = 0, at = 1; i < p->type_count; i++)
        if (i != shown)
            order[at++] = i;
}

int hone_otlp_write(const struct hone_profile *profile, struct hone_buffer *out,
                    struct hone_error *err)
{
    int r = hone_profile_status(profile);
    if (r)
        return hone_error_set(err, r, "cannot encode the profile, which is incomplete");
    uint32_t order[HONE_PROFILE_TYPES_MAX] = {0};
    HONE_CLEANUP(writer_done) struct writer w = {.profile = profile};
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer scope = {0};
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer message = {0};
    hone_otlp_dictionary_init(&w.dictionary, profile);
    hone_otlp_put_label_sets(&w.dictionary);
    order_types(profile, order);
    if (profile->type_count) // otherwise there is no profile to carry it
        put_head(&w);
    put_scope(&w, order, &scope);
    for (uint32_t i = 0; i < profile->type_count && !w.dictionary.failed; i++) {
        message.len = 0;
        put_profile(&w, order[i], i == 0, &message);
        hone_put_message(&scope, 2, &message);
    }
    message.len = 0;
    hone_put_message(&message, 2, &scope);
    hone_put_message(out, 1, &message);
    message.len = 0;
    if (!w.dictionary.failed)
        hone_otlp_put_dictionary(&w.dictionary, &message);
    hone_put_message(out, 2, &message);
    bool failed =
        out->failed || w.dictionary.failed || w.sample.failed || w.part.failed || w.head.failed;
    return failed ? hone_error_set(err, -ENOMEM, "cannot encode the profile") : 0;
}
