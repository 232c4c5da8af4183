#include "analyse/lock_order.h"
#include "base/utf8.h"
#include "view/deadlocks.h"
#include "view/flame_parts.h"

#include <errno.h>
#include <inttypes.h>

struct writer {
    const struct hone_lock_order *order;
    struct hone_buffer *out;
    struct hone_arena arena;
    uint32_t frames;
    bool failed;
};

static void put_text(struct writer *w, const char *text)
{
    hone_flame_json(w->out, hone_utf8_clean(&w->arena, hone_str_of(text), SIZE_MAX, &w->failed));
}

static void put_stack(struct writer *w, const char *key, uint32_t number)
{
    const struct hone_order_stack *stack = &w->order->stacks[number];
    hone_buffer_format(w->out, ", \"%s\": [", key);
    for (uint32_t i = 0; i < stack->count && i < w->frames; i++) {
        hone_buffer_text(w->out, i ? ", {\"function\": " : "{\"function\": ");
        put_text(w, stack->at[i].function);
        hone_buffer_text(w->out, ", \"file\": ");
        put_text(w, stack->at[i].file);
        hone_buffer_format(w->out, ", \"line\": %u}", stack->at[i].line);
    }
    hone_buffer_text(w->out, "]");
}

static void put_edge(struct writer *w, const struct hone_order_edge *edge)
{
    hone_buffer_format(w->out, "{\"tid\": %u, \"thread\": ", edge->tid);
    put_text(w, edge->thread);
    hone_buffer_format(w->out,
                       ", \"several_threads\": %s, \"takes\": ", edge->several ? "true" : "false");
    put_text(w, edge->taken);
    hone_buffer_text(w->out, ", \"holds\": ");
    put_text(w, edge->held);
    hone_buffer_format(w->out, ", \"takes_reading\": %s, \"holds_reading\": %s",
                       edge->taken_reading ? "true" : "false",
                       edge->held_reading ? "true" : "false");
    put_stack(w, "takes_at", edge->taken_stack);
    put_stack(w, "holds_since", edge->held_stack);
    hone_buffer_text(w->out, "}");
}

int hone_json_lock_order(const struct hone_lock_order *order,
                         const struct hone_deadlocks_options *options, struct hone_buffer *out,
                         struct hone_error *err)
{
    struct writer w = {
        .order = order, .out = out, .frames = options->frames ? options->frames : UINT32_MAX};
    hone_buffer_format(out,
                       "{\"recorded\": %s, \"seen\": %" PRIu64 ", \"lost\": %" PRIu64
                       ", \"complete\": %s, \"not_covered\": [",
                       order->recorded ? "true" : "false", order->seen, order->lost,
                       order->left_out || order->given_up || order->uncovered_count ? "false"
                                                                                    : "true");
    for (uint32_t i = 0; i < order->uncovered_count; i++) {
        const struct hone_order_uncovered *process = &order->uncovered[i];
        hone_buffer_format(out, "%s\n  {\"pid\": %u, \"process\": ", i ? "," : "", process->pid);
        put_text(&w, process->process);
        hone_buffer_text(out, ", \"reason\": ");
        put_text(&w, process->reason);
        hone_buffer_text(out, "}");
    }
    hone_buffer_text(out, "], \"possible\": [");
    for (uint32_t i = 0; i < order->ring_count; i++) {
        const struct hone_order_ring *ring = &order->rings[i];
        const struct hone_order_edge *first = &order->edges[ring->edges[0]];
        hone_buffer_format(out, "%s\n  {\"pid\": %u, \"process\": ", i ? "," : "", first->pid);
        put_text(&w, first->process);
        hone_buffer_format(out, ", \"others_at_the_same_places\": %u, \"orders\": [", ring->more);
        for (uint32_t k = 0; k < ring->count; k++) {
            hone_buffer_text(out, k ? ",\n    " : "\n    ");
            put_edge(&w, &order->edges[ring->edges[k]]);
        }
        hone_buffer_text(out, "]}");
    }
    hone_buffer_text(out, "]}\n");
    hone_arena_done(&w.arena);
    return out->failed || w.failed ? hone_error_set(err, -ENOMEM, "cannot show the order of locks")
                                   : 0;
}
