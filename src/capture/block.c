#include "capture/block.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// What is known of all modules, processes and stacks at once, so that each row is looked at once.
struct told {
    const struct hone_collected *collected;
    uint8_t *processes; // 1: its lock functions tell of waits
    uint8_t *stacks;    // 0: not looked at yet; 1: passes through libhone.so; 2: does not
};

static void told_done(struct told *told)
{
    free(told->processes);
    free(told->stacks);
}

static bool is_ours(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *file = slash ? slash + 1 : path;
    size_t len = strlen("libhone.so");
    return strncmp(file, "libhone.so", len) == 0 && (!file[len] || file[len] == ' '); // (deleted)
}

// Our hooks of locks wait in the C library's functions. What waits in us is the hook of syscall(),
// through which others' locks go, Rust's among them, and that tells nothing of waits.
static bool passes_through_ours(const struct hone_collected *collected, uint32_t number)
{
    const struct hone_collected_stack *stack = &collected->stacks[number];
    bool in_library = false;
    for (uint32_t i = 0; i < stack->count; i++) {
        const struct hone_collected_place *place =
            &collected->places[collected->frames[stack->first + i]];
        const char *path =
            place->module != HONE_NO_MODULE ? collected->modules[place->module].path : "";
        if (strcmp(path, HONE_KERNEL_PATH) == 0)
            continue;
        if (is_ours(path))
            return in_library;
        in_library = true;
    }
    return false;
}

static int prepare(struct told *told)
{
    const struct hone_collected *collected = told->collected;
    told->processes = calloc((size_t)collected->process_count + 1, 1);
    told->stacks = calloc((size_t)collected->stack_count + 1, 1);
    if (!told->processes || !told->stacks)
        return -ENOMEM;
    for (uint32_t i = 0; i < collected->process_count; i++)
        told->processes[i] = collected->processes[i].facts.lock_waits != 0;
    for (uint32_t i = 0; i < collected->waits.count; i++)
        told->processes[collected->threads[collected->waits.at[i].thread].process] = 1;
    return 0;
}

// In a process whose lock functions tell of waits, a wait for a futex that passes through one of
// them: what was seen of it from outside is known better.
static bool is_told(const struct told *told, const struct hone_collected_wall *wall)
{
    const struct hone_collected *collected = told->collected;
    if (wall->kind != HONE_KIND_FUTEX || !told->processes[collected->threads[wall->thread].process])
        return false;
    uint8_t *known = &told->stacks[wall->stack];
    if (!*known)
        *known = passes_through_ours(collected, wall->stack) ? 1 : 2;
    return *known == 1;
}

static void add(struct hone_block *block, const struct hone_block_row *row)
{
    block->totals.waits += row->waits;
    block->totals.delay_ns += row->delay_ns;
    if (row->kind == HONE_KIND_UNKNOWN)
        block->totals.unknown_ns += row->delay_ns;
    block->rows[block->count++] = *row;
}

int hone_block_init(struct hone_block *block, const struct hone_collected *collected)
{
    HONE_CLEANUP(told_done) struct told told = {.collected = collected};
    *block = (struct hone_block){0};
    int r = prepare(&told);
    block->rows =
        calloc((size_t)collected->wall_count + collected->waits.count + 1, sizeof *block->rows);
    if (r || !block->rows)
        return -ENOMEM;
    for (uint32_t i = 0; i < collected->waits.count; i++) {
        const struct hone_collected_wait *wait = &collected->waits.at[i];
        add(block, &(struct hone_block_row){
                       .thread = wait->thread,
                       .stack = wait->stack,
                       .kind = hone_wait_kind_of_lock(wait->kind),
                       .lock = wait->lock,
                       .holder = wait->holder,
                       .holder_stack = wait->holder_stack,
                       .waits = wait->waits,
                       .delay_ns = wait->delay_ns,
                   });
    }
    block->totals.told_waits = block->totals.waits;
    block->totals.told_delay_ns = block->totals.delay_ns;
    for (uint32_t i = 0; i < collected->wall_count; i++) {
        const struct hone_collected_wall *wall = &collected->wall[i];
        if (wall->kind == HONE_KIND_NONE || wall->kind == HONE_KIND_RUNNABLE)
            continue;
        if (is_told(&told, wall)) {
            block->totals.replaced_ns += (double)wall->ns;
            continue;
        }
        add(block, &(struct hone_block_row){
                       .thread = wall->thread,
                       .stack = wall->stack,
                       .kind = wall->kind,
                       .waits = wall->blocks,
                       .delay_ns = (double)wall->ns,
                   });
    }
    return 0;
}

void hone_block_done(struct hone_block *block)
{
    free(block->rows);
    *block = (struct hone_block){0};
}
