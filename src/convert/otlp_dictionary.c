#include "convert/otlp_dictionary.h"

#include "convert/otlp.h"
#include "convert/otlp_put.h"

#include <string.h>

// The number of an entry; a new one is appended as the given field. The bytes stay where they are.
static uint32_t put_entry(struct hone_otlp_dictionary *d, struct hone_otlp_entries *entries,
                          unsigned field, struct hone_str bytes)
{
    uint32_t *number = hone_name_cache_find(&entries->cache, bytes);
    if (!number) {
        d->failed = true;
        return 0;
    }
    if (!*number) {
        *number = entries->cache.count;
        hone_put_bytes(&entries->bytes, field, bytes.at, bytes.len);
    }
    return *number - 1;
}

// The same for a message that is gone afterwards.
static uint32_t put_made(struct hone_otlp_dictionary *d, struct hone_otlp_entries *entries,
                         unsigned field, struct hone_buffer *message)
{
    d->failed |= message->failed;
    char *copy = d->failed ? NULL : hone_arena_copy(&d->arena, message->at, message->len);
    d->failed |= !copy;
    uint32_t index = copy ? put_entry(d, entries, field, (struct hone_str){copy, message->len}) : 0;
    hone_buffer_done(message);
    return index;
}

uint32_t hone_otlp_put_string(struct hone_otlp_dictionary *d, struct hone_str text)
{
    return put_entry(d, &d->strings, HONE_OTLP_STRINGS, text);
}

void hone_otlp_dictionary_init(struct hone_otlp_dictionary *d, const struct hone_profile *profile)
{
    static const char no_link[] =
        "\x0a\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x12\x08\0\0\0\0\0\0\0\0";
    *d = (struct hone_otlp_dictionary){.profile = profile};
    (void)hone_otlp_put_string(d, (struct hone_str){"", 0});
    (void)put_entry(d, &d->attributes, HONE_OTLP_ATTRIBUTES, HONE_STR(""));
    (void)put_entry(d, &d->links, HONE_OTLP_LINKS, HONE_STR(no_link));
}

static void entries_done(struct hone_otlp_entries *entries)
{
    hone_name_cache_done(&entries->cache);
    hone_buffer_done(&entries->bytes);
}

void hone_otlp_dictionary_done(struct hone_otlp_dictionary *d)
{
    hone_arena_done(&d->arena);
    entries_done(&d->strings);
    entries_done(&d->attributes);
    entries_done(&d->links);
    free(d->sets);
    free(d->indices);
}

// --- attributes ----------------------------------------------------------------------------------

uint32_t hone_otlp_put_attribute(struct hone_otlp_dictionary *d, struct hone_str key,
                                 const struct hone_buffer *value, uint32_t unit)
{
    struct hone_buffer message = {0};
    hone_put_number(&message, 1, hone_otlp_put_string(d, key));
    hone_put_message(&message, 2, value);
    hone_put_number(&message, 3, unit);
    return put_made(d, &d->attributes, HONE_OTLP_ATTRIBUTES, &message);
}

uint32_t hone_otlp_put_text_attribute(struct hone_otlp_dictionary *d, const char *key,
                                      struct hone_str text)
{
    struct hone_buffer value = {0};
    hone_put_text(&value, 1, text);
    uint32_t index = hone_otlp_put_attribute(d, hone_str_of(key), &value, 0);
    hone_buffer_done(&value);
    return index;
}

static uint32_t put_true(struct hone_otlp_dictionary *d, const char *key)
{
    struct hone_buffer value = {0};
    hone_put_explicit(&value, 2, 1);
    uint32_t index = hone_otlp_put_attribute(d, hone_str_of(key), &value, 0);
    hone_buffer_done(&value);
    return index;
}

static void put_label_value(const struct hone_profile *p, const struct hone_profile_label *label,
                            struct hone_buffer *out)
{
    if (label->text)
        hone_put_text(out, 1, hone_profile_str(p, label->text));
    else
        hone_put_explicit(out, 3, (uint64_t)label->number);
}

