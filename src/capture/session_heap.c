// The object "heap" of session.json: how it was recorded and, where every block was counted, what a
// profile has no room for: the peak, short lives, sizes, lifetimes, reallocations, waste. Unknown
// is null.
#include "capture/session_json.h"

#include "core/core.h"
#include "profile/profile.h"

#include <stdlib.h>
#include <string.h>

enum { TOP_SITES = 20, SMALLEST_SIZE = 8, LIFE_FACTOR = 8, MOST_UNTOLD_PART = 100 };

// --- histograms ----------------------------------------------------------------------------------

// The last bin has no upper end; empty ones at the end are left out.
static json_t *sizes_json(const uint64_t *sizes)
{
    json_t *bins = json_array();
    int count = HONE_HEAP_SIZES;
    while (count && !sizes[count - 1])
        count--;
    for (int i = 0; i < count; i++)
        (void)json_array_append_new(
            bins,
            json_pack("{s:o, s:o}", "up_to_bytes",
                      i < HONE_HEAP_SIZES - 1 ? hone_session_number((uint64_t)SMALLEST_SIZE << i)
                                              : json_null(),
                      "objects", hone_session_number(sizes[i])));
    return bins;
}

static json_t *lives_json(const struct hone_recording *recording,
                          const struct hone_collected_lives *lives)
{
    if (!(recording->ticks_per_s > 0))
        return json_null();
    json_t *bins = json_array();
    int count = HONE_HEAP_LIVES;
    while (count && !lives->objects[count - 1])
        count--;
    double limit_ns = (double)(1 << HONE_TICK_SHIFT) * 1e9 / recording->ticks_per_s;
    for (int i = 0; i < count; i++) {
        (void)json_array_append_new(
            bins, json_pack("{s:o, s:o, s:o}", "below_ns",
                            i < HONE_HEAP_LIVES - 1 ? hone_session_number((uint64_t)limit_ns)
                                                    : json_null(),
                            "objects", hone_session_number(lives->objects[i]), "objects_error_95",
                            hone_session_number(lives->errors[i])));
        limit_ns *= LIFE_FACTOR;
    }
    return bins;
}

// --- sites ---------------------------------------------------------------------------------------

static json_t *amount_json(uint64_t objects, uint64_t bytes)
{
    return json_pack("{s:o, s:o}", "objects", hone_session_number(objects), "bytes",
                     hone_session_number(bytes));
}

// What the allocator gave beyond what was asked for.
static json_t *waste_json(const struct hone_collected_site *site)
{
    if (site->usable_bytes < site->allocated_bytes)
        return json_null(); // it does not tell, or not of all
    return json_pack("{s:o, s:o, s:o}", "asked_bytes", hone_session_number(site->allocated_bytes),
                     "usable_bytes", hone_session_number(site->usable_bytes), "bytes",
                     hone_session_number(site->usable_bytes - site->allocated_bytes));
}

static void add_counts(json_t *to, const struct hone_recording *recording,
                       const struct hone_collected_site *site)
{
    (void)json_object_set_new(to, "allocated", amount_json(site->allocated, site->allocated_bytes));
    (void)json_object_set_new(to, "live", amount_json(site->live, site->live_bytes));
    (void)json_object_set_new(to, "at_peak", amount_json(site->peak, site->peak_bytes));
    (void)json_object_set_new(to, "temporary", amount_json(site->temporary, site->temporary_bytes));
    (void)json_object_set_new(to, "reallocated", hone_session_number(site->moved));
    (void)json_object_set_new(to, "waste", waste_json(site));
    (void)json_object_set_new(to, "sizes", sizes_json(site->sizes));
    struct hone_collected_lives lives;
    hone_collected_lives(site, &lives);
    (void)json_object_set_new(to, "lifetimes", lives_json(recording, &lives));
    (void)json_object_set_new(to, "lifetimes_timed", hone_session_number(lives.timed));
}

static uint64_t allocated_bytes(const struct hone_collected_site *site)
{
    return site->allocated_bytes;
}

static uint64_t peak_bytes(const struct hone_collected_site *site)
{
    return site->peak_bytes;
}

static uint64_t temporary_objects(const struct hone_collected_site *site)
{
    return site->temporary;
}

// Those that have most of something; of equal ones the first.
struct top {
    uint64_t (*of)(const struct hone_collected_site *site);
    uint32_t count;
    uint64_t most[TOP_SITES];
    uint32_t site[TOP_SITES];
};

