// Firefox Profiler's processed format, out: https://profiler.firefox.com opens it. Version 61 of
// it, which newer front ends bring up to date as they load it.
//
// The tables are columns. A profile has no time: the samples of a thread follow each other, each as
// long as its value where that is a time, else one after the other a millisecond apart.
#include "convert/frames.h"
#include "convert/json_write.h"
#include "convert/readers.h"
#include "convert/threads.h"
#include "convert/trie.h"

#include "base/array.h"
#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>

#define VERSION "61"
#define GECKO_VERSION "31" // of Firefox's own format; the front end does not look at it here
#define NONE UINT32_MAX

// A frame of the table: with its line, and how deep it is inlined.
struct writer {
    const struct hone_profile *p;
    struct hone_buffer *out;
    uint32_t type;
    struct hone_frames functions; // frames without lines: the function table
    struct hone_frames lines;     // with lines, in the same places of at: the frame table
    uint32_t *function_of;        // by frame with line
    struct hone_trie stacks;
    uint32_t *nodes;   // by stack of the profile: its node, 0 the empty one
    uint32_t *sources; // by string: place in the table of sources, NONE
    uint32_t *source_strings;
    uint32_t source_count;
    struct hone_threads threads;
};

static void writer_done(struct writer *w)
{
    hone_frames_done(&w->functions);
    hone_frames_done(&w->lines);
    hone_trie_done(&w->stacks);
    hone_threads_done(&w->threads);
    free(w->function_of);
    free(w->nodes);
    free(w->sources);
    free(w->source_strings);
}

static int prepare(struct writer *w)
{
    const struct hone_profile *p = w->p;
    HONE_CLEANUP(hone_run_done) struct hone_run run = {0};
    int r = hone_frames_init(&w->functions, p, false);
    if (!r)
        r = hone_frames_init(&w->lines, p, true);
    if (!r)
        r = hone_threads_init(&w->threads, p);
    if (r)
        return r;
    w->function_of = calloc((size_t)w->lines.count + 1, sizeof *w->function_of);
    w->nodes = calloc(p->stacks.count, sizeof *w->nodes);
    w->sources = calloc(p->strings.count, sizeof *w->sources);
    w->source_strings = calloc(p->strings.count, sizeof *w->source_strings);
    if (!w->function_of || !w->nodes || !w->sources || !w->source_strings)
        return -ENOMEM;
    for (uint32_t i = 0; i < w->lines.first[p->locations.count]; i++)
        w->function_of[w->lines.at[i]] = w->functions.at[i];
    for (uint32_t stack = 1; stack < p->stacks.count; stack++) {
        if (hone_run_of(&w->lines, p, stack, &run))
            return -ENOMEM;
        w->nodes[stack] = hone_trie_add(&w->stacks, run.at, run.count);
        if (run.count && !w->nodes[stack])
            return -ENOMEM;
    }
    memset(w->sources, 0xff, p->strings.count * sizeof *w->sources);
    for (uint32_t i = 0; i < w->functions.count; i++) {
        uint32_t file = p->functions.file[w->functions.frames[i].function];
        if (file && w->sources[file] == NONE) {
            w->sources[file] = w->source_count;
            w->source_strings[w->source_count++] = file;
        }
    }
    return 0;
}

static void put_count_or_null(struct hone_buffer *out, uint32_t value)
{
    if (value == NONE)
        hone_buffer_text(out, "null");
    else
        hone_json_put_count(out, value);
}

static void put_line(struct hone_buffer *out, int64_t line)
{
    if (line > 0)
        hone_json_put_integer(out, line);
    else
        hone_buffer_text(out, "null");
}

// A column of count equal entries.
static void put_same(struct hone_buffer *out, const char *key, uint32_t count, const char *value)
{
    hone_buffer_format(out, "\"%s\":[", key);
    for (uint32_t i = 0; i < count && !out->failed; i++) {
        hone_json_put_comma(out, i);
        hone_buffer_text(out, value);
    }
    hone_buffer_text(out, "],");
}

