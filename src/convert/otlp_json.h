// OTLP as JSON: the messages' fields by name. Private to this room.
//
// OTLP/JSON is proto3's mapping with ids in hex, and names in lowerCamelCase only. So one table of
// messages turns a document into the bytes that the same message has as protobuf, which otlp_read.c
// reads, and the bytes that otlp_write.c writes into a document. What the table does not have is
// skipped on the way in, as the specification wants it, and does not occur on the way out.
#ifndef HONE_CONVERT_OTLP_JSON_H
#define HONE_CONVERT_OTLP_JSON_H

#include <stdbool.h>

enum hone_otlp_kind {
    HONE_OTLP_INT32, // a number in JSON
    HONE_OTLP_INT64, // a text of digits, for JavaScript's numbers have 53 bits
    HONE_OTLP_UINT64,
    HONE_OTLP_FIXED64,
    HONE_OTLP_DOUBLE,
    HONE_OTLP_BOOL,
    HONE_OTLP_TEXT,
    HONE_OTLP_HEX,    // bytes that are an id
    HONE_OTLP_BASE64, // other bytes
    HONE_OTLP_MESSAGE,
};

struct hone_otlp_message;

struct hone_otlp_field {
    const char *name;
    unsigned number; // of the field in protobuf
    enum hone_otlp_kind kind;
    bool repeated;
    const struct hone_otlp_message *message; // of MESSAGE
};

struct hone_otlp_message {
    const struct hone_otlp_field *fields; // ends with one without a name
};

// ProfilesData, of which all others are parts.
extern const struct hone_otlp_message hone_otlp_profiles_data;

#endif
