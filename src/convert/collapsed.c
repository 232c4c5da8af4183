// Collapsed stacks, as Brendan Gregg's scripts write them: one line per stack, the root first,
// "main;sort;compare 12". The difference of two has two numbers in each line.
//
// His annotations at a frame's end are what they mean: _[k] is code of the kernel, _[j] is
// generated code, and _[i] was inlined into the frame before it.
#include "convert/build.h"
#include "convert/collapse.h"
#include "convert/frames.h"
#include "convert/lines.h"
#include "convert/readers.h"

#include "base/cleanup.h"

#include <errno.h>

enum { LINES_LOOKED_AT = 32 }; // by detection

struct collapsed {
    struct hone_profile *profile;
    struct hone_name_cache names; // of frames, to locations
    struct hone_stack stack;
    uint32_t columns;
};

static void collapsed_done(struct collapsed *c)
{
    hone_profile_free(c->profile);
    hone_name_cache_done(&c->names);
    hone_stack_done(&c->stack);
}

static bool is_comment(struct hone_str line)
{
    return !line.len || line.at[0] == '#';
}

// Cuts a number and the blanks before it off the end.
static bool cut_value(struct hone_str *line, int64_t *ret)
{
    struct hone_str text = *line;
    while (text.len && hone_is_blank(text.at[text.len - 1]))
        text.len--;
    size_t end = text.len;
    while (text.len && !hone_is_blank(text.at[text.len - 1]))
        text.len--;
    if (!text.len || !hone_str_signed((struct hone_str){text.at + text.len, end - text.len}, ret))
        return false;
    while (text.len && hone_is_blank(text.at[text.len - 1]))
        text.len--;
    *line = text;
    return text.len > 0;
}

unsigned hone_collapsed_detect(const void *bytes, size_t len)
{
    if (!hone_bytes_are_text(bytes, len))
        return HONE_CONVERT_NO;
    struct hone_lines lines = {.at = bytes, .end = (const char *)bytes + len};
    struct hone_str line;
    int64_t value;
    bool several = false;
    unsigned count = 0;
    while (count < LINES_LOOKED_AT && hone_lines_next(&lines, &line)) {
        if (is_comment(line))
            continue;
        if (lines.at >= lines.end && count && lines.end[-1] != '\n')
            break; // the last one may be cut
        if (!cut_value(&line, &value))
            return HONE_CONVERT_NO;
        several |= hone_str_find(line, ';') < line.len;
        count++;
    }
    return !count ? HONE_CONVERT_NO : several ? HONE_CONVERT_LIKELY : HONE_CONVERT_POSSIBLE;
}

// Two columns when every line has two numbers.
static uint32_t count_columns(struct hone_lines lines)
{
    struct hone_str line;
    int64_t value;
    uint32_t columns = 1;
    while (hone_lines_next(&lines, &line)) {
        if (is_comment(line))
            continue;
        if (!cut_value(&line, &value) || !cut_value(&line, &value))
            return 1;
        columns = 2;
    }
    return columns;
}

static bool take_annotation(struct hone_str *frame, const char *annotation)
{
    size_t len = strlen(annotation);
    if (frame->len <= len || memcmp(frame->at + frame->len - len, annotation, len) != 0)
        return false;
    frame->len -= len;
    return true;
}

static uint32_t location_of(struct hone_profile *p, struct hone_str frame)
{
    uint32_t mapping = 0;
    if (take_annotation(&frame, "_[k]"))
        mapping = hone_module_add(p, HONE_STR("[kernel.kallsyms]"));
    else if (take_annotation(&frame, "_[j]"))
        mapping = hone_module_add(p, HONE_STR("[jit]"));
    return hone_place_add(p, &(struct hone_place){.name = frame, .mapping = mapping});
}

