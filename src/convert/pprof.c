// pprof's own format is profile/'s; here is how it is told from others.
#include "convert/readers.h"

#include "profile/legacy.h"
#include "profile/profile.h"
#include "profile/wire.h"

enum {
    FIELDS_LOOKED_AT = 64,
    FIELD_LAST = 15,
    SAMPLE_TYPE = 1,
};

// The outermost fields that are messages or strings. The others are numbers, comments either.
#define BYTES_FIELDS 0x08feu
#define EITHER_FIELD 13

// A ValueType has numbers only. In other files' messages, field 1 holds messages.
static bool is_value_type(struct hone_wire message)
{
    struct hone_wire_field field;
    while (message.at < message.end)
        if (hone_wire_next(&message, &field) || field.type != HONE_WIRE_VARINT || field.number > 2)
            return false;
    return true;
}

static bool fits(const struct hone_wire_field *field)
{
    if (!field->number || field->number > FIELD_LAST)
        return false;
    if (field->number == EITHER_FIELD)
        return field->type == HONE_WIRE_VARINT || field->type == HONE_WIRE_BYTES;
    if (!(BYTES_FIELDS >> field->number & 1))
        return field->type == HONE_WIRE_VARINT;
    return field->type == HONE_WIRE_BYTES &&
           (field->number != SAMPLE_TYPE || is_value_type(field->body));
}

unsigned hone_pprof_detect(const void *bytes, size_t len)
{
    if (hone_legacy_detect(bytes, len))
        return HONE_CONVERT_CERTAIN; // the older formats, which profile/ reads as well
    struct hone_wire message = {bytes, (const unsigned char *)bytes + len};
    bool has_type = false;
    unsigned count = 0;
    for (struct hone_wire_field field; count < FIELDS_LOOKED_AT && message.at < message.end;
         count++) {
        if (hone_wire_next(&message, &field))
            break; // the last one may be cut
        if (!fits(&field))
            return HONE_CONVERT_NO;
        has_type |= field.number == SAMPLE_TYPE;
    }
    return !count ? HONE_CONVERT_NO : has_type ? HONE_CONVERT_CERTAIN : HONE_CONVERT_POSSIBLE;
}

int hone_pprof_read(const void *bytes, size_t len, const char *name, struct hone_profile **ret,
                    struct hone_error *err)
{
    return hone_profile_decode(bytes, len, name, NULL, ret, err);
}

int hone_pprof_write(const struct hone_profile *profile, struct hone_buffer *out,
                     struct hone_error *err)
{
    return hone_profile_encode_gzip(profile, out, err);
}
