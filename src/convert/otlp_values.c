// Attributes as labels: OTLP's values are of many kinds, pprof's labels are texts and numbers.
#include "convert/otlp.h"

#include "base/buffer.h"

#include <errno.h>
#include <stdio.h>

enum { NESTED_MAX = 8 };

static const uint64_t LABEL_TOTAL_MAX = 1u << 26; // of all samples, since few bytes name many

int hone_otlp_add_label(struct hone_otlp *o, struct hone_otlp_labels *labels,
                        const struct hone_profile_label *label)
{
    int r = hone_profile_status(o->profile);
    if (r)
        return hone_error_set(o->err, r, "cannot read '%s'", o->name);
    if (labels->count == HONE_PROFILE_LABELS_MAX || ++o->label_total > LABEL_TOTAL_MAX)
        return hone_error_set(o->err, -EOVERFLOW, "cannot read '%s': too many attributes", o->name);
    if (!hone_array_reserve(&labels->at, &labels->room, (uint64_t)labels->count + 1,
                            sizeof *labels->at))
        return hone_otlp_out_of_memory(o);
    labels->at[labels->count++] = *label;
    return 0;
}

static int add_text(struct hone_otlp *o, struct hone_otlp_labels *labels,
                    struct hone_profile_label label, struct hone_str text)
{
    label.text = hone_profile_intern_str(o->profile, text);
    label.unit = 0;
    return hone_otlp_add_label(o, labels, &label);
}

static int add_hex(struct hone_otlp *o, struct hone_otlp_labels *labels,
                   struct hone_profile_label label, struct hone_wire bytes)
{
    struct hone_buffer text = {0};
    size_t len = (size_t)(bytes.end - bytes.at);
    char *at = hone_buffer_grow(&text, 2 * len);
    for (size_t i = 0; at && i < len; i++) {
        at[2 * i] = "0123456789abcdef"[bytes.at[i] >> 4];
        at[2 * i + 1] = "0123456789abcdef"[bytes.at[i] & 15];
    }
    int r = text.failed ? hone_otlp_out_of_memory(o)
                        : add_text(o, labels, label, (struct hone_str){text.at, text.len});
    hone_buffer_done(&text);
    return r;
}

// In as few digits as give the same number again.
static int add_double(struct hone_otlp *o, struct hone_otlp_labels *labels,
                      struct hone_profile_label label, uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    return add_text(o, labels, label, hone_str_of(text));
}

static int add_value(struct hone_otlp *o, struct hone_otlp_labels *labels,
                     struct hone_profile_label label, struct hone_wire message, unsigned depth);

static int add_array(struct hone_otlp *o, struct hone_otlp_labels *labels,
                     struct hone_profile_label label, struct hone_wire message, unsigned depth)
{
    struct hone_wire_field field;
    int r;
    while ((r = hone_otlp_next(o, &message, &field)) > 0) {
        if (field.number != 1)
            continue;
        r = hone_otlp_want(o, &field, HONE_WIRE_BYTES);
        if (!r)
            r = add_value(o, labels, label, field.body, depth);
        if (r)
            return r;
    }
    return r;
}

// KeyValue: its key (within another one: "outer.key") and value.
static int add_pair(struct hone_otlp *o, struct hone_otlp_labels *labels, uint32_t outer,
                    struct hone_wire message, unsigned depth)
{
    struct hone_profile_label label = {0};
    struct hone_wire value = {message.end, message.end};
    struct hone_wire_field field;
    int r;
    while ((r = hone_otlp_next(o, &message, &field)) > 0) {
        if (field.number == 3) {
            r = hone_otlp_want(o, &field, HONE_WIRE_VARINT);
            if (!r)
                r = hone_otlp_string(o, field.value, field.start, &label.key);
        } else if (field.number == 1 || field.number == 2) {
            r = hone_otlp_want(o, &field, HONE_WIRE_BYTES);
            if (!r && field.number == 1)
                label.key = hone_profile_intern_str(
                    o->profile, (struct hone_str){(const char *)field.body.at,
                                                  (size_t)(field.body.end - field.body.at)});
            else if (!r)
                value = field.body;
        } else {
            r = 0;
        }
        if (r < 0)
            return r;
    }
    if (r)
        return r;
    if (outer) {
        struct hone_buffer key = {0};
        struct hone_str parts[] = {hone_profile_str(o->profile, outer),
                                   hone_profile_str(o->profile, label.key)};
        hone_buffer_add(&key, parts[0].at, parts[0].len);
        hone_buffer_add(&key, ".", 1);
        hone_buffer_add(&key, parts[1].at, parts[1].len);
        bool failed = key.failed;
        if (!failed)
            label.key = hone_profile_intern_str(o->profile, (struct hone_str){key.at, key.len});
        hone_buffer_done(&key);
        if (failed)
            return hone_otlp_out_of_memory(o);
    }
    return add_value(o, labels, label, value, depth);
}

static int add_pairs(struct hone_otlp *o, struct hone_otlp_labels *labels, uint32_t outer,
                     struct hone_wire message, unsigned depth)
{
    struct hone_wire_field field;
    int r;
    while ((r = hone_otlp_next(o, &message, &field)) > 0) {
        if (field.number != 1)
            continue;
        r = hone_otlp_want(o, &field, HONE_WIRE_BYTES);
        if (!r)
            r = add_pair(o, labels, outer, field.body, depth);
        if (r)
            return r;
    }
    return r;
}