// The caller's location with the inlined function in it, or its own when there is no caller.
static uint32_t inlined_into(struct hone_profile *p, uint32_t caller, struct hone_str frame)
{
    if (!caller)
        return location_of(p, frame);
    struct hone_profile_line_span outer = hone_profile_lines_of(p, caller);
    if (outer.count >= HONE_PROFILE_LINES_MAX)
        return location_of(p, frame);
    HONE_CLEANUP(hone_freep)
    struct hone_profile_line *lines = calloc((size_t)outer.count + 1, sizeof *lines);
    if (!lines)
        return 0;
    lines[0].function = hone_profile_add_function(
        p, &(struct hone_profile_function){.name = hone_profile_intern_str(p, frame)});
    memcpy(lines + 1, outer.at, outer.count * sizeof *lines);
    return hone_profile_add_location(
        p, &(struct hone_profile_location){.mapping = p->locations.mapping[caller],
                                           .lines = lines,
                                           .line_count = outer.count + 1});
}

// Pushes a frame. False: memory is out.
static bool push_frame(struct collapsed *c, struct hone_str frame)
{
    if (take_annotation(&frame, "_[i]")) {
        uint32_t caller = c->stack.count ? c->stack.at[--c->stack.count] : 0;
        uint32_t location = inlined_into(c->profile, caller, frame);
        return location && hone_stack_push(&c->stack, location);
    }
    uint32_t *number = hone_name_cache_find(&c->names, frame);
    if (!number)
        return false;
    if (!*number)
        *number = location_of(c->profile, frame);
    return *number && hone_stack_push(&c->stack, *number);
}

static int read_line(struct collapsed *c, struct hone_lines *lines, struct hone_str line)
{
    int64_t values[2] = {0};
    for (uint32_t i = c->columns; i-- > 0;)
        if (!cut_value(&line, &values[i]))
            return hone_lines_bad(lines,
                                  "expected frames with ';' between and a number at the end");
    c->stack.count = 0;
    while (line.len) {
        size_t end = hone_str_find(line, ';');
        struct hone_str frame = {line.at, end};
        if (frame.len && !push_frame(c, frame))
            return hone_profile_status(c->profile) ? 0 : -ENOMEM; // finish tells
        line = hone_str_skip(line, end < line.len ? end + 1 : end);
    }
    hone_stack_reverse(&c->stack);
    uint32_t stack = hone_stack_add(c->profile, &c->stack);
    (void)hone_profile_add_sample(c->profile, stack, values, NULL, 0);
    return 0;
}

int hone_collapsed_read(const void *bytes, size_t len, const char *name, struct hone_profile **ret,
                        struct hone_error *err)
{
    struct hone_lines lines = {
        .at = bytes, .end = (const char *)bytes + len, .name = name, .err = err};
    HONE_CLEANUP(collapsed_done) struct collapsed c = {.profile = hone_profile_new()};
    if (!c.profile)
        return hone_build_out_of_memory(name, err);
    c.columns = count_columns(lines);
    if (c.columns == 2) {
        (void)hone_profile_add_type(c.profile, "before", "count");
        (void)hone_profile_add_type(c.profile, "after", "count");
    } else {
        (void)hone_profile_add_type(c.profile, "samples", "count");
    }
    struct hone_str line;
    while (!hone_profile_status(c.profile) && hone_lines_next(&lines, &line)) {
        if (is_comment(line))
            continue;
        int r = read_line(&c, &lines, line);
        if (r)
            return r == -ENOMEM ? hone_build_out_of_memory(name, err) : r;
    }
    return hone_build_finish(&c.profile, name, ret, err);
}

int hone_collapsed_write(const struct hone_profile *profile, struct hone_buffer *out,
                         struct hone_error *err)
{
    uint32_t type;
    int r = hone_profile_select_type(profile, NULL, &type, err);
    if (r)
        return r;
    HONE_CLEANUP(hone_frames_done) struct hone_frames frames = {0};
    r = hone_frames_init(&frames, profile, false);
    if (r)
        return hone_error_set(err, r, "cannot list the stacks");
    HONE_CLEANUP(hone_freep) struct hone_str *names = calloc(frames.count, sizeof *names);
    if (!names)
        return hone_error_set(err, -ENOMEM, "cannot list the stacks");
    for (uint32_t i = 0; i < frames.count; i++)
        names[i] = frames.frames[i].name;
    r = hone_collapse(profile, profile->samples.values[type],
                      &(struct hone_collapse_names){
                          .count = frames.count,
                          .names = names,
                          .first = frames.first,
                          .at = frames.at,
                      },
                      out);
    return r ? hone_error_set(err, r, "cannot list the stacks") : 0;
}
