// A document of OTLP/JSON as the bytes of its message, and from there the way of all OTLP. What is
// wrong with them is told by the place in the document.
#include "convert/otlp_json.h"

#include "convert/json.h"
#include "convert/lines.h"
#include "convert/otlp.h"
#include "convert/otlp_put.h"
#include "convert/readers.h"

#include "base/cleanup.h"

#include <errno.h>
#include <math.h>
#include <string.h>

enum {
    DEPTH_MAX = 64,   // of messages; attributes may hold each other
    LENGTH_BYTES = 5, // of a message's length, which is known when the message is over
};

struct coder {
    struct hone_json json;
    struct hone_buffer out;
    unsigned depth;
    size_t stop_at;   // where the place of a byte is wanted; else SIZE_MAX
    const char *last; // the value that begins at that byte or before
};

enum { STOP = 1 };

static void coder_done(struct coder *c)
{
    hone_json_done(&c->json);
    hone_buffer_done(&c->out);
}

static int read_message(struct coder *c, const struct hone_otlp_message *message);

// --- lengths -------------------------------------------------------------------------------------

static size_t begin_bytes(struct coder *c, unsigned field)
{
    hone_put_varint(&c->out, field << 3 | HONE_WIRE_BYTES);
    (void)hone_buffer_grow(&c->out, LENGTH_BYTES);
    return c->out.len;
}

// In as many bytes as were kept for it, which protobuf allows.
static int end_bytes(struct coder *c, size_t from)
{
    size_t len = c->out.len - from;
    if (c->out.failed || len >> 7 * LENGTH_BYTES)
        return hone_build_out_of_memory(c->json.name, c->json.err);
    unsigned char *at = (unsigned char *)c->out.at + from - LENGTH_BYTES;
    for (unsigned i = 0; i < LENGTH_BYTES; i++, len >>= 7)
        at[i] = (unsigned char)((len & 0x7f) | (i + 1 < LENGTH_BYTES ? 0x80 : 0));
    return 0;
}

// --- scalars -------------------------------------------------------------------------------------

// Integers are numbers or texts of digits, both signed and unsigned ones.
static int read_integer(struct coder *c, uint64_t *ret)
{
    struct hone_str text;
    struct hone_json *json = &c->json;
    enum hone_json_kind kind = hone_json_peek(json);
    const char *from = json->at;
    int r = kind == HONE_JSON_STRING   ? hone_json_string(json, &text)
            : kind == HONE_JSON_NUMBER ? hone_json_skip(json)
                                       : hone_json_bad(json, "expected a number");
    if (r)
        return r;
    if (kind == HONE_JSON_NUMBER)
        text = (struct hone_str){from, (size_t)(json->at - from)};
    struct hone_str rest = text;
    int64_t value;
    if (hone_str_decimal(&rest, ret) && !rest.len)
        return 0;
    if (!hone_str_signed(text, &value)) {
        hone_json_go(json, from);
        return hone_json_bad(json, "'%.*s' is not a number of 64 bits",
                             (int)(text.len < 40 ? text.len : 40), text.at);
    }
    *ret = (uint64_t)value;
    return 0;
}

static int read_double(struct coder *c, uint64_t *ret)
{
    struct hone_str text;
    double value = 0;
    struct hone_json *json = &c->json;
    int r;
    if (hone_json_peek(json) == HONE_JSON_STRING) {
        r = hone_json_string(json, &text);
        if (!r && hone_str_equal(text, HONE_STR("NaN")))
            value = NAN;
        else if (!r && hone_str_equal(text, HONE_STR("Infinity")))
            value = INFINITY;
        else if (!r && hone_str_equal(text, HONE_STR("-Infinity")))
            value = -INFINITY;
        else if (!r)
            r = hone_json_bad(json, "expected a number before this");
    } else {
        r = hone_json_number(json, &value);
    }
    memcpy(ret, &value, sizeof *ret);
    return r;
}

