// Numbers in the notation of Go's flags.
#include "pprof/config.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

int hone_pprof_parse_bool(const char *text, bool *ret)
{
    static const char *const yes[] = {"1", "t", "T", "TRUE", "true", "True"};
    static const char *const no[] = {"0", "f", "F", "FALSE", "false", "False"};
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) {
        bool is_yes = strcmp(text, yes[i]) == 0;
        if (is_yes || strcmp(text, no[i]) == 0) {
            *ret = is_yes;
            return 0;
        }
    }
    return -EINVAL;
}

static unsigned digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    int letter = tolower((unsigned char)c);
    return letter >= 'a' && letter <= 'f' ? (unsigned)(letter - 'a') + 10 : 99;
}

// Skips a prefix; "0" alone is a digit of base 8.
static unsigned find_base(const char **text, bool *ret_prefixed)
{
    const char *at = *text;
    *ret_prefixed = at[0] == '0' && at[1];
    if (!*ret_prefixed)
        return 10;
    int letter = tolower((unsigned char)at[1]);
    unsigned base = letter == 'x' ? 16 : letter == 'b' ? 2 : 8;
    *text += letter == 'x' || letter == 'b' || letter == 'o' ? 2 : 1;
    return base;
}

int hone_pprof_parse_int(const char *text, bool any_base, int64_t *ret)
{
    bool negative = *text == '-';
    text += negative || *text == '+';
    bool after_prefix = false; // an underscore may follow a prefix or stand between digits
    unsigned base = any_base ? find_base(&text, &after_prefix) : 10;
    uint64_t value = 0;
    bool too_large = false;
    bool after_digit = false;
    if (!*text)
        return -EINVAL;
    for (; *text; text++) {
        if (*text == '_' && any_base && (after_digit || after_prefix) && digit_of(text[1]) < base) {
            after_digit = after_prefix = false;
            continue;
        }
        unsigned digit = digit_of(*text);
        if (digit >= base)
            return -EINVAL;
        after_digit = true;
        too_large |= __builtin_mul_overflow(value, base, &value) ||
                     __builtin_add_overflow(value, digit, &value);
    }
    if (too_large || value > (uint64_t)INT64_MAX + negative)
        return -ERANGE;
    *ret = (int64_t)(negative ? 0 - value : value);
    return 0;
}

// Words for what is no finite number.
static bool parse_special(const char *text, double *ret)
{
    const char *word = text + (*text == '+' || *text == '-');
    if (strcasecmp(word, "inf") == 0 || strcasecmp(word, "infinity") == 0) {
        *ret = *text == '-' ? -INFINITY : INFINITY;
        return true;
    }
    if (strcasecmp(text, "nan") != 0)
        return false;
    *ret = NAN;
    return true;
}

int hone_pprof_parse_float(const char *text, double *ret)
{
    if (parse_special(text, ret))
        return 0;
    if (!*text || text[strspn(text, "0123456789abcdefABCDEFxXpP.+-")])
        return -EINVAL;
    bool hex = strpbrk(text, "xX") != NULL;
    if (hex && !strpbrk(text, "pP")) // Go wants an exponent there
        return -EINVAL;
    char *end;
    errno = 0;
    double value = strtod(text, &end);
    if (*end || end == text)
        return -EINVAL;
    if (errno == ERANGE && isinf(value))
        return -ERANGE;
    *ret = value;
    return 0;
}

struct hone_pprof_float_text hone_pprof_print_float(double number)
{
    struct hone_pprof_float_text out = {""};
    if (isnan(number) || isinf(number)) {
        (void)snprintf(out.text, sizeof out.text, "%s",
                       isnan(number) ? "NaN"
                       : number > 0  ? "+Inf"
                                     : "-Inf");
        return out;
    }
    int digits = 0; // after the first
    do
        (void)snprintf(out.text, sizeof out.text, "%.*e", digits, number);
    while (strtod(out.text, NULL) != number && ++digits < 17);
    int exponent = atoi(strchr(out.text, 'e') + 1);
    if (exponent >= -4 && exponent < 21)
        (void)snprintf(out.text, sizeof out.text, "%.*f", digits > exponent ? digits - exponent : 0,
                       number);
    return out;
}
