// Files as their tools leave them: packed by gzip or zstd. Private to this room.
//
// A few bytes can unpack to terabytes, so nothing here trusts them: a beginning is unpacked no
// further than asked for, and the whole no further than files of that size do.
#ifndef HONE_CONVERT_UNPACK_H
#define HONE_CONVERT_UNPACK_H

#include "base/buffer.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

bool hone_convert_is_packed(const void *bytes, size_t len);

// All of it, with a NUL behind: at most limit bytes, and no more than HONE_UNPACK_TIMES as many as
// there are packed ones, if that is more than HONE_UNPACK_ALWAYS. Memory grows with what is there.
// The caller frees *ret. Returns 0; -EBADMSG for broken or cut data; -EFBIG; -ENOMEM.
#define HONE_UNPACK_TIMES 256
#define HONE_UNPACK_ALWAYS ((size_t)256 << 20)
int hone_convert_unpack(const void *bytes, size_t len, const char *name, size_t limit, char **ret,
                        size_t *ret_len, struct hone_error *err);

// The first room bytes or as many as there are; broken data ends them. Returns how many.
size_t hone_convert_unpack_beginning(const void *bytes, size_t len, void *to, size_t room);

// Packs what is in the buffer by gzip. Returns 0 or -ENOMEM.
int hone_convert_pack(struct hone_buffer *bytes);

#endif
