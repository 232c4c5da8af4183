// speedscope's own format: https://www.speedscope.app/file-format-schema.json
//
// A file has several profiles that share frames. Sampled ones are stacks with weights, evented ones
// say when frames open and close. On the way in each unit becomes a sample type, and several
// profiles are told apart by the label "profile". On the way out each sample type is a profile of
// its own, named "cpu/nanoseconds" so that it comes back as what it was.
#include "convert/build.h"
#include "convert/frames.h"
#include "convert/json.h"
#include "convert/json_write.h"
#include "convert/lines.h"
#include "convert/readers.h"

#include "base/cleanup.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#define SCHEMA "https://www.speedscope.app/file-format-schema.json"
#define EXPORTER "hone@" HONE_VERSION

enum { PROFILES_MAX = 1 << 16 };

struct unit {
    const char *name;
    const char *type; // of samples
    const char *unit;
    double scale;
};

static const struct unit units[] = {
    {"none", "samples", "count", 1},
    {"nanoseconds", "time", "nanoseconds", 1},
    {"microseconds", "time", "nanoseconds", 1e3},
    {"milliseconds", "time", "nanoseconds", 1e6},
    {"seconds", "time", "nanoseconds", 1e9},
    {"bytes", "space", "bytes", 1},
};

// One of the profiles in the file, as the first pass finds it.
struct part {
    struct hone_str name; // interned
    const char *samples;  // places in the file; NULL when not there
    const char *weights;
    const char *events;
    const struct unit *unit;
    uint32_t type; // of the profile
};

struct reader {
    struct hone_profile *profile;
    struct hone_json json;
    const char *frames; // place
    uint32_t *locations;
    uint32_t location_count;
    uint32_t location_room;
    struct part *parts;
    uint32_t part_count;
    uint32_t part_room;
    struct hone_stack open; // numbers of frames, root first
    struct hone_stack stack;
    bool ours;
};

static void reader_done(struct reader *r)
{
    hone_profile_free(r->profile);
    hone_json_done(&r->json);
    free(r->locations);
    free(r->parts);
    hone_stack_done(&r->open);
    hone_stack_done(&r->stack);
}

static int out_of_memory(struct reader *r)
{
    return hone_build_out_of_memory(r->json.name, r->json.err);
}

// --- first pass: what is where -------------------------------------------------------------------

static int find_unit(struct reader *r, struct part *part)
{
    struct hone_str text;
    int result = hone_json_string(&r->json, &text);
    if (result)
        return result;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (hone_json_is(text, units[i].name))
            part->unit = &units[i];
    return part->unit ? 0
                      : hone_json_bad(&r->json, "unknown unit '%.*s'",
                                      (int)(text.len < 40 ? text.len : 40), text.at);
}

// Remembers where a value is and goes past it.
static int remember(struct reader *r, const char **ret)
{
    (void)hone_json_peek(&r->json); // goes past blanks
    *ret = r->json.at;
    return hone_json_skip(&r->json);
}

static int find_part(struct reader *r)
{
    struct part part = {0};
    struct hone_str key;
    struct hone_str text;
    int result = hone_json_object(&r->json);
    while (!result && (result = hone_json_key(&r->json, &key)) > 0) {
        if (hone_json_is(key, "unit")) {
            result = find_unit(r, &part);
        } else if (hone_json_is(key, "samples")) {
            result = remember(r, &part.samples);
        } else if (hone_json_is(key, "weights")) {
            result = remember(r, &part.weights);
        } else if (hone_json_is(key, "events")) {
            result = remember(r, &part.events);
        } else if (hone_json_is(key, "name") && hone_json_peek(&r->json) == HONE_JSON_STRING) {
            result = hone_json_string(&r->json, &text);
            if (!result)
                part.name = hone_profile_str(r->profile, hone_profile_intern_str(r->profile, text));
        } else {
            result = hone_json_skip(&r->json);
        }
    }
    if (result)
        return result;
    if (!part.events && (!part.samples || !part.weights))
        return hone_json_bad(&r->json, "a profile without 'events' or 'samples' and 'weights'");
    if (!part.unit)
        part.unit = &units[0];
    if (r->part_count == PROFILES_MAX)
        return hone_json_bad(&r->json, "more than %d profiles", PROFILES_MAX);
    if (!hone_array_reserve(&r->parts, &r->part_room, (uint64_t)r->part_count + 1,
                            sizeof *r->parts))
        return out_of_memory(r);
    r->parts[r->part_count++] = part;
    return 0;
}

