// hone-profile: the pprof model (profile.proto) in memory, in columns: built by a recorder or
// decoded from a file, read by every view, encoded to a file that other tools read too.
//
// It promises: what the format can say is kept (labels, inlined calls, comments, mappings); equal
// strings, functions, locations, stacks and label sets are stored once; a file of any bytes gives a
// profile or one clear error, in bounded memory; the same calls give the same bytes. It knows
// nothing of ELF files, symbols or how samples are taken.
//
//     struct hone_profile *p = hone_profile_new();
//     hone_profile_add_type(p, "samples", "count");
//     hone_profile_add_type(p, "cpu", "nanoseconds");
//     uint32_t f = hone_profile_add_function(p, &(struct hone_profile_function){
//         .name = hone_profile_intern(p, "main")});
//     struct hone_profile_line line = {.function = f, .number = 12};
//     uint32_t l = hone_profile_add_location(p, &(struct hone_profile_location){
//         .mapping = m, .address = 0x1234, .lines = &line, .line_count = 1});
//     uint32_t stack = hone_profile_add_stack(p, &l, 1);
//     hone_profile_add_sample(p, stack, (int64_t[]){1, 1000000}, NULL, 0);
//     r = hone_profile_write(p, "cpu.prof", &err);
//     hone_profile_free(p);
//
// Numbers (uint32_t) name strings, mappings, functions, locations, stacks and label sets. They are
// places in the columns below. Number 0 is always there and means "none": the empty string, no
// mapping, no function, no location, the empty stack, no labels; the columns hold zeros there.
//
// When memory or numbers run out, the add calls return 0 and the profile stays failed: one check
// of hone_profile_status() at the end is enough, and encoding refuses a failed profile.
//
// Units    values are in the unit of their type, times in nanoseconds, addresses in bytes.
// Owner    a profile owns what its columns point to, and copies the texts that it is given.
// Errors   0 is success, negative is -errno, with words for the user in a struct hone_error that
//          may be NULL; outputs are written on success only.
// Threads  one at a time while a profile changes, any number of readers after; large files are
//          decoded on several threads, which end before the call does.
// Signals  not for signal handlers.
//
// The format is that of https://github.com/google/pprof, and so are the rules by which profiles are
// merged, scaled and compared.
#ifndef HONE_PROFILE_H
#define HONE_PROFILE_H

#include <hone/base.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    HONE_PROFILE_TYPES_MAX = 64,         // sample types of one profile
    HONE_PROFILE_LABELS_MAX = 1 << 10,   // labels of one sample
    HONE_PROFILE_DEPTH_MAX = 1 << 20,    // frames of one stack
    HONE_PROFILE_LINES_MAX = 1 << 16,    // functions at one location
    HONE_PROFILE_HAS_FUNCTIONS = 1 << 0, // flags of a mapping: its symbols were looked up
    HONE_PROFILE_HAS_FILENAMES = 1 << 1,
    HONE_PROFILE_HAS_LINE_NUMBERS = 1 << 2,
    HONE_PROFILE_HAS_INLINE_FRAMES = 1 << 3,
};

// Two strings (numbers), such as "cpu" and "nanoseconds".
struct hone_profile_type {
    uint32_t type;
    uint32_t unit;
};

struct hone_profile_mapping {
    uint64_t start;  // first address in the process
    uint64_t limit;  // first address behind
    uint64_t offset; // place of start in the file
    uint32_t file;
    uint32_t build_id; // lower-case hex
    uint32_t flags;    // HONE_PROFILE_HAS_…
};

struct hone_profile_function {
    uint32_t name;        // as people read it
    uint32_t system_name; // as the linker knows it; adding makes 0 the name, files may have none
    uint32_t file;
    int64_t start_line;
};

struct hone_profile_line {
    uint32_t function;
    int64_t number; // 0 unknown
    int64_t column; // 0 unknown
};

// One place in a program. Lines run from the innermost inlined function to the one that holds the
// machine code; none means that the address has no name. Lines with function 0 are left out.
struct hone_profile_location {
    uint32_t mapping;
    uint64_t address;
    const struct hone_profile_line *lines;
    uint32_t line_count;
    bool folded; // several functions share this code, the linker having merged them
};

