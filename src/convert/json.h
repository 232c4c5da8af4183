// Reading JSON from memory, value by value, without a tree of it. Private to this room.
//
// Why not jansson, which writes session.json: a tree takes 40 bytes and more for each number, and a
// profile of 400 000 stacks in speedscope's format has 16 million of them. Here a document costs no
// memory beyond its own bytes.
//
//     struct hone_json json = hone_json_of(bytes, len, name, err);
//     if ((r = hone_json_object(&json)))
//         return r;
//     for (struct hone_str key; (r = hone_json_key(&json, &key)) > 0;) {
//         if (hone_json_is(key, "unit"))
//             r = hone_json_string(&json, &unit);
//         else
//             r = hone_json_skip(&json);
//         if (r)
//             return r;
//     }
//
// Functions return 0 or -EBADMSG with the place in the error; hone_json_key() and hone_json_item()
// return 1 when there is one and 0 at the end. A comma before a closing bracket and an array that
// the end of the file cuts short are accepted where lenient is set: programs that write traces as
// they run leave such files.
#ifndef HONE_CONVERT_JSON_H
#define HONE_CONVERT_JSON_H

#include "base/buffer.h"
#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum { HONE_JSON_DEPTH_MAX = 512 };

enum hone_json_kind {
    HONE_JSON_END, // of the input, or nothing that can begin a value
    HONE_JSON_OBJECT,
    HONE_JSON_ARRAY,
    HONE_JSON_STRING,
    HONE_JSON_NUMBER,
    HONE_JSON_TRUE,
    HONE_JSON_FALSE,
    HONE_JSON_NULL,
};

struct hone_json {
    const char *start;
    const char *at;
    const char *end;
    const char *name;
    struct hone_error *err;
    bool lenient;
    bool after_value;           // in an array or object: a comma comes next
    struct hone_buffer scratch; // of strings with escapes
};

struct hone_json hone_json_of(const void *bytes, size_t len, const char *name,
                              struct hone_error *err);
void hone_json_done(struct hone_json *json);

// What comes next.
enum hone_json_kind hone_json_peek(struct hone_json *json);

int hone_json_object(struct hone_json *json);
int hone_json_array(struct hone_json *json);
int hone_json_key(struct hone_json *json, struct hone_str *ret);
int hone_json_item(struct hone_json *json);

static inline bool hone_json_is(struct hone_str key, const char *name)
{
    return hone_str_equal(key, hone_str_of(name));
}

// The text lies in the input or, where it had escapes, in the scratch buffer until the next string
// or key is read. Invalid escapes become U+FFFD.
int hone_json_string(struct hone_json *json, struct hone_str *ret);
int hone_json_number(struct hone_json *json, double *ret);
// A fraction is rounded; what is beyond 64 bits is refused.
int hone_json_integer(struct hone_json *json, int64_t *ret);
int hone_json_boolean(struct hone_json *json, bool *ret);
int hone_json_skip(struct hone_json *json);

// Goes on reading at the value that began there.
static inline void hone_json_go(struct hone_json *json, const char *place)
{
    json->at = place;
    json->after_value = false;
}

// Where reading stands.
void hone_json_place(const struct hone_json *json, unsigned long long *ret_line,
                     unsigned long long *ret_column);

// "cannot read 'NAME': line L, column C: …". Returns -EBADMSG.
__attribute__((format(printf, 2, 3))) int hone_json_bad(struct hone_json *json, const char *format,
                                                        ...);

#endif