static uint32_t stack_count(const struct writer *w)
{
    return w->stacks.count ? w->stacks.count - 1 : 0; // without the root
}

static void put_stacks(struct writer *w)
{
    struct hone_buffer *out = w->out;
    uint32_t count = stack_count(w);
    hone_buffer_format(out, "\"stackTable\":{\"length\":%u,\n\"frame\":[", count);
    for (uint32_t i = 0; i < count; i++) {
        hone_json_put_comma(out, i);
        hone_json_put_count(out, w->stacks.at[i + 1].frame);
    }
    hone_buffer_text(out, "],\n\"prefix\":[");
    for (uint32_t i = 0; i < count; i++) {
        uint32_t parent = w->stacks.at[i + 1].parent;
        hone_json_put_comma(out, i);
        put_count_or_null(out, parent ? parent - 1 : NONE);
    }
    hone_buffer_text(out, "]},\n");
}

// Whether frames are inlined is not known of them alone: the same one may be both. Depth 0 is what
// the front end takes for "not from an address", which it then leaves alone.
static void put_frames(struct writer *w)
{
    struct hone_buffer *out = w->out;
    uint32_t count = w->lines.count;
    hone_buffer_format(out, "\"frameTable\":{\"length\":%u,\n\"func\":[", count);
    for (uint32_t i = 0; i < count; i++) {
        hone_json_put_comma(out, i);
        hone_json_put_count(out, w->function_of[i]);
    }
    hone_buffer_text(out, "],\n\"line\":[");
    for (uint32_t i = 0; i < count; i++) {
        hone_json_put_comma(out, i);
        put_line(out, w->lines.frames[i].line);
    }
    hone_buffer_text(out, "],\n");
    put_same(out, "address", count, "-1");
    put_same(out, "inlineDepth", count, "0");
    put_same(out, "category", count, "0");
    put_same(out, "subcategory", count, "0");
    put_same(out, "nativeSymbol", count, "null");
    put_same(out, "innerWindowID", count, "null");
    put_same(out, "column", count, "null");
    out->len -= out->failed ? 0 : 1; // the last comma
    hone_buffer_text(out, "},\n");
}

// Strings are the names of functions, then sources, then the names of modules.
static void put_functions(struct writer *w)
{
    struct hone_buffer *out = w->out;
    const struct hone_profile *p = w->p;
    uint32_t count = w->functions.count;
    hone_buffer_format(out, "\"funcTable\":{\"length\":%u,\n\"name\":[", count);
    for (uint32_t i = 0; i < count; i++) {
        hone_json_put_comma(out, i);
        hone_json_put_count(out, i);
    }
    hone_buffer_text(out, "],\n\"resource\":[");
    for (uint32_t i = 0; i < count; i++) {
        uint32_t mapping = w->functions.frames[i].mapping;
        hone_json_put_comma(out, i);
        hone_json_put_integer(out, mapping ? (int64_t)mapping - 1 : -1);
    }
    hone_buffer_text(out, "],\n\"source\":[");
    for (uint32_t i = 0; i < count; i++) {
        uint32_t file = p->functions.file[w->functions.frames[i].function];
        hone_json_put_comma(out, i);
        put_count_or_null(out, file ? w->sources[file] : NONE);
    }
    hone_buffer_text(out, "],\n\"lineNumber\":[");
    for (uint32_t i = 0; i < count; i++) {
        hone_json_put_comma(out, i);
        put_line(out, p->functions.start_line[w->functions.frames[i].function]);
    }
    hone_buffer_text(out, "],\n");
    put_same(out, "isJS", count, "false");
    put_same(out, "relevantForJS", count, "false");
    put_same(out, "columnNumber", count, "null");
    out->len -= out->failed ? 0 : 1; // the last comma
    hone_buffer_text(out, "},\n");
}

