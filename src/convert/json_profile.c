// A profile as JSON for scripts: functions with their totals, and every sample.
//
//     {"hone":1,
//      "types":[["samples","count"],["cpu","nanoseconds"]],"default_type":"cpu",
//      "period":["cpu","nanoseconds",10000000],"time_ns":…,"duration_ns":…,"comments":[…],
//      "modules":["/usr/bin/sorter"],
//      "functions":[{"name":"main","file":"sorter.c","line":1,"module":0,"flat":[…],"cum":[…]}],
//      "frames":[[0,20]],                                  function and line
//      "samples":[{"stack":[0,1],"values":[3,30000000],    frames, the root first
//                  "labels":{"process":["sorter"],"tid":[7]}}]}
//
// Numbers are places in the arrays; what is not known is left out, or null.
#include "convert/build.h"
#include "convert/json.h"
#include "convert/json_write.h"
#include "convert/lines.h"
#include "convert/readers.h"
#include "convert/totals.h"

#include "base/cleanup.h"

#include <errno.h>

// --- out -----------------------------------------------------------------------------------------

static void put_string(struct hone_buffer *out, const struct hone_profile *p, uint32_t string)
{
    hone_json_put_text(out, hone_profile_str(p, string));
}

static void put_head(struct hone_buffer *out, const struct hone_profile *p)
{
    hone_buffer_text(out, "{\"hone\":1,\n\"types\":[");
    for (uint32_t i = 0; i < p->type_count; i++) {
        hone_buffer_text(out, i ? ",[" : "[");
        put_string(out, p, p->types[i].type);
        hone_buffer_add(out, ",", 1);
        put_string(out, p, p->types[i].unit);
        hone_buffer_add(out, "]", 1);
    }
    hone_buffer_add(out, "]", 1);
    if (p->default_type) {
        hone_buffer_text(out, ",\"default_type\":");
        put_string(out, p, p->default_type);
    }
    if (p->period_type.type) {
        hone_buffer_text(out, ",\n\"period\":[");
        put_string(out, p, p->period_type.type);
        hone_buffer_add(out, ",", 1);
        put_string(out, p, p->period_type.unit);
        hone_buffer_add(out, ",", 1);
        hone_json_put_integer(out, p->period);
        hone_buffer_add(out, "]", 1);
    }
    if (p->time_ns) {
        hone_buffer_text(out, ",\"time_ns\":");
        hone_json_put_integer(out, p->time_ns);
    }
    if (p->duration_ns) {
        hone_buffer_text(out, ",\"duration_ns\":");
        hone_json_put_integer(out, p->duration_ns);
    }
    hone_buffer_text(out, ",\n\"comments\":[");
    for (uint32_t i = 0; i < p->comment_count; i++) {
        hone_json_put_comma(out, i);
        put_string(out, p, p->comments[i]);
    }
    hone_buffer_text(out, "],\n\"modules\":[");
    for (uint32_t i = 1; i < p->mappings.count; i++) {
        hone_json_put_comma(out, i - 1);
        put_string(out, p, p->mappings.at[i].file);
    }
    hone_buffer_text(out, "],\n");
}

static void put_values(struct hone_buffer *out, const char *key, const int64_t *values,
                       uint32_t count)
{
    hone_buffer_format(out, "\"%s\":[", key);
    for (uint32_t i = 0; i < count; i++) {
        hone_json_put_comma(out, i);
        hone_json_put_integer(out, values[i]);
    }
    hone_buffer_add(out, "]", 1);
}

