// Unpacking gzip into memory, with a limit. Private to this room.
#ifndef HONE_PROFILE_UNPACK_H
#define HONE_PROFILE_UNPACK_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

// Whether the bytes begin like a gzip file.
bool hone_unpack_is_gzip(const void *bytes, size_t len);

// Unpacks all members of a gzip file. The caller frees *ret.
// Returns 0; -EBADMSG for broken or truncated data; -EFBIG beyond limit bytes; -ENOMEM.
int hone_unpack_gzip(const void *bytes, size_t len, const char *name, size_t limit,
                     unsigned char **ret, size_t *ret_len, struct hone_error *err);

#endif