// Labels that differ in their value alone: keys are to be unique, so several become a list.
static uint32_t put_labels(struct hone_otlp_dictionary *d, const struct hone_profile_label *label,
                           uint32_t count)
{
    const struct hone_profile *p = d->profile;
    struct hone_buffer value = {0};
    if (count == 1) {
        put_label_value(p, label, &value);
    } else {
        struct hone_buffer list = {0};
        struct hone_buffer one = {0};
        for (uint32_t i = 0; i < count; i++) {
            one.len = 0;
            put_label_value(p, &label[i], &one);
            hone_put_message(&list, 1, &one);
        }
        hone_put_message(&value, 5, &list);
        hone_buffer_done(&list);
        hone_buffer_done(&one);
    }
    uint32_t unit = hone_otlp_put_known(d, label->unit);
    uint32_t index = hone_otlp_put_attribute(d, hone_profile_str(p, label->key), &value, unit);
    hone_buffer_done(&value);
    return index;
}

// --- links ---------------------------------------------------------------------------------------

static bool unhex(struct hone_str text, unsigned char *bytes, size_t len)
{
    if (text.len != 2 * len)
        return false;
    unsigned char all = 0;
    for (size_t i = 0; i < text.len; i++) {
        static const char digits[] = "0123456789abcdef";
        const char *digit = memchr(digits, text.at[i], sizeof digits - 1);
        if (!digit)
            return false;
        bytes[i / 2] = (unsigned char)(bytes[i / 2] << 4 | (digit - digits));
        all |= bytes[i / 2];
    }
    return all; // zeros are no id
}

static bool is_key(const struct hone_profile *p, const struct hone_profile_label *label,
                   const char *key)
{
    return label->text && strcmp(hone_profile_text(p, label->key), key) == 0;
}

// Whether labels "trace_id" and "span_id" are there, once each, with ids in them.
static bool find_link(const struct hone_profile *p, struct hone_profile_label_span labels,
                      unsigned char trace[16], unsigned char span[8])
{
    unsigned traces = 0;
    unsigned spans = 0;
    for (uint32_t i = 0; i < labels.count; i++) {
        struct hone_str text = hone_profile_str(p, labels.at[i].text);
        if (is_key(p, &labels.at[i], "trace_id"))
            traces += unhex(text, trace, 16) ? 1 : 2;
        else if (is_key(p, &labels.at[i], "span_id"))
            spans += unhex(text, span, 8) ? 1 : 2;
    }
    return traces == 1 && spans == 1;
}

static uint32_t put_link(struct hone_otlp_dictionary *d, const unsigned char trace[16],
                         const unsigned char span[8])
{
    struct hone_buffer message = {0};
    hone_put_bytes(&message, 1, trace, 16);
    hone_put_bytes(&message, 2, span, 8);
    return put_made(d, &d->links, HONE_OTLP_LINKS, &message);
}

static bool add_index(struct hone_otlp_dictionary *d, uint32_t index)
{
    if (!hone_array_reserve(&d->indices, &d->index_room, (uint64_t)d->index_count + 1,
                            sizeof *d->indices)) {
        d->failed = true;
        return false;
    }
    d->indices[d->index_count++] = index;
    return true;
}

static void put_label_set(struct hone_otlp_dictionary *d, uint32_t number)
{
    const struct hone_profile *p = d->profile;
    struct hone_profile_label_span labels = hone_profile_labels_of(p, number);
    struct hone_otlp_set *set = &d->sets[number];
    unsigned char trace[16] = {0};
    unsigned char span[8] = {0};
    bool linked = find_link(p, labels, trace, span);
    if (linked)
        set->link = put_link(d, trace, span);
    set->first = d->index_count;
    for (uint32_t i = 0; i < labels.count && !d->failed;) {
        const struct hone_profile_label *label = &labels.at[i];
        uint32_t count = 1;
        while (i + count < labels.count && label[count].key == label->key &&
               label[count].unit == label->unit && !label[count].text == !label->text)
            count++;
        i += count;
        if (linked && (is_key(p, label, "trace_id") || is_key(p, label, "span_id")))
            continue;
        (void)add_index(d, put_labels(d, label, count));
    }
    set->count = d->index_count - set->first;
}

void hone_otlp_put_label_sets(struct hone_otlp_dictionary *d)
{
    d->sets = calloc(d->profile->label_sets.count, sizeof *d->sets);
    if (!d->sets)
        d->failed = true;
    for (uint32_t i = 0; i < d->profile->label_sets.count && !d->failed; i++)
        put_label_set(d, i);
}

// --- tables with the profile's numbers -----------------------------------------------------------

static void put_numbers(struct hone_buffer *out, unsigned field, const uint32_t *numbers,
                        uint32_t count)
{
    if (!count)
        return;
    struct hone_buffer packed = {0};
    for (uint32_t i = 0; i < count; i++)
        hone_put_varint(&packed, numbers[i]);
    hone_put_message(out, field, &packed);
    hone_buffer_done(&packed);
}

