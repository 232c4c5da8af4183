// A profile's places are what makes equal things one, so names that come later make a new profile.
#include "fetch/symbols.h"

#include "profile/profile.h"

#include <errno.h>
#include <stdlib.h>

struct copier {
    const struct hone_profile *from;
    struct hone_profile *to;
    const struct hone_symbols_answer *answers;
    uint32_t *mappings; // numbers in to
    uint32_t *functions;
    uint32_t *locations;
    uint32_t *label_sets;
    struct hone_profile_line *lines;
    uint32_t *frames;
    struct hone_profile_label *labels;
};

static uint32_t text_of(const struct copier *c, uint32_t string)
{
    return hone_profile_intern_str(c->to, hone_profile_str(c->from, string));
}

static void copy_head(const struct copier *c)
{
    const struct hone_profile *from = c->from;
    struct hone_profile *to = c->to;
    for (uint32_t i = 0; i < from->type_count; i++)
        (void)hone_profile_add_type(to, hone_profile_text(from, from->types[i].type),
                                    hone_profile_text(from, from->types[i].unit));
    for (uint32_t i = 0; i < from->comment_count; i++)
        hone_profile_add_comment(to, hone_profile_text(from, from->comments[i]));
    hone_profile_set_period(to, hone_profile_text(from, from->period_type.type),
                            hone_profile_text(from, from->period_type.unit), from->period);
    to->default_type = text_of(c, from->default_type);
    to->drop_frames = text_of(c, from->drop_frames);
    to->keep_frames = text_of(c, from->keep_frames);
    to->doc_url = text_of(c, from->doc_url);
    to->time_ns = from->time_ns;
    to->duration_ns = from->duration_ns;
}

static void copy_mappings(const struct copier *c)
{
    for (uint32_t i = 1; i < c->from->mappings.count; i++) {
        struct hone_profile_mapping mapping = c->from->mappings.at[i];
        mapping.file = c->answers[i].renamed ? 0 : text_of(c, mapping.file);
        mapping.build_id = text_of(c, mapping.build_id);
        if (c->answers[i].asked)
            mapping.flags |= HONE_PROFILE_HAS_FUNCTIONS;
        c->mappings[i] = hone_profile_add_mapping(c->to, &mapping);
    }
}

static void copy_functions(const struct copier *c)
{
    const struct hone_profile *from = c->from;
    for (uint32_t i = 1; i < from->functions.count; i++)
        c->functions[i] = hone_profile_add_function(
            c->to, &(struct hone_profile_function){.name = text_of(c, from->functions.name[i]),
                                                   .system_name =
                                                       text_of(c, from->functions.system_name[i]),
                                                   .file = text_of(c, from->functions.file[i]),
                                                   .start_line = from->functions.start_line[i]});
}

static uint32_t name_lines(const struct copier *c, uint32_t location)
{
    const struct hone_symbols_answer *answer = &c->answers[c->from->locations.mapping[location]];
    uint64_t address = c->from->locations.address[location];
    struct hone_str name = hone_symbols_find(&answer->symbols, address + answer->higher);
    if (!address || !name.len)
        return 0;
    uint32_t text = hone_profile_intern_str(c->to, name);
    c->lines[0] = (struct hone_profile_line){
        .function = hone_profile_add_function(
            c->to, &(struct hone_profile_function){.name = text, .system_name = text})};
    return 1;
}

static void copy_locations(const struct copier *c)
{
    const struct hone_profile *from = c->from;
    for (uint32_t i = 1; i < from->locations.count; i++) {
        struct hone_profile_line_span span = hone_profile_lines_of(from, i);
        for (uint32_t k = 0; k < span.count; k++) {
            c->lines[k] = span.at[k];
            c->lines[k].function = c->functions[span.at[k].function];
        }
        uint32_t count = span.count ? span.count : name_lines(c, i);
        c->locations[i] = hone_profile_add_location(
            c->to,
            &(struct hone_profile_location){.mapping = c->mappings[from->locations.mapping[i]],
                                            .address = from->locations.address[i],
                                            .lines = c->lines,
                                            .line_count = count,
                                            .folded = from->locations.folded[i]});
    }
}

static void copy_label_sets(const struct copier *c)
{
    for (uint32_t i = 1; i < c->from->label_sets.count; i++) {
        struct hone_profile_label_span span = hone_profile_labels_of(c->from, i);
        for (uint32_t k = 0; k < span.count; k++)
            c->labels[k] = (struct hone_profile_label){.key = text_of(c, span.at[k].key),
                                                       .text = text_of(c, span.at[k].text),
                                                       .number = span.at[k].number,
                                                       .unit = text_of(c, span.at[k].unit)};
        c->label_sets[i] = hone_profile_add_label_set(c->to, c->labels, span.count);
    }
}

static void copy_samples(const struct copier *c)
{
    const struct hone_profile *from = c->from;
    for (uint32_t i = 0; i < from->samples.count; i++) {
        struct hone_profile_span span = hone_profile_frames_of(from, from->samples.stack[i]);
        for (uint32_t k = 0; k < span.count; k++)
            c->frames[k] = c->locations[span.at[k]];
        int64_t values[HONE_PROFILE_TYPES_MAX];
        for (uint32_t k = 0; k < from->type_count; k++)
            values[k] = from->samples.values[k][i];
        uint32_t stack = hone_profile_add_stack(c->to, c->frames, span.count);
        (void)hone_profile_add_sample_in_set(c->to, stack, values,
                                             c->label_sets[from->samples.label_set[i]]);
    }
}

static int copy(struct copier *c)
{
    const struct hone_profile *from = c->from;
    c->to = hone_profile_new();
    c->mappings = calloc((size_t)from->mappings.count + 1, sizeof *c->mappings);
    c->functions = calloc((size_t)from->functions.count + 1, sizeof *c->functions);
    c->locations = calloc((size_t)from->locations.count + 1, sizeof *c->locations);
    c->label_sets = calloc((size_t)from->label_sets.count + 1, sizeof *c->label_sets);
    c->lines = calloc((size_t)from->lines.count + 1, sizeof *c->lines);
    c->frames = calloc((size_t)from->frames.count + 1, sizeof *c->frames);
    c->labels = calloc((size_t)from->labels.count + 1, sizeof *c->labels);
    if (!c->to || !c->mappings || !c->functions || !c->locations || !c->label_sets || !c->lines ||
        !c->frames || !c->labels)
        return -ENOMEM;
    copy_head(c);
    copy_mappings(c);
    copy_functions(c);
    copy_locations(c);
    copy_label_sets(c);
    copy_samples(c);
    return hone_profile_status(c->to);
}

int hone_symbols_apply(const struct hone_profile *profile,
                       const struct hone_symbols_answer *answers, struct hone_profile **ret)
{
    struct copier c = {.from = profile, .answers = answers};
    int r = copy(&c);
    if (!r)
        *ret = hone_take(c.to);
    hone_profile_free(c.to);
    free(c.mappings);
    free(c.functions);
    free(c.locations);
    free(c.label_sets);
    free(c.lines);
    free(c.frames);
    free(c.labels);
    return r;
}
