#include "analyse/wait_graph.h"
#include "base/cleanup.h"
#include "base/utf8.h"
#include "capture/lock_kind_names.h"
#include "view/deadlocks.h"
#include "view/flame_parts.h"

#include <errno.h>
#include <inttypes.h>

struct writer {
    const struct hone_standstill *stand;
    struct hone_buffer *out;
    struct hone_arena arena;
    uint32_t frames;
    bool failed;
};

static void put_text(struct writer *w, const char *text)
{
    hone_flame_json(w->out, hone_utf8_clean(&w->arena, hone_str_of(text), SIZE_MAX, &w->failed));
}

// What is not known is null.
static void put_known(struct writer *w, const char *key, const char *text)
{
    hone_buffer_format(w->out, ", \"%s\": ", key);
    if (text[0])
        put_text(w, text);
    else
        hone_buffer_text(w->out, "null");
}

static void put_lock(struct writer *w, const struct hone_standstill_lock *lock)
{
    hone_buffer_format(w->out, "{\"kind\": \"%s\", \"address\": \"%#" PRIx64 "\"",
                       lock->internal ? "internal" : hone_lock_kind_key(lock->state.kind),
                       lock->state.address);
    put_known(w, "name", lock->name);
    put_known(w, "where", lock->where);
    if (lock->state.kind == HONE_LOCK_CONDITION)
        put_known(w, "mutex", lock->mutex);
    if (lock->state.holder == HONE_HOLDER_READERS)
        hone_buffer_format(w->out, ", \"readers\": %u", lock->state.readers);
    hone_buffer_text(w->out, "}");
}

static void put_stack(struct writer *w, const struct hone_standstill_stack *stack)
{
    hone_buffer_text(w->out, "[");
    for (uint32_t i = 0; i < stack->count && i < w->frames; i++) {
        const struct hone_standstill_frame *frame = &stack->at[i];
        hone_buffer_text(w->out, i ? ", {\"function\": " : "{\"function\": ");
        put_text(w, frame->function);
        hone_buffer_text(w->out, ", \"file\": ");
        put_text(w, frame->file);
        hone_buffer_format(w->out, ", \"line\": %u, \"module\": ", frame->line);
        put_text(w, frame->module);
        hone_buffer_format(w->out, ", \"address\": \"%#" PRIx64 "\"}", frame->address);
    }
    hone_buffer_text(w->out, "]");
}

static void put_thread(struct writer *w, uint32_t index)
{
    const struct hone_standstill_thread *thread = &w->stand->threads[index];
    uint32_t holder = hone_wait_graph_holder(w->stand, index);
    hone_buffer_format(w->out, "{\"tid\": %u, \"name\": ", thread->tid);
    put_text(w, thread->name);
    hone_buffer_text(w->out, ", \"waits_for\": ");
    put_lock(w, &thread->lock);
    if (holder != UINT32_MAX)
        hone_buffer_format(w->out, ", \"holder\": %u", w->stand->threads[holder].tid);
    else
        hone_buffer_text(w->out, ", \"holder\": null");
    // What the lock itself says, be that a thread of this process or not.
    if (thread->lock.state.holder == HONE_HOLDER_THREAD)
        hone_buffer_format(w->out, ", \"owner\": %u", thread->lock.state.owner);
    if (thread->lock.held_ns)
        hone_buffer_format(w->out, ", \"held_seconds\": %.3f", (double)thread->lock.held_ns / 1e9);
    hone_buffer_text(w->out, ", \"taken_at\": ");
    put_stack(w, &thread->lock.taken);
    hone_buffer_format(w->out, ", \"seconds\": %.3f, \"stack\": ", (double)thread->waited_ns / 1e9);
    put_stack(w, &thread->stack);
    hone_buffer_format(w->out, ", \"complete\": %s, \"at\": %u}", thread->cut ? "false" : "true",
                       thread->first);
}

static void put_threads(struct writer *w, const char *key, const uint32_t *threads, uint32_t count)
{
    hone_buffer_format(w->out, ",\n      \"%s\": [", key);
    for (uint32_t i = 0; i < count; i++) {
        hone_buffer_text(w->out, i ? ",\n        " : "\n        ");
        put_thread(w, threads[i]);
    }
    hone_buffer_text(w->out, count ? "\n      ]" : "]");
}

int hone_json_stuck(const struct hone_standstill *stand, const struct hone_wait_graph *graph,
                    const struct hone_deadlocks_options *options, struct hone_buffer *out,
                    struct hone_error *err)
{
    struct writer w = {
        .stand = stand, .out = out, .frames = options->frames ? options->frames : UINT32_MAX};
    uint32_t all = 0;
    for (uint32_t i = 0; i < stand->count; i++)
        all += !stand->threads[i].ended;
    hone_buffer_format(out, "{\n  \"process\": {\"pid\": %d, \"name\": ", (int)stand->pid);
    put_text(&w, stand->name);
    hone_buffer_format(out,
                       "},\n  \"threads\": %u,\n  \"stuck\": %u,\n  \"unreadable\": %u,\n"
                       "  \"only_signals\": %s,\n  \"findings\": [",
                       all, graph->stuck, stand->unreadable,
                       graph->only_signals ? "true" : "false");
    for (uint32_t i = 0; i < graph->count; i++) {
        const struct hone_stuck_finding *finding = &graph->findings[i];
        hone_buffer_format(out, "%s\n    {\"kind\": \"%s\", \"seconds\": %.3f", i ? "," : "",
                           hone_stuck_name(finding->kind), (double)finding->waited_ns / 1e9);
        put_threads(&w, "threads", finding->members, finding->member_count);
        put_threads(&w, "behind", finding->behind, finding->behind_count);
        hone_buffer_text(out, "}");
    }
    hone_buffer_text(out, graph->count ? "\n  ]\n}\n" : "]\n}\n");
    hone_arena_done(&w.arena);
    return out->failed || w.failed ? hone_error_set(err, -ENOMEM, "cannot show who is stuck") : 0;
}
