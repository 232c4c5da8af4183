#include "capture/collect_parts.h"

#include "base/cleanup.h"

#include <stdlib.h>

// The stack of a row, and what its blocks stand for. False: it is not known.
static bool describe_leak(const struct hone_collected *collected, const struct hone_live *live,
                          const struct hone_scan_row *row, struct hone_collected_leak *leak)
{
    *leak = (struct hone_collected_leak){.process = live->process,
                                         .reach = row->reach,
                                         .objects = (double)row->objects,
                                         .bytes = (double)row->bytes};
    const struct hone_number *stack =
        hone_numbers_find(collected->state, &live->stacks, row->stack);
    uint32_t at;
    if (row->stack && stack) {
        leak->stack = stack->at;
        return true;
    }
    if (row->stack || !hone_heap_blocks_find(&live->blocks, row->block, &at))
        return false;
    const struct hone_collected_heap *block = &collected->heap.at[at];
    double weight = hone_heap_weight(block->size, block->rate);
    leak->stack = block->stack;
    leak->objects *= weight;
    leak->bytes *= weight;
    return true;
}

static int by_stack(const void *a, const void *b)
{
    const struct hone_collected_leak *one = a, *other = b;
    if (one->stack != other->stack)
        return one->stack < other->stack ? -1 : 1;
    return one->reach < other->reach ? -1 : one->reach > other->reach;
}

// Of sampled blocks there is a row for each: those of a stack become one.
static void merge(struct hone_collected *collected, uint32_t from)
{
    uint32_t kept = from;
    if (collected->leak_count == from)
        return;
    qsort(collected->leaks + from, collected->leak_count - from, sizeof *collected->leaks,
          by_stack);
    for (uint32_t i = from + 1; i < collected->leak_count; i++) {
        struct hone_collected_leak *last = &collected->leaks[kept], *leak = &collected->leaks[i];
        if (by_stack(last, leak)) {
            collected->leaks[++kept] = *leak;
            continue;
        }
        last->objects += leak->objects;
        last->bytes += leak->bytes;
    }
    collected->leak_count = kept + 1;
}

void hone_collect_leaks(struct hone_collected *collected, const struct hone_live *live,
                        struct hone_collected_process *process,
                        const struct hone_process_facts *facts)
{
    struct hone_collect_state *state = collected->state;
    struct hone_scan_result *scan =
        collected->scanner ? hone_scan_take(collected->scanner, facts->pid, facts->started_ns)
                           : NULL;
    process->scan = scan;
    uint32_t first = collected->leak_count;
    for (uint32_t i = 0; scan && i < scan->row_count; i++) {
        const struct hone_scan_row *row = &scan->rows[i];
        struct hone_collected_leak leak;
        if (!describe_leak(collected, live, row, &leak)) {
            collected->unknown_stacks++;
            continue;
        }
        if (!hone_collect_reserve(state, &collected->leaks, &state->leak_room,
                                  (uint64_t)collected->leak_count + 1, sizeof *collected->leaks))
            break;
        collected->leaks[collected->leak_count++] = leak;
    }
    merge(collected, first);
    if (scan) { // they may be many, and so may processes
        free(hone_take(scan->rows));
        scan->row_count = 0;
    }
}