static int find_parts(struct reader *r)
{
    int result = hone_json_array(&r->json);
    while (!result && (result = hone_json_item(&r->json)) > 0)
        result = find_part(r);
    return result;
}

static int find_frames(struct reader *r)
{
    struct hone_str key;
    int result = hone_json_object(&r->json);
    while (!result && (result = hone_json_key(&r->json, &key)) > 0)
        result = hone_json_is(key, "frames") ? remember(r, &r->frames) : hone_json_skip(&r->json);
    return result;
}

static int find_all(struct reader *r)
{
    struct hone_str key;
    struct hone_str text;
    int result = hone_json_object(&r->json);
    while (!result && (result = hone_json_key(&r->json, &key)) > 0) {
        if (hone_json_is(key, "shared")) {
            result = find_frames(r);
        } else if (hone_json_is(key, "profiles")) {
            result = find_parts(r);
        } else if (hone_json_is(key, "exporter") && hone_json_peek(&r->json) == HONE_JSON_STRING) {
            result = hone_json_string(&r->json, &text);
            r->ours = !result && hone_str_starts(text, HONE_STR("hone@"));
        } else if (hone_json_is(key, "name") && hone_json_peek(&r->json) == HONE_JSON_STRING) {
            result = hone_json_string(&r->json, &text);
            if (!result && text.len)
                hone_profile_add_comment(
                    r->profile,
                    hone_profile_text(r->profile, hone_profile_intern_str(r->profile, text)));
        } else {
            result = hone_json_skip(&r->json);
        }
    }
    if (!result && !r->frames)
        return hone_json_bad(&r->json, "no 'shared' with 'frames'");
    return result;
}

// --- second pass ---------------------------------------------------------------------------------

static int read_frame(struct reader *r)
{
    struct hone_place place = {0};
    struct hone_str key;
    struct hone_str text;
    int result = hone_json_object(&r->json);
    while (!result && (result = hone_json_key(&r->json, &key)) > 0) {
        bool is_text = hone_json_peek(&r->json) == HONE_JSON_STRING;
        bool is_number = hone_json_peek(&r->json) == HONE_JSON_NUMBER;
        if (is_text && (hone_json_is(key, "name") || hone_json_is(key, "file"))) {
            struct hone_str *to = hone_json_is(key, "name") ? &place.name : &place.file;
            result = hone_json_string(&r->json, &text);
            if (!result) // the text may lie where the next one goes
                *to = hone_profile_str(r->profile, hone_profile_intern_str(r->profile, text));
        } else if (is_number && hone_json_is(key, "line")) {
            result = hone_json_integer(&r->json, &place.line);
        } else if (is_number && hone_json_is(key, "col")) {
            result = hone_json_integer(&r->json, &place.column);
        } else {
            result = hone_json_skip(&r->json);
        }
    }
    if (result)
        return result;
    place.start_line = place.line;
    if (!hone_array_reserve(&r->locations, &r->location_room, (uint64_t)r->location_count + 1,
                            sizeof *r->locations))
        return out_of_memory(r);
    r->locations[r->location_count++] = hone_place_add(r->profile, &place);
    return 0;
}

static int read_frames(struct reader *r)
{
    hone_json_go(&r->json, r->frames);
    int result = hone_json_array(&r->json);
    while (!result && (result = hone_json_item(&r->json)) > 0)
        result = read_frame(r);
    return result;
}

