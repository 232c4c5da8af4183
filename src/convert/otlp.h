// OpenTelemetry's profiles (OTLP), in and out. Private to this room.
//
// The format is opentelemetry/proto/profiles/v1development/profiles.proto as of version 1.10.0 and
// 1.11.0 of opentelemetry-proto (2026); of version 1.9.0 and before, which numbered the fields of a
// sample in another way, files are read where a sample shows it. A file is one message
// ProfilesData, or ExportProfilesServiceRequest, which has the same fields. What pprof can say and
// OTLP has no field for travels in attributes that the semantic conventions name for it, pprof.*.
//
//     otlp_read.c     the whole: resources, scopes, profiles and their samples
//     otlp_tables.c   the dictionary: what an index means, looked up when first used
//     otlp_values.c   attributes as labels
//     otlp_write.c    a profile as OTLP; otlp_dictionary.c its tables
//     otlp_json_…     the same messages as JSON, by way of their bytes; otlp_schema.c names them
#ifndef HONE_CONVERT_OTLP_H
#define HONE_CONVERT_OTLP_H

#include "convert/build.h"
#include "profile/wire.h"

// Field numbers, where they are not obvious where they are used.
enum {
    HONE_OTLP_MAPPINGS = 1,
    HONE_OTLP_LOCATIONS = 2,
    HONE_OTLP_FUNCTIONS = 3,
    HONE_OTLP_LINKS = 4,
    HONE_OTLP_STRINGS = 5,
    HONE_OTLP_ATTRIBUTES = 6,
    HONE_OTLP_STACKS = 7,
    HONE_OTLP_TABLES = 8,
};

// One table of the dictionary.
struct hone_otlp_table {
    struct hone_wire *at; // the messages
    uint32_t *number;     // of what each became, plus one; 0 not looked up
    uint32_t room;
    uint32_t number_room;
    uint32_t count;
};

// Labels while they are collected. Texts before numbers is up to the profile.
struct hone_otlp_labels {
    struct hone_profile_label *at;
    uint32_t room;
    uint32_t count;
};

// Where the bytes come from, when they are made of something that people can see: tells the place
// there of a byte.
struct hone_otlp_origin {
    void (*place)(const void *context, size_t offset, char *text, size_t room);
    const void *context;
};

struct hone_otlp {
    const char *name;
    const unsigned char *start;
    const struct hone_otlp_origin *origin; // NULL: the file itself
    struct hone_error *err;
    struct hone_profile *profile;
    struct hone_otlp_table tables[HONE_OTLP_TABLES]; // by field number

    struct hone_otlp_labels some; // of a mapping or location at hand
    struct hone_profile_line *lines;
    uint32_t line_room;
    struct hone_stack stack;
    uint64_t label_total; // of all samples

    // What pprof has no place for.
    uint64_t lost_attributes; // of mappings and locations
    uint64_t lost_timestamps;
    uint64_t dropped; // attributes, which whoever wrote the file had left out
};

// All of a file. origin may be NULL. Returns what readers of formats do.
int hone_otlp_read_from(const void *bytes, size_t len, const char *name,
                        const struct hone_otlp_origin *origin, struct hone_profile **ret,
                        struct hone_error *err);

// --- messages; functions return 0 or a negative errno with the reason in err --------------------

__attribute__((format(printf, 3, 4))) int
hone_otlp_bad(struct hone_otlp *o, const unsigned char *at, const char *format, ...); // -EBADMSG
int hone_otlp_out_of_memory(struct hone_otlp *o);                                     // -ENOMEM

// Steps to the next field. Returns 1, 0 at the end, or a negative errno.
int hone_otlp_next(struct hone_otlp *o, struct hone_wire *message, struct hone_wire_field *ret);
int hone_otlp_want(struct hone_otlp *o, const struct hone_wire_field *field,
                   enum hone_wire_type type);

// Numbers that repeat, packed or not: steps through one field. numbers starts as
// {.field = field}; the same returns as hone_otlp_next().
struct hone_otlp_numbers {
    const struct hone_wire_field *field;
    struct hone_wire rest;
    bool begun;
};
int hone_otlp_next_number(struct hone_otlp *o, struct hone_otlp_numbers *numbers, uint64_t *ret);

// --- tables --------------------------------------------------------------------------------------

int hone_otlp_read_tables(struct hone_otlp *o, struct hone_wire dictionary);
// The message at an index. Index 0 is none, whether it is there or not.
int hone_otlp_entry(struct hone_otlp *o, unsigned table, uint64_t index, const unsigned char *at,
                    struct hone_wire *ret);
int hone_otlp_string(struct hone_otlp *o, uint64_t index, const unsigned char *at, uint32_t *ret);
// All mappings, so that they are in the order of the file: pprof takes the first for the program.
int hone_otlp_add_mappings(struct hone_otlp *o);
int hone_otlp_stack(struct hone_otlp *o, uint64_t index, const unsigned char *at, uint32_t *ret);
// A ValueType message.
int hone_otlp_type(struct hone_otlp *o, struct hone_wire message, struct hone_profile_type *ret);
void hone_otlp_done(struct hone_otlp *o);

// --- attributes ----------------------------------------------------------------------------------

// Adds the attribute at an index of the dictionary, or that of a message KeyValue.
int hone_otlp_add_attribute(struct hone_otlp *o, struct hone_otlp_labels *labels, uint64_t index,
                            const unsigned char *at);
int hone_otlp_add_key_value(struct hone_otlp *o, struct hone_otlp_labels *labels,
                            struct hone_wire message);
// All indices of a field that repeats.
int hone_otlp_add_attributes(struct hone_otlp *o, struct hone_otlp_labels *labels,
                             const struct hone_wire_field *field);
int hone_otlp_add_label(struct hone_otlp *o, struct hone_otlp_labels *labels,
                        const struct hone_profile_label *label);
// Labels "trace_id" and "span_id".
int hone_otlp_add_link(struct hone_otlp *o, struct hone_otlp_labels *labels, uint64_t index,
                       const unsigned char *at);

static inline bool hone_otlp_is(const struct hone_otlp *o, const struct hone_profile_label *label,
                                const char *key)
{
    return strcmp(hone_profile_text(o->profile, label->key), key) == 0;
}

static inline bool hone_otlp_is_true(const struct hone_otlp *o,
                                     const struct hone_profile_label *label)
{
    return strcmp(hone_profile_text(o->profile, label->text), "true") == 0;
}

#endif