static void try_for_top(struct top *top, const struct hone_collected_site *site, uint32_t number)
{
    const uint64_t has = top->of(site);
    if (!has || (top->count == TOP_SITES && has <= top->most[TOP_SITES - 1]))
        return;
    uint32_t at = top->count < TOP_SITES ? top->count++ : TOP_SITES - 1;
    for (; at > 0 && top->most[at - 1] < has; at--) {
        top->most[at] = top->most[at - 1];
        top->site[at] = top->site[at - 1];
    }
    top->most[at] = has;
    top->site[at] = number;
}

static int by_allocated_bytes(const void *a, const void *b)
{
    const struct hone_collected_site *x = *(const struct hone_collected_site *const *)a;
    const struct hone_collected_site *y = *(const struct hone_collected_site *const *)b;
    if (x->allocated_bytes != y->allocated_bytes)
        return x->allocated_bytes > y->allocated_bytes ? -1 : 1;
    if (x->process != y->process)
        return x->process < y->process ? -1 : 1;
    return x->stack < y->stack ? -1 : 1;
}

static int by_site(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

// Those that allocate most, have most at the peak, or allocate for short: each once. Returns how
// many.
static size_t choose(const struct hone_heap_sites *sites,
                     const struct hone_collected_site *ret[3 * TOP_SITES])
{
    struct top tops[] = {{.of = allocated_bytes}, {.of = peak_bytes}, {.of = temporary_objects}};
    for (uint32_t i = 0; i < sites->count; i++)
        for (size_t k = 0; k < HONE_ARRAY_LENGTH(tops); k++)
            try_for_top(&tops[k], &sites->at[i], i);
    uint32_t chosen[3 * TOP_SITES];
    size_t all = 0, count = 0;
    for (size_t k = 0; k < HONE_ARRAY_LENGTH(tops); k++)
        for (uint32_t i = 0; i < tops[k].count; i++)
            chosen[all++] = tops[k].site[i];
    qsort(chosen, all, sizeof *chosen, by_site);
    for (size_t i = 0; i < all; i++)
        if (!i || chosen[i] != chosen[i - 1])
            ret[count++] = &sites->at[chosen[i]];
    return count;
}

static json_t *sites_json(const struct hone_recording *recording,
                          const struct hone_recording_names *names)
{
    const struct hone_collected *collected = recording->collected;
    const struct hone_collected_site *top[3 * TOP_SITES];
    size_t count = choose(&collected->heap_sites, top);
    // NOLINTNEXTLINE(bugprone-sizeof-expression): pointers are what it holds
    qsort(top, count, sizeof *top, by_allocated_bytes);
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        const struct hone_collected_process *process = &collected->processes[top[i]->process];
        json_t *site = json_pack("{s:i, s:o, s:o}", "pid", (int)process->pid, "process",
                                 hone_session_text(process->name), "stack",
                                 hone_session_stack(names->profile, names->stacks, top[i]->stack));
        add_counts(site, recording, top[i]);
        (void)json_array_append_new(list, site);
    }
    return list;
}

// --- all of them ---------------------------------------------------------------------------------

static void total_sites(const struct hone_heap_sites *sites, struct hone_collected_site *ret)
{
    uint64_t untold = 0; // bytes whose allocator does not tell what it gave
    *ret = (struct hone_collected_site){0};
    for (uint32_t i = 0; i < sites->count; i++) {
        const struct hone_collected_site *site = &sites->at[i];
        ret->allocated += site->allocated;
        ret->allocated_bytes += site->allocated_bytes;
        bool told = site->usable_bytes >= site->allocated_bytes;
        ret->usable_bytes += told ? site->usable_bytes : site->allocated_bytes;
        untold += told ? 0 : site->allocated_bytes;
        ret->live += site->live;
        ret->live_bytes += site->live_bytes;
        ret->temporary += site->temporary;
        ret->temporary_bytes += site->temporary_bytes;
        ret->moved += site->moved;
        ret->peak += site->peak;
        ret->peak_bytes += site->peak_bytes;
        for (int bin = 0; bin < HONE_HEAP_SIZES; bin++)
            ret->sizes[bin] += site->sizes[bin];
        for (int bin = 0; bin < HONE_HEAP_LIVES; bin++)
            ret->lives[bin] += site->lives[bin];
        for (int bin = 0; bin < HONE_HEAP_LIVES; bin++)
            ret->lives_drawn[bin] += site->lives_drawn[bin];
        ret->drawn_of += site->drawn_of;
    }
    // tcmalloc does not tell of the few blocks that it makes before it is ready itself.
    if (untold > ret->allocated_bytes / MOST_UNTOLD_PART)
        ret->usable_bytes = 0;
}

