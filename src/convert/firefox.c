// Firefox Profiler's processed format, in, as its front end saves it. The tables of stacks, frames
// and functions are columns; since version 60 all threads share them, before each had its own.
//
// What a thread's samples weigh becomes one sample type.
#include "convert/firefox_parts.h"
#include "convert/readers.h"

#include "base/cleanup.h"

#include <errno.h>
#include <math.h>

// 29: since then samples have weights, by that name; what is read of tables is older.
enum { VERSION_MIN = 29 };

// Where the columns of the tables are; NULL: not there.
struct tables {
    const char *stack_frame;
    const char *stack_prefix;
    const char *stack_offset; // since version 66 instead of prefix
    const char *frame_func;
    const char *frame_line;
    const char *func_name;
    const char *func_file;   // strings, before version 58
    const char *func_source; // places in sources
    const char *func_line;
    const char *source_name;
    const char *strings;
};

struct thread {
    struct tables tables; // of its own, else those that are shared
    const char *stacks;
    const char *weights;
    struct hone_firefox_who who;
    uint32_t weight_type; // a string of the profile
    uint32_t type;        // of the profile
};

struct reader {
    struct hone_profile *profile;
    struct hone_json json;
    struct tables shared;
    struct thread *threads;
    uint32_t thread_count;
    uint32_t thread_room;
    uint32_t type; // strings: what our own files measured
    uint32_t unit;
    int64_t version;
    bool has_version;

    // Of the tables at hand.
    struct hone_column stack_frame, stack_prefix, frame_func, frame_line, func_name, func_file,
        func_line, source_name, strings;
    uint32_t *locations; // by frame
    struct hone_stack stack;
    struct hone_column samples;
};

static void tables_done(struct reader *r)
{
    struct hone_column *columns[] = {&r->stack_frame, &r->stack_prefix, &r->frame_func,
                                     &r->frame_line,  &r->func_name,    &r->func_file,
                                     &r->func_line,   &r->source_name,  &r->strings};
    for (size_t i = 0; i < sizeof columns / sizeof columns[0]; i++)
        hone_column_done(columns[i]);
    free(r->locations);
    r->locations = NULL;
}

static void reader_done(struct reader *r)
{
    tables_done(r);
    hone_profile_free(r->profile);
    hone_json_done(&r->json);
    free(r->threads);
    hone_column_done(&r->samples);
    hone_stack_done(&r->stack);
}

static int out_of_memory(struct reader *r)
{
    return hone_build_out_of_memory(r->json.name, r->json.err);
}

// --- first pass: what is where -------------------------------------------------------------------

struct wanted {
    const char *key;
    const char **place;
};

// Remembers where the members of an object are.
static int find_members(struct reader *r, const struct wanted *wanted, size_t count)
{
    struct hone_str key;
    int result = hone_json_object(&r->json);
    while (!result && (result = hone_json_key(&r->json, &key)) > 0) {
        size_t i = 0;
        while (i < count && !hone_json_is(key, wanted[i].key))
            i++;
        (void)hone_json_peek(&r->json); // goes past blanks
        if (i < count && hone_json_peek(&r->json) == HONE_JSON_ARRAY)
            *wanted[i].place = r->json.at;
        result = hone_json_skip(&r->json);
    }
    return result;
}

// A table among the members of a thread or of "shared". Returns 1 when the key is none.
static int find_table(struct reader *r, struct hone_str key, struct tables *t)
{
    if (hone_json_is(key, "stackTable")) {
        const struct wanted wanted[] = {{"frame", &t->stack_frame},
                                        {"prefix", &t->stack_prefix},
                                        {"prefixOffset", &t->stack_offset}};
        return find_members(r, wanted, 3);
    }
    if (hone_json_is(key, "frameTable")) {
        const struct wanted wanted[] = {{"func", &t->frame_func}, {"line", &t->frame_line}};
        return find_members(r, wanted, 2);
    }
    if (hone_json_is(key, "funcTable")) {
        const struct wanted wanted[] = {{"name", &t->func_name},
                                        {"fileName", &t->func_file},
                                        {"source", &t->func_source},
                                        {"lineNumber", &t->func_line}};
        return find_members(r, wanted, 4);
    }
    if (hone_json_is(key, "sources")) {
        const struct wanted wanted[] = {{"filename", &t->source_name}};
        return find_members(r, wanted, 1);
    }
    if (hone_json_is(key, "stringArray") && hone_json_peek(&r->json) == HONE_JSON_ARRAY) {
        t->strings = r->json.at;
        return hone_json_skip(&r->json);
    }
    return 1;
}

