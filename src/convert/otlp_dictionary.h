// The tables of an OTLP file that is written. Mappings, functions, locations and stacks have the
// numbers of the profile; strings, attributes and links get theirs when first used.
#ifndef HONE_CONVERT_OTLP_DICTIONARY_H
#define HONE_CONVERT_OTLP_DICTIONARY_H

#include "convert/build.h"

#include "base/arena.h"
#include "base/buffer.h"

// What a label set became: attributes [first, first + count) of indices, and a link.
struct hone_otlp_set {
    uint32_t first;
    uint32_t count;
    uint32_t link; // 0 none
};

// Entries that were encoded, each once.
struct hone_otlp_entries {
    struct hone_name_cache cache;
    struct hone_buffer bytes; // fields of the dictionary
};

struct hone_otlp_dictionary {
    const struct hone_profile *profile;
    struct hone_arena arena;
    struct hone_otlp_entries strings;
    struct hone_otlp_entries attributes;
    struct hone_otlp_entries links;
    struct hone_otlp_set *sets; // by label set
    uint32_t *indices;
    uint32_t index_room;
    uint32_t index_count;
    bool failed; // memory is out
};

void hone_otlp_dictionary_init(struct hone_otlp_dictionary *d, const struct hone_profile *profile);
void hone_otlp_dictionary_done(struct hone_otlp_dictionary *d);

// The text is borrowed for as long as the dictionary lives.
uint32_t hone_otlp_put_string(struct hone_otlp_dictionary *d, struct hone_str text);
// A text that the profile has by number.
static inline uint32_t hone_otlp_put_known(struct hone_otlp_dictionary *d, uint32_t string)
{
    return hone_otlp_put_string(d, hone_profile_str(d->profile, string));
}

// An attribute whose value is an encoded AnyValue. Returns its index.
uint32_t hone_otlp_put_attribute(struct hone_otlp_dictionary *d, struct hone_str key,
                                 const struct hone_buffer *value, uint32_t unit);
uint32_t hone_otlp_put_text_attribute(struct hone_otlp_dictionary *d, const char *key,
                                      struct hone_str text);

// Fills sets.
void hone_otlp_put_label_sets(struct hone_otlp_dictionary *d);

// Appends the whole, when nothing is to be added any more.
void hone_otlp_put_dictionary(struct hone_otlp_dictionary *d, struct hone_buffer *out);

#endif
