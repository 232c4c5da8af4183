#include "convert/lines.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

int hone_lines_bad(struct hone_lines *lines, const char *format, ...)
{
    char what[320];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    return hone_error_set(lines->err, -EBADMSG, "cannot read '%s': line %llu: %s", lines->name,
                          (unsigned long long)lines->number, what);
}

bool hone_str_decimal(struct hone_str *text, uint64_t *ret)
{
    uint64_t value = 0;
    size_t i = 0;
    for (; i < text->len && text->at[i] >= '0' && text->at[i] <= '9'; i++)
        if (__builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, (unsigned)(text->at[i] - '0'), &value))
            return false;
    if (!i)
        return false;
    *ret = value;
    *text = hone_str_skip(*text, i);
    return true;
}

bool hone_str_hex(struct hone_str *text, uint64_t *ret)
{
    struct hone_str rest = *text;
    if (rest.len > 2 && rest.at[0] == '0' && (rest.at[1] | 0x20) == 'x')
        rest = hone_str_skip(rest, 2);
    uint64_t value = 0;
    size_t i = 0;
    for (int digit; i < rest.len && (digit = hone_hex_digit(rest.at[i])) >= 0; i++) {
        if (value >> 60)
            return false;
        value = value << 4 | (unsigned)digit;
    }
    if (!i)
        return false;
    *ret = value;
    *text = hone_str_skip(rest, i);
    return true;
}

// What has a fraction or an exponent, or is too large for an integer.
static bool rounded(struct hone_str text, int64_t *ret)
{
    char copy[64];
    if (text.len >= sizeof copy)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (!strchr("0123456789+-.eE", text.at[i]) || !text.at[i])
            return false;
    memcpy(copy, text.at, text.len);
    copy[text.len] = '\0';
    char *end;
    double value = strtod(copy, &end);
    if (*end || !(fabs(value) < 9.2e18))
        return false;
    *ret = llround(value);
    return true;
}

bool hone_str_signed(struct hone_str text, int64_t *ret)
{
    struct hone_str rest = text;
    bool negative = rest.len && rest.at[0] == '-';
    if (negative || (rest.len && rest.at[0] == '+'))
        rest = hone_str_skip(rest, 1);
    uint64_t value;
    if (hone_str_decimal(&rest, &value) && !rest.len && value <= (uint64_t)INT64_MAX + negative) {
        *ret = (int64_t)(negative ? 0 - value : value);
        return true;
    }
    return text.len && rounded(text, ret);
}

bool hone_bytes_are_text(const void *bytes, size_t len)
{
    const unsigned char *at = bytes;
    size_t look = len < 4096 ? len : 4096;
    for (size_t i = 0; i < look; i++)
        if (!at[i] || (at[i] < 0x20 && !strchr("\t\n\r\f\x1b", at[i])))
            return false;
    return look > 0;
}
