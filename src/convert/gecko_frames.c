// In gecko's format a frame is a text: an address, code with its library as perf's scripts write
// it, JavaScript with its file, or a name.
#include "convert/firefox_parts.h"

#include "convert/lines.h"

#include <stdlib.h>

enum { LIBRARIES_MAX = 1 << 16 };

// --- libraries -----------------------------------------------------------------------------------

// Zeros, and ids in anything but hex, are no build ids.
static bool is_build_id(struct hone_str text)
{
    bool any = false;
    for (size_t i = 0; i < text.len; i++) {
        if (hone_hex_digit(text.at[i]) < 0)
            return false;
        any |= text.at[i] != '0';
    }
    return any;
}

static int read_address(struct hone_json *json, uint64_t *ret)
{
    int64_t value = 0;
    if (hone_json_peek(json) != HONE_JSON_NUMBER)
        return hone_json_skip(json);
    int r = hone_json_integer(json, &value);
    if (!r)
        *ret = (uint64_t)value;
    return r;
}

static int read_library(struct hone_json *json, struct hone_profile *profile,
                        struct hone_gecko_library *ret)
{
    struct hone_str key;
    uint32_t path = 0, name = 0, code_id = 0;
    uint64_t offset = 0;
    int r = hone_json_object(json);
    while (!r && (r = hone_json_key(json, &key)) > 0) {
        if (hone_json_is(key, "path"))
            r = hone_firefox_read_text(json, profile, &path);
        else if (hone_json_is(key, "name"))
            r = hone_firefox_read_text(json, profile, &name);
        else if (hone_json_is(key, "codeId"))
            r = hone_firefox_read_text(json, profile, &code_id);
        else if (hone_json_is(key, "start"))
            r = read_address(json, &ret->start);
        else if (hone_json_is(key, "end"))
            r = read_address(json, &ret->end);
        else if (hone_json_is(key, "offset"))
            r = read_address(json, &offset);
        else
            r = hone_json_skip(json);
    }
    if (r || ret->start >= ret->end)
        return r;
    ret->mapping = hone_profile_add_mapping(
        profile, &(struct hone_profile_mapping){
                     .start = ret->start,
                     .limit = ret->end,
                     .offset = offset,
                     .file = path ? path : name,
                     .build_id = is_build_id(hone_profile_str(profile, code_id)) ? code_id : 0});
    return 0;
}

static int compare_libraries(const void *left, const void *right)
{
    const struct hone_gecko_library *a = left;
    const struct hone_gecko_library *b = right;
    if (a->start != b->start)
        return a->start < b->start ? -1 : 1;
    return a->mapping < b->mapping ? -1 : a->mapping > b->mapping;
}

int hone_gecko_read_libraries(struct hone_json *json, struct hone_profile *profile,
                              struct hone_gecko_libraries *ret)
{
    ret->count = 0;
    int r = hone_json_array(json);
    while (!r && (r = hone_json_item(json)) > 0) {
        struct hone_gecko_library library = {0};
        r = hone_json_peek(json) == HONE_JSON_OBJECT ? read_library(json, profile, &library)
                                                     : hone_json_skip(json);
        if (r || !library.mapping)
            continue;
        if (ret->count == LIBRARIES_MAX)
            return hone_json_bad(json, "more than %d libraries", LIBRARIES_MAX);
        if (!hone_array_reserve(&ret->at, &ret->room, (uint64_t)ret->count + 1, sizeof *ret->at))
            return hone_build_out_of_memory(json->name, json->err);
        ret->at[ret->count++] = library;
    }
    if (ret->count)
        qsort(ret->at, ret->count, sizeof *ret->at, compare_libraries);
    return r;
}

void hone_gecko_libraries_done(struct hone_gecko_libraries *libraries)
{
    free(libraries->at);
}

// The mapping of an address; 0: none.
static uint32_t find(const struct hone_gecko_libraries *libraries, uint64_t address)
{
    uint32_t from = 0;
    uint32_t to = libraries->count;
    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        if (libraries->at[middle].start <= address)
            from = middle + 1;
        else
            to = middle;
    }
    return from && address < libraries->at[from - 1].end ? libraries->at[from - 1].mapping : 0;
}

// --- texts ---------------------------------------------------------------------------------------

static bool is_address(struct hone_str text, uint64_t *ret)
{
    return text.len > 2 && text.at[0] == '0' && text.at[1] == 'x' && hone_str_hex(&text, ret) &&
           !text.len;
}

// The place of the last of these, or text.len.
static size_t find_last(struct hone_str text, struct hone_str part)
{
    for (size_t at = text.len; at-- > 0;)
        if (text.len - at >= part.len && memcmp(text.at + at, part.at, part.len) == 0)
            return at;
    return text.len;
}

// Takes ":12" off the end. False: there is none.
static bool take_number(struct hone_str *text, int64_t *ret)
{
    size_t digits = text->len;
    while (digits && text->at[digits - 1] >= '0' && text->at[digits - 1] <= '9')
        digits--;
    if (digits < 2 || digits == text->len || text->at[digits - 1] != ':')
        return false;
    uint64_t value;
    struct hone_str number = {text->at + digits, text->len - digits};
    *ret = hone_str_decimal(&number, &value) && value < INT32_MAX ? (int64_t)value : 0;
    text->len = digits - 1;
    return true;
}

// "file:12" or "file:12:34", where the column goes unused. False: it ends in no number.
static bool take_place(struct hone_str *text, int64_t *line)
{
    int64_t first;
    if (!take_number(text, line))
        return false;
    if (take_number(text, &first))
        *line = first;
    return true;
}

// "name (file:12:34)", or "file:12:34" alone for code without a name.
static bool is_script(struct hone_str text, struct hone_place *place)
{
    size_t at = find_last(text, HONE_STR(" ("));
    struct hone_str inner = text;
    struct hone_str name = HONE_STR("(anonymous)");
    if (text.len && text.at[text.len - 1] == ')' && at < text.len) {
        inner = (struct hone_str){text.at + at + 2, text.len - at - 3};
        name = (struct hone_str){text.at, at};
    } else if (find_last(text, HONE_STR("://")) == text.len) {
        return false; // "a::b:1" is somebody's name
    }
    int64_t line;
    if (!take_place(&inner, &line))
        return false;
    place->name = name;
    place->file = inner;
    place->start_line = line;
    return true;
}

// "name (in library)", with or without " + 12" behind.
static bool is_in_library(struct hone_str text, struct hone_str *name, struct hone_str *library)
{
    static const struct hone_str in = {" (in ", 5};
    size_t at = find_last(text, in);
    if (at == text.len)
        return false;
    struct hone_str rest = hone_str_skip(text, at + in.len);
    size_t end = find_last(rest, HONE_STR(")"));
    if (end == rest.len)
        return false;
    *name = (struct hone_str){text.at, at};
    *library = (struct hone_str){rest.at, end};
    return true;
}

uint32_t hone_gecko_locate(struct hone_profile *profile,
                           const struct hone_gecko_libraries *libraries, struct hone_str text,
                           int64_t line)
{
    uint64_t address;
    struct hone_str library;
    struct hone_place place = {.name = text};
    if (is_address(text, &address)) {
        struct hone_profile_location location = {.address = address,
                                                 .mapping = find(libraries, address)};
        return hone_profile_add_location(profile, &location);
    }
    if (is_in_library(text, &place.name, &library))
        place.mapping = hone_module_add(profile, library);
    else
        (void)is_script(text, &place);
    place.line = line ? line : place.start_line;
    return hone_place_add(profile, &place);
}
