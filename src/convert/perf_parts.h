// What the files that make a profile of a perf.data share.
#ifndef HONE_CONVERT_PERF_PARTS_H
#define HONE_CONVERT_PERF_PARTS_H

#include "convert/perf.h"
#include "convert/perf_stacks.h"
#include "convert/perf_stream.h"

#include <stdarg.h>

enum { HONE_PERFDATA_NO_EVENT = UINT32_MAX };

// Where the kernel lay, by the address of a symbol of its own.
struct hone_perfdata_kernel {
    uint64_t start, end, reference; // reference 0: not told
    char symbol[32];
};

// Everything that is known while records are read.
struct hone_perfdata_reading {
    const struct hone_perf_options *options;
    struct hone_perfdata_stream stream;
    struct hone_perfdata_modules modules;
    struct hone_perfdata_processes processes;
    struct hone_perfdata_stacks stacks;
    struct hone_perfdata_kernel kernel;
    struct hone_error *err;

    uint32_t event; // its number; HONE_PERFDATA_NO_EVENT: not chosen yet
    bool is_clock, has_period;

    // Samples by stacks of places: a location's mapping is the number of its module plus one, and
    // its address a place in the module's file. Names come at the end.
    struct hone_profile *raw;
    uint32_t *raw_mappings; // by module; 0: not yet
    uint32_t raw_mapping_room;
    struct {
        uint64_t hash;
        uint32_t stack;
    } * known; // stacks by their hash
    uint32_t known_count, known_room;
    struct hone_table known_table;

    uint64_t samples, others; // of the event, of other events
    uint64_t lost, throttled, broken, strangers;
    uint64_t ways[HONE_PERFDATA_WAYS], ends[HONE_PERFDATA_ENDS], searched, strayed;
    uint64_t first_ns, last_ns;
    bool out_of_memory;
};

// What is read: bytes of a perf.data, and of the parts of one that is a directory.
struct hone_perfdata_input {
    const void *bytes;
    size_t len;
    const char *name;
    bool is_mapped;
    uint64_t written_ns;
    const struct hone_perfdata_part *parts;
    uint32_t part_count;
};

// perf.c: all of it.
int hone_perfdata_read_input(const struct hone_perfdata_input *input,
                             const struct hone_perf_options *options, struct hone_profile **ret,
                             struct hone_error *err);

// perf_names.c: the profile that everybody reads, of the raw one. Returns 0 or a negative errno.
int hone_perfdata_profile(struct hone_perfdata_reading *reading, struct hone_profile **ret,
                          struct hone_error *err);

// perf_comments.c: what the profile says of itself.
void hone_perfdata_comment(const struct hone_perfdata_reading *reading,
                           struct hone_profile *profile);

// The event's name without what follows it: "cycles" of "cycles:u".
size_t hone_perfdata_plain_name(const char *name);

#endif
