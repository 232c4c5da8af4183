#include "analyse/lock_order.h"
#include "base/utf8.h"
#include "view/deadlocks.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { WIDTH = 80, LINE_BYTES = 1024 };

struct writer {
    const struct hone_lock_order *order;
    struct hone_buffer *out;
    uint32_t frames, width;
    struct hone_arena arena;
    bool failed;
};

// A line with so many spaces in front, cut in its middle where it would be too long.
__attribute__((format(printf, 3, 4))) static void put_line(struct writer *w, unsigned indent,
                                                           const char *format, ...)
{
    char text[LINE_BYTES], shown[LINE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    // Names are the program's own, and may hold anything.
    struct hone_str clean = hone_utf8_clean(&w->arena, hone_str_of(text), SIZE_MAX, &w->failed);
    size_t room = w->width - indent + 1;
    hone_utf8_brief(clean, shown, room < sizeof shown ? room : sizeof shown);
    hone_buffer_format(w->out, "%*s%s\n", (int)indent, "", shown);
}

static void put_stack(struct writer *w, uint32_t number)
{
    const struct hone_order_stack *stack = &w->order->stacks[number];
    uint32_t shown = stack->count < w->frames ? stack->count : w->frames;
    for (uint32_t i = 0; i < shown; i++) {
        const struct hone_order_frame *frame = &stack->at[i];
        const char *slash = strrchr(frame->file, '/');
        const char *file = slash ? slash + 1 : frame->file;
        if (file[0] && frame->line)
            put_line(w, 6, "%s  %s:%u", frame->function, file, frame->line);
        else
            put_line(w, 6, "%s", frame->function);
    }
    if (shown < stack->count)
        put_line(w, 6, "… %u more", stack->count - shown);
}

static void put_edge(struct writer *w, const struct hone_order_edge *edge)
{
    put_line(w, 2, "thread %u (%s)%s takes %s%s while it holds %s", edge->tid, edge->thread,
             edge->several ? " and others" : "", edge->taken,
             edge->taken_reading ? " for reading" : "", edge->held);
    put_line(w, 4, "takes %s in", edge->taken);
    put_stack(w, edge->taken_stack);
    put_line(w, 4, "holds %s%s since", edge->held, edge->held_reading ? " for reading" : "");
    put_stack(w, edge->held_stack);
}

static void put_ring(struct writer *w, const struct hone_order_ring *ring)
{
    const struct hone_order_edge *first = &w->order->edges[ring->edges[0]];
    hone_buffer_text(w->out, "\n");
    put_line(w, 0, "Possible deadlock over %u locks, in process %u (%s)", ring->count, first->pid,
             first->process);
    if (ring->more)
        put_line(w, 0, "and at the same places over %u other%s", ring->more,
                 ring->more == 1 ? "" : "s");
    for (uint32_t i = 0; i < ring->count; i++)
        put_edge(w, &w->order->edges[ring->edges[i]]);
}

int hone_text_lock_order(const struct hone_lock_order *order,
                         const struct hone_deadlocks_options *options, struct hone_buffer *out,
                         struct hone_error *err)
{
    struct writer w = {
        .order = order,
        .out = out,
        .frames = options->frames ? options->frames : UINT32_MAX,
        .width = options->width >= 40 ? options->width : WIDTH,
    };
    if (order->ring_count)
        put_line(&w, 0, "Order of locks: %u possible deadlock%s", order->ring_count,
                 order->ring_count == 1 ? "" : "s");
    else
        put_line(&w, 0, "Order of locks: no contradiction that was seen");
    put_line(&w, 0, "seen: %" PRIu64 " ways to take a lock while another is held", order->seen);
    if (order->lost)
        put_line(&w, 0, "not seen for want of room: %" PRIu64, order->lost);
    for (uint32_t i = 0; i < order->uncovered_count; i++) {
        put_line(&w, 0, "not covered, or not all of it: process %u (%s):", order->uncovered[i].pid,
                 order->uncovered[i].process);
        put_line(&w, 2, "%s", order->uncovered[i].reason);
    }
    if (order->left_out || order->given_up)
        put_line(&w, 0, "there may be more: not all of them were looked through");
    for (uint32_t i = 0; i < order->ring_count; i++)
        put_ring(&w, &order->rings[i]);
    hone_arena_done(&w.arena);
    return out->failed || w.failed ? hone_error_set(err, -ENOMEM, "cannot show the order of locks")
                                   : 0;
}
