// Callgrind's format, out: for callgrind_annotate and KCachegrind. Each function with what its
// lines took themselves, and each call from a line with what it took with all that it called; a
// stack counts once for a call that recurs.
//
// The format wants to know how often a call was made, and samples do not tell: "calls=" is the
// number of samples that passed through it, which the file's "desc" line says.
//
// view/callgrind.c writes this format, too, and shares nothing with it: to the letter what `go tool
// pprof -callgrind` prints of the graph that is left after trimming, by addresses, of one sample
// type in the unit that is shown, without counts of calls. Here a profile goes out whole, by lines,
// with all its sample types as they are, so that it can be read back. What would be common is how a
// name gets its number, and even there the two differ in what an empty name is.
#include "convert/frames.h"
#include "convert/json_write.h"
#include "convert/readers.h"

#include "base/array.h"
#include "base/cleanup.h"
#include "base/table.h"

#include <errno.h>
#include <stdlib.h>

struct call {
    uint32_t line;   // frame, with its line: from where
    uint32_t callee; // frame, without
    uint32_t samples;
    uint32_t last_sample; // + 1, so that a stack counts once
};

struct writer {
    const struct hone_profile *profile;
    struct hone_buffer *out;
    struct hone_frames functions; // frames without lines
    struct hone_frames lines;     // with lines, in the same places of at
    uint32_t *function_of;        // by frame with line
    int64_t *self;                // by frame with line, type_count each
    struct call *calls;
    uint32_t call_count;
    uint32_t call_room;
    int64_t *call_values; // type_count each
    uint32_t call_value_room;
    struct hone_table table;
    uint32_t *order;      // frames with lines, by function and line
    uint32_t *call_order; // calls, by where they are made and what is called
    uint32_t *file_ids;   // by string: 0 not named yet, else its number
    uint32_t *name_ids;   // by function frame
    uint32_t *object_ids; // by mapping
    uint32_t files;
    uint32_t types[HONE_PROFILE_TYPES_MAX]; // the default one first: tools sort by it
};

static void writer_done(struct writer *w)
{
    hone_frames_done(&w->functions);
    hone_frames_done(&w->lines);
    free(w->function_of);
    free(w->self);
    free(w->calls);
    free(w->call_values);
    hone_table_done(&w->table);
    free(w->order);
    free(w->call_order);
    free(w->file_ids);
    free(w->name_ids);
    free(w->object_ids);
}

static void add(int64_t *to, const struct hone_profile *p, uint32_t sample)
{
    for (uint32_t type = 0; type < p->type_count; type++)
        if (__builtin_add_overflow(to[type], p->samples.values[type][sample], &to[type]))
            to[type] = to[type] < 0 ? INT64_MIN : INT64_MAX;
}

static bool add_call(struct writer *w, uint32_t line, uint32_t callee, uint32_t sample)
{
    uint32_t types = w->profile->type_count;
    uint64_t word = (uint64_t)line << 32 | callee;
    uint64_t hash = hone_hash_words(&word, 1, 0); // numbers of ours, not a stranger's text
    struct hone_table_probe probe = hone_table_probe(&w->table, hash);
    uint32_t at;
    while ((at = hone_table_next(&w->table, &probe)) != HONE_TABLE_END)
        if (w->calls[at].line == line && w->calls[at].callee == callee)
            break;
    if (at == HONE_TABLE_END) {
        at = w->call_count;
        if (!hone_array_reserve(&w->calls, &w->call_room, (uint64_t)at + 1, sizeof *w->calls) ||
            !hone_array_reserve(&w->call_values, &w->call_value_room, ((uint64_t)at + 1) * types,
                                sizeof *w->call_values) ||
            hone_table_add(&w->table, hash, at))
            return false;
        w->calls[at] = (struct call){.line = line, .callee = callee};
        w->call_count++;
    }
    struct call *call = &w->calls[at];
    if (call->last_sample == sample + 1)
        return true;
    call->last_sample = sample + 1;
    call->samples++;
    add(w->call_values + (size_t)at * types, w->profile, sample);
    return true;
}

