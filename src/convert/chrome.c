// Traces of Chrome ("trace event format") and CPU profiles of V8, in.
//
// A trace is an array of events, or an object with "traceEvents". What has samples gives them:
// profiles of V8 in chunks, or "samples" with "stackFrames". A trace without gives its nested
// spans, B and E or X: what lies within none of its own takes the time, so a span is a frame.
//
// Programs write traces as they run, so one that is cut short is read as far as it goes.
#include "convert/build.h"
#include "convert/json.h"
#include "convert/lines.h"
#include "convert/readers.h"
#include "convert/v8.h"

#include "base/cleanup.h"

#include <errno.h>
#include <math.h>

enum { EVENTS_LOOKED_AT = 8 };

struct span {
    int64_t start_ns;
    int64_t length_ns; // of X
    uint32_t order;
    uint32_t location;
    uint32_t track;
    char phase; // B, E or X
};

// A thread of a process; also a profile of V8, by the process and the profile's id.
struct track {
    uint32_t pid; // strings: as in the file
    uint32_t tid;
    uint32_t process; // names
    uint32_t thread;
    uint32_t v8_tid; // the thread that V8's profile is of
    struct hone_v8_profile v8;
};

// What is said of an event before its kind is known.
struct event {
    char phase;
    bool has_time;
    int64_t start_ns;
    int64_t length_ns;
    uint32_t name; // strings
    uint32_t pid;
    uint32_t tid;
    uint32_t id;
    uint32_t new_name; // of metadata
    const char *data;  // place of args.data
};

struct open_span {
    uint32_t location;
    int64_t end_ns; // at the latest; INT64_MAX when nobody knows
    bool begun;     // by a B, so an E ends it
};

struct reader {
    struct hone_profile *profile;
    struct hone_json json;
    struct track *tracks;
    uint32_t track_count;
    uint32_t track_room;
    struct hone_table by_ids;
    struct span *spans;
    uint32_t span_count;
    uint32_t span_room;
    struct open_span *open;
    uint32_t open_count;
    uint32_t open_room;
    struct hone_stack stack;
    bool has_v8;
    const char *frames; // places of stackFrames and samples
    const char *samples;
    struct hone_v8_profile sampled; // stackFrames as nodes
    uint32_t type;                  // strings: what our own traces measured
    uint32_t unit;
};

static void reader_done(struct reader *r)
{
    hone_profile_free(r->profile);
    hone_json_done(&r->json);
    for (uint32_t i = 0; i < r->track_count; i++)
        hone_v8_done(&r->tracks[i].v8);
    free(r->tracks);
    hone_table_done(&r->by_ids);
    free(r->spans);
    free(r->open);
    hone_stack_done(&r->stack);
    hone_v8_done(&r->sampled);
}

static bool key_is(struct hone_str key, const char *name)
{
    return hone_str_equal(key, hone_str_of(name));
}

static int out_of_memory(struct reader *r)
{
    return hone_build_out_of_memory(r->json.name, r->json.err);
}

// A string, or the text of a number: ids are either. Anything else is skipped.
static int read_text(struct reader *r, uint32_t *ret)
{
    struct hone_str text;
    int result;
    if (hone_json_peek(&r->json) == HONE_JSON_STRING) {
        result = hone_json_string(&r->json, &text);
    } else {
        bool number = hone_json_peek(&r->json) == HONE_JSON_NUMBER;
        const char *from = r->json.at;
        result = hone_json_skip(&r->json);
        if (!number)
            return result;
        text = (struct hone_str){from, (size_t)(r->json.at - from)};
    }
    if (!result)
        *ret = hone_profile_intern_str(r->profile, text);
    return result;
}

static int read_ns(struct reader *r, int64_t *ret)
{
    double us;
    int result = hone_json_number(&r->json, &us);
    if (!result && !(fabs(us) < 4e15))
        return hone_json_bad(&r->json, "a time beyond what 64 bits hold in nanoseconds");
    if (!result)
        *ret = llround(us * 1000);
    return result;
}

