// The object "threads" of session.json: what the looks at threads found at last, and who created
// threads over the whole recording. Unknown is null.
#include "capture/session_json.h"

#include "base/cleanup.h"
#include "capture/thread_names.h"
#include "capture/thread_sites.h"

#include <stdlib.h>

enum { TOP_SITES = 50 };

// Most alive first, then most created.
static int by_count(const void *a, const void *b)
{
    const struct hone_thread_site *one = a, *other = b;
    uint32_t alive = one->created - one->ended, others = other->created - other->ended;
    if (alive != others)
        return alive > others ? -1 : 1;
    if (one->created != other->created)
        return one->created > other->created ? -1 : 1;
    return one->first < other->first ? -1 : one->first > other->first;
}

static json_t *creator_json(const struct hone_recording_names *names, uint32_t stack)
{
    struct hone_profile_line line;
    if (!names->threads || !hone_creator_line(names->threads, names->thread_stacks[stack], &line))
        return json_null();
    struct hone_str name =
        hone_profile_str(names->threads, names->threads->functions.name[line.function]);
    return json_stringn(name.at, name.len);
}

static json_t *site_json(const struct hone_recording *recording,
                         const struct hone_recording_names *names,
                         const struct hone_thread_site *site)
{
    bool known = site->creation != 0;
    uint32_t stack = known ? site->creation - 1 : 0;
    return json_pack(
        "{s:o, s:o, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", //
        "created_by", known ? creator_json(names, stack) : json_null(), "stack",
        known ? hone_session_stack(names->threads, names->thread_stacks, stack) : json_null(),
        "pid", (int)recording->collected->processes[site->process].pid, "created",
        hone_session_number(site->created), "ended", hone_session_number(site->ended), "alive",
        hone_session_number(site->created - site->ended), "most_alive",
        hone_session_number(site->most), //
        "shortest_life_ns", site->ended ? hone_session_number(site->shortest_ns) : json_null(),
        "mean_life_ns",
        site->ended ? hone_session_number(site->lived_ns / site->ended) : json_null(),
        "longest_life_ns", site->ended ? hone_session_number(site->longest_ns) : json_null());
}

static json_t *dump_json(const struct hone_recording *recording)
{
    const struct hone_dump *dump = recording->dump;
    if (!dump)
        return json_null();
    json_t *states = json_object();
    for (uint32_t i = 0; i < dump->thread_count; i++) {
        const char *state = hone_dump_state_name(&dump->threads[i]);
        json_int_t before = json_integer_value(json_object_get(states, state));
        (void)json_object_set_new(states, state, json_integer(before + 1));
    }
    uint64_t at_ns = dump->ended_ns > recording->started_monotonic_ns
                         ? dump->ended_ns - recording->started_monotonic_ns
                         : 0;
    return json_pack("{s:o, s:o, s:o, s:o}", "at_ns", hone_session_number(at_ns), "took_ns",
                     hone_session_number(dump->ended_ns - dump->started_ns), "threads",
                     hone_session_number(dump->thread_count), "states", states);
}

static json_t *sites_json(const struct hone_recording *recording,
                          const struct hone_recording_names *names, uint64_t sums[3])
{
    HONE_CLEANUP(hone_thread_lives_done) struct hone_thread_lives lives = {0};
    if (hone_thread_lives_new(recording->collected,
                              recording->started_monotonic_ns + recording->duration_ns, &lives))
        return NULL;
    HONE_CLEANUP(hone_freep)
    struct hone_thread_site *sites = calloc((size_t)lives.count + 1, sizeof *sites);
    if (!sites)
        return NULL;
    uint32_t count = 0;
    for (uint32_t first = 0; first < lives.count; first += sites[count++].created) {
        if (hone_thread_site_sum(&lives, first, &sites[count]))
            return NULL;
        sums[0] += sites[count].created;
        sums[1] += sites[count].ended;
        sums[2] += sites[count].creation ? 0 : sites[count].created;
    }
    qsort(sites, count, sizeof *sites, by_count);
    json_t *array = json_array();
    for (uint32_t i = 0; i < count && i < TOP_SITES; i++)
        (void)json_array_append_new(array, site_json(recording, names, &sites[i]));
    return array;
}

json_t *hone_session_threads(const struct hone_recording *recording,
                             const struct hone_recording_names *names)
{
    if (!(recording->options->types & 1u << HONE_CAPTURE_THREADS))
        return json_null();
    uint64_t sums[3] = {0};
    json_t *sites = recording->outside ? json_null() : sites_json(recording, names, sums);
    bool known = sites && !json_is_null(sites);
    return json_pack(
        "{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "file", "threads.prof", "looks",
        hone_session_number(recording->dumps), "last_look", dump_json(recording), "created",
        known ? hone_session_number(sums[0]) : json_null(), "ended",
        known ? hone_session_number(sums[1]) : json_null(), "alive",
        known ? hone_session_number(sums[0] - sums[1]) : json_null(), "created_by_unknown",
        known ? hone_session_number(sums[2]) : json_null(), "sites", sites ? sites : json_null(),
        "sites_shown_at_most", json_integer(TOP_SITES));
}
