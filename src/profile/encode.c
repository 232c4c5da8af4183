// Encoding: lengths come before what they measure, so each message is measured, then written in
// place; nothing is moved or copied. Field order, packing (three numbers or more) and the omission
// of zeros are those of Go's encoder, so that files compare.
//
// A profile is encoded in pieces, which follow each other: the types, some samples each, the rest.
// Any thread can make any of them, and whoever compresses them needs no more of it than one.
#include "profile/index.h"
#include "profile/pack.h"

#include "base/array.h"
#include "base/cleanup.h"
#include "base/file.h"

#include <errno.h>
#include <stdlib.h>

enum wire { VARINT = 0, BYTES = 2 };

static size_t varint_size(uint64_t value)
{
    return ((size_t)(63 - __builtin_clzll(value | 1)) * 9 + 73) / 64; // ⌈bits / 7⌉
}

static inline unsigned char *put_varint(unsigned char *at, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        *at++ = (unsigned char)(value | 0x80);
    *at++ = (unsigned char)value;
    return at;
}

// All our field numbers are below 16, so a tag is one byte.
static size_t field_size(uint64_t value)
{
    return value ? 1 + varint_size(value) : 0;
}

static unsigned char *put_field(unsigned char *at, unsigned field, uint64_t value)
{
    if (!value)
        return at;
    *at++ = (unsigned char)(field << 3 | VARINT);
    return put_varint(at, value);
}

static size_t message_size(size_t body)
{
    return 1 + varint_size(body) + body;
}

static unsigned char *put_head(unsigned char *at, unsigned field, size_t body)
{
    *at++ = (unsigned char)(field << 3 | BYTES);
    return put_varint(at, body);
}

struct encoder {
    const struct hone_profile *profile;
    struct hone_buffer *out;
    uint32_t *string; // our number to the file's
    uint32_t *named;  // the file's number - 1 to ours
    uint32_t named_count;
};

// --- strings -------------------------------------------------------------------------------------

// The strings that something names, numbered in the order of Go's encoder: as the messages name
// them, though strings are written behind.
static void name(struct encoder *e, uint32_t string)
{
    if (!string || e->string[string])
        return;
    e->named[e->named_count] = string;
    e->string[string] = ++e->named_count;
}

static void name_type(struct encoder *e, struct hone_profile_type type)
{
    name(e, type.type);
    name(e, type.unit);
}

static void name_all(struct encoder *e)
{
    const struct hone_profile *p = e->profile;
    for (uint32_t i = 0; i < p->type_count; i++)
        name_type(e, p->types[i]);
    for (uint32_t i = 0; i < p->samples.count; i++) {
        struct hone_profile_label_span labels = hone_profile_labels_of(p, p->samples.label_set[i]);
        for (uint32_t k = 0; k < labels.count; k++) {
            name(e, labels.at[k].key);
            name(e, labels.at[k].text);
            name(e, labels.at[k].unit);
        }
    }
    for (uint32_t i = 1; i < p->mappings.count; i++) {
        name(e, p->mappings.at[i].file);
        name(e, p->mappings.at[i].build_id);
    }
    for (uint32_t i = 1; i < p->functions.count; i++) {
        name(e, p->functions.name[i]);
        name(e, p->functions.system_name[i]);
        name(e, p->functions.file[i]);
    }
    name(e, p->drop_frames);
    name(e, p->keep_frames);
    name_type(e, p->period_type);
    for (uint32_t i = 0; i < p->comment_count; i++)
        name(e, p->comments[i]);
    name(e, p->default_type);
    name(e, p->doc_url);
}

static void put_string(struct encoder *e, struct hone_str text)
{
    unsigned char *at = hone_buffer_grow(e->out, message_size(text.len));
    if (!at)
        return;
    at = put_head(at, 6, text.len);
    if (text.len)
        memcpy(at, text.at, text.len);
}

static void put_strings(struct encoder *e)
{
    put_string(e, (struct hone_str){"", 0});
    for (uint32_t i = 0; i < e->named_count; i++)
        put_string(e, e->profile->strings.text[e->named[i]]);
}