static struct track *find_track(struct reader *r, uint32_t pid, uint32_t tid)
{
    uint64_t word = (uint64_t)pid << 32 | tid;
    uint64_t hash = hone_hash_words(&word, 1, 0); // numbers of ours, not a stranger's text
    struct hone_table_probe probe = hone_table_probe(&r->by_ids, hash);
    uint32_t at;
    while ((at = hone_table_next(&r->by_ids, &probe)) != HONE_TABLE_END)
        if (r->tracks[at].pid == pid && r->tracks[at].tid == tid)
            return &r->tracks[at];
    if (!hone_array_reserve(&r->tracks, &r->track_room, (uint64_t)r->track_count + 1,
                            sizeof *r->tracks) ||
        hone_table_add(&r->by_ids, hash, r->track_count))
        return NULL;
    struct track *track = &r->tracks[r->track_count++];
    *track = (struct track){.pid = pid, .tid = tid};
    return track;
}

// --- events --------------------------------------------------------------------------------------

static int read_args(struct reader *r, struct event *event)
{
    struct hone_str key;
    if (hone_json_peek(&r->json) != HONE_JSON_OBJECT)
        return hone_json_skip(&r->json);
    int result = hone_json_object(&r->json);
    while (!result && (result = hone_json_key(&r->json, &key)) > 0) {
        if (key_is(key, "name")) {
            result = read_text(r, &event->new_name);
        } else {
            bool data = key_is(key, "data") && hone_json_peek(&r->json) == HONE_JSON_OBJECT;
            const char *from = r->json.at;
            result = hone_json_skip(&r->json);
            if (data)
                event->data = from;
        }
    }
    return result;
}

static int read_members(struct reader *r, struct event *event)
{
    struct hone_str key;
    struct hone_str text;
    int result = hone_json_object(&r->json);
    while (!result && (result = hone_json_key(&r->json, &key)) > 0) {
        bool number = hone_json_peek(&r->json) == HONE_JSON_NUMBER;
        if (key_is(key, "ph")) {
            result = hone_json_string(&r->json, &text);
            event->phase = !result && text.len == 1 ? text.at[0] : '\0';
        } else if (number && key_is(key, "ts")) {
            event->has_time = true;
            result = read_ns(r, &event->start_ns);
        } else if (number && key_is(key, "dur")) {
            result = read_ns(r, &event->length_ns);
        } else if (key_is(key, "name")) {
            result = read_text(r, &event->name);
        } else if (key_is(key, "pid")) {
            result = read_text(r, &event->pid);
        } else if (key_is(key, "tid")) {
            result = read_text(r, &event->tid);
        } else if (key_is(key, "id")) {
            result = read_text(r, &event->id);
        } else if (key_is(key, "args")) {
            result = read_args(r, event);
        } else {
            result = hone_json_skip(&r->json);
        }
    }
    return result;
}

// args.data of a chunk.
static int read_chunk(struct reader *r, struct hone_v8_profile *v8, const char *place)
{
    struct hone_str key;
    const char *back = r->json.at;
    hone_json_go(&r->json, place);
    int result = hone_json_object(&r->json);
    while (!result && (result = hone_json_key(&r->json, &key)) > 0) {
        if (key_is(key, "cpuProfile"))
            result = hone_v8_read(v8, &r->json, r->profile);
        else if (key_is(key, "timeDeltas"))
            result = hone_v8_read_deltas(v8, &r->json);
        else if (key_is(key, "startTime") && hone_json_peek(&r->json) == HONE_JSON_NUMBER)
            result = hone_json_integer(&r->json, &v8->start);
        else
            result = hone_json_skip(&r->json);
    }
    r->json.at = back;
    r->json.after_value = true;
    return result;
}

static bool name_is(const struct reader *r, const struct event *event, const char *name)
{
    return hone_str_equal(hone_profile_str(r->profile, event->name), hone_str_of(name));
}

