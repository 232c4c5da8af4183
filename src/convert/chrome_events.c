// Events of a trace: spans are kept, threads get their names, chunks of V8's profiles are put
// together.
#include "convert/chrome_parts.h"

#include "convert/lines.h"

#include <math.h>

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

static int read_ns(struct hone_chrome *r, int64_t *ret)
{
    double us;
    int result = hone_json_number(&r->json, &us);
    if (!result && !(fabs(us) < 4e15))
        return hone_json_bad(&r->json, "a time beyond what 64 bits hold in nanoseconds");
    if (!result)
        *ret = llround(us * 1000);
    return result;
}

static int read_args(struct hone_chrome *r, struct event *event)
{
    struct hone_str key;
    if (hone_json_peek(&r->json) != HONE_JSON_OBJECT)
        return hone_json_skip(&r->json);
    int result = hone_json_object(&r->json);
    while (!result && (result = hone_json_key(&r->json, &key)) > 0) {
        if (hone_json_is(key, "name")) {
            result = hone_chrome_read_text(r, &event->new_name);
        } else {
            bool data = hone_json_is(key, "data") && hone_json_peek(&r->json) == HONE_JSON_OBJECT;
            const char *from = r->json.at;
            result = hone_json_skip(&r->json);
            if (data)
                event->data = from;
        }
    }
    return result;
}

static int read_members(struct hone_chrome *r, struct event *event)
{
    struct hone_str key;
    struct hone_str text;
    int result = hone_json_object(&r->json);
    while (!result && (result = hone_json_key(&r->json, &key)) > 0) {
        bool number = hone_json_peek(&r->json) == HONE_JSON_NUMBER;
        if (hone_json_is(key, "ph")) {
            result = hone_json_string(&r->json, &text);
            event->phase = !result && text.len == 1 ? text.at[0] : '\0';
        } else if (number && hone_json_is(key, "ts")) {
            event->has_time = true;
            result = read_ns(r, &event->start_ns);
        } else if (number && hone_json_is(key, "dur")) {
            result = read_ns(r, &event->length_ns);
        } else if (hone_json_is(key, "name")) {
            result = hone_chrome_read_text(r, &event->name);
        } else if (hone_json_is(key, "pid")) {
            result = hone_chrome_read_text(r, &event->pid);
        } else if (hone_json_is(key, "tid")) {
            result = hone_chrome_read_text(r, &event->tid);
        } else if (hone_json_is(key, "id")) {
            result = hone_chrome_read_text(r, &event->id);
        } else if (hone_json_is(key, "args")) {
            result = read_args(r, event);
        } else {
            result = hone_json_skip(&r->json);
        }
    }
    return result;
}

// args.data of a chunk.
static int read_chunk(struct hone_chrome *r, struct hone_v8_profile *v8, const char *place)
{
    struct hone_str key;
    const char *back = r->json.at;
    hone_json_go(&r->json, place);
    int result = hone_json_object(&r->json);
    while (!result && (result = hone_json_key(&r->json, &key)) > 0) {
        if (hone_json_is(key, "cpuProfile"))
            result = hone_v8_read(v8, &r->json, r->profile);
        else if (hone_json_is(key, "timeDeltas"))
            result = hone_v8_read_deltas(v8, &r->json);
        else if (hone_json_is(key, "startTime") && hone_json_peek(&r->json) == HONE_JSON_NUMBER)
            result = hone_json_integer(&r->json, &v8->start);
        else
            result = hone_json_skip(&r->json);
    }
    r->json.at = back;
    r->json.after_value = true;
    return result;
}

static bool name_is(const struct hone_chrome *r, const struct event *event, const char *name)
{
    return hone_str_equal(hone_profile_str(r->profile, event->name), hone_str_of(name));
}

static int add_span(struct hone_chrome *r, const struct event *event)
{
    if (!event->has_time)
        return 0;
    struct hone_chrome_track *track = hone_chrome_find_track(r, event->pid, event->tid);
    if (!track || !hone_array_reserve(&r->spans, &r->span_room, (uint64_t)r->span_count + 1,
                                      sizeof *r->spans))
        return hone_chrome_out_of_memory(r);
    struct hone_place place = {.name = hone_profile_str(r->profile, event->name)};
    bool unnamed_end = event->phase == 'E' && !event->name;
    r->spans[r->span_count] = (struct hone_chrome_span){
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

static int name_track(struct hone_chrome *r, const struct event *event)
{
    struct hone_chrome_track *track;
    if (name_is(r, event, "thread_name")) {
        track = hone_chrome_find_track(r, event->pid, event->tid);
        if (track)
            track->thread = event->new_name;
    } else if (name_is(r, event, "process_name")) {
        track = hone_chrome_find_track(r, event->pid, 0);
        if (track)
            track->process = event->new_name;
    } else {
        return 0;
    }
    return track ? 0 : hone_chrome_out_of_memory(r);
}

static int read_event(struct hone_chrome *r)
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
    struct hone_chrome_track *track =
        hone_chrome_find_track(r, event.pid, event.id ? event.id : event.tid);
    if (!track)
        return hone_chrome_out_of_memory(r);
    if (name_is(r, &event, "Profile")) // its thread is the profile's
        track->v8_tid = event.tid;
    r->has_v8 = true;
    return read_chunk(r, &track->v8, event.data);
}

int hone_chrome_read_events(struct hone_chrome *r)
{
    int result = hone_json_array(&r->json);
    while (!result && (result = hone_json_item(&r->json)) > 0)
        result =
            hone_json_peek(&r->json) == HONE_JSON_OBJECT ? read_event(r) : hone_json_skip(&r->json);
    return result;
}