// --- messages ------------------------------------------------------------------------------------

static void put_value_type(struct encoder *e, unsigned field, struct hone_profile_type type)
{
    uint64_t name = e->string[type.type];
    uint64_t unit = e->string[type.unit];
    size_t body = field_size(name) + field_size(unit);
    unsigned char *at = hone_buffer_grow(e->out, message_size(body));
    if (at)
        (void)put_field(put_field(put_head(at, field, body), 1, name), 2, unit);
}

// Numbers that repeat: three and more are packed.
struct run {
    size_t bytes; // of the numbers alone
    uint32_t count;
};

static size_t run_size(struct run run)
{
    if (run.count > 2)
        return message_size(run.bytes);
    return run.count + run.bytes;
}

static unsigned char *put_run_head(unsigned char *at, unsigned field, struct run run)
{
    return run.count > 2 ? put_head(at, field, run.bytes) : at;
}

static unsigned char *put_run_number(unsigned char *at, unsigned field, struct run run,
                                     uint64_t value)
{
    if (run.count <= 2)
        *at++ = (unsigned char)(field << 3 | VARINT);
    return put_varint(at, value);
}

static size_t label_size(const struct encoder *e, const struct hone_profile_label *label)
{
    return field_size(e->string[label->key]) + field_size(e->string[label->text]) +
           field_size((uint64_t)label->number) + field_size(e->string[label->unit]);
}

static unsigned char *put_label(const struct encoder *e, unsigned char *at,
                                const struct hone_profile_label *label)
{
    at = put_head(at, 3, label_size(e, label));
    at = put_field(at, 1, e->string[label->key]);
    at = put_field(at, 2, e->string[label->text]);
    at = put_field(at, 3, (uint64_t)label->number);
    return put_field(at, 4, e->string[label->unit]);
}

static void put_sample(struct encoder *e, uint32_t sample)
{
    const struct hone_profile *p = e->profile;
    struct hone_profile_span frames = hone_profile_frames_of(p, p->samples.stack[sample]);
    struct hone_profile_label_span labels = hone_profile_labels_of(p, p->samples.label_set[sample]);

    struct run locations = {.count = frames.count};
    for (uint32_t i = 0; i < frames.count; i++)
        locations.bytes += varint_size(frames.at[i]);
    struct run values = {.count = p->type_count};
    for (uint32_t i = 0; i < p->type_count; i++)
        values.bytes += varint_size((uint64_t)p->samples.values[i][sample]);
    size_t body = run_size(locations) + run_size(values);
    for (uint32_t i = 0; i < labels.count; i++)
        body += message_size(label_size(e, &labels.at[i]));

    unsigned char *at = hone_buffer_grow(e->out, message_size(body));
    if (!at)
        return;
    at = put_head(at, 2, body);
    at = put_run_head(at, 1, locations);
    for (uint32_t i = 0; i < frames.count; i++)
        at = put_run_number(at, 1, locations, frames.at[i]);
    at = put_run_head(at, 2, values);
    for (uint32_t i = 0; i < p->type_count; i++)
        at = put_run_number(at, 2, values, (uint64_t)p->samples.values[i][sample]);
    for (uint32_t i = 0; i < labels.count; i++)
        at = put_label(e, at, &labels.at[i]);
}

static void put_mapping(struct encoder *e, uint32_t number)
{
    const struct hone_profile_mapping *m = &e->profile->mappings.at[number];
    const uint64_t fields[] = {number,
                               m->start,
                               m->limit,
                               m->offset,
                               e->string[m->file],
                               e->string[m->build_id],
                               !!(m->flags & HONE_PROFILE_HAS_FUNCTIONS),
                               !!(m->flags & HONE_PROFILE_HAS_FILENAMES),
                               !!(m->flags & HONE_PROFILE_HAS_LINE_NUMBERS),
                               !!(m->flags & HONE_PROFILE_HAS_INLINE_FRAMES)};
    size_t body = 0;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        body += field_size(fields[i]);
    unsigned char *at = hone_buffer_grow(e->out, message_size(body));
    if (!at)
        return;
    at = put_head(at, 3, body);
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        at = put_field(at, (unsigned)i + 1, fields[i]);
}