static int sum_up(struct writer *w)
{
    const struct hone_profile *p = w->profile;
    HONE_CLEANUP(hone_run_done) struct hone_run run = {0};
    w->function_of = calloc((size_t)w->lines.count + 1, sizeof *w->function_of);
    w->self = calloc((size_t)w->lines.count * p->type_count + 1, sizeof *w->self);
    if (!w->function_of || !w->self)
        return -ENOMEM;
    for (uint32_t i = 0; i < w->lines.first[p->locations.count]; i++)
        w->function_of[w->lines.at[i]] = w->functions.at[i];
    for (uint32_t i = 0; i < p->samples.count; i++) {
        if (hone_run_of(&w->lines, p, p->samples.stack[i], &run))
            return -ENOMEM;
        for (uint32_t k = 0; k + 1 < run.count; k++)
            if (!add_call(w, run.at[k], w->function_of[run.at[k + 1]], i))
                return -ENOMEM;
        if (run.count)
            add(w->self + (size_t)run.at[run.count - 1] * p->type_count, p, i);
    }
    return 0;
}

static int compare_lines(const void *left, const void *right, void *context)
{
    const struct writer *w = context;
    uint32_t a = *(const uint32_t *)left;
    uint32_t b = *(const uint32_t *)right;
    if (w->function_of[a] != w->function_of[b])
        return w->function_of[a] < w->function_of[b] ? -1 : 1;
    int64_t from = w->lines.frames[a].line;
    int64_t to = w->lines.frames[b].line;
    return from != to ? (from < to ? -1 : 1) : (a > b) - (a < b);
}

static int compare_calls(const void *left, const void *right, void *context)
{
    const struct writer *w = context;
    const struct call *a = &w->calls[*(const uint32_t *)left];
    const struct call *b = &w->calls[*(const uint32_t *)right];
    if (a->line != b->line)
        return compare_lines(&a->line, &b->line, context);
    return a->callee < b->callee ? -1 : a->callee > b->callee;
}

static int sort_all(struct writer *w)
{
    w->order = calloc((size_t)w->lines.count + 1, sizeof *w->order);
    w->call_order = calloc((size_t)w->call_count + 1, sizeof *w->call_order);
    w->file_ids = calloc(w->profile->strings.count, sizeof *w->file_ids);
    w->name_ids = calloc((size_t)w->functions.count + 1, sizeof *w->name_ids);
    w->object_ids = calloc(w->profile->mappings.count, sizeof *w->object_ids);
    if (!w->order || !w->call_order || !w->file_ids || !w->name_ids || !w->object_ids)
        return -ENOMEM;
    for (uint32_t i = 0; i < w->lines.count; i++)
        w->order[i] = i;
    for (uint32_t i = 0; i < w->call_count; i++)
        w->call_order[i] = i;
    if (w->lines.count)
        qsort_r(w->order, w->lines.count, sizeof *w->order, compare_lines, w);
    if (w->call_count)
        qsort_r(w->call_order, w->call_count, sizeof *w->call_order, compare_calls, w);
    return 0;
}

// A name with its number; the name itself only the first time. Line ends would end it.
static void put_name(struct hone_buffer *out, const char *key, uint32_t number, bool fresh,
                     struct hone_str text)
{
    hone_buffer_format(out, "%s=(%u)", key, number);
    if (fresh)
        hone_buffer_add(out, " ", 1);
    for (size_t i = 0; fresh && i < text.len; i++)
        hone_buffer_add(out, text.at[i] == '\n' || text.at[i] == '\r' ? " " : &text.at[i], 1);
    hone_buffer_add(out, "\n", 1);
}

// Where a function is and its name, under the keys for a function or for one that is called.
static void put_function(struct writer *w, uint32_t function, bool called)
{
    const struct hone_profile *p = w->profile;
    const struct hone_frame *frame = &w->functions.frames[function];
    uint32_t *object = &w->object_ids[frame->mapping];
    bool fresh = !*object;
    *object = frame->mapping + 1;
    struct hone_str text = hone_profile_str(p, p->mappings.at[frame->mapping].file);
    put_name(w->out, called ? "cob" : "ob", *object, fresh, text.len ? text : HONE_STR("???"));

    uint32_t string = p->functions.file[frame->function];
    fresh = !w->file_ids[string];
    if (fresh)
        w->file_ids[string] = ++w->files;
    text = hone_profile_str(p, string);
    put_name(w->out, called ? "cfi" : "fl", w->file_ids[string], fresh,
             text.len ? text : HONE_STR("???"));

    fresh = !w->name_ids[function];
    w->name_ids[function] = function + 1;
    put_name(w->out, called ? "cfn" : "fn", function + 1, fresh, frame->name);
}

static void put_values(struct writer *w, int64_t line, const int64_t *values)
{
    hone_json_put_integer(w->out, line > 0 ? line : 0);
    for (uint32_t i = 0; i < w->profile->type_count; i++) {
        hone_buffer_add(w->out, " ", 1);
        hone_json_put_integer(w->out, values[w->types[i]]);
    }
    hone_buffer_add(w->out, "\n", 1);
}

