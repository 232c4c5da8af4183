// What the files that read Chrome's traces share. Private to them.
//
//     chrome.c          a whole file: what it is, and which of its parts tell most
//     chrome_events.c   "traceEvents": spans, names of threads, chunks of V8's profiles
//     chrome_spans.c    nested spans as samples: who was on top for how long
//     chrome_samples.c  "samples" with "stackFrames"
#ifndef HONE_CONVERT_CHROME_PARTS_H
#define HONE_CONVERT_CHROME_PARTS_H

#include "convert/build.h"
#include "convert/json.h"
#include "convert/v8.h"

struct hone_chrome_span {
    int64_t start_ns;
    int64_t length_ns; // of X
    uint32_t order;
    uint32_t location;
    uint32_t track;
    char phase; // B, E or X
};

// A thread of a process; also a profile of V8, by the process and the profile's id.
struct hone_chrome_track {
    uint32_t pid; // strings: as in the file
    uint32_t tid;
    uint32_t process; // names
    uint32_t thread;
    uint32_t v8_tid; // the thread that V8's profile is of
    struct hone_v8_profile v8;
};

struct hone_chrome {
    struct hone_profile *profile;
    struct hone_json json;
    struct hone_chrome_track *tracks;
    uint32_t track_count;
    uint32_t track_room;
    struct hone_table by_ids;
    struct hone_chrome_span *spans;
    uint32_t span_count;
    uint32_t span_room;
    struct hone_stack stack;
    bool has_v8;
    const char *frames; // places of stackFrames and samples
    const char *samples;
    struct hone_v8_profile sampled; // stackFrames as nodes
    uint32_t type;                  // strings: what our own traces measured
    uint32_t unit;
};

static inline int hone_chrome_out_of_memory(struct hone_chrome *r)
{
    return hone_build_out_of_memory(r->json.name, r->json.err);
}

// A string, or the text of a number: ids are either. Anything else is skipped, and *ret stays.
int hone_chrome_read_text(struct hone_chrome *r, uint32_t *ret);

// The track of what stands in the file for a process and a thread. NULL: memory is out.
struct hone_chrome_track *hone_chrome_find_track(struct hone_chrome *r, uint32_t pid, uint32_t tid);

// The labels of a thread, by what stands in the file for it. Returns false: memory is out.
bool hone_chrome_labels_of(struct hone_chrome *r, uint32_t pid, uint32_t tid, uint32_t *ret);

// An array of events, into tracks and spans.
int hone_chrome_read_events(struct hone_chrome *r);

// What was read becomes samples, when the profile has its types: spans; samples with stackFrames.
int hone_chrome_add_spans(struct hone_chrome *r);
int hone_chrome_read_samples(struct hone_chrome *r);

#endif
