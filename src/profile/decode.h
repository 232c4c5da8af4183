// What the parts of the decoder share. Private to this room: decode.c reads strings and the head of
// a profile, decode_places.c mappings, functions and locations, decode_sample.c samples.
//
// Functions return 0 or a negative errno with the reason in the decoder's error.
#ifndef HONE_PROFILE_DECODE_H
#define HONE_PROFILE_DECODE_H

#include "profile/ids.h"
#include "profile/index.h"
#include "profile/wire.h"

enum { HONE_DECODE_FIELDS = 16 }; // of the outermost message: 1 to 15

enum { HONE_DECODE_BATCH = 32 };

// A sample whose frames lie behind the profile's last stack and wait for being looked up.
struct hone_decode_pending {
    uint64_t hash;
    uint32_t first_frame; // counted from the profile's last
    uint32_t frame_count;
    uint32_t label_set;
    int64_t values[HONE_PROFILE_TYPES_MAX];
};

struct hone_decoder {
    struct hone_profile *profile;
    const char *name;
    const unsigned char *start;
    size_t len;
    bool packed;
    struct hone_error *err;

    uint32_t count[HONE_DECODE_FIELDS]; // of messages by kind
    uint32_t *strings;                  // the file's numbers to ours
    uint32_t string_count;
    struct hone_ids mappings;
    struct hone_ids functions;
    struct hone_ids locations;

    bool has_time;
    struct hone_profile_line *lines; // of the location at hand
    uint32_t line_room;
    struct hone_profile_label *labels; // of the sample at hand
    uint32_t label_room;

    struct hone_decode_pending *pending; // HONE_DECODE_BATCH of them
    uint32_t pending_count;
    size_t pending_frames;
};

// Reports what is wrong with the bytes at a place. Returns -EBADMSG.
__attribute__((format(printf, 3, 4))) int
hone_decode_bad(struct hone_decoder *d, const unsigned char *at, const char *format, ...);
int hone_decode_out_of_memory(struct hone_decoder *d); // -ENOMEM
int hone_decode_status(struct hone_decoder *d);        // the profile's

// Room for one more entry of an array that grows by half; array points to the array's pointer.
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
int hone_decode_function(struct hone_decoder *d, const struct hone_wire_field *field);
int hone_decode_location(struct hone_decoder *d, const struct hone_wire_field *field);
int hone_decode_sample(struct hone_decoder *d, const struct hone_wire_field *field);

// Adds the samples that still wait.
int hone_decode_flush(struct hone_decoder *d);

#endif
