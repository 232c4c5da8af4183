#include "view/locks.h"

#include "view/flame_parts.h"

#include <errno.h>
#include <math.h>

struct writer {
    struct hone_buffer *out;
};

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

static void put_text(struct writer *w, const char *before, const char *key, struct hone_str text)
{
    hone_buffer_format(w->out, "%s\"%s\": ", before, key);
    if (text.len)
        hone_flame_json(w->out, text);
    else
        hone_buffer_text(w->out, "null");
}

static void put_amount(struct writer *w, const char *before, const char *key,
                       struct hone_lock_amount amount)
{
    hone_buffer_format(w->out, "%s\"%s\": {", before, key);
    put_field(w, "", "value", amount.value);
    put_field(w, ", ", "error", amount.error);
    hone_buffer_text(w->out, "}");
}

static void put_times(struct writer *w, const char *before, const char *key,
                      const struct hone_lock_spread *spread)
{
    hone_buffer_format(w->out, "%s\"%s\": {", before, key);
    put_text(w, "", "of", spread->of);
    put_field(w, ", ", "observations", spread->observations);
    put_field(w, ", ", "mean_ns", spread->mean_ns);
    put_field(w, ", ", "median_ns", spread->median_ns);
    put_field(w, ", ", "p99_ns", spread->p99_ns);
    put_field(w, ", ", "max_ns", spread->max_ns);
    hone_buffer_text(w->out, "}");
}

static void put_mode(struct writer *w, const char *key, const struct hone_lock_mode_facts *mode)
{
    hone_buffer_format(w->out, ",\n     \"%s\": {", key);
    put_amount(w, "", "acquisitions", mode->acquisitions);
    put_field(w, ", ", "drawn", mode->drawn);
    put_field(w, ", ", "contended_share", mode->share);
    put_field(w, ", ", "contended_low", mode->low);
    put_field(w, ", ", "contended_high", mode->high);
    put_amount(w, ", ", "waits", mode->waits);
    put_amount(w, ", ", "waited_ns", mode->waited_ns);
    put_field(w, ", ", "timed_out", mode->timed_out);
    put_times(w, ", ", "wait", &mode->wait);
    put_times(w, ", ", "hold", &mode->hold);
    hone_buffer_text(w->out, "}");
}

static void put_place(struct writer *w, const char *key, const struct hone_lock_place_facts *place)
{
    hone_buffer_format(w->out, ",\n     \"%s\": ", key);
    if (!place->function.len) {
        hone_buffer_text(w->out, "null");
        return;
    }
    put_text(w, "{", "function", place->function);
    put_field(w, ", ", "delay_ns", place->delay_ns);
    put_field(w, ", ", "share", place->share);
    hone_buffer_text(w->out, ", \"stack\": [");
    for (uint32_t i = 0; i < place->frames; i++) {
        hone_buffer_text(w->out, i ? ", " : "");
        hone_flame_json(w->out, place->stack[i]);
    }
    hone_buffer_text(w->out, "]}");
}

static void put_lock(struct writer *w, const struct hone_lock_facts *lock)
{
    put_text(w, "\n    {", "name", lock->name);
    put_text(w, ", ", "named_by", lock->named_by);
    put_text(w, ", ", "kind", lock->kind);
    put_text(w, ", ", "process", lock->process);
    put_field(w, ", ", "pid", lock->pid);
    put_text(w, ", ", "address", lock->address);
    put_field(w, ", ", "locks", lock->locks);
    put_amount(w, ",\n     ", "delay_ns", lock->delay_ns);
    put_amount(w, ", ", "releases", lock->releases);
    put_field(w, ", ", "release_records", lock->release_records);
    put_amount(w, ",\n     ", "hold_of_waiters_ns", lock->hold_of_waiters_ns);
    put_field(w, ",\n     ", "waiters_mean", lock->waiters_mean);
    put_field(w, ", ", "waiters_most", lock->waiters_most);
    put_field(w, ", ", "queued_share", lock->queued_share);
    put_times(w, ", ", "contended_hold", &lock->contended_hold);
    put_mode(w, "exclusive", &lock->exclusive);
    if (lock->has_shared) {
        put_mode(w, "shared", &lock->shared);
        put_amount(w, ",\n     ", "delay_by_readers_ns", lock->delay_by_readers_ns);
        put_amount(w, ", ", "readers", lock->readers);
    }
    put_place(w, "holder", &lock->holder);
    put_place(w, "waiter", &lock->waiter);
    put_text(w, ",\n     ", "same_cache_line_as", lock->beside);
    hone_buffer_text(w->out, "}");
}

static void put_finding(struct writer *w, const struct hone_locks_view *view,
                        const struct hone_lock_finding *finding)
{
    put_text(w, "\n    {", "lock", view->facts->locks[finding->lock].name);
    put_text(w, ", ", "finding", hone_str_of(hone_lock_finding_name(finding->kind)));
    put_field(w, ", ", "value", finding->value);
    put_field(w, ", ", "low", finding->low);
    put_field(w, ", ", "high", finding->high);
    put_field(w, ", ", "observations", finding->observations);
    put_text(w, ",\n     ", "text", finding->text);
    put_text(w, ",\n     ", "advice", finding->advice);
    hone_buffer_text(w->out, "}");
}

int hone_json_locks(const struct hone_locks_view *view, struct hone_buffer *out,
                    struct hone_error *err)
{
    const struct hone_locks_facts *facts = view->facts;
    struct writer w = {out};
    put_text(&w, "{\n  ", "command", facts->command);
    put_field(&w, ",\n  ", "duration_ns", facts->duration_ns);
    put_field(&w, ", ", "mutex_fraction", facts->mutex_fraction);
    put_field(&w, ", ", "block_rate_ns", facts->block_rate_ns);
    put_field(&w, ",\n  ", "contentions", facts->contentions);
    put_field(&w, ", ", "release_records", facts->release_records);
    put_field(&w, ", ", "wait_records", facts->wait_records);
    put_field(&w, ", ", "releases_drawn_less", facts->releases_drawn_less);
    put_field(&w, ", ", "waits_drawn_less", facts->waits_drawn_less);
    put_field(&w, ", ", "acquisitions_drawn", facts->acquisitions_drawn);
    put_amount(&w, ",\n  ", "delay_ns", facts->delay_ns);
    put_field(&w, ",\n  ", "records_lost", facts->lost);
    put_field(&w, ", ", "waits_without_holder", facts->untracked);
    put_field(&w, ", ", "time_error", facts->time_error);
    hone_buffer_text(out, ",\n  \"not_covered\": [");
    for (uint32_t i = 0; i < facts->not_covered_count; i++) {
        hone_buffer_text(out, i ? ", " : "");
        hone_flame_json(out, facts->not_covered[i]);
    }
    put_field(&w, "],\n  ", "count", facts->count);
    hone_buffer_text(out, ",\n  \"locks\": [");
    for (uint32_t i = 0; i < facts->lock_count && i < view->rows; i++) {
        hone_buffer_text(out, i ? "," : "");
        put_lock(&w, &facts->locks[i]);
    }
    hone_buffer_text(out, "\n  ],\n  \"findings\": [");
    for (uint32_t i = 0, put = 0; i < view->findings->count; i++) {
        if (view->findings->at[i].lock >= view->rows)
            continue;
        hone_buffer_text(out, put++ ? "," : "");
        put_finding(&w, view, &view->findings->at[i]);
    }
    hone_buffer_text(out, "\n  ]\n}\n");
    return out->failed ? hone_error_set(err, -ENOMEM, "cannot show the locks") : 0;
}
