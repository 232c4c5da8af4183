// Reading the protobuf wire format: a cursor over bytes, varints, fields. Private to this room.
#ifndef HONE_PROFILE_WIRE_H
#define HONE_PROFILE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum hone_wire_type {
    HONE_WIRE_VARINT = 0,
    HONE_WIRE_64 = 1,
    HONE_WIRE_BYTES = 2,
    HONE_WIRE_32 = 5
};

struct hone_wire {
    const unsigned char *at;
    const unsigned char *end;
};

struct hone_wire_field {
    const unsigned char *start;
    uint64_t number;
    uint64_t value;        // of VARINT, 64 and 32
    struct hone_wire body; // of BYTES
    enum hone_wire_type type;
};

// What is wrong with the bytes; NULL when nothing is.
typedef const char *hone_wire_fault;

static inline bool hone_wire_varint(struct hone_wire *wire, uint64_t *ret)
{
    const unsigned char *at = wire->at;
    size_t left = (size_t)(wire->end - at);
    if (left >= 1 && at[0] < 0x80) { // most numbers are ids, most ids are below 2^14
        *ret = at[0];
        wire->at = at + 1;
        return true;
    }
    if (left >= 2 && at[1] < 0x80) {
        *ret = (at[0] & 0x7f) | (uint64_t)at[1] << 7;
        wire->at = at + 2;
        return true;
    }
    uint64_t value = 0;
    for (unsigned i = 0; i < 10 && i < left; i++) {
        value |= (uint64_t)(at[i] & 0x7f) << 7 * i;
        if (at[i] < 0x80) {
            *ret = value;
            wire->at = at + i + 1;
            return true;
        }
    }
    return false;
}

// Reads the next field; the caller has checked that there are bytes left.
static inline hone_wire_fault hone_wire_next(struct hone_wire *wire, struct hone_wire_field *ret)
{
    *ret = (struct hone_wire_field){.start = wire->at, .body = {wire->at, wire->at}};
    uint64_t tag;
    if (!hone_wire_varint(wire, &tag))
        return "broken number";
    ret->number = tag >> 3;
    ret->type = (enum hone_wire_type)(tag & 7);
    switch (tag & 7) {
    case HONE_WIRE_VARINT:
        return hone_wire_varint(wire, &ret->value) ? NULL : "broken number";
    case HONE_WIRE_BYTES: {
        uint64_t len;
        if (!hone_wire_varint(wire, &len))
            return "broken length";
        if (len > (uint64_t)(wire->end - wire->at))
            return "length beyond the end";
        ret->body = (struct hone_wire){wire->at, wire->at + len};
        wire->at += len;
        return NULL;
    }
    case HONE_WIRE_64:
    case HONE_WIRE_32: {
        size_t len = (tag & 7) == HONE_WIRE_64 ? 8 : 4;
        if (len > (size_t)(wire->end - wire->at))
            return "number beyond the end";
        memcpy(&ret->value, wire->at, len);
        wire->at += len;
        return NULL;
    }
    default:
        return "unknown kind of field";
    }
}

#endif