static void put_functions(struct hone_buffer *out, const struct hone_profile *p,
                          const struct hone_totals *totals)
{
    hone_buffer_text(out, "\"functions\":[");
    for (uint32_t i = 0; i < totals->frames.count && !out->failed; i++) {
        const struct hone_frame *frame = &totals->frames.frames[i];
        hone_buffer_text(out, i ? ",\n{\"name\":" : "\n{\"name\":");
        hone_json_put_text(out, frame->name);
        if (p->functions.file[frame->function]) {
            hone_buffer_text(out, ",\"file\":");
            put_string(out, p, p->functions.file[frame->function]);
        }
        if (p->functions.start_line[frame->function] > 0) {
            hone_buffer_text(out, ",\"line\":");
            hone_json_put_integer(out, p->functions.start_line[frame->function]);
        }
        if (frame->mapping) {
            hone_buffer_text(out, ",\"module\":");
            hone_json_put_count(out, frame->mapping - 1);
        }
        hone_buffer_add(out, ",", 1);
        put_values(out, "flat", totals->flat + (size_t)i * p->type_count, p->type_count);
        hone_buffer_add(out, ",", 1);
        put_values(out, "cum", totals->cum + (size_t)i * p->type_count, p->type_count);
        hone_buffer_add(out, "}", 1);
    }
    hone_buffer_text(out, "],\n");
}

static int put_frames(struct hone_buffer *out, const struct hone_profile *p,
                      const struct hone_frames *lines, const struct hone_frames *functions)
{
    HONE_CLEANUP(hone_freep)
    uint32_t *function_of = calloc((size_t)lines->count + 1, sizeof *function_of);
    if (!function_of)
        return -ENOMEM;
    for (uint32_t i = 0; i < lines->first[p->locations.count]; i++)
        function_of[lines->at[i]] = functions->at[i];
    hone_buffer_text(out, "\"frames\":[");
    for (uint32_t i = 0; i < lines->count; i++) {
        hone_buffer_text(out, i ? ",[" : "[");
        hone_json_put_count(out, function_of[i]);
        hone_buffer_add(out, ",", 1);
        hone_json_put_integer(out, lines->frames[i].line);
        hone_buffer_add(out, "]", 1);
    }
    hone_buffer_text(out, "],\n");
    return 0;
}

// Labels of one key stand together.
static void put_labels(struct hone_buffer *out, const struct hone_profile *p, uint32_t set)
{
    struct hone_profile_label_span labels = hone_profile_labels_of(p, set);
    hone_buffer_text(out, ",\"labels\":{");
    for (uint32_t i = 0; i < labels.count; i++) {
        const struct hone_profile_label *label = &labels.at[i];
        bool more = i && labels.at[i - 1].key == label->key &&
                    (labels.at[i - 1].text != 0) == (label->text != 0);
        if (!more) {
            hone_buffer_text(out, i ? "]," : "");
            put_string(out, p, label->key);
            hone_buffer_text(out, ":[");
        } else {
            hone_buffer_add(out, ",", 1);
        }
        if (label->text)
            put_string(out, p, label->text);
        else
            hone_json_put_integer(out, label->number);
    }
    hone_buffer_text(out, labels.count ? "]}" : "}");
}

static int put_samples(struct hone_buffer *out, const struct hone_profile *p,
                       const struct hone_frames *frames)
{
    HONE_CLEANUP(hone_run_done) struct hone_run run = {0};
    hone_buffer_text(out, "\"samples\":[");
    for (uint32_t i = 0; i < p->samples.count && !out->failed; i++) {
        if (hone_run_of(frames, p, p->samples.stack[i], &run))
            return -ENOMEM;
        hone_buffer_text(out, i ? ",\n{\"stack\":[" : "\n{\"stack\":[");
        for (uint32_t k = 0; k < run.count; k++) {
            hone_json_put_comma(out, k);
            hone_json_put_count(out, run.at[k]);
        }
        int64_t values[HONE_PROFILE_TYPES_MAX];
        for (uint32_t type = 0; type < p->type_count; type++)
            values[type] = p->samples.values[type][i];
        hone_buffer_text(out, "],");
        put_values(out, "values", values, p->type_count);
        if (p->samples.label_set[i])
            put_labels(out, p, p->samples.label_set[i]);
        hone_buffer_add(out, "}", 1);
    }
    hone_buffer_text(out, "]}\n");
    return 0;
}

