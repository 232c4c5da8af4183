// Text as a place and a length, so that cutting costs no copy. Not NUL-terminated unless its maker
// says so. Borrowed: somebody else (an arena, a mapping) owns the bytes.
#ifndef HONE_BASE_STR_H
#define HONE_BASE_STR_H

#include "hone/base.h" // struct hone_str, which users of our libraries see too

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define HONE_STR(literal) ((struct hone_str){(literal), sizeof(literal) - 1})

static inline struct hone_str hone_str_of(const char *text)
{
    return (struct hone_str){text, text ? strlen(text) : 0};
}

static inline bool hone_str_equal(struct hone_str a, struct hone_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

// Negative, 0 or positive: by bytes, then the shorter first.
static inline int hone_str_compare(struct hone_str a, struct hone_str b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len ? memcmp(a.at, b.at, len) : 0;
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static inline bool hone_str_starts(struct hone_str text, struct hone_str prefix)
{
    return text.len >= prefix.len &&
           (prefix.len == 0 || memcmp(text.at, prefix.at, prefix.len) == 0);
}

#endif