static int add_span(struct reader *r, const struct event *event)
{
    if (!event->has_time)
        return 0;
    struct track *track = find_track(r, event->pid, event->tid);
    if (!track || !hone_array_reserve(&r->spans, &r->span_room, (uint64_t)r->span_count + 1,
                                      sizeof *r->spans))
        return out_of_memory(r);
    struct hone_place place = {.name = hone_profile_str(r->profile, event->name)};
    bool unnamed_end = event->phase == 'E' && !event->name;
    r->spans[r->span_count] = (struct span){
        .start_ns = event->start_ns,
        .length_ns = event->length_ns,
        .order = r->span_count,
        .location = unnamed_end ? 0 : hone_place_add(r->profile, &place),
        .track = (uint32_t)(track - r->tracks),
        .phase = event->phase,
    };
    r->span_count++;
    return 0;
}

static int name_track(struct reader *r, const struct event *event)
{
    struct track *track;
    if (name_is(r, event, "thread_name")) {
        track = find_track(r, event->pid, event->tid);
        if (track)
            track->thread = event->new_name;
    } else if (name_is(r, event, "process_name")) {
        track = find_track(r, event->pid, 0);
        if (track)
            track->process = event->new_name;
    } else {
        return 0;
    }
    return track ? 0 : out_of_memory(r);
}

static int read_event(struct reader *r)
{
    struct event event = {0};
    int result = read_members(r, &event);
    if (result)
        return result;
    switch (event.phase) {
    case 'B':
    case 'E':
    case 'X':
        return add_span(r, &event);
    case 'M':
        return name_track(r, &event);
    case 'P':
        break;
    default:
        return 0;
    }
    if (!event.data || (!name_is(r, &event, "Profile") && !name_is(r, &event, "ProfileChunk")))
        return 0;
    struct track *track = find_track(r, event.pid, event.id ? event.id : event.tid);
    if (!track)
        return out_of_memory(r);
    if (name_is(r, &event, "Profile")) // its thread is the profile's
        track->v8_tid = event.tid;
    r->has_v8 = true;
    return read_chunk(r, &track->v8, event.data);
}

static int read_events(struct reader *r)
{
    int result = hone_json_array(&r->json);
    while (!result && (result = hone_json_item(&r->json)) > 0)
        result =
            hone_json_peek(&r->json) == HONE_JSON_OBJECT ? read_event(r) : hone_json_skip(&r->json);
    return result;
}

// --- spans ---------------------------------------------------------------------------------------

// By thread and time. Of several that begin at once the longer ones hold the others, and what has a
// B or an E keeps the order of the file.
static int compare_spans(const void *left, const void *right)
{
    const struct span *a = left;
    const struct span *b = right;
    if (a->track != b->track)
        return a->track < b->track ? -1 : 1;
    if (a->start_ns != b->start_ns)
        return a->start_ns < b->start_ns ? -1 : 1;
    bool whole = a->phase == 'X';
    if (whole != (b->phase == 'X'))
        return whole ? 1 : -1;
    if (whole && a->length_ns != b->length_ns)
        return a->length_ns > b->length_ns ? -1 : 1;
    return a->order < b->order ? -1 : 1;
}

// The labels of a thread, by what stands in the file for it. Returns false: memory is out.
static bool labels_of(struct reader *r, uint32_t pid, uint32_t tid, uint32_t *ret)
{
    struct hone_profile *p = r->profile;
    const struct track *track = find_track(r, pid, 0);
    uint32_t texts[2] = {track ? track->process : 0, 0};
    track = track ? find_track(r, pid, tid) : NULL;
    if (!track)
        return false;
    texts[1] = track->thread;
    static const char *const number_keys[] = {"pid", "tid"};
    static const char *const text_keys[] = {"process", "thread"};
    uint32_t numbers[] = {pid, tid};
    struct hone_profile_label labels[4];
    size_t count = 0;
    for (int i = 0; i < 2; i++) {
        int64_t number;
        struct hone_str text = hone_profile_str(p, numbers[i]);
        if (text.len && hone_str_signed(text, &number))
            labels[count++] = (struct hone_profile_label){
                .key = hone_profile_intern(p, number_keys[i]), .number = number};
        else if (text.len && !texts[i])
            texts[i] = numbers[i];
        if (texts[i])
            labels[count++] = (struct hone_profile_label){
                .key = hone_profile_intern(p, text_keys[i]), .text = texts[i]};
    }
    *ret = hone_profile_add_label_set(p, labels, count);
    return true;
}

