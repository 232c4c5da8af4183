#include "convert/perf_order.h"

#include "base/array.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void hone_perfdata_order_done(struct hone_perfdata_order *order)
{
    free(order->waiting);
    free(order->spare);
}

// One CPU's records are in order already: so runs are merged, two at a time, until one is left.
static uint32_t merge_pass(const struct hone_perfdata_waiting *from,
                           struct hone_perfdata_waiting *to, uint32_t count)
{
    uint32_t runs = 0;
    for (uint32_t at = 0; at < count; runs++) {
        uint32_t a = at, middle = at + 1;
        while (middle < count && from[middle].time_ns >= from[middle - 1].time_ns)
            middle++;
        uint32_t b = middle, end = middle < count ? middle + 1 : middle;
        while (end < count && from[end].time_ns >= from[end - 1].time_ns)
            end++;
        for (uint32_t k = at; k < end; k++)
            to[k] = b == end || (a < middle && from[a].time_ns <= from[b].time_ns) ? from[a++]
                                                                                   : from[b++];
        at = end;
    }
    return runs;
}

static void sort(struct hone_perfdata_order *order)
{
    bool sorted = true;
    for (uint32_t i = 1; i < order->count && sorted; i++)
        sorted = order->waiting[i - 1].time_ns <= order->waiting[i].time_ns;
    for (uint32_t runs = sorted ? 1 : 2; runs > 1;) {
        runs = merge_pass(order->waiting, order->spare, order->count);
        struct hone_perfdata_waiting *swap = order->waiting;
        order->waiting = order->spare;
        order->spare = swap;
    }
}

int hone_perfdata_order_pass(struct hone_perfdata_order *order,
                             const struct hone_perfdata_waiting *waiting)
{
    const struct hone_perfdata_record record = {
        .time_ns = waiting->time_ns,
        .at = waiting->at,
        .size = waiting->size,
        .event = waiting->event ? &order->stream->info.events[waiting->event - 1] : NULL,
    };
    return order->handler->record(order->handler->context, &record);
}

int hone_perfdata_order_hand_out(struct hone_perfdata_order *order, uint64_t until_ns,
                                 uint32_t most)
{
    sort(order);
    uint32_t done = 0;
    int r = 0;
    for (; done < order->count && done < most && order->waiting[done].time_ns <= until_ns && !r;
         done++) {
        r = hone_perfdata_order_pass(order, &order->waiting[done]);
        order->handed_ns = order->waiting[done].time_ns;
        if (order->waiting[done].block)
            order->waiting[done].block->waiting--;
    }
    order->count -= done;
    if (order->count)
        memmove(order->waiting, order->waiting + done, order->count * sizeof *order->waiting);
    return r;
}

int hone_perfdata_order_add(struct hone_perfdata_order *order,
                            const struct hone_perfdata_waiting *waiting)
{
    order->stream->losses.late += waiting->time_ns < order->handed_ns;
    if (waiting->time_ns > order->newest_ns)
        order->newest_ns = waiting->time_ns;
    // Both have the same room, for sorting swaps them.
    uint32_t room = order->room;
    if (!hone_array_reserve(&order->spare, &room, (uint64_t)order->count + 1,
                            sizeof *order->spare) ||
        !hone_array_reserve(&order->waiting, &order->room, (uint64_t)order->count + 1,
                            sizeof *order->waiting))
        return -ENOMEM;
    order->waiting[order->count++] = *waiting;
    if (waiting->block)
        waiting->block->waiting++;
    return 0;
}