// A word or a number by which samples can be told apart. text 0 with number means a number.
struct hone_profile_label {
    uint32_t key;
    uint32_t text;
    int64_t number;
    uint32_t unit; // of the number; 0 none
};

// Columns. Everybody reads them; only the calls below write. Each pointer has count entries,
// those named first_… have count + 1, so what belongs to entry i is [first[i], first[i + 1]).
struct hone_profile {
    struct hone_profile_strings {
        uint32_t count;
        struct hone_str *text; // each followed by a NUL
    } strings;

    struct hone_profile_mappings {
        uint32_t count;
        struct hone_profile_mapping *at; // few, so not in columns; the main program is number 1
    } mappings;

    struct hone_profile_functions {
        uint32_t count;
        uint32_t *name;
        uint32_t *system_name;
        uint32_t *file;
        int64_t *start_line;
    } functions;

    struct hone_profile_locations {
        uint32_t count;
        uint32_t *mapping;
        uint64_t *address;
        uint8_t *folded;
        uint32_t *first_line;
    } locations;

    struct hone_profile_lines {
        uint32_t count;
        struct hone_profile_line *at;
    } lines;

    struct hone_profile_stacks {
        uint32_t count;
        uint32_t *first_frame;
    } stacks;

    struct hone_profile_frames {
        uint32_t count;
        uint32_t *location; // leaf first within a stack
    } frames;

    struct hone_profile_label_sets {
        uint32_t count;
        uint32_t *first_label;
    } label_sets;

    struct hone_profile_labels {
        uint32_t count;
        struct hone_profile_label *at; // texts before numbers, each ordered by key
    } labels;

    struct hone_profile_samples { // number 0 is a sample like any other
        uint32_t count;
        uint32_t *stack;
        uint32_t *label_set;
        int64_t *values[HONE_PROFILE_TYPES_MAX]; // one column per type
    } samples;

    uint32_t type_count;
    struct hone_profile_type types[HONE_PROFILE_TYPES_MAX];
    uint32_t default_type; // string; 0 means the last type

    struct hone_profile_type period_type;
    int64_t period;
    int64_t time_ns; // since 1970
    int64_t duration_ns;
    uint32_t comment_count;
    uint32_t *comments;   // strings
    uint32_t drop_frames; // strings: regular expressions, see profile.proto
    uint32_t keep_frames;
    uint32_t doc_url;

    struct hone_profile_index *index; // private: what makes equal things one
};

// Returns NULL when memory is out.
struct hone_profile *hone_profile_new(void);
void hone_profile_free(struct hone_profile *profile);
void hone_profile_freep(struct hone_profile **profile); // for HONE_CLEANUP

// A copy that can be changed while the original, which has to outlive it, stays as it is. Costs
// about as much as reading the columns once. Returns NULL when memory is out.
struct hone_profile *hone_profile_clone(const struct hone_profile *profile);

// 0, -ENOMEM, or -EOVERFLOW when a limit or 2^32 numbers were used up.
int hone_profile_status(const struct hone_profile *profile);

// --- building ------------------------------------------------------------------------------------

uint32_t hone_profile_intern(struct hone_profile *profile, const char *text); // NULL is ""
uint32_t hone_profile_intern_str(struct hone_profile *profile, struct hone_str text);

// All types come before the first sample. Returns the type's place in types[].
uint32_t hone_profile_add_type(struct hone_profile *profile, const char *type, const char *unit);
void hone_profile_add_comment(struct hone_profile *profile, const char *text);
void hone_profile_set_period(struct hone_profile *profile, const char *type, const char *unit,
                             int64_t period);
void hone_profile_set_default_type(struct hone_profile *profile, const char *type);
void hone_profile_set_doc_url(struct hone_profile *profile, const char *url);
// time_ns and duration_ns are fields to write directly.

// Each returns the number of the equal one that is there, or of a new one. Of equal mappings the
// later call's flags are added to the first's.
uint32_t hone_profile_add_mapping(struct hone_profile *profile,
                                  const struct hone_profile_mapping *mapping);
uint32_t hone_profile_add_function(struct hone_profile *profile,
                                   const struct hone_profile_function *function);
// For what a file says: a function that has no system name keeps none.
uint32_t hone_profile_add_function_as_is(struct hone_profile *profile,
                                         const struct hone_profile_function *function);