static int put_hex(struct coder *c, struct hone_str text)
{
    if (text.len % 2)
        return hone_json_bad(&c->json, "expected an even number of digits in hex before this");
    for (size_t i = 0; i < text.len; i += 2) {
        int high = hone_hex_digit(text.at[i]);
        int low = hone_hex_digit(text.at[i + 1]);
        if (high < 0 || low < 0)
            return hone_json_bad(&c->json, "expected digits in hex before this");
        hone_buffer_add(&c->out, &(unsigned char){(unsigned char)(high << 4 | low)}, 1);
    }
    return 0;
}

// Of both alphabets, with or without '=' at the end.
static int base64_digit(char digit)
{
    if (digit >= 'A' && digit <= 'Z')
        return digit - 'A';
    if (digit >= 'a' && digit <= 'z')
        return digit - 'a' + 26;
    if (digit >= '0' && digit <= '9')
        return digit - '0' + 52;
    return digit == '+' || digit == '-' ? 62 : digit == '/' || digit == '_' ? 63 : -1;
}

static int put_base64(struct coder *c, struct hone_str text)
{
    while (text.len && text.at[text.len - 1] == '=')
        text.len--;
    unsigned bits = 0;
    unsigned have = 0;
    for (size_t i = 0; i < text.len; i++) {
        int digit = base64_digit(text.at[i]);
        if (digit < 0)
            return hone_json_bad(&c->json, "expected bytes in base64 before this");
        bits = (bits << 6 | (unsigned)digit) & 0xffff;
        have += 6;
        if (have < 8)
            continue;
        have -= 8;
        hone_buffer_add(&c->out, &(unsigned char){(unsigned char)(bits >> have)}, 1);
    }
    return 0;
}

static int read_bytes(struct coder *c, enum hone_otlp_kind kind)
{
    struct hone_str text;
    int r = hone_json_string(&c->json, &text);
    if (!r && kind == HONE_OTLP_HEX)
        return put_hex(c, text);
    if (!r && kind == HONE_OTLP_BASE64)
        return put_base64(c, text);
    if (!r)
        hone_buffer_add(&c->out, text.at, text.len);
    return r;
}

// --- fields --------------------------------------------------------------------------------------

static bool is_number(enum hone_otlp_kind kind)
{
    return kind < HONE_OTLP_TEXT;
}

// A number without its tag, and how it is written.
static int read_number(struct coder *c, enum hone_otlp_kind kind, uint64_t *ret)
{
    bool truth = false;
    int r = kind == HONE_OTLP_BOOL     ? hone_json_boolean(&c->json, &truth)
            : kind == HONE_OTLP_DOUBLE ? read_double(c, ret)
                                       : read_integer(c, ret);
    if (kind == HONE_OTLP_BOOL)
        *ret = truth;
    return r;
}

static bool is_fixed(enum hone_otlp_kind kind)
{
    return kind == HONE_OTLP_FIXED64 || kind == HONE_OTLP_DOUBLE;
}

static int read_value(struct coder *c, const struct hone_otlp_field *field)
{
    if (hone_json_peek(&c->json) == HONE_JSON_NULL && !field->repeated)
        return hone_json_skip(&c->json);
    if (c->out.len > c->stop_at)
        return STOP;
    c->last = c->json.at;
    if (is_number(field->kind)) {
        uint64_t value;
        int r = read_number(c, field->kind, &value);
        if (r)
            return r;
        hone_put_varint(&c->out, field->number << 3 |
                                     (is_fixed(field->kind) ? HONE_WIRE_64 : HONE_WIRE_VARINT));
        if (is_fixed(field->kind))
            hone_buffer_add(&c->out, &value, sizeof value);
        else
            hone_put_varint(&c->out, value);
        return 0;
    }
    size_t from = begin_bytes(c, field->number);
    int r = field->kind == HONE_OTLP_MESSAGE ? read_message(c, field->message)
                                             : read_bytes(c, field->kind);
    return r ? r : end_bytes(c, from);
}

// Numbers in an array are packed: the message's older layouts are told by that.
static int read_packed(struct coder *c, const struct hone_otlp_field *field)
{
    size_t from = begin_bytes(c, field->number);
    int r;
    while ((r = hone_json_item(&c->json)) > 0) {
        uint64_t value;
        r = read_number(c, field->kind, &value);
        if (r)
            return r;
        if (is_fixed(field->kind))
            hone_buffer_add(&c->out, &value, sizeof value);
        else
            hone_put_varint(&c->out, value);
    }
    return r ? r : end_bytes(c, from);
}

