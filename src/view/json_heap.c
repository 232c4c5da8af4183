#include "view/heap.h"

#include "analyse/heap_facts.h"
#include "analyse/heap_summary.h"
#include "analyse/pressure.h"
#include "base/arena.h"
#include "base/utf8.h"
#include "view/flame_parts.h"

#include <errno.h>
#include <math.h>

struct writer {
    struct hone_buffer *out;
    struct hone_arena arena;
    bool failed;
    bool unknown; // nothing was covered
};

static void put_text(struct writer *w, struct hone_str text)
{
    hone_flame_json(w->out, hone_utf8_clean(&w->arena, text, SIZE_MAX, &w->failed));
}

// What is not known is null.
static void put_number(struct writer *w, double number)
{
    if (isfinite(number))
        hone_buffer_format(w->out, "%.15g", number);
    else
        hone_buffer_text(w->out, "null");
}

static void put_field(struct writer *w, const char *before, const char *key, double number)
{
    hone_buffer_format(w->out, "%s\"%s\": ", before, key);
    put_number(w, number);
}

static void put_amounts(struct writer *w, const struct hone_heap_amounts *amounts)
{
    if (w->unknown) {
        hone_buffer_text(w->out, "null");
        return;
    }
    put_field(w, "{", "bytes", amounts->bytes.value);
    put_field(w, ", ", "bytes_error", amounts->bytes.error);
    put_field(w, ", ", "objects", amounts->objects.value);
    put_field(w, ", ", "objects_error", amounts->objects.error);
    hone_buffer_format(w->out, ", \"seen\": %s}", amounts->seen ? "true" : "false");
}

static void put_places(struct writer *w, const char *key, const struct hone_heap_place *places,
                       uint32_t count)
{
    hone_buffer_format(w->out, ",\n  \"%s\": [", key);
    for (uint32_t i = 0; i < count; i++) {
        hone_buffer_text(w->out, i ? ",\n    {\"function\": " : "\n    {\"function\": ");
        put_text(w, places[i].name);
        hone_buffer_text(w->out, ", \"caller\": ");
        if (places[i].caller.len)
            put_text(w, places[i].caller);
        else
            hone_buffer_text(w->out, "null");
        put_field(w, ", ", "caller_share", places[i].caller.len ? places[i].caller_share : NAN);
        hone_buffer_text(w->out, ", \"amounts\": ");
        put_amounts(w, &places[i].amounts);
        hone_buffer_text(w->out, "}");
    }
    hone_buffer_text(w->out, count ? "\n  ]" : "]");
}

static void put_classes(struct writer *w, const struct hone_heap_summary *summary)
{
    hone_buffer_text(w->out, ",\n  \"sizes\": ");
    if (!summary->classes_known) {
        hone_buffer_text(w->out, "null");
        return;
    }
    for (unsigned i = 0; i < HONE_HEAP_CLASSES; i++) {
        uint64_t limit = hone_heap_class_limit(i);
        put_field(w, i ? ",\n    {" : "[\n    {", "up_to", limit ? (double)limit : INFINITY);
        hone_buffer_text(w->out, ", \"allocated\": ");
        put_amounts(w, &summary->classes[i]);
        hone_buffer_text(w->out, ", \"live\": ");
        put_amounts(w, &summary->live_classes[i]);
        hone_buffer_text(w->out, "}");
    }
    hone_buffer_text(w->out, "\n  ]");
}

static void put_bins(struct writer *w, const char *key, const struct hone_heap_bins *bins)
{
    hone_buffer_format(w->out, ",\n  \"%s\": ", key);
    if (!bins->count) {
        hone_buffer_text(w->out, "null");
        return;
    }
    for (uint32_t i = 0; i < bins->count; i++) {
        put_field(w, i ? ", {" : "[{", "up_to", bins->limit[i]);
        put_field(w, ", ", "objects", bins->objects[i]);
        put_field(w, ", ", "objects_error_95", bins->error[i]);
        hone_buffer_text(w->out, "}");
    }
    hone_buffer_text(w->out, "]");
}

static void put_names(struct writer *w, const char *key, const struct hone_heap_names *names)
{
    hone_buffer_format(w->out, ",\n  \"%s\": [", key);
    for (uint32_t i = 0; i < names->count; i++) {
        hone_buffer_text(w->out, i ? ", " : "");
        put_text(w, names->at[i]);
    }
    hone_buffer_text(w->out, "]");
}