uint32_t hone_profile_add_location(struct hone_profile *profile,
                                   const struct hone_profile_location *location);
// Makes room for so many samples, each with a stack of its own, so that adding them moves nothing.
// A guess: what there is no room for is left to be made later.
void hone_profile_expect(struct hone_profile *profile, uint64_t samples, uint64_t frames);
// Locations, leaf first.
uint32_t hone_profile_add_stack(struct hone_profile *profile, const uint32_t *locations,
                                size_t count);

// Labels in any order; equal labels are kept as often as given.
uint32_t hone_profile_add_label_set(struct hone_profile *profile,
                                    const struct hone_profile_label *labels, size_t count);

// Adds type_count values to the sample with this stack and these labels; returns its place. Sums
// stop at the largest number instead of wrapping around.
uint32_t hone_profile_add_sample(struct hone_profile *profile, uint32_t stack,
                                 const int64_t *values, const struct hone_profile_label *labels,
                                 size_t label_count);
// The same with labels added before: quicker for many samples that share them.
uint32_t hone_profile_add_sample_in_set(struct hone_profile *profile, uint32_t stack,
                                        const int64_t *values, uint32_t label_set);

// Makes every text one line: line ends and tabs within become visible signs, so that no name can
// pose as a row of a table. For those who show the profile to people: two texts may be equal
// afterwards, so nothing is to be added later. Returns 0 or -ENOMEM.
int hone_profile_one_line(struct hone_profile *profile);

// --- reading -------------------------------------------------------------------------------------

static inline struct hone_str hone_profile_str(const struct hone_profile *profile, uint32_t string)
{
    return profile->strings.text[string];
}

// NUL-terminated; a string that holds a NUL itself ends there.
static inline const char *hone_profile_text(const struct hone_profile *profile, uint32_t string)
{
    return profile->strings.text[string].at;
}

struct hone_profile_span {
    const uint32_t *at;
    uint32_t count;
};

// The locations of a stack, leaf first.
static inline struct hone_profile_span hone_profile_frames_of(const struct hone_profile *profile,
                                                              uint32_t stack)
{
    const uint32_t *first = profile->stacks.first_frame + stack;
    struct hone_profile_span span = {profile->frames.location + first[0], first[1] - first[0]};
    return span;
}

struct hone_profile_line_span {
    const struct hone_profile_line *at;
    uint32_t count;
};

// The functions at a location, innermost inlined one first.
static inline struct hone_profile_line_span
hone_profile_lines_of(const struct hone_profile *profile, uint32_t location)
{
    const uint32_t *first = profile->locations.first_line + location;
    struct hone_profile_line_span span = {profile->lines.at + first[0], first[1] - first[0]};
    return span;
}

struct hone_profile_label_span {
    const struct hone_profile_label *at;
    uint32_t count;
};

static inline struct hone_profile_label_span
hone_profile_labels_of(const struct hone_profile *profile, uint32_t label_set)
{
    const uint32_t *first = profile->label_sets.first_label + label_set;
    struct hone_profile_label_span span = {profile->labels.at + first[0], first[1] - first[0]};
    return span;
}

// Finds a sample type by its name, by a place ("0", "1", …) or, for NULL or "", the profile's
// default: default_type if there is one of that name, otherwise the last.
// Returns 0; -EINVAL with the choices in err when there is no such type or none at all.
int hone_profile_select_type(const struct hone_profile *profile, const char *name, uint32_t *ret,
                             struct hone_error *err);

// --- files ---------------------------------------------------------------------------------------

// Appends the bytes of profile.proto, plain or in gzip. Leaves out strings that nothing names.
int hone_profile_encode(const struct hone_profile *profile, struct hone_buffer *out,
                        struct hone_error *err);
int hone_profile_encode_gzip(const struct hone_profile *profile, struct hone_buffer *out,
                             struct hone_error *err);
// In gzip, to a file that appears whole or not at all.
int hone_profile_write(const struct hone_profile *profile, const char *path,
                       struct hone_error *err);

// Zero means default.
struct hone_profile_limits {
    size_t plain_bytes; // after unpacking (1 GiB)
    unsigned threads;   // that decode a large file, the calling one included (one per processor, 3)
};