static void put_sources(struct writer *w)
{
    struct hone_buffer *out = w->out;
    uint32_t count = w->source_count;
    hone_buffer_format(out, "\"sources\":{\"length\":%u,\n\"filename\":[", count);
    for (uint32_t i = 0; i < count; i++) {
        hone_json_put_comma(out, i);
        hone_json_put_count(out, (uint64_t)w->functions.count + i);
    }
    hone_buffer_text(out, "],\n");
    put_same(out, "id", count, "null");
    put_same(out, "startLine", count, "1");
    put_same(out, "startColumn", count, "1");
    put_same(out, "sourceMapURL", count, "null");
    out->len -= out->failed ? 0 : 1; // the last comma
    hone_buffer_text(out, "},\n");
}

static struct hone_str module_name(const struct writer *w, uint32_t mapping)
{
    struct hone_str path = hone_profile_str(w->p, w->p->mappings.at[mapping].file);
    return path.len ? path : HONE_STR("[unknown]");
}

static struct hone_str base_name(struct hone_str path)
{
    size_t at = path.len;
    while (at && path.at[at - 1] != '/')
        at--;
    return at < path.len ? (struct hone_str){path.at + at, path.len - at} : path;
}

static void put_resources(struct writer *w)
{
    struct hone_buffer *out = w->out;
    uint32_t count = w->p->mappings.count - 1;
    hone_buffer_format(out, "\"resourceTable\":{\"length\":%u,\n\"lib\":[", count);
    for (uint32_t i = 0; i < count; i++) {
        hone_json_put_comma(out, i);
        hone_json_put_count(out, i);
    }
    hone_buffer_text(out, "],\n\"name\":[");
    for (uint32_t i = 0; i < count; i++) {
        hone_json_put_comma(out, i);
        hone_json_put_count(out, (uint64_t)w->functions.count + w->source_count + i);
    }
    hone_buffer_text(out, "],\n");
    put_same(out, "host", count, "null");
    put_same(out, "type", count, "1");
    out->len -= out->failed ? 0 : 1; // the last comma
    hone_buffer_text(out, "},\n\"nativeSymbols\":{\"length\":0,\"libIndex\":[],\"address\":[],"
                          "\"name\":[],\"functionSize\":[]},\n");
}

static void put_strings(struct writer *w)
{
    struct hone_buffer *out = w->out;
    uint64_t index = 0;
    hone_buffer_text(out, "\"stringArray\":[");
    for (uint32_t i = 0; i < w->functions.count; i++) {
        hone_buffer_text(out, index++ ? ",\n" : "\n");
        hone_json_put_text(out, w->functions.frames[i].name);
    }
    for (uint32_t i = 0; i < w->source_count; i++) {
        hone_buffer_text(out, index++ ? ",\n" : "\n");
        hone_json_put_text(out, hone_profile_str(w->p, w->source_strings[i]));
    }
    for (uint32_t i = 1; i < w->p->mappings.count; i++) {
        hone_buffer_text(out, index++ ? ",\n" : "\n");
        hone_json_put_text(out, base_name(module_name(w, i)));
    }
    hone_buffer_text(out, "]");
}

static void put_libs(struct writer *w)
{
    struct hone_buffer *out = w->out;
    hone_buffer_text(out, "\"libs\":[");
    for (uint32_t i = 1; i < w->p->mappings.count; i++) {
        struct hone_str path = module_name(w, i);
        struct hone_str name = base_name(path);
        struct hone_str id = hone_profile_str(w->p, w->p->mappings.at[i].build_id);
        hone_buffer_text(out, i > 1 ? ",\n{\"arch\":\"\",\"name\":" : "\n{\"arch\":\"\",\"name\":");
        hone_json_put_text(out, name);
        hone_buffer_text(out, ",\"path\":");
        hone_json_put_text(out, path);
        hone_buffer_text(out, ",\"debugName\":");
        hone_json_put_text(out, name);
        hone_buffer_text(out, ",\"debugPath\":");
        hone_json_put_text(out, path);
        hone_buffer_text(out, ",\"breakpadId\":\"\",\"codeId\":");
        if (id.len)
            hone_json_put_text(out, id);
        else
            hone_buffer_text(out, "null");
        hone_buffer_add(out, "}", 1);
    }
    hone_buffer_text(out, "],\n");
}

