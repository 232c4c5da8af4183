// What the parts of the decoder share. Private to this room.
//
//     unpack.c          plain bytes, as they come
//     decode_stream.c   cuts them into blocks of whole messages, and shares the blocks out
//     decode_sample.c   the samples of a block, into arrays of the block's own: on any thread
//     decode_collect.c  from there into the profile: block after block
//     decode_places.c   mappings, functions and locations
//     decode.c          strings, the head, and what makes a whole of it
//
// A file may tell its messages in any order, and what writes profiles writes samples first: long
// before the locations and strings that they name. So samples enter the profile with the numbers
// that the file uses, as if they were ours. In nearly every file they are: locations are numbered
// 1, 2, 3, … and no two are equal. Otherwise decode_renumber.c puts it right in the end. All that
// is not a sample is kept until the last byte was read.
//
// Functions return 0 or a negative errno with the reason in the error that they are given.
#ifndef HONE_PROFILE_DECODE_H
#define HONE_PROFILE_DECODE_H

#include "profile/ids.h"
#include "profile/index.h"
#include "profile/unpack.h"
#include "profile/wire.h"

#include "base/buffer.h"

#include <pthread.h>

enum {
    HONE_DECODE_FIELDS = 16,  // of the outermost message: 1 to 15
    HONE_DECODE_PLACES = 32,  // locations that are added together,
    HONE_DECODE_LINES = 1024, // or fewer that have so many lines
};

// A frame with this bit names a location by its place in hone_decoder.wide: an id that needs more
// than the other bits.
#define HONE_DECODE_WIDE 0x80000000u

// How the work is done; zero means as it suits. Tests and fuzzers try others: nothing of it may
// show in the result.
struct hone_decode_ways {
    size_t block_bytes;
    unsigned threads;
};

// A label as the file says it: strings by the file's numbers.
struct hone_decode_label {
    uint64_t key;
    uint64_t text;
    uint64_t unit;
    int64_t number;
    uint64_t at; // byte of the file
};

// Labels that a sample has, from first to the next set's first.
struct hone_decode_label_set {
    uint64_t hash;
    uint32_t first;
    uint32_t count;
};

// Label sets of a block or of the whole file, each once. Number 0 has no labels.
struct hone_decode_labels {
    struct hone_decode_label *at;
    uint32_t count;
    uint32_t room;
    struct hone_decode_label_set *sets;
    uint32_t set_count;
    uint32_t set_room;
    struct hone_table index;
};

struct hone_decode_sample {
    uint64_t hash; // of its frames
    uint32_t first_frame;
    uint32_t frame_count;
    uint32_t label_set; // of the block
};

// Whole messages, and what comes of the samples among them.
struct hone_decode_block {
    unsigned char *bytes;
    size_t room;
    size_t len;
    uint64_t offset; // of the first byte in the file
    double share;    // of the input that was read with this block

    uint32_t sample_count;
    uint32_t sample_room;
    struct hone_decode_sample *samples;
    int64_t *values; // value_count for each sample
    size_t value_room;
    uint32_t *frames;
    size_t frame_room;
    size_t frame_count;
    struct hone_decode_labels labels;
    uint32_t max_frame; // largest of frames, minus one

    int status;
    struct hone_error err;
};

struct hone_decoder {
    struct hone_profile *profile;
    struct hone_unpack *input;
    struct hone_error *err;

    // What is not a sample, in pieces that lay in one run in the file.
    struct hone_buffer rest;
    struct hone_decode_piece {
        uint64_t offset; // in the file
        size_t start;    // in rest
    } * pieces;
    uint32_t piece_count;
    uint32_t piece_room;
    const struct hone_decode_piece *piece; // the one at hand

    uint64_t count[HONE_DECODE_FIELDS]; // of messages by kind
    uint64_t first_sample;              // its byte in the file
    uint32_t value_count;               // of the first sample, and so of all
    uint32_t max_frame;                 // largest of the frames, minus one
    struct hone_decode_labels labels;

    pthread_mutex_t wide_lock;
    uint64_t *wide; // ids that do not fit a frame
    uint32_t wide_count;
    uint32_t wide_room;
    struct hone_table wide_index;

