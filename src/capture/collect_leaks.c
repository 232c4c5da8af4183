#include "capture/collect_parts.h"

#include "base/cleanup.h"

#include <stdlib.h>

// The stack of a row, and what each of its blocks stands for. False: it is not known.
static bool describe_leak(const struct hone_collected *collected, const struct hone_live *live,
                          const struct hone_scan_row *row, struct hone_collected_leak *leak)
{
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
    leak->stack = block->stack;
    leak->size = block->size;
    leak->rate = block->rate;
    return true;
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
    for (uint32_t i = 0; scan && i < scan->row_count; i++) {
        const struct hone_scan_row *row = &scan->rows[i];
        struct hone_collected_leak leak = {.process = live->process,
                                           .reach = row->reach,
                                           .objects = row->objects,
                                           .bytes = row->bytes};
        if (!describe_leak(collected, live, row, &leak)) {
            collected->unknown_stacks++;
            continue;
        }
        if (!hone_collect_reserve(state, &collected->leaks, &state->leak_room,
                                  (uint64_t)collected->leak_count + 1, sizeof *collected->leaks))
            return;
        collected->leaks[collected->leak_count++] = leak;
    }
    if (scan) { // they may be many, and so may processes
        free(hone_take(scan->rows));
        scan->row_count = 0;
    }
}