int hone_json_profile_write(const struct hone_profile *p, struct hone_buffer *out,
                            struct hone_error *err)
{
    HONE_CLEANUP(hone_totals_done) struct hone_totals totals = {0};
    HONE_CLEANUP(hone_frames_done) struct hone_frames frames = {0};
    int r = hone_totals_init(&totals, p);
    if (!r)
        r = hone_frames_init(&frames, p, true);
    if (!r) {
        put_head(out, p);
        put_functions(out, p, &totals);
        r = put_frames(out, p, &frames, &totals.frames);
    }
    if (!r)
        r = put_samples(out, p, &frames);
    return r || out->failed ? hone_error_set(err, -ENOMEM, "cannot write the profile") : 0;
}

// --- in ------------------------------------------------------------------------------------------

struct reader {
    struct hone_profile *profile;
    struct hone_json json;
    const char *types; // places
    const char *modules;
    const char *functions;
    const char *frames;
    const char *samples;
    struct hone_stack module_numbers; // mappings
    struct hone_place *places;        // functions
    uint32_t place_count;
    uint32_t place_room;
    struct hone_stack locations; // by frame
    struct hone_stack stack;
    struct hone_profile_label *labels;
    uint32_t label_count;
    uint32_t label_room;
};

static void reader_done(struct reader *r)
{
    hone_profile_free(r->profile);
    hone_json_done(&r->json);
    hone_stack_done(&r->module_numbers);
    free(r->places);
    hone_stack_done(&r->locations);
    hone_stack_done(&r->stack);
    free(r->labels);
}

static int out_of_memory(struct reader *r)
{
    return hone_build_out_of_memory(r->json.name, r->json.err);
}

static int read_text(struct reader *r, uint32_t *ret)
{
    struct hone_str text;
    int result = hone_json_string(&r->json, &text);
    if (!result)
        *ret = hone_profile_intern_str(r->profile, text);
    return result;
}

// The next of an array's members must be there.
static int want_item(struct reader *r)
{
    int more = hone_json_item(&r->json);
    return more > 0 ? 0 : more ? more : hone_json_bad(&r->json, "an array with too few members");
}

static int read_pair(struct reader *r, uint32_t *ret_type, uint32_t *ret_unit)
{
    int result = hone_json_array(&r->json);
    if (!result)
        result = want_item(r);
    if (!result)
        result = read_text(r, ret_type);
    if (!result)
        result = want_item(r);
    return result ? result : read_text(r, ret_unit);
}

// Past what is left of an array.
static int leave(struct reader *r)
{
    int more;
    while ((more = hone_json_item(&r->json)) > 0) {
        int result = hone_json_skip(&r->json);
        if (result)
            return result;
    }
    return more;
}

static int read_period(struct reader *r)
{
    uint32_t type = 0;
    uint32_t unit = 0;
    int64_t period = 0;
    int result = read_pair(r, &type, &unit);
    if (!result)
        result = want_item(r);
    if (!result)
        result = hone_json_integer(&r->json, &period);
    if (result)
        return result;
    hone_profile_set_period(r->profile, hone_profile_text(r->profile, type),
                            hone_profile_text(r->profile, unit), period);
    return leave(r);
}

static int read_comments(struct reader *r)
{
    int result = hone_json_array(&r->json);
    while (!result && (result = hone_json_item(&r->json)) > 0) {
        uint32_t text = 0;
        result = read_text(r, &text);
        if (!result)
            hone_profile_add_comment(r->profile, hone_profile_text(r->profile, text));
    }
    return result;
}