static void put_pressure(struct writer *w, const struct hone_pressure *pressure)
{
    hone_buffer_text(w->out, ",\n  \"cpu_for_memory\": ");
    if (!pressure || pressure->samples < 1) {
        hone_buffer_text(w->out, "null");
        return;
    }
    put_field(w, "{", "share", pressure->share);
    put_field(w, ", ", "low", pressure->low);
    put_field(w, ", ", "high", pressure->high);
    put_field(w, ", ", "samples", pressure->samples);
    put_field(w, ", ", "allocator", pressure->values[HONE_PRESSURE_ALLOCATOR] / pressure->total);
    put_field(w, ", ", "system_calls", pressure->values[HONE_PRESSURE_KERNEL] / pressure->total);
    put_field(w, ", ", "page_faults",
              pressure->faults_known ? pressure->values[HONE_PRESSURE_FAULTS] / pressure->total
                                     : NAN);
    hone_buffer_text(w->out, "}");
}

static void put_summary(struct writer *w, const struct hone_heap_view *view)
{
    const struct hone_heap_summary *summary = view->summary;
    put_field(w, ",\n  ", "period_bytes", summary->period > 0 ? summary->period : NAN);
    hone_buffer_text(w->out, ",\n  \"allocated\": ");
    put_amounts(w, &summary->allocated);
    hone_buffer_text(w->out, ",\n  \"live\": ");
    put_amounts(w, &summary->live);
    put_field(w, ",\n  ", "live_unseen_below",
              summary->live.seen || w->unknown ? NAN : hone_heap_summary_unseen(summary));
    put_places(w, "live_functions", summary->live_places, summary->live_count);
    put_places(w, "allocated_functions", summary->allocated_places, summary->allocated_count);
    if (view->peak)
        put_places(w, "peak_functions", view->peak->live_places, view->peak->live_count);
    if (w->unknown)
        hone_buffer_text(w->out, ",\n  \"sizes\": null");
    else
        put_classes(w, summary);
}

int hone_json_heap(const struct hone_heap_view *view, struct hone_buffer *out,
                   struct hone_error *err)
{
    const struct hone_heap_summary *summary = view->summary;
    struct writer w = {.out = out, .unknown = summary && hone_heap_view_is_unknown(view)};
    const struct hone_heap_facts *facts = view->facts;
    bool exact = summary && !w.unknown && summary->period > 0 && !summary->sampled &&
                 !hone_heap_view_is_changed(view);
    hone_buffer_format(out, "{\n  \"recorded\": %s,\n  \"exact\": %s",
                       summary && !w.unknown ? "true" : "false", exact ? "true" : "false");
    if (view->summary)
        put_summary(&w, view);
    put_field(&w, ",\n  ", "peak_bytes", facts->peak_bytes);
    put_field(&w, ", ", "peak_time_ms", facts->peak_time_ms);
    put_field(&w, ", ", "peak_together", facts->peak_together);
    put_field(&w, ", ", "peak_processes", facts->peak_processes);
    put_field(&w, ",\n  ", "temporary_objects", facts->temporary_objects);
    put_field(&w, ", ", "temporary_bytes", facts->temporary_bytes);
    put_field(&w, ",\n  ", "waste_bytes", facts->waste_bytes);
    put_field(&w, ", ", "reallocated", facts->reallocated);
    put_field(&w, ",\n  ", "held_bytes", facts->held_bytes);
    put_field(&w, ", ", "held_live_bytes", facts->held_live_bytes);
    put_field(&w, ", ", "fragmentation", hone_heap_facts_fragmentation(facts));
    put_bins(&w, "sizes_counted", &facts->sizes);
    put_bins(&w, "lifetimes_ns", &facts->lives);
    put_field(&w, ",\n  ", "lifetimes_timed", facts->lives_timed);
    put_pressure(&w, view->pressure);
    put_names(&w, "allocators", &facts->allocators);
    put_names(&w, "not_covered", &facts->not_covered);
    put_field(&w, ",\n  ", "objects_before_recording", facts->early_objects);
    put_field(&w, ", ", "records_lost", facts->lost);
    put_field(&w, ", ", "rate_changes", facts->rate_changes);
    hone_buffer_text(out, "\n}\n");
    hone_arena_done(&w.arena);
    return out->failed || w.failed ? hone_error_set(err, -ENOMEM, "cannot show the heap") : 0;
}
