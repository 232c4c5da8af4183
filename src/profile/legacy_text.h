// The text of pprof's older formats: lines, numbers and addresses, cut from the front of a
// hone_str. Private to this room.
#ifndef HONE_PROFILE_LEGACY_TEXT_H
#define HONE_PROFILE_LEGACY_TEXT_H

#include "base/str.h"

#include <stdint.h>

// A cursor over lines. Before the first one and behind the last one the line is empty.
struct hone_legacy_lines {
    const char *at; // behind the line at hand
    const char *end;
    struct hone_str line; // without its end, "\n" or "\r\n"
    size_t number;        // of the line at hand; the first is 1
};

struct hone_legacy_lines hone_legacy_lines(const void *bytes, size_t len);
bool hone_legacy_next_line(struct hone_legacy_lines *lines);
// The same for lines that end with "\n"; what stands behind the last one stays where it is.
bool hone_legacy_next_whole_line(struct hone_legacy_lines *lines);
// To the first line that says something; false when there is none.
bool hone_legacy_first_line(struct hone_legacy_lines *lines);

// Blank as regular expressions have it: space, tab, form feed, line ends.
static inline bool hone_legacy_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r' && c != '\v');
}

struct hone_str hone_legacy_trim(struct hone_str text);
bool hone_legacy_says_nothing(struct hone_str line); // blank, or a comment after '#'

bool hone_legacy_starts(struct hone_str text, const char *start);
bool hone_legacy_ends(struct hone_str text, const char *end);
// The place of a word in a text, or SIZE_MAX.
size_t hone_legacy_find(struct hone_str text, const char *word);

// --- from the front of a text --------------------------------------------------------------------

void hone_legacy_cut(struct hone_str *text, size_t len);
bool hone_legacy_cut_text(struct hone_str *text, const char *start);
size_t hone_legacy_cut_spaces(struct hone_str *text); // ' ' only; how many there were
size_t hone_legacy_cut_blank(struct hone_str *text);
// The longest run of such characters; false when there is none.
bool hone_legacy_cut_digits(struct hone_str *text, struct hone_str *ret);
bool hone_legacy_cut_hex(struct hone_str *text, struct hone_str *ret);
bool hone_legacy_cut_word(struct hone_str *text, struct hone_str *ret); // not blank

// The longest run of what a list of addresses is made of: ' ', 'x', digits, 'a' to 'f'.
struct hone_str hone_legacy_cut_addresses(struct hone_str *text);
// The next address, 0x and lower-case digits, wherever it stands. Returns 1; 0 when there is none;
// -1 when it has more than 64 bits.
int hone_legacy_cut_address(struct hone_str *text, uint64_t *ret);

// --- numbers; false when the text is none or too large -------------------------------------------

bool hone_legacy_decimal(struct hone_str text, int64_t *ret);
bool hone_legacy_hex(struct hone_str text, uint64_t *ret);
// As in C and Go: 0x and 0 tell the base.
bool hone_legacy_number(struct hone_str text, int64_t *ret);

#endif
