// Files as their tools leave them: packed by gzip or zstd. Private to this room.
#ifndef HONE_CONVERT_UNPACK_H
#define HONE_CONVERT_UNPACK_H

#include "base/buffer.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

bool hone_convert_is_packed(const void *bytes, size_t len);

// All of it, at most limit bytes. The caller frees *ret.
// Returns 0; -EBADMSG for broken or cut data; -EFBIG; -ENOMEM.
int hone_convert_unpack(const void *bytes, size_t len, const char *name, size_t limit, char **ret,
                        size_t *ret_len, struct hone_error *err);

// The first room bytes or as many as there are; broken data ends them. Returns how many.
size_t hone_convert_unpack_beginning(const void *bytes, size_t len, void *to, size_t room);

// Packs what is in the buffer by gzip. Returns 0 or -ENOMEM.
int hone_convert_pack(struct hone_buffer *bytes);

#endif