static void put_mapping(struct hone_otlp_dictionary *d, uint32_t number, struct hone_buffer *out)
{
    const struct hone_profile_mapping *m = &d->profile->mappings.at[number];
    static const char *const keys[] = {"pprof.mapping.has_functions", "pprof.mapping.has_filenames",
                                       "pprof.mapping.has_line_numbers",
                                       "pprof.mapping.has_inline_frames"};
    uint32_t attributes[5];
    uint32_t count = 0;
    struct hone_str id = hone_profile_str(d->profile, m->build_id);
    if (id.len) // Go's own ids are not in hex
        attributes[count++] = hone_otlp_put_text_attribute(d,
                                                           memchr(id.at, '/', id.len)
                                                               ? "process.executable.build_id.go"
                                                               : "process.executable.build_id.gnu",
                                                           id);
    for (unsigned i = 0; i < 4; i++)
        if (m->flags >> i & 1)
            attributes[count++] = put_true(d, keys[i]);
    hone_put_number(out, 1, m->start);
    hone_put_number(out, 2, m->limit);
    hone_put_number(out, 3, m->offset);
    hone_put_number(out, 4, hone_otlp_put_known(d, m->file));
    put_numbers(out, 5, attributes, count);
}

static void put_function(struct hone_otlp_dictionary *d, uint32_t number, struct hone_buffer *out)
{
    const struct hone_profile_functions *all = &d->profile->functions;
    hone_put_number(out, 1, hone_otlp_put_known(d, all->name[number]));
    hone_put_number(out, 2, hone_otlp_put_known(d, all->system_name[number]));
    hone_put_number(out, 3, hone_otlp_put_known(d, all->file[number]));
    hone_put_number(out, 4, (uint64_t)all->start_line[number]);
}

static void put_location(struct hone_otlp_dictionary *d, uint32_t number, struct hone_buffer *out)
{
    const struct hone_profile_locations *all = &d->profile->locations;
    struct hone_profile_line_span lines = hone_profile_lines_of(d->profile, number);
    struct hone_buffer line = {0};
    hone_put_number(out, 1, all->mapping[number]);
    hone_put_number(out, 2, all->address[number]);
    for (uint32_t i = 0; i < lines.count; i++) {
        line.len = 0;
        hone_put_number(&line, 1, lines.at[i].function);
        hone_put_number(&line, 2, (uint64_t)lines.at[i].number);
        hone_put_number(&line, 3, (uint64_t)lines.at[i].column);
        hone_put_message(out, 3, &line);
    }
    hone_buffer_done(&line);
    if (all->folded[number]) {
        uint32_t attribute = put_true(d, "pprof.location.is_folded");
        put_numbers(out, 4, &attribute, 1);
    }
}

static void put_stack(struct hone_otlp_dictionary *d, uint32_t number, struct hone_buffer *out)
{
    struct hone_profile_span frames = hone_profile_frames_of(d->profile, number);
    put_numbers(out, 1, frames.at, frames.count);
}

static void put_table(struct hone_otlp_dictionary *d, unsigned field, uint32_t count,
                      void (*put)(struct hone_otlp_dictionary *, uint32_t, struct hone_buffer *),
                      struct hone_buffer *out)
{
    struct hone_buffer message = {0};
    for (uint32_t i = 0; i < count && !out->failed; i++) {
        message.len = 0;
        if (i) // 0 is empty in all of them
            put(d, i, &message);
        hone_put_message(out, field, &message);
    }
    hone_buffer_done(&message);
}

void hone_otlp_put_dictionary(struct hone_otlp_dictionary *d, struct hone_buffer *out)
{
    const struct hone_profile *p = d->profile;
    put_table(d, HONE_OTLP_MAPPINGS, p->mappings.count, put_mapping, out);
    put_table(d, HONE_OTLP_LOCATIONS, p->locations.count, put_location, out);
    put_table(d, HONE_OTLP_FUNCTIONS, p->functions.count, put_function, out);
    put_table(d, HONE_OTLP_STACKS, p->stacks.count, put_stack, out);
    const struct hone_buffer *made[] = {&d->links.bytes, &d->strings.bytes, &d->attributes.bytes};
    for (size_t i = 0; i < sizeof made / sizeof made[0]; i++) {
        if (made[i]->len)
            hone_buffer_add(out, made[i]->at, made[i]->len);
        out->failed |= made[i]->failed;
    }
    out->failed |= d->failed;
}