// Time passes on a thread: what is open on top takes it. Returns false: memory is out.
static bool pass(struct reader *r, int64_t ns, uint32_t label_set)
{
    if (ns <= 0 || !r->open_count)
        return true;
    r->stack.count = 0;
    for (uint32_t i = r->open_count; i-- > 0;)
        if (!hone_stack_push(&r->stack, r->open[i].location))
            return false;
    uint32_t stack = hone_stack_add(r->profile, &r->stack);
    (void)hone_profile_add_sample_in_set(r->profile, stack, &ns, label_set);
    return true;
}

// Lets time pass up to now, with what ends before.
static bool advance(struct reader *r, int64_t *last, int64_t now, uint32_t label_set)
{
    while (r->open_count && r->open[r->open_count - 1].end_ns <= now) {
        int64_t end = r->open[r->open_count - 1].end_ns;
        if (!pass(r, end - *last, label_set))
            return false;
        *last = end > *last ? end : *last;
        r->open_count--;
    }
    if (!pass(r, now - *last, label_set))
        return false;
    *last = now > *last ? now : *last;
    return true;
}

static bool open_one(struct reader *r, const struct span *span)
{
    if (r->open_count >= HONE_PROFILE_DEPTH_MAX)
        return true;
    if (!hone_array_reserve(&r->open, &r->open_room, (uint64_t)r->open_count + 1, sizeof *r->open))
        return false;
    bool begun = span->phase == 'B';
    int64_t end = INT64_MAX;
    if (!begun)
        end = span->start_ns + (span->length_ns > 0 ? span->length_ns : 0);
    // Nothing lasts longer than what holds it.
    if (r->open_count && r->open[r->open_count - 1].end_ns < end)
        end = r->open[r->open_count - 1].end_ns;
    r->open[r->open_count++] = (struct open_span){span->location, end, begun};
    return true;
}

// Ends the last one that a B began and that has the name, if the E has one, with all above it.
static void close_one(struct reader *r, const struct span *span)
{
    for (uint32_t i = r->open_count; i-- > 0;)
        if (r->open[i].begun && (!span->location || r->open[i].location == span->location)) {
            r->open_count = i;
            return;
        }
}

// The end of a thread: what has an end goes on to it, of the others nobody knows.
static bool close_all(struct reader *r, int64_t *last, uint32_t label_set)
{
    while (r->open_count) {
        int64_t end = r->open[r->open_count - 1].end_ns;
        if (end == INT64_MAX)
            r->open_count--;
        else if (!advance(r, last, end, label_set))
            return false;
    }
    return true;
}

static int add_spans(struct reader *r)
{
    if (r->span_count)
        qsort(r->spans, r->span_count, sizeof *r->spans, compare_spans);
    uint32_t labels = 0;
    int64_t last = 0;
    bool good = true;
    for (uint32_t i = 0; good && i < r->span_count && !hone_profile_status(r->profile); i++) {
        const struct span *span = &r->spans[i];
        if (!i || r->spans[i - 1].track != span->track) {
            const struct track *track = &r->tracks[span->track];
            good = labels_of(r, track->pid, track->tid, &labels);
            last = span->start_ns;
            r->open_count = 0;
        }
        good = good && advance(r, &last, span->start_ns, labels);
        if (good && span->phase == 'E')
            close_one(r, span);
        else if (good)
            good = open_one(r, span);
        if (good && (i + 1 == r->span_count || r->spans[i + 1].track != span->track))
            good = close_all(r, &last, labels);
    }
    return good ? 0 : out_of_memory(r);
}

// --- samples with stackFrames --------------------------------------------------------------------

static int read_stack_frame(struct reader *r, int64_t id)
{
    struct hone_str key;
    struct hone_v8_node node = {.id = id};
    uint32_t name = 0;
    uint32_t parent = 0;
    int result = hone_json_object(&r->json);
    while (!result && (result = hone_json_key(&r->json, &key)) > 0) {
        if (key_is(key, "name"))
            result = read_text(r, &name);
        else if (key_is(key, "parent"))
            result = read_text(r, &parent);
        else
            result = hone_json_skip(&r->json);
    }
    if (result)
        return result;
    node.parent = parent;
    node.location = hone_place_add(
        r->profile, &(struct hone_place){.name = hone_profile_str(r->profile, name)});
    return hone_v8_add_node(&r->sampled, &node) ? 0 : out_of_memory(r);
}