static int find_all(struct reader *r)
{
    const struct {
        const char *key;
        const char **place;
    } wanted[] = {{"types", &r->types},
                  {"modules", &r->modules},
                  {"functions", &r->functions},
                  {"frames", &r->frames},
                  {"samples", &r->samples}};
    struct hone_str key;
    int result = hone_json_object(&r->json);
    while (!result && (result = hone_json_key(&r->json, &key)) > 0) {
        enum hone_json_kind kind = hone_json_peek(&r->json);
        uint32_t text = 0;
        if (hone_json_is(key, "default_type")) {
            result = read_text(r, &text);
            if (!result)
                hone_profile_set_default_type(r->profile, hone_profile_text(r->profile, text));
        } else if (hone_json_is(key, "period")) {
            result = read_period(r);
        } else if (hone_json_is(key, "comments")) {
            result = read_comments(r);
        } else if (kind == HONE_JSON_NUMBER && hone_json_is(key, "time_ns")) {
            result = hone_json_integer(&r->json, &r->profile->time_ns);
        } else if (kind == HONE_JSON_NUMBER && hone_json_is(key, "duration_ns")) {
            result = hone_json_integer(&r->json, &r->profile->duration_ns);
        } else {
            for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
                if (hone_json_is(key, wanted[i].key))
                    *wanted[i].place = r->json.at;
            result = hone_json_skip(&r->json);
        }
    }
    for (size_t i = 0; !result && i < sizeof wanted / sizeof wanted[0]; i++)
        if (!*wanted[i].place)
            return hone_json_bad(&r->json, "no '%s'", wanted[i].key);
    return result;
}

// A place in an array of count.
static int read_number(struct reader *r, uint32_t count, uint32_t *ret)
{
    int64_t number;
    int result = hone_json_integer(&r->json, &number);
    if (!result && (number < 0 || number >= count))
        return hone_json_bad(&r->json, "%lld where %u is the end", (long long)number, count);
    if (!result)
        *ret = (uint32_t)number;
    return result;
}

static int read_type(struct reader *r)
{
    uint32_t type = 0;
    uint32_t unit = 0;
    int result = read_pair(r, &type, &unit);
    if (result)
        return result;
    (void)hone_profile_add_type(r->profile, hone_profile_text(r->profile, type),
                                hone_profile_text(r->profile, unit));
    return leave(r);
}

static int read_module(struct reader *r)
{
    uint32_t text = 0;
    int result = read_text(r, &text);
    if (result)
        return result;
    uint32_t mapping = hone_module_add(r->profile, hone_profile_str(r->profile, text));
    return hone_stack_push(&r->module_numbers, mapping) ? 0 : out_of_memory(r);
}

static int read_function(struct reader *r)
{
    struct hone_place place = {0};
    struct hone_str key;
    int result = hone_json_object(&r->json);
    while (!result && (result = hone_json_key(&r->json, &key)) > 0) {
        uint32_t number = 0;
        if (hone_json_is(key, "name") || hone_json_is(key, "file")) {
            struct hone_str *to = hone_json_is(key, "name") ? &place.name : &place.file;
            result = read_text(r, &number);
            *to = hone_profile_str(r->profile, number);
        } else if (hone_json_is(key, "line")) {
            result = hone_json_integer(&r->json, &place.start_line);
        } else if (hone_json_is(key, "module")) {
            result = read_number(r, r->module_numbers.count, &number);
            place.mapping = result ? 0 : r->module_numbers.at[number];
        } else {
            result = hone_json_skip(&r->json);
        }
    }
    if (result)
        return result;
    if (!hone_array_reserve(&r->places, &r->place_room, (uint64_t)r->place_count + 1,
                            sizeof *r->places))
        return out_of_memory(r);
    r->places[r->place_count++] = place;
    return 0;
}

static int read_frame(struct reader *r)
{
    uint32_t function = 0;
    struct hone_place place;
    int result = hone_json_array(&r->json);
    if (!result)
        result = want_item(r);
    if (!result)
        result = read_number(r, r->place_count, &function);
    if (!result)
        result = want_item(r);
    if (result)
        return result;
    place = r->places[function];
    result = hone_json_integer(&r->json, &place.line);
    if (result)
        return result;
    if (!hone_stack_push(&r->locations, hone_place_add(r->profile, &place)))
        return out_of_memory(r);
    return leave(r);
}