static int read_text(struct reader *r, uint32_t *ret)
{
    return hone_firefox_read_text(&r->json, r->profile, ret);
}

static int find_samples(struct reader *r, struct thread *thread)
{
    struct hone_str key;
    int result = hone_json_object(&r->json);
    while (!result && (result = hone_json_key(&r->json, &key)) > 0) {
        bool array = hone_json_peek(&r->json) == HONE_JSON_ARRAY;
        if (hone_json_is(key, "weightType")) {
            result = read_text(r, &thread->weight_type);
            continue;
        }
        if (array && hone_json_is(key, "stack"))
            thread->stacks = r->json.at;
        else if (array && hone_json_is(key, "weight"))
            thread->weights = r->json.at;
        result = hone_json_skip(&r->json);
    }
    return result;
}

static int find_thread(struct reader *r)
{
    struct thread thread = {0};
    struct hone_str key;
    int result = hone_json_object(&r->json);
    while (!result && (result = hone_json_key(&r->json, &key)) > 0) {
        if (hone_json_is(key, "samples"))
            result = find_samples(r, &thread);
        else if (hone_json_is(key, "name"))
            result = read_text(r, &thread.who.thread);
        else if (hone_json_is(key, "processName"))
            result = read_text(r, &thread.who.process);
        else if (hone_json_is(key, "pid"))
            result = hone_firefox_read_id(&r->json, r->profile, &thread.who.pid);
        else if (hone_json_is(key, "tid"))
            result = hone_firefox_read_id(&r->json, r->profile, &thread.who.tid);
        else
            result = find_table(r, key, &thread.tables);
        if (result == 1)
            result = hone_json_skip(&r->json);
    }
    if (result)
        return result;
    if (r->thread_count == HONE_FIREFOX_THREADS_MAX)
        return hone_json_bad(&r->json, "more than %d threads", HONE_FIREFOX_THREADS_MAX);
    if (!hone_array_reserve(&r->threads, &r->thread_room, (uint64_t)r->thread_count + 1,
                            sizeof *r->threads))
        return out_of_memory(r);
    r->threads[r->thread_count++] = thread;
    return 0;
}

static int read_meta(struct reader *r)
{
    struct hone_str key;
    int result = hone_json_object(&r->json);
    while (!result && (result = hone_json_key(&r->json, &key)) > 0) {
        if (hone_json_is(key, "preprocessedProfileVersion")) {
            r->has_version = true;
            result = hone_json_integer(&r->json, &r->version);
        } else if (hone_json_is(key, "hone_type")) {
            result = read_text(r, &r->type);
        } else if (hone_json_is(key, "hone_unit")) {
            result = read_text(r, &r->unit);
        } else {
            result = hone_json_skip(&r->json);
        }
    }
    return result;
}

static int find_all(struct reader *r)
{
    struct hone_str key;
    int result = hone_json_object(&r->json);
    while (!result && (result = hone_json_key(&r->json, &key)) > 0) {
        if (hone_json_is(key, "meta")) {
            result = read_meta(r);
        } else if (hone_json_is(key, "shared")) {
            result = hone_json_object(&r->json);
            while (!result && (result = hone_json_key(&r->json, &key)) > 0) {
                result = find_table(r, key, &r->shared);
                if (result == 1)
                    result = hone_json_skip(&r->json);
            }
        } else if (hone_json_is(key, "threads")) {
            result = hone_json_array(&r->json);
            while (!result && (result = hone_json_item(&r->json)) > 0)
                result = find_thread(r);
        } else {
            result = hone_json_skip(&r->json);
        }
    }
    if (result)
        return result;
    if (!r->has_version)
        return hone_json_bad(&r->json, "no 'preprocessedProfileVersion' in 'meta'");
    if (r->version < VERSION_MIN)
        return hone_json_bad(&r->json, "version %lld of the format; %d and later are read",
                             (long long)r->version, VERSION_MIN);
    return 0;
}

// --- tables --------------------------------------------------------------------------------------

// No place, no entries.
static int read_column(struct reader *r, const char *place, struct hone_column *column)
{
    column->count = 0;
    if (!place)
        return 0;
    hone_json_go(&r->json, place);
    return hone_column_read(&r->json, r->profile, column);
}