// --- samples -------------------------------------------------------------------------------------

enum weights { COUNTS, TIMES, BYTES };

static const char *const weight_types[] = {"samples", "tracing-ms", "bytes"};

// What a unit is to the front end, and how many nanoseconds it is.
static enum weights weights_of(const struct hone_profile *p, uint32_t type, int64_t *ret_ns)
{
    static const struct {
        const char *unit;
        int64_t ns;
    } times[] = {{"nanoseconds", 1},
                 {"microseconds", 1000},
                 {"milliseconds", 1000000},
                 {"seconds", 1000000000}};
    const char *unit = hone_profile_text(p, p->types[type].unit);
    *ret_ns = 1;
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++)
        if (strcmp(unit, times[i].unit) == 0) {
            *ret_ns = times[i].ns;
            return TIMES;
        }
    return strcmp(unit, "bytes") == 0 ? BYTES : COUNTS;
}

// Nanoseconds as milliseconds, exactly.
static void put_ms(struct hone_buffer *out, int64_t ns)
{
    uint64_t size = ns < 0 ? -(uint64_t)ns : (uint64_t)ns;
    if (ns < 0)
        hone_buffer_add(out, "-", 1);
    hone_json_put_count(out, size / 1000000);
    if (size % 1000000)
        hone_buffer_format(out, ".%06u", (unsigned)(size % 1000000));
}

static int64_t times(int64_t value, int64_t factor)
{
    int64_t product;
    return __builtin_mul_overflow(value, factor, &product) ? (value < 0 ? INT64_MIN : INT64_MAX)
                                                           : product;
}

// The samples of one thread, by their places.
struct own {
    const uint32_t *at;
    uint32_t count;
};

static void put_samples(struct writer *w, struct own own)
{
    const struct hone_profile *p = w->p;
    struct hone_buffer *out = w->out;
    const int64_t *values = p->samples.values[w->type];
    int64_t unit_ns;
    enum weights weights = weights_of(p, w->type, &unit_ns);
    hone_buffer_format(out, "\"samples\":{\"length\":%u,\"weightType\":\"%s\",\n\"stack\":[",
                       own.count, weight_types[weights]);
    for (uint32_t i = 0; i < own.count; i++) {
        uint32_t node = w->nodes[p->samples.stack[own.at[i]]];
        hone_json_put_comma(out, i);
        put_count_or_null(out, node ? node - 1 : NONE);
    }
    hone_buffer_text(out, "],\n\"time\":[");
    int64_t now = 0;
    for (uint32_t i = 0; i < own.count; i++) {
        int64_t value = weights == TIMES ? times(values[own.at[i]], unit_ns) : 1000000;
        hone_json_put_comma(out, i);
        put_ms(out, now);
        if (value > 0 && __builtin_add_overflow(now, value, &now))
            now = INT64_MAX;
    }
    hone_buffer_text(out, "],\n\"weight\":[");
    for (uint32_t i = 0; i < own.count; i++) {
        hone_json_put_comma(out, i);
        if (weights == TIMES)
            put_ms(out, times(values[own.at[i]], unit_ns));
        else
            hone_json_put_integer(out, values[own.at[i]]);
    }
    hone_buffer_text(out, "]}");
}

static void put_thread(struct writer *w, uint32_t thread, struct own own)
{
    const struct hone_profile *p = w->p;
    const struct hone_thread_track *track = &w->threads.at[thread];
    struct hone_buffer *out = w->out;
    uint32_t name = track->thread ? track->thread : track->process;
    hone_buffer_text(out, thread ? ",\n" : "\n");
    hone_buffer_text(out, "{\"processType\":\"default\",\"processStartupTime\":0,"
                          "\"processShutdownTime\":null,\"registerTime\":0,\"unregisterTime\":null,"
                          "\"pausedRanges\":[],\"name\":");
    hone_json_put_text(out, name ? hone_profile_str(p, name) : HONE_STR("all threads"));
    if (track->process) {
        hone_buffer_text(out, ",\"processName\":");
        hone_json_put_text(out, hone_profile_str(p, track->process));
    }
    bool is_main = track->pid ? track->pid == track->tid : thread == 0;
    hone_buffer_format(out, ",\"isMainThread\":%s,\"pid\":\"", is_main ? "true" : "false");
    hone_json_put_integer(out, track->pid);
    hone_buffer_text(out, "\",\"tid\":");
    hone_json_put_integer(out, track->track);
    hone_buffer_text(out, ",\n\"markers\":{\"length\":0,\"data\":[],\"name\":[],\"startTime\":[],"
                          "\"endTime\":[],\"phase\":[],\"category\":[]},\n");
    put_samples(w, own);
    hone_buffer_text(out, "}");
}