static int read_field(struct coder *c, const struct hone_otlp_field *field)
{
    if (!field->repeated)
        return read_value(c, field);
    if (hone_json_peek(&c->json) == HONE_JSON_NULL)
        return hone_json_skip(&c->json);
    if (c->out.len > c->stop_at)
        return STOP;
    c->last = c->json.at;
    int r = hone_json_array(&c->json);
    if (!r && is_number(field->kind))
        return read_packed(c, field);
    while (!r && (r = hone_json_item(&c->json)) > 0)
        r = read_value(c, field);
    return r;
}

static int read_message(struct coder *c, const struct hone_otlp_message *message)
{
    struct hone_str key;
    if (c->depth == DEPTH_MAX)
        return hone_json_bad(&c->json, "more than %d messages within each other", DEPTH_MAX);
    c->depth++;
    int r = hone_json_object(&c->json);
    while (!r && (r = hone_json_key(&c->json, &key)) > 0) {
        const struct hone_otlp_field *field = message->fields;
        while (field->name && !hone_json_is(key, field->name))
            field++;
        r = field->name ? read_field(c, field) : hone_json_skip(&c->json);
    }
    c->depth--;
    return r;
}

static int read_document(struct coder *c)
{
    int r = read_message(c, &hone_otlp_profiles_data);
    if (!r && c->out.failed)
        return hone_build_out_of_memory(c->json.name, c->json.err);
    if (!r && hone_json_peek(&c->json) == HONE_JSON_OBJECT) {
        r = hone_json_bad(&c->json, "a second document");
        hone_error_hint(c->json.err, "give each document, a line mostly, as a file of its own");
        return r;
    }
    if (!r && c->json.at != c->json.end)
        return hone_json_bad(&c->json, "more than one document");
    return r;
}

// --- the way of all OTLP -------------------------------------------------------------------------

struct document {
    const void *bytes;
    size_t len;
};

// Where in the document the byte comes from: it is read once more up to there.
static void tell_place(const void *context, size_t offset, char *text, size_t room)
{
    const struct document *document = context;
    HONE_CLEANUP(coder_done)
    struct coder c = {.json = hone_json_of(document->bytes, document->len, "", NULL),
                      .stop_at = offset,
                      .last = document->bytes};
    (void)read_document(&c);
    c.json.at = c.last;
    unsigned long long line, column;
    hone_json_place(&c.json, &line, &column);
    (void)snprintf(text, room, "line %llu, column %llu", line, column);
}

int hone_otlp_json_read(const void *bytes, size_t len, const char *name, struct hone_profile **ret,
                        struct hone_error *err)
{
    const struct document document = {bytes, len};
    const struct hone_otlp_origin origin = {tell_place, &document};
    HONE_CLEANUP(coder_done)
    struct coder c = {.json = hone_json_of(bytes, len, name, err), .stop_at = SIZE_MAX};
    int r = read_document(&c);
    if (r)
        return r;
    return hone_otlp_read_from(c.out.at ? c.out.at : "", c.out.len, name, &origin, ret, err);
}

unsigned hone_otlp_json_detect(const void *bytes, size_t len)
{
    struct hone_json json = hone_json_of(bytes, len, "", NULL);
    struct hone_str key;
    bool profiles = false;
    bool dictionary = false;
    if (hone_json_peek(&json) != HONE_JSON_OBJECT || hone_json_object(&json))
        return HONE_CONVERT_NO;
    while (hone_json_key(&json, &key) > 0) {
        profiles |= hone_json_is(key, "resourceProfiles");
        dictionary |= hone_json_is(key, "dictionary");
        if (hone_json_skip(&json))
            break;
    }
    hone_json_done(&json);
    return profiles     ? HONE_CONVERT_CERTAIN // traces have resourceSpans
           : dictionary ? HONE_CONVERT_POSSIBLE
                        : HONE_CONVERT_NO;
}
