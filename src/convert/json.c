#include "convert/json.h"

#include "convert/lines.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct hone_json hone_json_of(const void *bytes, size_t len, const char *name,
                              struct hone_error *err)
{
    const char *at = bytes;
    struct hone_json json = {.start = at, .at = at, .end = at + len, .name = name, .err = err};
    if (len >= 3 && memcmp(at, "\xef\xbb\xbf", 3) == 0) // a byte order mark
        json.at += 3;
    return json;
}

void hone_json_done(struct hone_json *json)
{
    hone_buffer_done(&json->scratch);
}

void hone_json_place(const struct hone_json *json, unsigned long long *ret_line,
                     unsigned long long *ret_column)
{
    unsigned long long line = 1;
    const char *line_start = json->start;
    for (const char *at = json->start; (at = memchr(at, '\n', (size_t)(json->at - at))) != NULL;
         at++) {
        line++;
        line_start = at + 1;
    }
    *ret_line = line;
    *ret_column = (unsigned long long)(json->at - line_start) + 1;
}

int hone_json_bad(struct hone_json *json, const char *format, ...)
{
    char what[320];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    unsigned long long line, column;
    hone_json_place(json, &line, &column);
    return hone_error_set(json->err, -EBADMSG, "cannot read '%s': line %llu, column %llu: %s",
                          json->name, line, column, what);
}

static void skip_blanks(struct hone_json *json)
{
    while (json->at < json->end &&
           (*json->at == ' ' || *json->at == '\n' || *json->at == '\t' || *json->at == '\r'))
        json->at++;
}

enum hone_json_kind hone_json_peek(struct hone_json *json)
{
    skip_blanks(json);
    if (json->at >= json->end)
        return HONE_JSON_END;
    switch (*json->at) {
    case '{':
        return HONE_JSON_OBJECT;
    case '[':
        return HONE_JSON_ARRAY;
    case '"':
        return HONE_JSON_STRING;
    case 't':
        return HONE_JSON_TRUE;
    case 'f':
        return HONE_JSON_FALSE;
    case 'n':
        return HONE_JSON_NULL;
    default:
        return *json->at == '-' || (*json->at >= '0' && *json->at <= '9') ? HONE_JSON_NUMBER
                                                                          : HONE_JSON_END;
    }
}

static int expect(struct hone_json *json, enum hone_json_kind kind, const char *what)
{
    if (hone_json_peek(json) == kind)
        return 0;
    if (json->at >= json->end)
        return hone_json_bad(json, "it ends where %s should be", what);
    return hone_json_bad(json, "expected %s", what);
}

static int enter(struct hone_json *json, enum hone_json_kind kind, const char *what)
{
    int r = expect(json, kind, what);
    if (r)
        return r;
    json->at++;
    json->after_value = false;
    return 0;
}

int hone_json_object(struct hone_json *json)
{
    return enter(json, HONE_JSON_OBJECT, "an object");
}

int hone_json_array(struct hone_json *json)
{
    return enter(json, HONE_JSON_ARRAY, "an array");
}

// To the next member, or behind the closing bracket. Returns 1, 0 or an error.
static int next(struct hone_json *json, char close)
{
    skip_blanks(json);
    if (json->at >= json->end) {
        if (json->lenient)
            return 0;
        return hone_json_bad(json, "it ends before the '%c' of what began", close);
    }
    bool comma = json->after_value && *json->at == ',';
    if (comma) {
        json->at++;
        skip_blanks(json);
    }
    if (json->at < json->end && *json->at == close && (!comma || json->lenient)) {
        json->at++;
        json->after_value = true;
        return 0;
    }
    if (json->after_value && !comma)
        return hone_json_bad(json, "expected ',' or '%c'", close);
    if (json->at >= json->end && json->lenient)
        return 0;
    json->after_value = false;
    return 1;
}

int hone_json_item(struct hone_json *json)
{
    return next(json, ']');
}

int hone_json_key(struct hone_json *json, struct hone_str *ret)
{
    int r = next(json, '}');
    if (r <= 0)
        return r;
    r = hone_json_string(json, ret);
    if (r)
        return r;
    skip_blanks(json);
    if (json->at >= json->end || *json->at != ':')
        return hone_json_bad(json, "expected ':'");
    json->at++;
    json->after_value = false;
    return 1;
}