static struct hone_str text_at(const struct reader *r, int64_t place)
{
    int64_t string = hone_column_at(&r->strings, place);
    return string > 0 ? hone_profile_str(r->profile, (uint32_t)string) : (struct hone_str){"", 0};
}

static int make_locations(struct reader *r)
{
    r->locations = calloc((size_t)r->frame_func.count + 1, sizeof *r->locations);
    if (!r->locations)
        return out_of_memory(r);
    for (uint32_t i = 0; i < r->frame_func.count; i++) {
        int64_t function = r->frame_func.at[i];
        int64_t file = hone_column_at(&r->func_file, function);
        if (r->source_name.count)
            file = hone_column_at(&r->source_name, file);
        struct hone_place place = {
            .name = text_at(r, hone_column_at(&r->func_name, function)),
            .file = text_at(r, file),
            .line = hone_firefox_line(hone_column_at(&r->frame_line, i)),
            .start_line = hone_firefox_line(hone_column_at(&r->func_line, function)),
        };
        r->locations[i] = hone_place_add(r->profile, &place);
    }
    return 0;
}

static int read_tables(struct reader *r, const struct tables *t)
{
    tables_done(r);
    const char *const strings = t->strings ? t->strings : r->shared.strings;
    const char *const sources = t->source_name ? t->source_name : r->shared.source_name;
    const struct {
        const char *place;
        struct hone_column *column;
    } all[] = {
        {strings, &r->strings},
        {t->stack_frame, &r->stack_frame},
        {t->stack_offset ? t->stack_offset : t->stack_prefix, &r->stack_prefix},
        {t->frame_func, &r->frame_func},
        {t->frame_line, &r->frame_line},
        {t->func_name, &r->func_name},
        {t->func_source ? t->func_source : t->func_file, &r->func_file},
        {t->func_line, &r->func_line},
        {t->func_source ? sources : NULL, &r->source_name},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        int result = read_column(r, all[i].place, all[i].column);
        if (result)
            return result;
    }
    for (uint32_t i = 0; t->stack_offset && i < r->stack_prefix.count; i++) {
        int64_t offset = r->stack_prefix.at[i];
        r->stack_prefix.at[i] = offset > 0 && offset <= i ? i - offset : INT64_MIN;
    }
    return make_locations(r);
}

// --- samples -------------------------------------------------------------------------------------

static void add_types(struct reader *r)
{
    static const struct {
        const char *weight;
        const char *type;
        const char *unit;
    } known[] = {{"samples", "samples", "count"},
                 {"tracing-ms", "time", "nanoseconds"},
                 {"bytes", "space", "bytes"}};
    struct hone_profile *p = r->profile;
    for (uint32_t i = 0; i < r->thread_count; i++) {
        size_t k = sizeof known / sizeof known[0] - 1;
        const char *weight = hone_profile_text(p, r->threads[i].weight_type);
        while (k && strcmp(weight, known[k].weight) != 0)
            k--;
        bool ours = r->type && r->unit;
        const char *type = ours ? hone_profile_text(p, r->type) : known[k].type;
        const char *unit = ours ? hone_profile_text(p, r->unit) : known[k].unit;
        uint32_t t = 0;
        while (t < p->type_count && strcmp(hone_profile_text(p, p->types[t].type), type) != 0)
            t++;
        if (t == p->type_count)
            (void)hone_profile_add_type(p, type, unit);
        r->threads[i].type = t;
    }
    if (!p->type_count)
        (void)hone_profile_add_type(p, "samples", "count");
}

// Stacks leaf first. A parent comes before its child, so there are no circles.
static int make_stack(struct reader *r, int64_t number)
{
    r->stack.count = 0;
    for (int64_t at = number; at >= 0 && at < r->stack_frame.count;) {
        int64_t frame = r->stack_frame.at[at];
        if (frame < 0 || frame >= r->frame_func.count)
            return hone_json_bad(&r->json, "stack %lld has frame %lld of %u", (long long)at,
                                 (long long)frame, r->frame_func.count);
        if (!hone_stack_push(&r->stack, r->locations[frame]))
            return out_of_memory(r);
        int64_t parent = hone_column_at(&r->stack_prefix, at);
        if (parent >= at)
            return hone_json_bad(&r->json, "stack %lld comes before its parent", (long long)at);
        at = parent;
    }
    return 0;
}

