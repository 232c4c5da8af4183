// Packing into gzip. Private to this room.
#ifndef HONE_PROFILE_PACK_H
#define HONE_PROFILE_PACK_H

#include "base/buffer.h"
#include "base/error.h"

// Appends one gzip member. The same bytes give the same member, however many processors there are.
// Returns 0 or -ENOMEM.
int hone_pack_gzip(const void *bytes, size_t len, struct hone_buffer *out, struct hone_error *err);

#endif
