// Whole files: read into a mapping, written so that a reader sees the old file or the new one.
#ifndef HONE_BASE_FILE_H
#define HONE_BASE_FILE_H

#include "base/error.h"

#include <stddef.h>

// A read-only view of a file's bytes. A file that shrinks while mapped gives zero bytes or SIGBUS;
// files that others may truncate are read with hone_file_read() instead.
struct hone_file_map {
    const unsigned char *at;
    size_t len;
};

int hone_file_map(const char *path, struct hone_file_map *ret, struct hone_error *err);
void hone_file_unmap(struct hone_file_map *map);

// Reads a regular file, a pipe or a /proc file to its end, at most limit bytes (-EFBIG beyond).
// The caller frees *ret, which has a NUL after its last byte.
int hone_file_read(const char *path, size_t limit, char **ret, size_t *ret_len,
                   struct hone_error *err);

// Writes beside the target and renames, so a full disk leaves no half file. A link stays one, and
// what is no file (a pipe, /dev/null) is written to.
int hone_file_write(const char *path, const void *bytes, size_t len, struct hone_error *err);

#endif