// Ours are named by type and unit, others have a type by their unit.
static void add_types(struct reader *r)
{
    for (uint32_t i = 0; i < r->part_count; i++) {
        struct part *part = &r->parts[i];
        size_t slash = hone_str_find(part->name, '/');
        bool named = r->ours && slash && slash < part->name.len;
        struct hone_profile *p = r->profile;
        uint32_t type = hone_profile_intern_str(p, named ? (struct hone_str){part->name.at, slash}
                                                         : hone_str_of(part->unit->type));
        uint32_t unit = hone_profile_intern_str(p, named ? hone_str_skip(part->name, slash + 1)
                                                         : hone_str_of(part->unit->unit));
        uint32_t k = 0;
        while (k < p->type_count && (p->types[k].type != type || p->types[k].unit != unit))
            k++;
        if (k == p->type_count)
            (void)hone_profile_add_type(p, hone_profile_text(p, type), hone_profile_text(p, unit));
        part->type = k;
    }
}

static int read_value(struct hone_json *json, double scale, int64_t *ret)
{
    if (scale == 1)
        return hone_json_integer(json, ret);
    double value;
    int result = hone_json_number(json, &value);
    if (result)
        return result;
    if (!(fabs(value * scale) < 9.2e18))
        return hone_json_bad(json, "a number beyond 64 bits");
    *ret = llround(value * scale);
    return 0;
}

static int read_frame_number(struct reader *r, uint32_t *ret)
{
    int64_t number;
    int result = hone_json_integer(&r->json, &number);
    if (result)
        return result;
    if (number < 0 || number >= r->location_count)
        return hone_json_bad(&r->json, "frame %lld of %u", (long long)number, r->location_count);
    *ret = (uint32_t)number;
    return 0;
}

// A sample with the stack at hand.
static void add_sample(struct reader *r, const struct part *part, int64_t value)
{
    struct hone_profile *p = r->profile;
    int64_t values[HONE_PROFILE_TYPES_MAX] = {0};
    if (hone_profile_status(p) || part->type >= p->type_count)
        return;
    values[part->type] = value;
    bool labelled = r->part_count > 1 && !r->ours && part->name.len;
    struct hone_profile_label label = {.key = labelled ? hone_profile_intern(p, "profile") : 0,
                                       .text =
                                           labelled ? hone_profile_intern_str(p, part->name) : 0};
    uint32_t stack = hone_stack_add(p, &r->stack);
    (void)hone_profile_add_sample(p, stack, values, &label, labelled ? 1 : 0);
}

static int read_stack(struct reader *r)
{
    r->stack.count = 0;
    int result = hone_json_array(&r->json);
    while (!result && (result = hone_json_item(&r->json)) > 0) {
        uint32_t number = 0;
        result = read_frame_number(r, &number);
        if (!result && !hone_stack_push(&r->stack, r->locations[number]))
            result = out_of_memory(r);
    }
    hone_stack_reverse(&r->stack);
    return result;
}

static int read_sampled(struct reader *r, const struct part *part)
{
    // Two arrays side by side. Numbers need no scratch memory, so the copy owns none.
    struct hone_json weights = r->json;
    weights.scratch = (struct hone_buffer){0};
    hone_json_go(&weights, part->weights);
    hone_json_go(&r->json, part->samples);
    int result = hone_json_array(&weights);
    if (!result)
        result = hone_json_array(&r->json);
    while (!result && (result = hone_json_item(&r->json)) > 0) {
        int64_t weight = 0;
        int more = hone_json_item(&weights);
        if (!more)
            return hone_json_bad(&r->json, "more samples than weights");
        result = more < 0 ? more : read_value(&weights, part->unit->scale, &weight);
        if (!result)
            result = read_stack(r);
        if (!result && weight)
            add_sample(r, part, weight);
    }
    return result;
}

struct event {
    int64_t at;
    uint32_t frame;
    bool opens;
};

static int read_event(struct reader *r, const struct part *part, struct event *ret)
{
    struct hone_str key;
    struct hone_str text;
    bool has_type = false;
    bool has_frame = false;
    bool has_time = false;
    int result = hone_json_object(&r->json);
    while (!result && (result = hone_json_key(&r->json, &key)) > 0) {
        if (hone_json_is(key, "type")) {
            result = hone_json_string(&r->json, &text);
            ret->opens = !result && hone_json_is(text, "O");
            has_type = ret->opens || (!result && hone_json_is(text, "C"));
        } else if (hone_json_is(key, "frame")) {
            result = read_frame_number(r, &ret->frame);
            has_frame = true;
        } else if (hone_json_is(key, "at")) {
            result = read_value(&r->json, part->unit->scale, &ret->at);
            has_time = true;
        } else {
            result = hone_json_skip(&r->json);
        }
    }
    if (!result && (!has_type || !has_frame || !has_time))
        return hone_json_bad(&r->json, "an event needs 'type' O or C, 'frame' and 'at'");
    return result;
}

