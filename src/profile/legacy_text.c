#include "profile/legacy_text.h"

// --- lines ---------------------------------------------------------------------------------------

struct hone_legacy_lines hone_legacy_lines(const void *bytes, size_t len)
{
    const char *at = bytes;
    return (struct hone_legacy_lines){.at = at, .end = at + len, .line = {at, 0}};
}

static void take_line(struct hone_legacy_lines *lines, const char *end, const char *next)
{
    lines->line = (struct hone_str){lines->at, (size_t)(end - lines->at)};
    if (lines->line.len && end[-1] == '\r')
        lines->line.len--;
    lines->at = next;
    lines->number++;
}

bool hone_legacy_next_whole_line(struct hone_legacy_lines *lines)
{
    size_t left = (size_t)(lines->end - lines->at);
    const char *end = left ? memchr(lines->at, '\n', left) : NULL;
    if (!end)
        return false;
    take_line(lines, end, end + 1);
    return true;
}

bool hone_legacy_next_line(struct hone_legacy_lines *lines)
{
    if (hone_legacy_next_whole_line(lines))
        return true;
    if (lines->at == lines->end) {
        lines->line = (struct hone_str){lines->end, 0};
        return false;
    }
    take_line(lines, lines->end, lines->end);
    return true;
}

bool hone_legacy_first_line(struct hone_legacy_lines *lines)
{
    while (hone_legacy_next_line(lines))
        if (!hone_legacy_says_nothing(lines->line))
            return true;
    return false;
}

struct hone_str hone_legacy_trim(struct hone_str text)
{
    while (text.len && (hone_legacy_blank(text.at[0]) || text.at[0] == '\v'))
        hone_legacy_cut(&text, 1);
    while (text.len && (hone_legacy_blank(text.at[text.len - 1]) || text.at[text.len - 1] == '\v'))
        text.len--;
    return text;
}

bool hone_legacy_says_nothing(struct hone_str line)
{
    line = hone_legacy_trim(line);
    return !line.len || line.at[0] == '#';
}

bool hone_legacy_starts(struct hone_str text, const char *start)
{
    return hone_str_starts(text, hone_str_of(start));
}

bool hone_legacy_ends(struct hone_str text, const char *end)
{
    size_t len = strlen(end);
    return text.len >= len && memcmp(text.at + text.len - len, end, len) == 0;
}

size_t hone_legacy_find(struct hone_str text, const char *word)
{
    const char *at = text.len ? memmem(text.at, text.len, word, strlen(word)) : NULL;
    return at ? (size_t)(at - text.at) : SIZE_MAX;
}

// --- from the front of a text --------------------------------------------------------------------

void hone_legacy_cut(struct hone_str *text, size_t len)
{
    text->at += len;
    text->len -= len;
}

bool hone_legacy_cut_text(struct hone_str *text, const char *start)
{
    bool starts = hone_legacy_starts(*text, start);
    if (starts)
        hone_legacy_cut(text, strlen(start));
    return starts;
}

static bool is_space(char c)
{
    return c == ' ';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool is_word(char c)
{
    return !hone_legacy_blank(c);
}

static struct hone_str cut_run(struct hone_str *text, bool (*wanted)(char))
{
    struct hone_str run = {text->at, 0};
    while (run.len < text->len && wanted(text->at[run.len]))
        run.len++;
    hone_legacy_cut(text, run.len);
    return run;
}

size_t hone_legacy_cut_spaces(struct hone_str *text)
{
    return cut_run(text, is_space).len;
}

size_t hone_legacy_cut_blank(struct hone_str *text)
{
    return cut_run(text, hone_legacy_blank).len;
}

bool hone_legacy_cut_digits(struct hone_str *text, struct hone_str *ret)
{
    return (*ret = cut_run(text, is_digit)).len > 0;
}

bool hone_legacy_cut_hex(struct hone_str *text, struct hone_str *ret)
{
    return (*ret = cut_run(text, is_hex)).len > 0;
}

bool hone_legacy_cut_word(struct hone_str *text, struct hone_str *ret)
{
    return (*ret = cut_run(text, is_word)).len > 0;
}

static bool is_small_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f');
}

static bool is_address(char c)
{
    return is_small_hex(c) || c == 'x' || c == ' ';
}

struct hone_str hone_legacy_cut_addresses(struct hone_str *text)
{
    return cut_run(text, is_address);
}

int hone_legacy_cut_address(struct hone_str *text, uint64_t *ret)
{
    size_t at;
    while ((at = hone_legacy_find(*text, "0x")) != SIZE_MAX) {
        hone_legacy_cut(text, at + 2);
        struct hone_str digits = cut_run(text, is_small_hex);
        if (digits.len)
            return hone_legacy_hex(digits, ret) ? 1 : -1;
    }
    return 0;
}

// --- numbers -------------------------------------------------------------------------------------

static bool magnitude(struct hone_str text, unsigned base, uint64_t *ret)
{
    uint64_t value = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        unsigned digit = is_digit(c) ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a') + 10;
        if (!is_hex(c) || digit >= base || __builtin_mul_overflow(value, base, &value) ||
            __builtin_add_overflow(value, digit, &value))
            return false;
    }
    *ret = value;
    return text.len > 0;
}

static bool negated(uint64_t value, bool negative, int64_t *ret)
{
    if (value > (uint64_t)INT64_MAX + negative)
        return false;
    *ret = (int64_t)(negative ? -value : value);
    return true;
}

bool hone_legacy_decimal(struct hone_str text, int64_t *ret)
{
    bool negative = hone_legacy_cut_text(&text, "-");
    uint64_t value;
    return magnitude(text, 10, &value) && negated(value, negative, ret);
}

bool hone_legacy_hex(struct hone_str text, uint64_t *ret)
{
    return magnitude(text, 16, ret);
}

bool hone_legacy_number(struct hone_str text, int64_t *ret)
{
    bool negative = hone_legacy_cut_text(&text, "-");
    if (!negative)
        (void)hone_legacy_cut_text(&text, "+");
    unsigned base = 10;
    if (hone_legacy_cut_text(&text, "0x") || hone_legacy_cut_text(&text, "0X"))
        base = 16;
    else if (hone_legacy_cut_text(&text, "0b") || hone_legacy_cut_text(&text, "0B"))
        base = 2;
    else if (text.len > 1 &&
             (hone_legacy_cut_text(&text, "0o") || hone_legacy_cut_text(&text, "0O") ||
              hone_legacy_cut_text(&text, "0")))
        base = 8;
    uint64_t value;
    return magnitude(text, base, &value) && negated(value, negative, ret);
}