// Milliseconds weigh in nanoseconds, or in the unit of our own files.
static int64_t factor_of(const struct reader *r, const struct thread *thread)
{
    if (strcmp(hone_profile_text(r->profile, thread->weight_type), "tracing-ms") != 0)
        return 1;
    const char *unit = hone_profile_text(r->profile, r->unit);
    return strcmp(unit, "seconds") == 0        ? -1000
           : strcmp(unit, "milliseconds") == 0 ? 1
           : strcmp(unit, "microseconds") == 0 ? 1000
                                               : 1000000;
}

static int read_weight(struct reader *r, struct hone_json *weights, int64_t factor, int64_t *ret)
{
    double value;
    *ret = 0;
    int more = hone_json_item(weights);
    if (more <= 0)
        return more ? more : hone_json_bad(&r->json, "more stacks than weights");
    if (hone_json_peek(weights) != HONE_JSON_NUMBER)
        return hone_json_skip(weights);
    if (factor == 1)
        return hone_json_integer(weights, ret);
    int result = hone_json_number(weights, &value);
    value = factor < 0 ? value / (double)-factor : value * (double)factor;
    if (!result && !(fabs(value) < 9.2e18))
        return hone_json_bad(weights, "a number beyond 64 bits");
    if (!result)
        *ret = llround(value);
    return result;
}

static int read_thread(struct reader *r, const struct thread *thread)
{
    if (!thread->stacks)
        return 0;
    int result = read_column(r, thread->stacks, &r->samples);
    if (result)
        return result;
    // Numbers need no scratch memory, so the copy owns none.
    struct hone_json weights = r->json;
    weights.scratch = (struct hone_buffer){0};
    if (thread->weights) {
        hone_json_go(&weights, thread->weights);
        result = hone_json_array(&weights);
    }
    uint32_t labels = hone_firefox_labels(r->profile, &thread->who);
    int64_t factor = factor_of(r, thread);
    for (uint32_t i = 0; !result && !hone_profile_status(r->profile) && i < r->samples.count; i++) {
        int64_t values[HONE_PROFILE_TYPES_MAX] = {0};
        int64_t weight = 1;
        if (thread->weights)
            result = read_weight(r, &weights, factor, &weight);
        if (!result)
            result = make_stack(r, r->samples.at[i]);
        if (result)
            break;
        values[thread->type] = weight;
        uint32_t stack = hone_stack_add(r->profile, &r->stack);
        (void)hone_profile_add_sample_in_set(r->profile, stack, values, labels);
    }
    return result;
}

int hone_firefox_read(const void *bytes, size_t len, const char *name, struct hone_profile **ret,
                      struct hone_error *err)
{
    HONE_CLEANUP(reader_done)
    struct reader r = {.profile = hone_profile_new(), .json = hone_json_of(bytes, len, name, err)};
    if (!r.profile)
        return hone_build_out_of_memory(name, err);
    int result = find_all(&r);
    if (result)
        return result;
    add_types(&r);
    if (r.shared.stack_frame)
        result = read_tables(&r, &r.shared);
    for (uint32_t i = 0; !result && !hone_profile_status(r.profile) && i < r.thread_count; i++) {
        if (!r.shared.stack_frame)
            result = read_tables(&r, &r.threads[i].tables);
        if (!result)
            result = read_thread(&r, &r.threads[i]);
    }
    return result ? result : hone_build_finish(&r.profile, name, ret, err);
}

unsigned hone_firefox_detect(const void *bytes, size_t len)
{
    struct hone_json json = hone_json_of(bytes, len, "", NULL);
    struct hone_str key;
    bool version = false;
    if (hone_json_peek(&json) != HONE_JSON_OBJECT || hone_json_object(&json))
        return HONE_CONVERT_NO;
    while (!version && hone_json_key(&json, &key) > 0) {
        if (hone_json_is(key, "meta") && hone_json_peek(&json) == HONE_JSON_OBJECT) {
            (void)hone_json_object(&json);
            while (hone_json_key(&json, &key) > 0) {
                version |= hone_json_is(key, "preprocessedProfileVersion");
                if (hone_json_skip(&json))
                    break;
            }
        } else if (hone_json_skip(&json)) {
            break;
        }
    }
    hone_json_done(&json);
    return version ? HONE_CONVERT_CERTAIN : HONE_CONVERT_NO;
}