static json_t *time_ms_json(const struct hone_recording *recording, uint64_t time_ns)
{
    return time_ns > recording->started_monotonic_ns
               ? json_real((double)(time_ns - recording->started_monotonic_ns) / 1e6)
               : json_null();
}

static void add_peak(json_t *to, const struct hone_recording *recording)
{
    struct hone_heap_peak peak;
    bool known = hone_recording_heap_peak(recording, &peak) == 0;
    (void)json_object_set_new(to, "peak_bytes",
                              known ? hone_session_number((uint64_t)peak.bytes) : json_null());
    (void)json_object_set_new(to, "peak_time_ms",
                              known ? time_ms_json(recording, peak.time_ns) : json_null());
    (void)json_object_set_new(to, "peak_processes",
                              known ? hone_session_number(peak.processes) : json_null());
    (void)json_object_set_new(to, "peak_together",
                              known ? hone_session_number(peak.together) : json_null());
}

// What the allocator held beside what lived; null: nobody looked, or could.
static json_t *held_json(const struct hone_recording *recording,
                         const struct hone_collected_process *process)
{
    if (!process->held_ns)
        return json_null();
    return json_pack("{s:o, s:I, s:o}", "resident_bytes", hone_session_number(process->held_bytes),
                     "live_bytes", (json_int_t)process->held_live_bytes, "time_ms",
                     time_ms_json(recording, process->held_ns));
}

// Of all processes together, each at its own time: the latest is told.
static json_t *fragmentation_json(const struct hone_recording *recording)
{
    const struct hone_collected *collected = recording->collected;
    struct hone_collected_process sum = {0};
    for (uint32_t i = 0; i < collected->process_count; i++) {
        const struct hone_collected_process *process = &collected->processes[i];
        sum.held_bytes += process->held_bytes;
        sum.held_live_bytes += process->held_live_bytes;
        if (process->held_ns > sum.held_ns)
            sum.held_ns = process->held_ns;
    }
    return held_json(recording, &sum);
}

// Where no process could count, be it not covered or without room, no figure is known: 0 is one.
static bool is_counted(const struct hone_collected *collected)
{
    bool counted = true;
    for (uint32_t i = 0; i < collected->process_count; i++) {
        const struct hone_process_facts *facts = &collected->processes[i].facts;
        counted = counted && !facts->heap_reason[0] && !facts->heap_samples;
    }
    return counted || collected->heap_sites.count;
}