// Sorts the samples by thread, each in their order, and writes thread by thread.
static int put_threads(struct writer *w)
{
    const struct hone_profile *p = w->p;
    HONE_CLEANUP(hone_freep)
    uint32_t *first = calloc((size_t)w->threads.count + 2, sizeof *first);
    HONE_CLEANUP(hone_freep)
    uint32_t *sorted = calloc((size_t)p->samples.count + 1, sizeof *sorted);
    if (!first || !sorted)
        return -ENOMEM;
    for (uint32_t i = 0; i < p->samples.count; i++)
        first[w->threads.of_set[p->samples.label_set[i]] + 2]++;
    for (uint32_t i = 0; i < w->threads.count; i++)
        first[i + 2] += first[i + 1];
    for (uint32_t i = 0; i < p->samples.count; i++)
        sorted[first[w->threads.of_set[p->samples.label_set[i]] + 1]++] = i;
    hone_buffer_text(w->out, "\"threads\":[");
    for (uint32_t i = 0; i < w->threads.count; i++)
        put_thread(w, i, (struct own){sorted + first[i], first[i + 1] - first[i]});
    hone_buffer_text(w->out, "]");
    return 0;
}

static void put_meta(struct writer *w)
{
    const struct hone_profile *p = w->p;
    struct hone_buffer *out = w->out;
    hone_buffer_text(out, "{\"meta\":{\"interval\":1,\"startTime\":");
    put_ms(out, p->time_ns);
    hone_buffer_text(
        out, ",\"processType\":0,\"product\":\"Hone\",\"stackwalk\":1,\"version\":" GECKO_VERSION
             ",\"preprocessedProfileVersion\":" VERSION
             ",\n\"symbolicated\":true,\"symbolicationNotSupported\":true,"
             "\"sourceCodeIsNotOnSearchfox\":true,\"usesOnlyOneStackType\":true,"
             "\"importedFrom\":\"Hone " HONE_VERSION "\",\"markerSchema\":[],\n"
             "\"categories\":[{\"name\":\"Other\",\"color\":\"grey\","
             "\"subcategories\":[\"Other\"]}],\n\"hone_type\":");
    hone_json_put_text(out, hone_profile_str(p, p->types[w->type].type));
    hone_buffer_text(out, ",\"hone_unit\":");
    hone_json_put_text(out, hone_profile_str(p, p->types[w->type].unit));
    hone_buffer_text(out, "},\n");
}

int hone_firefox_write(const struct hone_profile *profile, struct hone_buffer *out,
                       struct hone_error *err)
{
    HONE_CLEANUP(writer_done) struct writer w = {.p = profile, .out = out};
    int r = hone_profile_select_type(profile, NULL, &w.type, err);
    if (r)
        return r;
    r = prepare(&w);
    if (r)
        return hone_error_set(err, r, "cannot write the profile");
    put_meta(&w);
    put_libs(&w);
    hone_buffer_text(out, "\"pages\":[],\n\"shared\":{\n");
    put_stacks(&w);
    put_frames(&w);
    put_functions(&w);
    put_sources(&w);
    put_resources(&w);
    put_strings(&w);
    hone_buffer_text(out, "},\n");
    r = put_threads(&w);
    hone_buffer_text(out, "}\n");
    return r || out->failed ? hone_error_set(err, -ENOMEM, "cannot write the profile") : 0;
}