static int read_label_values(struct reader *r, uint32_t key)
{
    int result = hone_json_array(&r->json);
    while (!result && (result = hone_json_item(&r->json)) > 0) {
        struct hone_profile_label label = {.key = key};
        result = hone_json_peek(&r->json) == HONE_JSON_STRING
                     ? read_text(r, &label.text)
                     : hone_json_integer(&r->json, &label.number);
        if (result)
            return result;
        if (r->label_count == HONE_PROFILE_LABELS_MAX)
            return hone_json_bad(&r->json, "more than %d labels", HONE_PROFILE_LABELS_MAX);
        if (!hone_array_reserve(&r->labels, &r->label_room, (uint64_t)r->label_count + 1,
                                sizeof *r->labels))
            return out_of_memory(r);
        r->labels[r->label_count++] = label;
    }
    return result;
}

static int read_labels(struct reader *r)
{
    struct hone_str key;
    int result = hone_json_object(&r->json);
    while (!result && (result = hone_json_key(&r->json, &key)) > 0)
        result = read_label_values(r, hone_profile_intern_str(r->profile, key));
    return result;
}

static int read_stack(struct reader *r)
{
    int result = hone_json_array(&r->json);
    while (!result && (result = hone_json_item(&r->json)) > 0) {
        uint32_t number = 0;
        result = read_number(r, r->locations.count, &number);
        if (!result && !hone_stack_push(&r->stack, r->locations.at[number]))
            return out_of_memory(r);
    }
    return result;
}

static int read_values(struct reader *r, int64_t *values)
{
    uint32_t count = 0;
    int result = hone_json_array(&r->json);
    while (!result && (result = hone_json_item(&r->json)) > 0) {
        if (count == r->profile->type_count)
            return hone_json_bad(&r->json, "more values than types");
        result = hone_json_integer(&r->json, &values[count++]);
    }
    return result;
}

static int read_sample(struct reader *r)
{
    int64_t values[HONE_PROFILE_TYPES_MAX] = {0};
    struct hone_str key;
    r->stack.count = 0;
    r->label_count = 0;
    int result = hone_json_object(&r->json);
    while (!result && (result = hone_json_key(&r->json, &key)) > 0) {
        if (hone_json_is(key, "stack"))
            result = read_stack(r);
        else if (hone_json_is(key, "values"))
            result = read_values(r, values);
        else if (hone_json_is(key, "labels"))
            result = read_labels(r);
        else
            result = hone_json_skip(&r->json);
    }
    if (result || hone_profile_status(r->profile))
        return result;
    hone_stack_reverse(&r->stack);
    uint32_t stack = hone_stack_add(r->profile, &r->stack);
    (void)hone_profile_add_sample(r->profile, stack, values, r->labels, r->label_count);
    return 0;
}

static int read_array(struct reader *r, const char *place, int (*read)(struct reader *r))
{
    hone_json_go(&r->json, place);
    int result = hone_json_array(&r->json);
    while (!result && (result = hone_json_item(&r->json)) > 0)
        result = hone_profile_status(r->profile) ? hone_json_skip(&r->json) : read(r);
    return result;
}

int hone_json_profile_read(const void *bytes, size_t len, const char *name,
                           struct hone_profile **ret, struct hone_error *err)
{
    HONE_CLEANUP(reader_done)
    struct reader r = {.profile = hone_profile_new(), .json = hone_json_of(bytes, len, name, err)};
    if (!r.profile)
        return hone_build_out_of_memory(name, err);
    int result = find_all(&r);
    if (!result)
        result = read_array(&r, r.types, read_type);
    if (!result)
        result = read_array(&r, r.modules, read_module);
    if (!result)
        result = read_array(&r, r.functions, read_function);
    if (!result)
        result = read_array(&r, r.frames, read_frame);
    if (!result)
        result = read_array(&r, r.samples, read_sample);
    return result ? result : hone_build_finish(&r.profile, name, ret, err);
}

unsigned hone_json_profile_detect(const void *bytes, size_t len)
{
    struct hone_json json = hone_json_of(bytes, len, "", NULL);
    struct hone_str key;
    bool ours = hone_json_peek(&json) == HONE_JSON_OBJECT && !hone_json_object(&json) &&
                hone_json_key(&json, &key) > 0 && hone_json_is(key, "hone");
    hone_json_done(&json);
    return ours ? HONE_CONVERT_CERTAIN : HONE_CONVERT_NO;
}
