// Nested spans as samples: what lies within none of its own takes the time, so a span is a frame.
#include "convert/chrome_parts.h"

#include "base/cleanup.h"

#include <stdlib.h>

struct open_span {
    uint32_t location;
    int64_t end_ns; // at the latest; INT64_MAX when nobody knows
    bool begun;     // by a B, so an E ends it
};

// By thread and time. Of several that begin at once the longer ones hold the others, and what has a
// B or an E keeps the order of the file.
static int compare_spans(const void *left, const void *right)
{
    const struct hone_chrome_span *a = left;
    const struct hone_chrome_span *b = right;
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

// A thread while its spans are gone through.
struct walk {
    struct hone_chrome *trace;
    struct open_span *open;
    uint32_t open_count;
    uint32_t open_room;
    int64_t last_ns; // up to where time has passed
    uint32_t label_set;
};

static void walk_done(struct walk *walk)
{
    free(walk->open);
}

// Time passes: what is open on top takes it. Returns false: memory is out.
static bool pass(struct walk *walk, int64_t ns)
{
    struct hone_chrome *r = walk->trace;
    if (ns <= 0 || !walk->open_count)
        return true;
    r->stack.count = 0;
    for (uint32_t i = walk->open_count; i-- > 0;)
        if (!hone_stack_push(&r->stack, walk->open[i].location))
            return false;
    uint32_t stack = hone_stack_add(r->profile, &r->stack);
    (void)hone_profile_add_sample_in_set(r->profile, stack, &ns, walk->label_set);
    return true;
}

static bool pass_until(struct walk *walk, int64_t now)
{
    if (!pass(walk, now - walk->last_ns))
        return false;
    walk->last_ns = now > walk->last_ns ? now : walk->last_ns;
    return true;
}

// Lets time pass up to now, with what ends before.
static bool advance(struct walk *walk, int64_t now)
{
    while (walk->open_count && walk->open[walk->open_count - 1].end_ns <= now) {
        if (!pass_until(walk, walk->open[walk->open_count - 1].end_ns))
            return false;
        walk->open_count--;
    }
    return pass_until(walk, now);
}

static bool open_one(struct walk *walk, const struct hone_chrome_span *span)
{
    if (walk->open_count >= HONE_PROFILE_DEPTH_MAX)
        return true;
    if (!hone_array_reserve(&walk->open, &walk->open_room, (uint64_t)walk->open_count + 1,
                            sizeof *walk->open))
        return false;
    bool begun = span->phase == 'B';
    int64_t end = INT64_MAX;
    if (!begun)
        end = span->start_ns + (span->length_ns > 0 ? span->length_ns : 0);
    // Nothing lasts longer than what holds it.
    if (walk->open_count && walk->open[walk->open_count - 1].end_ns < end)
        end = walk->open[walk->open_count - 1].end_ns;
    walk->open[walk->open_count++] = (struct open_span){span->location, end, begun};
    return true;
}

// Ends the last one that a B began and that has the name, if the E has one, with all above it.
static void close_one(struct walk *walk, const struct hone_chrome_span *span)
{
    for (uint32_t i = walk->open_count; i-- > 0;)
        if (walk->open[i].begun && (!span->location || walk->open[i].location == span->location)) {
            walk->open_count = i;
            return;
        }
}

// The end of a thread: what has an end goes on to it, of the others nobody knows.
static bool close_all(struct walk *walk)
{
    while (walk->open_count) {
        int64_t end = walk->open[walk->open_count - 1].end_ns;
        if (end == INT64_MAX)
            walk->open_count--;
        else if (!advance(walk, end))
            return false;
    }
    return true;
}

int hone_chrome_add_spans(struct hone_chrome *r)
{
    if (r->span_count)
        qsort(r->spans, r->span_count, sizeof *r->spans, compare_spans);
    HONE_CLEANUP(walk_done) struct walk walk = {.trace = r};
    bool good = true;
    for (uint32_t i = 0; good && i < r->span_count && !hone_profile_status(r->profile); i++) {
        const struct hone_chrome_span *span = &r->spans[i];
        if (!i || r->spans[i - 1].track != span->track) {
            const struct hone_chrome_track *track = &r->tracks[span->track];
            good = hone_chrome_labels_of(r, track->pid, track->tid, &walk.label_set);
            walk.last_ns = span->start_ns;
            walk.open_count = 0;
        }
        good = good && advance(&walk, span->start_ns);
        if (good && span->phase == 'E')
            close_one(&walk, span);
        else if (good)
            good = open_one(&walk, span);
        if (good && (i + 1 == r->span_count || r->spans[i + 1].track != span->track))
            good = close_all(&walk);
    }
    return good ? 0 : hone_chrome_out_of_memory(r);
}
