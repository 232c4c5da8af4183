// What the headers of Hone's libraries share: text that somebody else owns, bytes that grow, and
// what went wrong.
//
//     struct hone_error err = {0};
//     if (hone_profile_read("cpu.prof", NULL, &profile, &err) < 0)
//         fprintf(stderr, "%s%s%s\n", err.message, *err.hint ? "; " : "", err.hint);
//
// Functions that can fail return int: 0 is success, negative is -errno, positive an outcome that
// is named at the function. Where the last argument is a struct hone_error, it may be NULL and is
// written on failure only.
#ifndef HONE_BASE_H
#define HONE_BASE_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

// Text as a place and a length, so that cutting costs no copy. Not NUL-terminated unless its maker
// says so. Borrowed: somebody else (an arena, a mapping, a profile) owns the bytes.
struct hone_str {
    const char *at;
    size_t len;
};

// A growing run of bytes; zero is an empty one. A failed allocation sets failed and later additions
// do nothing, so one check at the end is enough.
struct hone_buffer {
    char *at;
    size_t len;
    size_t capacity;
    bool failed;
};

// Frees the bytes; the buffer is then empty and may be used again.
void hone_buffer_done(struct hone_buffer *out);

// What went wrong, in words for the user: lower case, without a full stop.
struct hone_error {
    int code;          // negative errno
    char message[512]; // what and where: "cannot open 'x': permission denied"
    char hint[256];    // the next step, empty when there is none: "try 'hone doctor'"
};

#ifdef __cplusplus
}
#endif

#endif
