// Bytes of a profile as they come, plain or out of gzip, with a limit: from memory or a file, so
// much at a time, so that neither the packed nor the plain file has to be in memory as a whole.
// Private to this room.
#ifndef HONE_PROFILE_UNPACK_H
#define HONE_PROFILE_UNPACK_H

#include "base/buffer.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hone_unpack;

// bytes stay the caller's and must outlive it. name is used in errors. limit holds for plain bytes
// and for packed ones.
int hone_unpack_bytes(const void *bytes, size_t len, const char *name, size_t limit,
                      struct hone_unpack **ret, struct hone_error *err);
// The same for a file, "-" is standard input.
int hone_unpack_file(const char *path, size_t limit, struct hone_unpack **ret,
                     struct hone_error *err);
void hone_unpack_free(struct hone_unpack *unpack);
void hone_unpack_freep(struct hone_unpack **unpack); // for HONE_CLEANUP

// What errors call it.
const char *hone_unpack_name(const struct hone_unpack *unpack);
bool hone_unpack_is_empty(const struct hone_unpack *unpack);
bool hone_unpack_is_packed(const struct hone_unpack *unpack);

// Which part of the input was taken so far, above 0; 1 where nobody knows.
double hone_unpack_share(const struct hone_unpack *unpack);

// The first plain bytes, at most 16 KB, which hone_unpack_next() will give all the same.
int hone_unpack_peek(struct hone_unpack *unpack, const unsigned char **ret, size_t *ret_len,
                     struct hone_error *err);

// All plain bytes that are left.
int hone_unpack_all(struct hone_unpack *unpack, struct hone_buffer *out, struct hone_error *err);

// Whether the bytes begin like a gzip file.
bool hone_unpack_is_gzip(const void *bytes, size_t len);

// The next plain bytes, as many as there is room for; fewer mean the end.
// Returns 0; -EBADMSG for broken or truncated gzip data; -EFBIG beyond the limit; what reading
// gave.
int hone_unpack_next(struct hone_unpack *unpack, void *to, size_t room, size_t *ret_len,
                     struct hone_error *err);

#endif