// What passed since the last event belongs to what was open. Returns false: memory is out.
static bool add_span(struct reader *r, const struct part *part, int64_t value)
{
    if (!r->open.count || value <= 0)
        return true;
    r->stack.count = 0;
    for (uint32_t i = r->open.count; i-- > 0;)
        if (!hone_stack_push(&r->stack, r->locations[r->open.at[i]]))
            return false;
    add_sample(r, part, value);
    return true;
}

static int read_evented(struct reader *r, const struct part *part)
{
    r->open.count = 0;
    hone_json_go(&r->json, part->events);
    int64_t last = 0;
    bool first = true;
    int result = hone_json_array(&r->json);
    while (!result && (result = hone_json_item(&r->json)) > 0) {
        struct event event = {0};
        result = read_event(r, part, &event);
        if (result)
            return result;
        if (!first && event.at < last)
            return hone_json_bad(&r->json, "an event before the one that precedes it");
        int64_t passed;
        if (first || __builtin_sub_overflow(event.at, last, &passed))
            passed = 0;
        if (!add_span(r, part, passed))
            return out_of_memory(r);
        first = false;
        last = event.at;
        if (event.opens && r->open.count >= HONE_PROFILE_DEPTH_MAX)
            return hone_json_bad(&r->json, "more than %d frames are open", HONE_PROFILE_DEPTH_MAX);
        if (event.opens && !hone_stack_push(&r->open, event.frame))
            return out_of_memory(r);
        if (!event.opens && (!r->open.count || r->open.at[--r->open.count] != event.frame))
            return hone_json_bad(&r->json, "frame %u closes, which is not the one opened last",
                                 event.frame);
    }
    return result;
}

int hone_speedscope_read(const void *bytes, size_t len, const char *name, struct hone_profile **ret,
                         struct hone_error *err)
{
    HONE_CLEANUP(reader_done)
    struct reader r = {.profile = hone_profile_new(), .json = hone_json_of(bytes, len, name, err)};
    if (!r.profile)
        return hone_build_out_of_memory(name, err);
    int result = find_all(&r);
    if (!result)
        result = read_frames(&r);
    if (result)
        return result;
    add_types(&r);
    for (uint32_t i = 0; !result && !hone_profile_status(r.profile) && i < r.part_count; i++)
        result = r.parts[i].events ? read_evented(&r, &r.parts[i]) : read_sampled(&r, &r.parts[i]);
    return result ? result : hone_build_finish(&r.profile, name, ret, err);
}

unsigned hone_speedscope_detect(const void *bytes, size_t len)
{
    struct hone_json json = hone_json_of(bytes, len, "", NULL);
    struct hone_str key;
    struct hone_str text;
    unsigned match = HONE_CONVERT_NO;
    bool shared = false;
    bool profiles = false;
    if (hone_json_peek(&json) != HONE_JSON_OBJECT || hone_json_object(&json))
        return HONE_CONVERT_NO;
    while (hone_json_key(&json, &key) > 0) {
        shared |= hone_json_is(key, "shared");
        profiles |= hone_json_is(key, "profiles");
        if (hone_json_is(key, "$schema") && hone_json_string(&json, &text) == 0) {
            if (hone_json_is(text, SCHEMA))
                match = HONE_CONVERT_CERTAIN;
        } else if (hone_json_skip(&json)) {
            break;
        }
    }
    hone_json_done(&json);
    return match                ? match
           : shared && profiles ? HONE_CONVERT_LIKELY
           : shared             ? HONE_CONVERT_POSSIBLE
                                : HONE_CONVERT_NO;
}

// --- out -----------------------------------------------------------------------------------------

static const char *unit_named(const char *unit)
{
    for (size_t i = 1; i < sizeof units / sizeof units[0]; i++)
        if (strcmp(units[i].name, unit) == 0)
            return unit;
    return "none";
}