// --- strings -------------------------------------------------------------------------------------

static void put_utf8(struct hone_buffer *out, uint32_t code)
{
    char bytes[4];
    size_t len;
    if (code < 0x80) {
        bytes[0] = (char)code;
        len = 1;
    } else if (code < 0x800) {
        bytes[0] = (char)(0xc0 | code >> 6);
        bytes[1] = (char)(0x80 | (code & 0x3f));
        len = 2;
    } else if (code < 0x10000) {
        bytes[0] = (char)(0xe0 | code >> 12);
        bytes[1] = (char)(0x80 | (code >> 6 & 0x3f));
        bytes[2] = (char)(0x80 | (code & 0x3f));
        len = 3;
    } else {
        bytes[0] = (char)(0xf0 | code >> 18);
        bytes[1] = (char)(0x80 | (code >> 12 & 0x3f));
        bytes[2] = (char)(0x80 | (code >> 6 & 0x3f));
        bytes[3] = (char)(0x80 | (code & 0x3f));
        len = 4;
    }
    hone_buffer_add(out, bytes, len);
}

// Four digits at at; false when there are none.
static bool four_digits(const char *at, const char *end, uint32_t *ret)
{
    uint32_t value = 0;
    if (end - at < 4)
        return false;
    for (int i = 0; i < 4; i++) {
        int digit = hone_hex_digit(at[i]);
        if (digit < 0)
            return false;
        value = value << 4 | (uint32_t)digit;
    }
    *ret = value;
    return true;
}

// An escape whose backslash is at at; returns what comes after it.
static const char *put_escape(struct hone_buffer *out, const char *at, const char *end)
{
    static const char plain[] = "\"\\/bfnrt";
    static const char means[] = "\"\\/\b\f\n\r\t";
    const char *found = at[1] ? strchr(plain, at[1]) : NULL;
    if (found) {
        hone_buffer_add(out, &means[found - plain], 1);
        return at + 2;
    }
    uint32_t code;
    uint32_t low;
    if (at[1] != 'u' || !four_digits(at + 2, end, &code)) {
        put_utf8(out, 0xfffd);
        return at + 2;
    }
    at += 6;
    if (code >= 0xd800 && code < 0xdc00 && end - at >= 6 && at[0] == '\\' && at[1] == 'u' &&
        four_digits(at + 2, end, &low) && low >= 0xdc00 && low < 0xe000) {
        code = 0x10000 + ((code - 0xd800) << 10 | (low - 0xdc00));
        at += 6;
    }
    put_utf8(out, code >= 0xd800 && code < 0xe000 ? 0xfffd : code);
    return at;
}

// The closing quote of a string whose text begins at at; NULL when there is none.
static const char *find_quote(const char *at, const char *end, bool *ret_escapes)
{
    *ret_escapes = false;
    for (; at < end && *at != '"'; at++)
        if (*at == '\\') {
            *ret_escapes = true;
            at++;
        }
    return at < end ? at : NULL;
}

int hone_json_string(struct hone_json *json, struct hone_str *ret)
{
    int r = expect(json, HONE_JSON_STRING, "a string");
    if (r)
        return r;
    const char *from = json->at + 1;
    bool escapes;
    const char *quote = find_quote(from, json->end, &escapes);
    if (!quote)
        return hone_json_bad(json, "it ends within a string");
    json->at = quote + 1;
    json->after_value = true;
    *ret = (struct hone_str){from, (size_t)(quote - from)};
    if (!escapes)
        return 0;
    json->scratch.len = 0;
    while (from < quote)
        if (*from == '\\') {
            from = put_escape(&json->scratch, from, quote);
        } else {
            const char *stop = memchr(from, '\\', (size_t)(quote - from));
            stop = stop ? stop : quote;
            hone_buffer_add(&json->scratch, from, (size_t)(stop - from));
            from = stop;
        }
    if (json->scratch.failed)
        return hone_error_set(json->err, -ENOMEM, "cannot read '%s'", json->name);
    *ret = (struct hone_str){json->scratch.at, json->scratch.len};
    return 0;
}

