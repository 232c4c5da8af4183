// What the readers of pprof's older formats share: those that gperftools, Go's `?debug=1` and
// Java's agents write. Private to this room; hone_profile_decode() recognises such files by their
// first bytes. What is in them, and what is made of it, is as in `go tool pprof`.
//
//     legacy.c             which reader, its errors, what all profiles get in the end
//     legacy_cpu.c …       one reader per kind of file
//     legacy_text.c        lines, numbers and addresses of those that are text
//     legacy_maps.c        the list of mappings that most of them end with
//     legacy_places.c      which mapping each address lies in
//     legacy_stacks.c      samples while they are collected, and the profile made of them
//
// Addresses come before the mappings that give them a meaning, so a file's samples are collected
// first. Functions return 0 or a negative errno with the reason in the reader's error, readers also
// HONE_LEGACY_FOREIGN.
#ifndef HONE_PROFILE_LEGACY_H
#define HONE_PROFILE_LEGACY_H

#include "profile/legacy_text.h"
#include "profile/profile.h"

#include "base/table.h"

enum {
    HONE_LEGACY_FOREIGN = 1, // outcome: this reader cannot make sense of it, the next one may
    HONE_LEGACY_VALUES_MAX = 4,
    HONE_LEGACY_MAPPINGS_MAX = 1 << 16, // a Linux process has at most 65530
};

// What addresses are. One less than a return address lies in the call.
enum hone_legacy_addresses {
    HONE_LEGACY_RETURNS,
    HONE_LEGACY_LEAF_FIRST, // return addresses, but for the sample's first
    HONE_LEGACY_NUMBERS,    // no addresses at all: Java's numbers of methods
};

// An address of the program.
struct hone_legacy_place {
    uint64_t address;
    uint32_t function; // of the profile; 0 none
    int64_t line;
    uint32_t mapping;  // place in the list, plus one; 0 none
    uint32_t location; // of the profile; 0 not added yet
    bool placed;       // its mapping was looked for
};

struct hone_legacy_sample {
    uint32_t first_frame;
    uint32_t frame_count;
    int64_t values[HONE_LEGACY_VALUES_MAX];
    int64_t block_bytes; // label "bytes", where has_block_bytes
    bool has_block_bytes;
};

struct hone_legacy_mapping {
    uint64_t start;
    uint64_t limit;
    uint64_t offset;
    uint32_t file; // strings of the profile
    uint32_t build_id;
};

struct hone_legacy {
    const char *name;
    const unsigned char *bytes;
    size_t len;
    struct hone_error *err;
    struct hone_profile *profile;
    struct hone_legacy_lines lines; // of those readers that read text

    struct hone_legacy_place *places; // all addresses, each once
    uint32_t place_count;
    uint32_t place_room;
    struct hone_table place_index;
    uint32_t *frames; // places, leaf first within a sample
    uint32_t frame_count;
    uint32_t frame_room;
    uint32_t open_frame; // first frame that belongs to no sample yet
    struct hone_legacy_sample *samples;
    uint32_t sample_count;
    uint32_t sample_room;

    struct hone_legacy_mapping *mappings;
    uint32_t mapping_count;
    uint32_t mapping_room;
};

// --- the whole, legacy.c -------------------------------------------------------------------------

// Whether these (unpacked) bytes begin like a file that one of the readers knows.
bool hone_legacy_detect(const unsigned char *bytes, size_t len);
// Reads such a file. Returns 0 or a negative errno; -EBADMSG with reason and place in err.
int hone_legacy_decode(const unsigned char *bytes, size_t len, const char *name,
                       struct hone_profile **ret, struct hone_error *err);

// Reports what is wrong in the line at hand (hone_legacy_bad_byte: at a byte). Returns -EBADMSG.
__attribute__((format(printf, 2, 3))) int hone_legacy_bad(struct hone_legacy *l, const char *format,
                                                          ...);
__attribute__((format(printf, 3, 4))) int
hone_legacy_bad_byte(struct hone_legacy *l, const unsigned char *at, const char *format, ...);
// The same, but other readers may try; the words are used if none succeeds.
__attribute__((format(printf, 2, 3))) int hone_legacy_foreign(struct hone_legacy *l,
                                                              const char *format, ...);
int hone_legacy_out_of_memory(struct hone_legacy *l); // -ENOMEM

// --- the readers ---------------------------------------------------------------------------------

bool hone_legacy_is_cpu(struct hone_legacy *l);
int hone_legacy_read_cpu(struct hone_legacy *l);
bool hone_legacy_is_heap(struct hone_legacy *l);
int hone_legacy_read_heap(struct hone_legacy *l);
bool hone_legacy_is_count(struct hone_legacy *l);
int hone_legacy_read_count(struct hone_legacy *l);
bool hone_legacy_is_threads(struct hone_legacy *l);
int hone_legacy_read_threads(struct hone_legacy *l);
bool hone_legacy_is_contention(struct hone_legacy *l);
int hone_legacy_read_contention(struct hone_legacy *l);
bool hone_legacy_is_java(struct hone_legacy *l);
int hone_legacy_read_java(struct hone_legacy *l);
// The names behind the samples of a Java CPU profile.
int hone_legacy_read_java_names(struct hone_legacy *l);

// A heap sample's count and bytes, estimated from those of the blocks that were sampled: a block of
// so many bytes is sampled with a probability of 1 - exp(-bytes / rate). False: beyond 2^63.
bool hone_legacy_unsample(int64_t *count, int64_t *bytes, int64_t rate);

// The functions that pprof leaves out of profiles of this kind, told by the sample types.
void hone_legacy_set_frames(struct hone_profile *profile);

// --- samples, legacy_stacks.c --------------------------------------------------------------------

// Adds a frame, leaf first, to the sample that hone_legacy_add_sample() then closes.
int hone_legacy_add_frame(struct hone_legacy *l, uint64_t address);
// Adds the addresses in a text.
int hone_legacy_add_frames(struct hone_legacy *l, struct hone_str text,
                           enum hone_legacy_addresses addresses);
// Takes values and label of sample.
int hone_legacy_add_sample(struct hone_legacy *l, const struct hone_legacy_sample *sample);
// The place of an address, UINT32_MAX if no sample has it.
uint32_t hone_legacy_find_place(const struct hone_legacy *l, uint64_t address);
void hone_legacy_drop_second_frame(struct hone_legacy *l, struct hone_legacy_sample *sample);
// Where a signal handler took the leaf twice, from its registers and from the stack.
void hone_legacy_drop_double_leaves(struct hone_legacy *l);
// Moves everything into the profile.
int hone_legacy_build(struct hone_legacy *l);

// --- mappings ------------------------------------------------------------------------------------

// Whether a list of mappings begins behind this line.
bool hone_legacy_is_maps_head(struct hone_str line);
// Passes over lines until a list of mappings begins, starting with the line at hand, and reads it.
int hone_legacy_read_maps_section(struct hone_legacy *l);
// Reads the lines from here on as a list of mappings.
int hone_legacy_read_maps(struct hone_legacy *l);
// Puts the list in order, then each address into one of them.
int hone_legacy_place_all(struct hone_legacy *l);
// Adds the one for addresses that lie in none: everywhere, without a name.
int hone_legacy_add_unknown_mapping(struct hone_legacy *l);

#endif