// Decodes gzip or plain bytes. name is used in errors, such as the file's name. Fields that we do
// not know are skipped; missing ones are as profile.proto's defaults.
// Returns 0; -EBADMSG with the reason and the place in the (unpacked) bytes in err; -EFBIG beyond
// a limit; -ENOMEM.
int hone_profile_decode(const void *bytes, size_t len, const char *name,
                        const struct hone_profile_limits *limits, struct hone_profile **ret,
                        struct hone_error *err);
// The same for a file ("-" is standard input).
int hone_profile_read(const char *path, const struct hone_profile_limits *limits,
                      struct hone_profile **ret, struct hone_error *err);

// --- changing all samples ------------------------------------------------------------------------

// Multiplies every value by ratio; the nearest whole number is kept, halves away from zero, and
// what is beyond the largest number becomes that. -1 turns the sign and loses nothing; 1 changes
// nothing. Samples that have only zeros afterwards are dropped; what they named stays until
// hone_profile_compact().
//
// Returns 0; -EINVAL when ratio is not a finite number.
int hone_profile_scale(struct hone_profile *profile, double ratio);

// The same with a ratio of its own for each of the type_count types.
int hone_profile_scale_types(struct hone_profile *profile, const double *ratios);

// Scales each type so that its values add up to what they do in base: for comparing runs of
// different length. A type whose values add up to 0 becomes 0.
//
// Returns 0; -EINVAL with the reason in err when the sample types differ.
int hone_profile_normalize(struct hone_profile *profile, const struct hone_profile *base,
                           struct hone_error *err);

// Gives every sample the label key: text. Other texts under this key go; numbers stay. Samples that
// have only zeros are dropped.
//
// Returns 0; -EINVAL for an empty text; -ENOMEM, -EOVERFLOW.
int hone_profile_set_label(struct hone_profile *profile, const char *key, const char *text);

// --- several profiles ----------------------------------------------------------------------------

// Makes profiles fit to be merged or compared: only sample types that all have are kept, in the
// first one's order, and each type gets the finest unit that one of them has (milliseconds become
// microseconds, their values a thousand times as large). So does the period. A default type that is
// gone gives way to the first type.
//
// Returns 0; -EINVAL with the reason in err, and nothing has changed, when no type is common to
// all, when a type has units that cannot be converted into each other, or when they were sampled by
// different things.
int hone_profile_make_compatible(struct hone_profile *const *profiles, size_t count,
                                 struct hone_error *err);

// One profile with the samples of all: equal stacks and labels are summed, what sums to zeros is
// left out. Mappings meet by build id (without one, by file) and size and file offset, so the same
// code at other addresses becomes one. Everything is numbered in the order in which samples name it
// first and nothing else is kept; but the main program, the first profile's first mapping, stays
// number 1.
//
// The result's time is the earliest, its duration the sum, its period the longest, its comments
// those of all, each once; a mapping's flags, drop_frames and keep_frames are the first's, the
// default type and doc_url are those of the first that has one.
//
// Returns 0; -EINVAL with the reason in err when sample types or the period's type differ.
int hone_profile_merge(const struct hone_profile *const *profiles, size_t count,
                       struct hone_profile **ret, struct hone_error *err);

// A copy without what no sample names: the merge of one.
int hone_profile_compact(const struct hone_profile *profile, struct hone_profile **ret,
                         struct hone_error *err);

// Zero means default.
struct hone_profile_diff_options {
    bool
        normalize; // scale the profile to the base's totals first, as hone_profile_normalize() does
    bool label_base; // give the base's samples the label pprof::base: true, so that views can tell
                     // them apart and show changes as parts of the base
};

// What changed from base to profile: the merge of both, where the base's values count negative.
// Neither is changed.
//
// Returns as hone_profile_merge().
int hone_profile_diff(const struct hone_profile *profile, const struct hone_profile *base,
                      const struct hone_profile_diff_options *options, struct hone_profile **ret,
                      struct hone_error *err);

// --- checking ------------------------------------------------------------------------------------

// Whether every number in the columns is one that is there, for those who wrote into columns
// themselves. Profiles that were decoded or built by the calls above are valid.
//
// Returns 0; -EINVAL with the first thing that is wrong in err; what hone_profile_status() says.
int hone_profile_validate(const struct hone_profile *profile, struct hone_error *err);

#ifdef __cplusplus
}
#endif

#endif