static bool any(const int64_t *values, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (values[i])
            return true;
    return false;
}

static void put_call(struct writer *w, const struct call *call)
{
    const struct hone_profile *p = w->profile;
    const struct hone_frame *callee = &w->functions.frames[call->callee];
    int64_t start = p->functions.start_line[callee->function];
    put_function(w, call->callee, true);
    hone_buffer_format(w->out, "calls=%u ", call->samples);
    hone_json_put_integer(w->out, start > 0 ? start : 0);
    hone_buffer_add(w->out, "\n", 1);
    put_values(w, w->lines.frames[call->line].line,
               w->call_values + (size_t)(call - w->calls) * p->type_count);
}

static void put_functions(struct writer *w)
{
    uint32_t types = w->profile->type_count;
    uint32_t call = 0;
    for (uint32_t i = 0; i < w->lines.count && !w->out->failed;) {
        uint32_t function = w->function_of[w->order[i]];
        bool begun = false;
        for (; i < w->lines.count && w->function_of[w->order[i]] == function; i++) {
            const int64_t *self = w->self + (size_t)w->order[i] * types;
            uint32_t from = call;
            while (call < w->call_count && w->calls[w->call_order[call]].line == w->order[i])
                call++;
            if (from == call && !any(self, types))
                continue; // of no sample
            if (!begun)
                put_function(w, function, false);
            begun = true;
            if (any(self, types))
                put_values(w, w->lines.frames[w->order[i]].line, self);
            for (; from < call; from++)
                put_call(w, &w->calls[w->call_order[from]]);
        }
        if (begun)
            hone_buffer_add(w->out, "\n", 1);
    }
}

// "cpu(nanoseconds)": no blanks, which part events.
static void put_event(struct hone_buffer *out, const struct hone_profile *p, uint32_t type)
{
    struct hone_str parts[] = {hone_profile_str(p, p->types[type].type), HONE_STR("("),
                               hone_profile_str(p, p->types[type].unit), HONE_STR(")")};
    hone_buffer_add(out, " ", 1);
    for (size_t i = 0; i < 4; i++)
        for (size_t k = 0; k < parts[i].len; k++) {
            char c = parts[i].at[k];
            hone_buffer_add(out, (unsigned char)c <= ' ' ? "_" : &c, 1);
        }
}

static void put_head(struct writer *w)
{
    const struct hone_profile *p = w->profile;
    hone_buffer_text(w->out, "# callgrind format\nversion: 1\ncreator: hone-" HONE_VERSION "\n"
                             "desc: calls: samples that passed through a call, not how often it "
                             "was made\npositions: line\nevents:");
    for (uint32_t i = 0; i < p->type_count; i++)
        put_event(w->out, p, w->types[i]);
    for (int line = 0; line < 2; line++) {
        hone_buffer_text(w->out, line ? "\ntotals:" : "\nsummary:");
        for (uint32_t type = 0; type < p->type_count; type++) {
            const int64_t *values = p->samples.values[w->types[type]];
            int64_t total = 0;
            for (uint32_t i = 0; i < p->samples.count; i++)
                if (p->samples.stack[i] && // without a stack there is nobody to charge
                    __builtin_add_overflow(total, values[i], &total))
                    total = INT64_MAX;
            hone_buffer_add(w->out, " ", 1);
            hone_json_put_integer(w->out, total);
        }
    }
    hone_buffer_text(w->out, "\n\n");
}

int hone_callgrind_write(const struct hone_profile *profile, struct hone_buffer *out,
                         struct hone_error *err)
{
    uint32_t type;
    int r = hone_profile_select_type(profile, NULL, &type, err);
    if (r)
        return r;
    for (uint32_t i = 0; i < profile->type_count; i++)
        for (uint32_t k = 0; k < profile->samples.count; k++)
            if (profile->samples.values[i][k] < 0)
                return hone_error_set(err, -EINVAL,
                                      "callgrind's format has no negative values, as "
                                      "of a difference");
    HONE_CLEANUP(writer_done) struct writer w = {.profile = profile, .out = out};
    w.types[0] = type;
    for (uint32_t i = 0, place = 1; i < profile->type_count; i++)
        if (i != type)
            w.types[place++] = i;
    r = hone_frames_init(&w.functions, profile, false);
    if (!r)
        r = hone_frames_init(&w.lines, profile, true);
    if (!r)
        r = sum_up(&w);
    if (!r)
        r = sort_all(&w);
    if (!r) {
        put_head(&w);
        put_functions(&w);
    }
    return r || out->failed ? hone_error_set(err, -ENOMEM, "cannot write the profile") : 0;
}