// Ids are texts, so the strings' numbers serve as ids.
static int read_stack_frames(struct reader *r)
{
    struct hone_str key;
    hone_json_go(&r->json, r->frames);
    int result = hone_json_object(&r->json);
    while (!result && (result = hone_json_key(&r->json, &key)) > 0)
        result = read_stack_frame(r, hone_profile_intern_str(r->profile, key));
    return result;
}

static int read_sample(struct reader *r)
{
    struct hone_str key;
    uint32_t frame = 0;
    uint32_t tid = 0;
    int64_t weight = 1;
    int result = hone_json_object(&r->json);
    while (!result && (result = hone_json_key(&r->json, &key)) > 0) {
        if (key_is(key, "sf"))
            result = read_text(r, &frame);
        else if (key_is(key, "tid"))
            result = read_text(r, &tid);
        else if (key_is(key, "weight") && hone_json_peek(&r->json) == HONE_JSON_NUMBER)
            result = hone_json_integer(&r->json, &weight);
        else
            result = hone_json_skip(&r->json);
    }
    if (result || !frame)
        return result;
    uint32_t stack;
    int found = hone_v8_stack(&r->sampled, r->profile, frame, &r->stack, &stack);
    if (found == -ENOMEM)
        return out_of_memory(r);
    if (found)
        return hone_json_bad(&r->json, "a sample with 'sf' %s, which is not in 'stackFrames'",
                             hone_profile_text(r->profile, frame));
    uint32_t labels;
    if (!labels_of(r, 0, tid, &labels))
        return out_of_memory(r);
    (void)hone_profile_add_sample_in_set(r->profile, stack, &weight, labels);
    return 0;
}

static int read_samples(struct reader *r)
{
    int result = read_stack_frames(r);
    if (result)
        return result;
    hone_json_go(&r->json, r->samples);
    result = hone_json_array(&r->json);
    while (!result && (result = hone_json_item(&r->json)) > 0)
        result = read_sample(r);
    return result;
}

// --- whole files ---------------------------------------------------------------------------------

static int remember(struct reader *r, const char **ret)
{
    (void)hone_json_peek(&r->json); // goes past blanks
    *ret = r->json.at;
    return hone_json_skip(&r->json);
}

// Our own traces say what their time is.
static int read_other_data(struct reader *r)
{
    struct hone_str key;
    int result = hone_json_object(&r->json);
    while (!result && (result = hone_json_key(&r->json, &key)) > 0) {
        if (key_is(key, "hone_type"))
            result = read_text(r, &r->type);
        else if (key_is(key, "hone_unit"))
            result = read_text(r, &r->unit);
        else
            result = hone_json_skip(&r->json);
    }
    return result;
}

static int read_trace(struct reader *r)
{
    if (hone_json_peek(&r->json) == HONE_JSON_ARRAY)
        return read_events(r);
    struct hone_str key;
    int result = hone_json_object(&r->json);
    while (!result && (result = hone_json_key(&r->json, &key)) > 0) {
        enum hone_json_kind kind = hone_json_peek(&r->json);
        if (key_is(key, "traceEvents"))
            result = read_events(r);
        else if (key_is(key, "stackFrames") && kind == HONE_JSON_OBJECT)
            result = remember(r, &r->frames);
        else if (key_is(key, "samples") && kind == HONE_JSON_ARRAY)
            result = remember(r, &r->samples);
        else if (key_is(key, "otherData") && kind == HONE_JSON_OBJECT)
            result = read_other_data(r);
        else
            result = hone_json_skip(&r->json);
    }
    return result;
}

static void add_v8_types(struct hone_profile *p)
{
    (void)hone_profile_add_type(p, "samples", "count");
    (void)hone_profile_add_type(p, "time", "nanoseconds");
}