static void put_frame(struct hone_buffer *out, const struct hone_profile *p,
                      const struct hone_frame *frame)
{
    hone_buffer_text(out, "{\"name\":");
    hone_json_put_text(out, frame->name);
    struct hone_str file = hone_profile_str(p, p->functions.file[frame->function]);
    if (file.len) {
        hone_buffer_text(out, ",\"file\":");
        hone_json_put_text(out, file);
    }
    int64_t line = p->functions.start_line[frame->function];
    if (line > 0) {
        hone_buffer_text(out, ",\"line\":");
        hone_json_put_integer(out, line);
    }
    hone_buffer_text(out, "}");
}

static int put_samples(struct hone_buffer *out, const struct hone_profile *p,
                       const struct hone_frames *frames, struct hone_run *run,
                       const int64_t *values)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < p->samples.count && !out->failed; i++) {
        if (!values[i])
            continue;
        if (hone_run_of(frames, p, p->samples.stack[i], run))
            return -ENOMEM;
        hone_buffer_text(out, count++ ? ",\n[" : "\n[");
        for (uint32_t k = 0; k < run->count; k++) {
            hone_json_put_comma(out, k);
            hone_json_put_count(out, run->at[k]);
        }
        hone_buffer_add(out, "]", 1);
    }
    return 0;
}

static int put_profile(struct hone_buffer *out, const struct hone_profile *p,
                       const struct hone_frames *frames, struct hone_run *run, uint32_t type)
{
    const int64_t *values = p->samples.values[type];
    const char *unit = hone_profile_text(p, p->types[type].unit);
    int64_t total = 0;
    for (uint32_t i = 0; i < p->samples.count; i++)
        if (__builtin_add_overflow(total, values[i], &total))
            total = INT64_MAX;
    hone_buffer_text(out, "{\"type\":\"sampled\",\"name\":");
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer name = {0};
    hone_buffer_text(&name, hone_profile_text(p, p->types[type].type));
    hone_buffer_add(&name, "/", 1);
    hone_buffer_text(&name, unit);
    if (name.failed)
        return -ENOMEM;
    hone_json_put_text(out, (struct hone_str){name.at, name.len});
    hone_buffer_format(out, ",\"unit\":\"%s\",\"startValue\":0,\"endValue\":", unit_named(unit));
    hone_json_put_integer(out, total);
    hone_buffer_text(out, ",\"samples\":[");
    int r = put_samples(out, p, frames, run, values);
    if (r)
        return r;
    hone_buffer_text(out, "],\"weights\":[");
    uint64_t count = 0;
    for (uint32_t i = 0; i < p->samples.count; i++) {
        if (!values[i])
            continue;
        hone_json_put_comma(out, count++);
        hone_json_put_integer(out, values[i]);
    }
    hone_buffer_text(out, "]}");
    return 0;
}

int hone_speedscope_write(const struct hone_profile *p, struct hone_buffer *out,
                          struct hone_error *err)
{
    uint32_t active;
    int r = hone_profile_select_type(p, NULL, &active, err);
    if (r)
        return r;
    HONE_CLEANUP(hone_run_done) struct hone_run run = {0};
    HONE_CLEANUP(hone_frames_done) struct hone_frames frames;
    r = hone_frames_init(&frames, p, false);
    if (r)
        return hone_error_set(err, r, "cannot write the profile");
    hone_buffer_text(out, "{\"$schema\":\"" SCHEMA "\",\"exporter\":\"" EXPORTER "\",");
    hone_buffer_format(out, "\"activeProfileIndex\":%u,\"shared\":{\"frames\":[", active);
    for (uint32_t i = 0; i < frames.count; i++) {
        hone_buffer_text(out, i ? ",\n" : "\n");
        put_frame(out, p, &frames.frames[i]);
    }
    hone_buffer_text(out, "]},\"profiles\":[");
    for (uint32_t type = 0; !r && type < p->type_count; type++) {
        hone_buffer_text(out, type ? ",\n" : "\n");
        r = put_profile(out, p, &frames, &run, type);
    }
    hone_buffer_text(out, "]}\n");
    return r || out->failed ? hone_error_set(err, -ENOMEM, "cannot write the profile") : 0;
}
