// Traces of Chrome ("trace event format"), in.
//
// A trace is an array of events, or an object with "traceEvents". What has samples gives them:
// profiles of V8 in chunks, or "samples" with "stackFrames". A trace without gives its nested
// spans, B and E or X: what lies within none of its own takes the time, so a span is a frame.
//
// Programs write traces as they run, so one that is cut short is read as far as it goes.
#include "convert/chrome_parts.h"

#include "convert/lines.h"
#include "convert/readers.h"

#include "base/cleanup.h"

enum { EVENTS_LOOKED_AT = 8 };

static void reader_done(struct hone_chrome *r)
{
    hone_profile_free(r->profile);
    hone_json_done(&r->json);
    for (uint32_t i = 0; i < r->track_count; i++)
        hone_v8_done(&r->tracks[i].v8);
    free(r->tracks);
    hone_table_done(&r->by_ids);
    free(r->spans);
    hone_stack_done(&r->stack);
    hone_v8_done(&r->sampled);
}

// A string, or the text of a number: ids are either. Anything else is skipped.
int hone_chrome_read_text(struct hone_chrome *r, uint32_t *ret)
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

struct hone_chrome_track *hone_chrome_find_track(struct hone_chrome *r, uint32_t pid, uint32_t tid)
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
    struct hone_chrome_track *track = &r->tracks[r->track_count++];
    *track = (struct hone_chrome_track){.pid = pid, .tid = tid};
    return track;
}

// The labels of a thread, by what stands in the file for it. Returns false: memory is out.
bool hone_chrome_labels_of(struct hone_chrome *r, uint32_t pid, uint32_t tid, uint32_t *ret)
{
    struct hone_profile *p = r->profile;
    const struct hone_chrome_track *track = hone_chrome_find_track(r, pid, 0);
    uint32_t texts[2] = {track ? track->process : 0, 0};
    track = track ? hone_chrome_find_track(r, pid, tid) : NULL;
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

// --- whole files ---------------------------------------------------------------------------------

static int remember(struct hone_chrome *r, const char **ret)
{
    (void)hone_json_peek(&r->json); // goes past blanks
    *ret = r->json.at;
    return hone_json_skip(&r->json);
}

// Our own traces say what their time is.
static int read_other_data(struct hone_chrome *r)
{
    struct hone_str key;
    int result = hone_json_object(&r->json);
    while (!result && (result = hone_json_key(&r->json, &key)) > 0) {
        if (hone_json_is(key, "hone_type"))
            result = hone_chrome_read_text(r, &r->type);
        else if (hone_json_is(key, "hone_unit"))
            result = hone_chrome_read_text(r, &r->unit);
        else
            result = hone_json_skip(&r->json);
    }
    return result;
}

static int read_trace(struct hone_chrome *r)
{
    if (hone_json_peek(&r->json) == HONE_JSON_ARRAY)
        return hone_chrome_read_events(r);
    struct hone_str key;
    int result = hone_json_object(&r->json);
    while (!result && (result = hone_json_key(&r->json, &key)) > 0) {
        enum hone_json_kind kind = hone_json_peek(&r->json);
        if (hone_json_is(key, "traceEvents"))
            result = hone_chrome_read_events(r);
        else if (hone_json_is(key, "stackFrames") && kind == HONE_JSON_OBJECT)
            result = remember(r, &r->frames);
        else if (hone_json_is(key, "samples") && kind == HONE_JSON_ARRAY)
            result = remember(r, &r->samples);
        else if (hone_json_is(key, "otherData") && kind == HONE_JSON_OBJECT)
            result = read_other_data(r);
        else
            result = hone_json_skip(&r->json);
    }
    return result;
}

static int add_v8_tracks(struct hone_chrome *r)
{
    hone_v8_add_types(r->profile);
    uint32_t count = r->track_count; // labels may add to them
    for (uint32_t i = 0; i < count; i++) {
        if (!r->tracks[i].v8.sample_count)
            continue;
        uint32_t labels;
        if (!hone_chrome_labels_of(r, r->tracks[i].pid, r->tracks[i].v8_tid, &labels))
            return hone_chrome_out_of_memory(r);
        if (hone_v8_add_samples(&r->tracks[i].v8, r->profile, labels))
            return hone_chrome_out_of_memory(r);
    }
    return 0;
}

int hone_chrome_read(const void *bytes, size_t len, const char *name, struct hone_profile **ret,
                     struct hone_error *err)
{
    HONE_CLEANUP(reader_done)
    struct hone_chrome r = {.profile = hone_profile_new(),
                            .json = hone_json_of(bytes, len, name, err)};
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
        result = hone_chrome_read_samples(&r);
    } else {
        bool named = r.type && r.unit;
        (void)hone_profile_add_type(r.profile,
                                    named ? hone_profile_text(r.profile, r.type) : "time",
                                    named ? hone_profile_text(r.profile, r.unit) : "nanoseconds");
        result = hone_chrome_add_spans(&r);
    }
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
            if (hone_json_is(key, "ph"))
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
            if (hone_json_is(key, "traceEvents"))
                match = HONE_CONVERT_CERTAIN;
            else if (hone_json_skip(&json))
                break;
        }
    }
    hone_json_done(&json);
    return match;
}