static int add_v8_tracks(struct reader *r)
{
    add_v8_types(r->profile);
    uint32_t count = r->track_count; // labels may add to them
    for (uint32_t i = 0; i < count; i++) {
        if (!r->tracks[i].v8.sample_count)
            continue;
        uint32_t labels;
        if (!labels_of(r, r->tracks[i].pid, r->tracks[i].v8_tid, &labels))
            return out_of_memory(r);
        if (hone_v8_add_samples(&r->tracks[i].v8, r->profile, labels))
            return out_of_memory(r);
    }
    return 0;
}

int hone_chrome_read(const void *bytes, size_t len, const char *name, struct hone_profile **ret,
                     struct hone_error *err)
{
    HONE_CLEANUP(reader_done)
    struct reader r = {.profile = hone_profile_new(), .json = hone_json_of(bytes, len, name, err)};
    if (!r.profile)
        return hone_build_out_of_memory(name, err);
    r.json.lenient = true;
    int result = read_trace(&r);
    if (result)
        return result;
    if (r.has_v8) {
        result = add_v8_tracks(&r);
    } else if (r.samples && r.frames) {
        (void)hone_profile_add_type(r.profile, "samples", "count");
        result = read_samples(&r);
    } else {
        bool named = r.type && r.unit;
        (void)hone_profile_add_type(r.profile,
                                    named ? hone_profile_text(r.profile, r.type) : "time",
                                    named ? hone_profile_text(r.profile, r.unit) : "nanoseconds");
        result = add_spans(&r);
    }
    return result ? result : hone_build_finish(&r.profile, name, ret, err);
}

int hone_cpuprofile_read(const void *bytes, size_t len, const char *name, struct hone_profile **ret,
                         struct hone_error *err)
{
    HONE_CLEANUP(reader_done)
    struct reader r = {.profile = hone_profile_new(), .json = hone_json_of(bytes, len, name, err)};
    if (!r.profile)
        return hone_build_out_of_memory(name, err);
    add_v8_types(r.profile);
    int result = hone_v8_read(&r.sampled, &r.json, r.profile);
    if (!result && hone_v8_add_samples(&r.sampled, r.profile, 0))
        result = out_of_memory(&r);
    return result ? result : hone_build_finish(&r.profile, name, ret, err);
}

// Whether an array begins with events.
static bool has_events(struct hone_json *json)
{
    struct hone_str key;
    for (int i = 0; i < EVENTS_LOOKED_AT && hone_json_item(json) > 0; i++) {
        if (hone_json_peek(json) != HONE_JSON_OBJECT || hone_json_object(json))
            return false;
        while (hone_json_key(json, &key) > 0) {
            if (key_is(key, "ph"))
                return true;
            if (hone_json_skip(json))
                return false;
        }
    }
    return false;
}

unsigned hone_chrome_detect(const void *bytes, size_t len)
{
    struct hone_json json = hone_json_of(bytes, len, "", NULL);
    struct hone_str key;
    unsigned match = HONE_CONVERT_NO;
    if (hone_json_peek(&json) == HONE_JSON_ARRAY) {
        if (!hone_json_array(&json) && has_events(&json))
            match = HONE_CONVERT_LIKELY;
    } else if (hone_json_peek(&json) == HONE_JSON_OBJECT && !hone_json_object(&json)) {
        while (!match && hone_json_key(&json, &key) > 0) {
            if (key_is(key, "traceEvents"))
                match = HONE_CONVERT_CERTAIN;
            else if (hone_json_skip(&json))
                break;
        }
    }
    hone_json_done(&json);
    return match;
}

unsigned hone_cpuprofile_detect(const void *bytes, size_t len)
{
    struct hone_json json = hone_json_of(bytes, len, "", NULL);
    struct hone_str key;
    bool nodes = false;
    bool others = false;
    if (hone_json_peek(&json) != HONE_JSON_OBJECT || hone_json_object(&json))
        return HONE_CONVERT_NO;
    while (hone_json_key(&json, &key) > 0) {
        nodes |= key_is(key, "nodes");
        others |= key_is(key, "startTime") || key_is(key, "timeDeltas") || key_is(key, "samples");
        if (hone_json_skip(&json))
            break;
    }
    hone_json_done(&json);
    return nodes && others ? HONE_CONVERT_LIKELY : nodes ? HONE_CONVERT_POSSIBLE : HONE_CONVERT_NO;
}
