// The bytes of an OTLP message, as otlp_write.c makes them, as a document. They have neither
// floating point numbers nor bytes other than ids.
#include "convert/otlp_json.h"

#include "convert/json_write.h"
#include "convert/otlp.h"
#include "convert/otlp_put.h"
#include "convert/readers.h"

#include "base/cleanup.h"

#include <errno.h>

static void put_message(struct hone_buffer *out, const struct hone_otlp_message *message,
                        struct hone_wire bytes);

static void put_hex(struct hone_buffer *out, struct hone_wire bytes)
{
    hone_buffer_text(out, "\"");
    for (; bytes.at < bytes.end; bytes.at++)
        hone_buffer_add(
            out, (char[]){"0123456789abcdef"[*bytes.at >> 4], "0123456789abcdef"[*bytes.at & 15]},
            2);
    hone_buffer_text(out, "\"");
}

static void put_number(struct hone_buffer *out, const struct hone_otlp_field *field, uint64_t value)
{
    bool is_text = field->kind == HONE_OTLP_INT64 || field->kind == HONE_OTLP_UINT64 ||
                   field->kind == HONE_OTLP_FIXED64;
    if (is_text)
        hone_buffer_text(out, "\"");
    if (field->kind == HONE_OTLP_BOOL)
        hone_buffer_text(out, value ? "true" : "false");
    else if (field->kind == HONE_OTLP_UINT64 || field->kind == HONE_OTLP_FIXED64)
        hone_json_put_count(out, value);
    else
        hone_json_put_integer(out, (int64_t)value);
    if (is_text)
        hone_buffer_text(out, "\"");
}

// Of integers: the writer makes no others.
static void put_packed(struct hone_buffer *out, const struct hone_otlp_field *field,
                       struct hone_wire bytes)
{
    uint64_t value;
    for (uint64_t i = 0; bytes.at < bytes.end && hone_wire_varint(&bytes, &value); i++) {
        hone_json_put_comma(out, i);
        put_number(out, field, value);
    }
}

static void put_value(struct hone_buffer *out, const struct hone_otlp_field *field,
                      const struct hone_wire_field *value)
{
    if (value->type != HONE_WIRE_BYTES)
        put_number(out, field, value->value);
    else if (field->message)
        put_message(out, field->message, value->body);
    else if (field->kind == HONE_OTLP_HEX)
        put_hex(out, value->body);
    else if (field->kind == HONE_OTLP_TEXT)
        hone_json_put_text(out, (struct hone_str){(const char *)value->body.at,
                                                  (size_t)(value->body.end - value->body.at)});
    else
        put_packed(out, field, value->body);
}

// All values of a field. Returns whether there are any.
static bool put_field(struct hone_buffer *out, const struct hone_otlp_field *field,
                      struct hone_wire bytes, bool first)
{
    struct hone_wire_field value;
    uint64_t count = 0;
    while (bytes.at < bytes.end && !hone_wire_next(&bytes, &value)) {
        if (value.number != field->number)
            continue;
        if (!count)
            hone_buffer_format(out, "%s\"%s\":%s", first ? "" : ",", field->name,
                               field->repeated ? "[" : "");
        hone_json_put_comma(out, count++);
        if (field->repeated && field->message)
            hone_buffer_text(out, "\n"); // so that lines are not longer than people can read
        put_value(out, field, &value);
    }
    if (count && field->repeated)
        hone_buffer_text(out, "]");
    return count > 0;
}

static void put_message(struct hone_buffer *out, const struct hone_otlp_message *message,
                        struct hone_wire bytes)
{
    bool first = true;
    unsigned before = 0; // another name of the same field
    hone_buffer_text(out, "{");
    for (const struct hone_otlp_field *field = message->fields; field->name; field++) {
        if (field->number != before && put_field(out, field, bytes, first))
            first = false;
        before = field->number;
    }
    hone_buffer_text(out, "}");
}

int hone_otlp_json_write(const struct hone_profile *profile, struct hone_buffer *out,
                         struct hone_error *err)
{
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer bytes = {0};
    int r = hone_otlp_write(profile, &bytes, err);
    if (r)
        return r;
    struct hone_wire message = {(const unsigned char *)bytes.at,
                                (const unsigned char *)bytes.at + bytes.len};
    put_message(out, &hone_otlp_profiles_data, message);
    hone_buffer_text(out, "\n");
    return out->failed ? hone_error_set(err, -ENOMEM, "cannot encode the profile") : 0;
}
