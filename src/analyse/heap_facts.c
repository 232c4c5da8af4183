#include "analyse/heap_facts.h"

#include "analyse/session_command.h"
#include "base/cleanup.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static void decrefp(json_t **value)
{
    json_decref(*value);
}

static double number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static double sum_or_first(double sum, double value)
{
    return isnan(value) ? sum : isnan(sum) ? value : sum + value;
}

// --- names ---------------------------------------------------------------------------------------

static int add_name(struct hone_heap_facts *facts, struct hone_heap_names *names, const char *text)
{
    struct hone_str name = hone_str_of(text);
    for (uint32_t i = 0; i < names->count; i++)
        if (hone_str_equal(names->at[i], name))
            return 0;
    if (names->count == HONE_HEAP_FACTS_NAMES) {
        names->more++;
        return 0;
    }
    name.at = hone_arena_copy(&facts->arena, text, name.len + 1);
    if (!name.at)
        return -ENOMEM;
    names->at[names->count++] = name;
    return 0;
}

// "redis-server: it is static", of an object; or a text.
static int add_item(struct hone_heap_facts *facts, struct hone_heap_names *names,
                    const json_t *value)
{
    const char *process = json_string_value(json_object_get(value, "process"));
    const char *reason = json_string_value(json_object_get(value, "reason"));
    if (json_is_string(value))
        return add_name(facts, names, json_string_value(value));
    if (!reason)
        return 0;
    char text[512];
    (void)snprintf(text, sizeof text, "%s%s%s", process ? process : "", process ? ": " : "",
                   reason);
    return add_name(facts, names, text);
}

// One, or an array of them.
static int add_names(struct hone_heap_facts *facts, struct hone_heap_names *names,
                     const json_t *value)
{
    int r = add_item(facts, names, value);
    for (size_t i = 0; !r && i < json_array_size(value); i++)
        r = add_item(facts, names, json_array_get(value, i));
    return r;
}

static int read_process(struct hone_heap_facts *facts, const json_t *process)
{
    static const char *const lost[] = {"samples_lost", "blocks_lost", "frees_lost",
                                       "samples_without_end"};
    for (size_t i = 0; i < sizeof lost / sizeof lost[0]; i++)
        facts->lost = sum_or_first(facts->lost, number(process, lost[i]));
    facts->early_objects =
        sum_or_first(facts->early_objects, number(process, "allocations_before_probe"));
    facts->early_bytes = sum_or_first(facts->early_bytes, number(process, "bytes_before_probe"));
    return add_names(facts, &facts->allocators, json_object_get(process, "allocator"));
}

// --- histograms ----------------------------------------------------------------------------------

// Rows of a limit and a number of blocks: [{"up_to_bytes": 16, "objects": 12}, …]. A limit that is
// null is infinite.
static void read_bins(struct hone_heap_bins *bins, const json_t *rows, const char *key)
{
    size_t count = json_array_size(rows);
    if (!count || count > HONE_HEAP_FACTS_BINS)
        return;
    double before = -INFINITY;
    for (size_t i = 0; i < count; i++) {
        double limit = number(json_array_get(rows, i), key);
        bins->limit[i] = isnan(limit) ? INFINITY : limit;
        bins->objects[i] = number(json_array_get(rows, i), "objects");
        double error = number(json_array_get(rows, i), "objects_error_95");
        bins->error[i] = error > 0 ? error : 0;
        if (!(bins->limit[i] > before) || !(bins->objects[i] >= 0))
            return;
        before = bins->limit[i];
    }
    bins->count = (uint32_t)count;
}

// --- all -----------------------------------------------------------------------------------------

static int read_heap(struct hone_heap_facts *facts, const json_t *heap)
{
    const json_t *temporary = json_object_get(heap, "temporary");
    const json_t *held = json_object_get(heap, "fragmentation");
    facts->peak_bytes = number(heap, "peak_bytes");
    facts->peak_time_ms = number(heap, "peak_time_ms");
    facts->peak_processes = number(heap, "peak_processes");
    facts->peak_together = number(heap, "peak_together");
    facts->temporary_objects = number(temporary, "objects");
    facts->temporary_bytes = number(temporary, "bytes");
    facts->reallocated = number(heap, "reallocated");
    facts->waste_bytes = number(json_object_get(heap, "waste"), "bytes");
    facts->held_bytes = number(held, "resident_bytes");
    facts->held_live_bytes = number(held, "live_bytes");
    facts->held_time_ms = number(held, "time_ms");
    facts->rate_changes = number(heap, "rate_changes");
    read_bins(&facts->sizes, json_object_get(heap, "sizes"), "up_to_bytes");
    read_bins(&facts->lives, json_object_get(heap, "lifetimes"), "below_ns");
    facts->lives_timed = number(heap, "lifetimes_timed");
    const json_t *processes = json_object_get(heap, "processes");
    int r = add_names(facts, &facts->allocators, json_object_get(heap, "allocators"));
    if (!r)
        r = add_names(facts, &facts->not_covered, json_object_get(heap, "not_covered"));
    for (size_t i = 0; !r && i < json_array_size(processes); i++)
        r = read_process(facts, json_array_get(processes, i));
    return r;
}

double hone_heap_facts_fragmentation(const struct hone_heap_facts *facts)
{
    bool known = facts->held_bytes > 0 && facts->held_live_bytes >= 0 &&
                 facts->held_live_bytes <= facts->held_bytes;
    return known ? 1 - facts->held_live_bytes / facts->held_bytes : NAN;
}

int hone_heap_facts_read(struct hone_heap_facts *facts, const char *json, size_t len,
                         struct hone_error *err)
{
    *facts = (struct hone_heap_facts){
        .duration_ns = NAN,
        .peak_bytes = NAN,
        .peak_time_ms = NAN,
        .peak_together = NAN,
        .peak_processes = NAN,
        .temporary_objects = NAN,
        .temporary_bytes = NAN,
        .waste_bytes = NAN,
        .lives_timed = NAN,
        .reallocated = NAN,
        .held_bytes = NAN,
        .held_live_bytes = NAN,
        .held_time_ms = NAN,
        .early_objects = NAN,
        .early_bytes = NAN,
        .lost = NAN,
        .rate_changes = NAN,
    };
    if (!json)
        return 0;
    json_error_t why;
    HONE_CLEANUP(decrefp) json_t *session = json_loadb(json, len, 0, &why);
    if (!session)
        return hone_error_set(err, -EINVAL, "session.json is damaged: line %d: %s", why.line,
                              why.text);
    facts->duration_ns = number(session, "duration_ns");
    facts->command = hone_session_command(&facts->arena, session);
    int r = facts->command.at ? 0 : -ENOMEM;
    if (!r)
        r = read_heap(facts, json_object_get(session, "heap"));
    return r ? hone_error_set(err, r, "cannot read session.json") : 0;
}

void hone_heap_facts_done(struct hone_heap_facts *facts)
{
    hone_arena_done(&facts->arena);
}