    struct hone_profile_type types[HONE_PROFILE_TYPES_MAX];
    uint32_t type_count;
    uint32_t *strings; // the file's numbers to ours
    uint32_t string_count;
    struct hone_ids mappings;
    struct hone_ids functions;
    struct hone_ids locations;
    bool renumbered; // a location has another number than its id

    bool has_time;
    struct hone_profile_line *lines; // of the locations that are not added yet, and of the one
    uint32_t line_count;             // at hand behind them
    uint32_t line_room;
    uint32_t place_count;
    struct hone_decode_place { // a location that is not added yet
        struct hone_profile_location location;
        uint64_t id;
        uint64_t hash;
        const unsigned char *at; // in the piece at hand
        uint32_t first_line;
    } places[HONE_DECODE_PLACES];
};

// Reports what is wrong with the message at hand, at a place in it. Returns -EBADMSG.
__attribute__((format(printf, 3, 4))) int
hone_decode_bad(struct hone_decoder *d, const unsigned char *at, const char *format, ...);
// The same at a byte of the file, to an error of somebody's own.
__attribute__((format(printf, 4, 5))) int hone_decode_bad_byte(const struct hone_decoder *d,
                                                               uint64_t byte,
                                                               struct hone_error *err,
                                                               const char *format, ...);
int hone_decode_out_of_memory(struct hone_decoder *d); // -ENOMEM
int hone_decode_status(struct hone_decoder *d);        // the profile's

// Room for so many entries in an array that grows by half; array points to the array's pointer.
bool hone_decode_room(void *array, uint32_t *room, uint32_t count, size_t width);

// Steps to the next field of a message. Returns 1, 0 at its end, or a negative errno.
static inline int hone_decode_next(struct hone_decoder *d, struct hone_wire *message,
                                   struct hone_wire_field *ret)
{
    if (message->at == message->end)
        return 0;
    const unsigned char *start = message->at;
    hone_wire_fault fault = hone_wire_next(message, ret);
    return fault ? hone_decode_bad(d, start, "%s", fault) : 1;
}

// Checks the kind of a field, and what it refers to.
int hone_decode_want(struct hone_decoder *d, const struct hone_wire_field *field,
                     enum hone_wire_type type);
int hone_decode_string(struct hone_decoder *d, const struct hone_wire_field *field, uint32_t *ret);

// One message each, into the profile.
int hone_decode_mapping(struct hone_decoder *d, const struct hone_wire_field *field);
int hone_decode_location(struct hone_decoder *d, const struct hone_wire_field *field);
int hone_decode_function(struct hone_decoder *d, const struct hone_wire_field *field);

// Adds the locations that hone_decode_location() kept to add several together: at the end of a
// piece.
int hone_decode_locations_end(struct hone_decoder *d);

// Reads the file to its end: samples into the profile, the rest aside.
int hone_decode_stream(struct hone_decoder *d, const struct hone_decode_ways *ways);

// Decodes a block's samples; the outcome is in the block.
void hone_decode_samples(struct hone_decoder *d, struct hone_decode_block *block);
void hone_decode_block_done(struct hone_decode_block *block);

// How many values the first sample of these bytes has.
uint32_t hone_decode_count_values(struct hone_wire body);

// Adds a block's samples to the profile, blocks in the order of the file.
int hone_decode_collect(struct hone_decoder *d, struct hone_decode_block *block);

// The number of the set of these labels, which were written behind labels->count; a new one if it
// is not there. False when memory is out.
bool hone_decode_labels_close(struct hone_decode_labels *labels, uint32_t count, uint64_t hash,
                              uint32_t *ret);
void hone_decode_labels_done(struct hone_decode_labels *labels);

// The file's numbers become ours.
int hone_decode_renumber(struct hone_decoder *d);

// What hone_profile_decode() does, in one way or another.
int hone_profile_decode_by(const void *bytes, size_t len, const char *name,
                           const struct hone_profile_limits *limits,
                           const struct hone_decode_ways *ways, struct hone_profile **ret,
                           struct hone_error *err);

#endif