static size_t line_size(const struct hone_profile_line *line)
{
    return field_size(line->function) + field_size((uint64_t)line->number) +
           field_size((uint64_t)line->column);
}

static void put_location(struct encoder *e, uint32_t number)
{
    const struct hone_profile_locations *all = &e->profile->locations;
    struct hone_profile_line_span lines = hone_profile_lines_of(e->profile, number);
    size_t body = field_size(number) + field_size(all->mapping[number]) +
                  field_size(all->address[number]) + field_size(all->folded[number]);
    for (uint32_t i = 0; i < lines.count; i++)
        body += message_size(line_size(&lines.at[i]));
    unsigned char *at = hone_buffer_grow(e->out, message_size(body));
    if (!at)
        return;
    at = put_head(at, 4, body);
    at = put_field(at, 1, number);
    at = put_field(at, 2, all->mapping[number]);
    at = put_field(at, 3, all->address[number]);
    for (uint32_t i = 0; i < lines.count; i++) {
        at = put_head(at, 4, line_size(&lines.at[i]));
        at = put_field(at, 1, lines.at[i].function);
        at = put_field(at, 2, (uint64_t)lines.at[i].number);
        at = put_field(at, 3, (uint64_t)lines.at[i].column);
    }
    (void)put_field(at, 5, all->folded[number]);
}

static void put_function(struct encoder *e, uint32_t number)
{
    const struct hone_profile_functions *all = &e->profile->functions;
    const uint64_t fields[] = {number, e->string[all->name[number]],
                               e->string[all->system_name[number]], e->string[all->file[number]],
                               (uint64_t)all->start_line[number]};
    size_t body = 0;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        body += field_size(fields[i]);
    unsigned char *at = hone_buffer_grow(e->out, message_size(body));
    if (!at)
        return;
    at = put_head(at, 5, body);
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        at = put_field(at, (unsigned)i + 1, fields[i]);
}

static void put_number(struct encoder *e, unsigned field, uint64_t value)
{
    unsigned char *at = hone_buffer_grow(e->out, field_size(value));
    if (at)
        (void)put_field(at, field, value);
}

static void put_comments(struct encoder *e)
{
    const struct hone_profile *p = e->profile;
    struct run run = {.count = p->comment_count};
    for (uint32_t i = 0; i < p->comment_count; i++)
        run.bytes += varint_size(e->string[p->comments[i]]);
    unsigned char *at = hone_buffer_grow(e->out, run_size(run));
    if (!at || !run.count)
        return;
    at = put_run_head(at, 13, run);
    for (uint32_t i = 0; i < p->comment_count; i++)
        at = put_run_number(at, 13, run, e->string[p->comments[i]]);
}

// --- pieces --------------------------------------------------------------------------------------

static void put_rest(struct encoder *e)
{
    const struct hone_profile *p = e->profile;
    for (uint32_t i = 1; i < p->mappings.count; i++)
        put_mapping(e, i);
    for (uint32_t i = 1; i < p->locations.count; i++)
        put_location(e, i);
    for (uint32_t i = 1; i < p->functions.count; i++)
        put_function(e, i);
    put_strings(e);
    put_number(e, 7, e->string[p->drop_frames]);
    put_number(e, 8, e->string[p->keep_frames]);
    put_number(e, 9, (uint64_t)p->time_ns);
    put_number(e, 10, (uint64_t)p->duration_ns);
    if (p->period_type.type || p->period_type.unit)
        put_value_type(e, 11, p->period_type);
    put_number(e, 12, (uint64_t)p->period);
    put_comments(e);
    put_number(e, 14, e->string[p->default_type]);
    put_number(e, 15, e->string[p->doc_url]);
}

