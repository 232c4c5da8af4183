// Text formats are read line by line, and what is wrong is told by its line. Private to this room.
//
//     struct hone_lines lines = {.at = bytes, .end = bytes + len, .name = name, .err = err};
//     struct hone_str line;
//     while (hone_lines_next(&lines, &line)) {
//         uint64_t count;
//         if (!hone_str_decimal(&line, &count))
//             return hone_lines_bad(&lines, "expected a number");
//         …
//     }
//
// The functions that take something from the front of a text cut it off there, and leave the text
// alone when they return false.
#ifndef HONE_CONVERT_LINES_H
#define HONE_CONVERT_LINES_H

#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct hone_lines {
    const char *at;
    const char *end;
    const char *name;
    struct hone_error *err;
    uint64_t number; // of the line at hand, from 1
};

// The next line without its end ("\n" or "\r\n"). False when there is none.
static inline bool hone_lines_next(struct hone_lines *lines, struct hone_str *ret)
{
    if (lines->at >= lines->end)
        return false;
    size_t left = (size_t)(lines->end - lines->at);
    const char *stop = memchr(lines->at, '\n', left);
    size_t len = stop ? (size_t)(stop - lines->at) : left;
    *ret = (struct hone_str){lines->at, len};
    lines->at += stop ? len + 1 : len;
    lines->number++;
    if (len && ret->at[len - 1] == '\r')
        ret->len--;
    return true;
}

// "cannot read 'NAME': line N: …". Returns -EBADMSG.
__attribute__((format(printf, 2, 3))) int hone_lines_bad(struct hone_lines *lines,
                                                         const char *format, ...);

static inline bool hone_is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static inline struct hone_str hone_str_skip(struct hone_str text, size_t count)
{
    return (struct hone_str){text.at + count, text.len - count};
}

static inline struct hone_str hone_str_trim(struct hone_str text)
{
    while (text.len && hone_is_blank(text.at[0]))
        text = hone_str_skip(text, 1);
    while (text.len && hone_is_blank(text.at[text.len - 1]))
        text.len--;
    return text;
}

static inline bool hone_str_take(struct hone_str *text, struct hone_str prefix)
{
    if (!hone_str_starts(*text, prefix))
        return false;
    *text = hone_str_skip(*text, prefix.len);
    return true;
}

// The place of the first such byte, or len.
static inline size_t hone_str_find(struct hone_str text, char byte)
{
    const char *found = text.len ? memchr(text.at, byte, text.len) : NULL;
    return found ? (size_t)(found - text.at) : text.len;
}

// Blanks, then everything to the next blank. Empty at the end.
static inline struct hone_str hone_str_word(struct hone_str *text)
{
    size_t from = 0;
    while (from < text->len && hone_is_blank(text->at[from]))
        from++;
    size_t to = from;
    while (to < text->len && !hone_is_blank(text->at[to]))
        to++;
    struct hone_str word = {text->at + from, to - from};
    *text = hone_str_skip(*text, to);
    return word;
}

// A number at the front of the text: digits only, no blanks before. False also when it is too
// large.
bool hone_str_decimal(struct hone_str *text, uint64_t *ret);
bool hone_str_hex(struct hone_str *text, uint64_t *ret); // with or without 0x

// The same with a sign, and the whole text: "-12", "+3". A number with a fraction is rounded.
bool hone_str_signed(struct hone_str text, int64_t *ret);

static inline int hone_hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// Whether bytes are text, as far as one can see: no NUL and no other control bytes than blanks,
// line ends and escapes in the first part.
bool hone_bytes_are_text(const void *bytes, size_t len);

#endif