static int add_kind(struct hone_otlp *o, struct hone_otlp_labels *labels,
                    struct hone_profile_label label, const struct hone_wire_field *field,
                    unsigned depth)
{
    static const enum hone_wire_type kinds[] = {
        [1] = HONE_WIRE_BYTES, [2] = HONE_WIRE_VARINT, [3] = HONE_WIRE_VARINT,
        [4] = HONE_WIRE_64,    [5] = HONE_WIRE_BYTES,  [6] = HONE_WIRE_BYTES,
        [7] = HONE_WIRE_BYTES, [8] = HONE_WIRE_VARINT,
    };
    int r = hone_otlp_want(o, field, kinds[field->number]);
    if (r)
        return r;
    switch (field->number) {
    case 1:
        return add_text(o, labels, label,
                        (struct hone_str){(const char *)field->body.at,
                                          (size_t)(field->body.end - field->body.at)});
    case 2:
        return add_text(o, labels, label, field->value ? HONE_STR("true") : HONE_STR("false"));
    case 3:
        label.number = (int64_t)field->value;
        return hone_otlp_add_label(o, labels, &label);
    case 4:
        return add_double(o, labels, label, field->value);
    case 5:
        return add_array(o, labels, label, field->body, depth + 1);
    case 6:
        return add_pairs(o, labels, label.key, field->body, depth + 1);
    case 7:
        return add_hex(o, labels, label, field->body);
    default:
        label.unit = 0;
        r = hone_otlp_string(o, field->value, field->start, &label.text);
        return r ? r : hone_otlp_add_label(o, labels, &label);
    }
}

// AnyValue. One without a value adds nothing.
static int add_value(struct hone_otlp *o, struct hone_otlp_labels *labels,
                     struct hone_profile_label label, struct hone_wire message, unsigned depth)
{
    if (depth > NESTED_MAX)
        return hone_otlp_bad(o, message.at, "value nested more than %d deep", NESTED_MAX);
    struct hone_wire_field field;
    int r;
    while ((r = hone_otlp_next(o, &message, &field)) > 0) {
        r = field.number && field.number <= 8 ? add_kind(o, labels, label, &field, depth) : 0;
        if (r)
            return r;
    }
    return r;
}

int hone_otlp_add_key_value(struct hone_otlp *o, struct hone_otlp_labels *labels,
                            struct hone_wire message)
{
    return add_pair(o, labels, 0, message, 0);
}

// KeyValueAndUnit.
int hone_otlp_add_attribute(struct hone_otlp *o, struct hone_otlp_labels *labels, uint64_t index,
                            const unsigned char *at)
{
    struct hone_profile_label label = {0};
    struct hone_wire message;
    struct hone_wire_field field;
    int r = hone_otlp_entry(o, HONE_OTLP_ATTRIBUTES, index, at, &message);
    if (r)
        return r;
    struct hone_wire value = {message.end, message.end};
    while ((r = hone_otlp_next(o, &message, &field)) > 0) {
        r = 0;
        if (field.number == 2) {
            r = hone_otlp_want(o, &field, HONE_WIRE_BYTES);
            value = field.body;
        } else if (field.number == 1 || field.number == 3) {
            r = hone_otlp_want(o, &field, HONE_WIRE_VARINT);
            if (!r)
                r = hone_otlp_string(o, field.value, field.start,
                                     field.number == 1 ? &label.key : &label.unit);
        }
        if (r)
            return r;
    }
    return r ? r : add_value(o, labels, label, value, 0);
}

int hone_otlp_add_attributes(struct hone_otlp *o, struct hone_otlp_labels *labels,
                             const struct hone_wire_field *field)
{
    struct hone_otlp_numbers numbers = {.field = field};
    uint64_t index;
    int r;
    while ((r = hone_otlp_next_number(o, &numbers, &index)) > 0) {
        r = hone_otlp_add_attribute(o, labels, index, field->start);
        if (r)
            return r;
    }
    return r;
}

static bool all_zero(struct hone_wire bytes)
{
    for (; bytes.at != bytes.end; bytes.at++)
        if (*bytes.at)
            return false;
    return true;
}

int hone_otlp_add_link(struct hone_otlp *o, struct hone_otlp_labels *labels, uint64_t index,
                       const unsigned char *at)
{
    struct hone_wire message;
    struct hone_wire_field field;
    int r = hone_otlp_entry(o, HONE_OTLP_LINKS, index, at, &message);
    if (r)
        return r;
    while ((r = hone_otlp_next(o, &message, &field)) > 0) {
        if (field.number != 1 && field.number != 2)
            continue;
        r = hone_otlp_want(o, &field, HONE_WIRE_BYTES);
        if (!r && !all_zero(field.body))
            r = add_hex(o, labels,
                        (struct hone_profile_label){
                            .key = hone_profile_intern(o->profile,
                                                       field.number == 1 ? "trace_id" : "span_id")},
                        field.body);
        if (r)
            return r;
    }
    return r;
}