// Samples from first to, and without, end; before the first come the types, behind the last the
// rest.
static void put_samples(const struct encoder *encoder, uint32_t first, uint32_t end,
                        struct hone_buffer *out)
{
    struct encoder e = *encoder;
    e.out = out;
    const struct hone_profile *p = e.profile;
    for (uint32_t i = 0; first == 0 && i < p->type_count; i++)
        put_value_type(&e, 1, p->types[i]);
    for (uint32_t i = first; i < end; i++)
        put_sample(&e, i);
    if (end == p->samples.count)
        put_rest(&e);
}

struct pieces {
    const struct encoder *encoder;
    uint32_t *first; // sample of each; one more closes the last
    uint32_t count;
    uint32_t room;
};

static void pieces_done(struct pieces *pieces)
{
    free(pieces->first);
}

// Shares the samples out by what they will be in bytes, more or less.
static int share_out(struct pieces *pieces)
{
    enum { PIECE = 1 << 20, FRAME = 3, SAMPLE = 16 };
    const struct hone_profile *p = pieces->encoder->profile;
    uint64_t size = PIECE;
    for (uint32_t i = 0; i < p->samples.count; i++) {
        if (size >= PIECE) {
            if (!hone_array_reserve(&pieces->first, &pieces->room, pieces->count + 3ull,
                                    sizeof *pieces->first))
                return -ENOMEM;
            pieces->first[pieces->count++] = i;
            size = 0;
        }
        size += SAMPLE + FRAME * hone_profile_frames_of(p, p->samples.stack[i]).count;
    }
    if (!pieces->count &&
        !hone_array_reserve(&pieces->first, &pieces->room, 2, sizeof *pieces->first))
        return -ENOMEM;
    pieces->count += !pieces->count;
    pieces->first[pieces->count] = p->samples.count;
    return 0;
}

static void make_piece(const void *context, size_t number, struct hone_buffer *plain)
{
    const struct pieces *pieces = context;
    put_samples(pieces->encoder, pieces->first[number], pieces->first[number + 1], plain);
}

// --- whole profiles ------------------------------------------------------------------------------

static void encoder_done(struct encoder *e)
{
    free(e->string);
    free(e->named);
}

static int encoder_init(struct encoder *e, const struct hone_profile *p, struct hone_error *err)
{
    *e = (struct encoder){.profile = p};
    int r = hone_profile_status(p);
    if (r) {
        (void)hone_error_set(err, r, "cannot encode the profile, which is incomplete");
        return r;
    }
    e->string = calloc(p->strings.count, sizeof *e->string);
    e->named = calloc(p->strings.count, sizeof *e->named);
    if (!e->string || !e->named) {
        (void)hone_error_set(err, -ENOMEM, "cannot encode the profile");
        return -ENOMEM;
    }
    name_all(e);
    return 0;
}

int hone_profile_encode(const struct hone_profile *p, struct hone_buffer *out,
                        struct hone_error *err)
{
    HONE_CLEANUP(encoder_done) struct encoder e;
    int r = encoder_init(&e, p, err);
    if (r)
        return r;
    put_samples(&e, 0, p->samples.count, out);
    return out->failed ? hone_error_set(err, -ENOMEM, "cannot encode the profile") : 0;
}

int hone_profile_encode_gzip(const struct hone_profile *profile, struct hone_buffer *out,
                             struct hone_error *err)
{
    HONE_CLEANUP(encoder_done) struct encoder e;
    HONE_CLEANUP(pieces_done) struct pieces pieces = {.encoder = &e};
    int r = encoder_init(&e, profile, err);
    if (r)
        return r;
    r = share_out(&pieces);
    if (r)
        return hone_error_set(err, r, "cannot encode the profile");
    const struct hone_pack_pieces all = {
        .make = make_piece, .context = &pieces, .count = pieces.count};
    return hone_pack_gzip(&all, out, err);
}

int hone_profile_write(const struct hone_profile *profile, const char *path, struct hone_error *err)
{
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer bytes = {0};
    int r = hone_profile_encode_gzip(profile, &bytes, err);
    return r ? r : hone_file_write(path, bytes.at, bytes.len, err);
}