static void add_unknown(json_t *to)
{
    static const char *const keys[] = {
        "allocated",     "live",      "at_peak",        "temporary",     "waste",
        "sizes",         "lifetimes", "reallocated",    "peak_bytes",    "peak_time_ms",
        "fragmentation", "sites",     "peak_processes", "peak_together", "lifetimes_timed"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        (void)json_object_set_new(to, keys[i], json_null());
}

static void add_exact(json_t *to, const struct hone_recording *recording,
                      const struct hone_recording_names *names)
{
    if (!is_counted(recording->collected)) {
        add_unknown(to);
        return;
    }
    struct hone_collected_site total;
    total_sites(&recording->collected->heap_sites, &total);
    add_counts(to, recording, &total);
    add_peak(to, recording);
    (void)json_object_set_new(to, "fragmentation", fragmentation_json(recording));
    (void)json_object_set_new(to, "sites", sites_json(recording, names));
}

// --- the processes -------------------------------------------------------------------------------

static json_t *process_json(const struct hone_recording *recording,
                            const struct hone_collected_process *process)
{
    const struct hone_process_facts *facts = &process->facts;
    bool counted = facts->heap_peak_ns != 0;
    uint64_t blocks_lost = facts->heap_no_site + facts->heap_left + facts->heap_in_handler;
    return json_pack(
        "{s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "pid",
        (int)process->pid, "allocator",
        facts->allocator[0] ? hone_session_text(facts->allocator) : json_null(), "not_covered",
        facts->heap_reason[0] ? hone_session_text(facts->heap_reason) : json_null(), //
        "samples", hone_session_number(facts->heap_samples), "freed",
        hone_session_number(facts->heap_frees), "samples_lost",
        hone_session_number(facts->heap_lost), "blocks_lost", hone_session_number(blocks_lost),
        "frees_lost", hone_session_number(facts->heap_frees_lost), "samples_without_end",
        hone_session_number(facts->heap_untracked), "samples_truncated",
        hone_session_number(facts->heap_truncated), "allocations_before_probe",
        hone_session_number(facts->heap_early), "bytes_before_probe",
        hone_session_number(facts->heap_early_bytes), "peak_bytes",
        counted ? hone_session_number(facts->heap_peak_bytes) : json_null(), "peak_time_ms",
        time_ms_json(recording, facts->heap_peak_ns), "fragmentation",
        held_json(recording, process));
}

// Each allocator once, and each reason why a heap is not covered, with the process that has it.
static void add_names(json_t *to, const struct hone_collected *collected)
{
    json_t *allocators = json_array(), *not_covered = json_array();
    for (uint32_t i = 0; i < collected->process_count; i++) {
        const struct hone_collected_process *process = &collected->processes[i];
        bool known = !process->facts.allocator[0];
        for (uint32_t before = 0; before < i && !known; before++)
            known =
                strcmp(collected->processes[before].facts.allocator, process->facts.allocator) == 0;
        if (!known)
            (void)json_array_append_new(allocators, hone_session_text(process->facts.allocator));
        if (process->facts.heap_reason[0])
            (void)json_array_append_new(
                not_covered, json_pack("{s:i, s:o, s:o}", "pid", (int)process->pid, "process",
                                       hone_session_text(process->name), "reason",
                                       hone_session_text(process->facts.heap_reason)));
    }
    (void)json_object_set_new(to, "allocators", allocators);
    (void)json_object_set_new(to, "not_covered", not_covered);
}

// null: they were not looked for.
static json_t *leaks_json(const struct hone_recording *recording)
{
    if (!(recording->options->types >> HONE_CAPTURE_LEAKS & 1))
        return json_null();
    struct hone_leak_totals totals;
    hone_recording_leaks(recording, &totals);
    static const char *const names[HONE_REACHES] = {
        [HONE_REACH_UNREACHABLE] = "unreachable",
        [HONE_REACH_INDIRECT] = "indirect",
        [HONE_REACH_REACHABLE] = "reachable",
        [HONE_REACH_MAPPED] = "mapped",
    };
    json_t *reaches = json_object();
    for (int reach = 0; reach < HONE_REACHES; reach++)
        (void)json_object_set_new(reaches, names[reach],
                                  json_pack("{s:f, s:f}", "objects", totals.objects[reach], "bytes",
                                            totals.bytes[reach]));
    return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o}", "file", "leaks.prof",
                     "processes_looked_through", hone_session_number(totals.processes),
                     "processes_not", hone_session_number(totals.unlooked), "live_blocks",
                     hone_session_number(totals.blocks), "bytes_read",
                     hone_session_number(totals.bytes_read), "time_ns",
                     hone_session_number(totals.time_ns), "found", reaches);
}

json_t *hone_session_heap(const struct hone_recording *recording,
                          const struct hone_recording_names *names)
{
    const struct hone_collected *collected = recording->collected;
    unsigned types = recording->options->types;
    bool heap = types & 1u << HONE_CAPTURE_HEAP, allocs = types & 1u << HONE_CAPTURE_ALLOCS;
    if (recording->heap_outside)
        return json_pack("{s:o, s:s}", "file", heap ? hone_session_text("heap.prof") : json_null(),
                         "not_covered", HONE_HEAP_OUTSIDE);
    if (!heap && !allocs)
        return json_null();
    bool exact = collected->heap_sites.count || recording->options->heap_rate == 1;
    const char *mode = !exact ? "sampled" : recording->rate_changes ? "mixed" : "exact";
    json_t *processes = json_array();
    for (uint32_t i = 0; i < collected->process_count; i++)
        (void)json_array_append_new(processes, process_json(recording, &collected->processes[i]));
    json_t *object =
        json_pack("{s:o, s:o, s:o, s:o, s:s, s:I, s:o, s:o, s:o}", "file",
                  heap ? hone_session_text("heap.prof") : json_null(), "allocs_file",
                  allocs ? hone_session_text("allocs.prof") : json_null(), "time_file",
                  heap ? hone_session_text("heap-time.prof") : json_null(), "peak_file",
                  heap && exact ? hone_session_text("heap-peak.prof") : json_null(), "mode", mode,
                  "rate", (json_int_t)recording->options->heap_rate, "rate_changes",
                  hone_session_number(recording->rate_changes), "rate_changes_to_0",
                  hone_session_number(recording->rate_offs), "processes", processes);
    if (!object)
        return NULL;
    add_names(object, collected);
    (void)json_object_set_new(object, "leaks", leaks_json(recording));
    if (exact)
        add_exact(object, recording, names);
    return object;
}