// --- other values --------------------------------------------------------------------------------

static struct hone_str number_text(struct hone_json *json)
{
    const char *from = json->at;
    const char *at = from;
    while (at < json->end && (strchr("+-.eE", *at) ? *at != '\0' : *at >= '0' && *at <= '9'))
        at++;
    return (struct hone_str){from, (size_t)(at - from)};
}

int hone_json_number(struct hone_json *json, double *ret)
{
    int r = expect(json, HONE_JSON_NUMBER, "a number");
    if (r)
        return r;
    struct hone_str text = number_text(json);
    char copy[64];
    if (text.len >= sizeof copy)
        return hone_json_bad(json, "a number of %zu characters", text.len);
    memcpy(copy, text.at, text.len);
    copy[text.len] = '\0';
    char *end;
    double value = strtod(copy, &end);
    if (*end || !isfinite(value))
        return hone_json_bad(json, "'%s' is not a number", copy);
    json->at += text.len;
    json->after_value = true;
    *ret = value;
    return 0;
}

int hone_json_integer(struct hone_json *json, int64_t *ret)
{
    int r = expect(json, HONE_JSON_NUMBER, "a number");
    if (r)
        return r;
    struct hone_str text = number_text(json);
    if (!hone_str_signed(text, ret))
        return hone_json_bad(json, "'%.*s' is not a number of 64 bits",
                             (int)(text.len < 40 ? text.len : 40), text.at);
    json->at += text.len;
    json->after_value = true;
    return 0;
}

// A word such as true; what follows it is the caller's to check.
static int word(struct hone_json *json, struct hone_str text)
{
    if ((size_t)(json->end - json->at) < text.len || memcmp(json->at, text.at, text.len) != 0)
        return hone_json_bad(json, "expected a value");
    json->at += text.len;
    json->after_value = true;
    return 0;
}

int hone_json_boolean(struct hone_json *json, bool *ret)
{
    enum hone_json_kind kind = hone_json_peek(json);
    if (kind != HONE_JSON_TRUE && kind != HONE_JSON_FALSE)
        return hone_json_bad(json, "expected true or false");
    *ret = kind == HONE_JSON_TRUE;
    return word(json, *ret ? HONE_STR("true") : HONE_STR("false"));
}

static int skip_simple(struct hone_json *json)
{
    bool escapes;
    const char *quote;
    switch (hone_json_peek(json)) {
    case HONE_JSON_STRING:
        quote = find_quote(json->at + 1, json->end, &escapes);
        if (!quote)
            return hone_json_bad(json, "it ends within a string");
        json->at = quote + 1;
        json->after_value = true;
        return 0;
    case HONE_JSON_NUMBER:
        json->at += number_text(json).len;
        json->after_value = true;
        return 0;
    case HONE_JSON_TRUE:
        return word(json, HONE_STR("true"));
    case HONE_JSON_FALSE:
        return word(json, HONE_STR("false"));
    case HONE_JSON_NULL:
        return word(json, HONE_STR("null"));
    default:
        return json->at >= json->end ? hone_json_bad(json, "it ends where a value should be")
                                     : hone_json_bad(json, "expected a value");
    }
}

// No recursion: what is open stands in one bit each.
int hone_json_skip(struct hone_json *json)
{
    unsigned char is_object[HONE_JSON_DEPTH_MAX];
    unsigned depth = 0;
    for (;;) {
        enum hone_json_kind kind = hone_json_peek(json);
        int r;
        if (kind == HONE_JSON_OBJECT || kind == HONE_JSON_ARRAY) {
            if (depth == HONE_JSON_DEPTH_MAX)
                return hone_json_bad(json, "more than %d values within each other",
                                     HONE_JSON_DEPTH_MAX);
            is_object[depth++] = kind == HONE_JSON_OBJECT;
            json->at++;
            json->after_value = false;
        } else {
            r = skip_simple(json);
            if (r)
                return r;
        }
        for (;; depth--) { // out of all that ends here
            if (!depth)
                return 0;
            struct hone_str key;
            r = is_object[depth - 1] ? hone_json_key(json, &key) : hone_json_item(json);
            if (r < 0)
                return r;
            if (r)
                break;
        }
    }
}
