// Text that strangers wrote (names in files, lines of sources), made fit for readers and terminals.
#ifndef HONE_BASE_UTF8_H
#define HONE_BASE_UTF8_H

#include "base/arena.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum { HONE_UTF8_REPLACEMENT = 0xfffd };

// The code point at the start of text and how many bytes it takes; HONE_UTF8_REPLACEMENT and 1 for
// bytes that are not UTF-8 (overlong forms, surrogates and what lies beyond Unicode included).
uint32_t hone_utf8_decode(const unsigned char *at, size_t len, size_t *ret_len);

// What every terminal and every reader of XML and JSON accepts: UTF-8 without control characters
// and without marks that turn the writing direction around (a name could pose as another one). What
// is not allowed becomes a visible sign in its place. More than limit bytes are cut, with "…" at
// the end.
//
// Returns  a copy in the arena, ended by NUL, or an empty text when memory is out, with *failed set.
struct hone_str hone_utf8_clean(struct hone_arena *arena, struct hone_str text, size_t limit,
                                bool *failed);

// The same without a limit, where line ends and tabs stay what they are. Text that has nothing else
// to be replaced is returned itself.
struct hone_str hone_utf8_clean_lines(struct hone_arena *arena, struct hone_str text, bool *failed);

// What of a text fits into size bytes with their NUL: all of it, or both ends with "…" between, for
// the end of a name, a path or a message says as much as its beginning. Characters stay whole. size
// is 8 at least.
void hone_utf8_brief(struct hone_str text, char *to, size_t size);

// The same at the length that a line which tells of a stranger's name has room for.
struct hone_brief {
    char text[160];
};
struct hone_brief hone_brief_of(struct hone_str text);

#endif
