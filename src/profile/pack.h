// Packing into gzip. Private to this room.
#ifndef HONE_PROFILE_PACK_H
#define HONE_PROFILE_PACK_H

#include "base/buffer.h"
#include "base/error.h"

// What is packed, in pieces: make() appends the one of this number. It is called once for each, on
// any thread.
struct hone_pack_pieces {
    void (*make)(const void *context, size_t number, struct hone_buffer *plain);
    const void *context;
    size_t count;
};

// Appends one gzip member of all pieces, one behind the other. The same pieces give the same
// member, however many processors there are. Returns 0 or -ENOMEM.
int hone_pack_gzip(const struct hone_pack_pieces *pieces, struct hone_buffer *out,
                   struct hone_error *err);

#endif
