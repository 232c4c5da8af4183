#include "capture/block.h"

#include "base/array.h"
#include "base/cleanup.h"
#include "base/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// So many frames of the program, at most, tell a place: a stack that was copied may end early, and
// the program's own tells all of it.
enum { MATCHED_FRAMES = 8 };

// A place where a thread waits for locks: the innermost frames of the program, beyond our
// functions.
struct place {
    uint32_t thread;
    uint32_t count;
    uint64_t frames[MATCHED_FRAMES]; // a hash of each
    double told_ns;                  // by the program
    double seen_ns;                  // from outside
};

// Of one thread, what becomes of times so that they add up to what the scheduler counted.
struct share {
    bool watched;               // the scheduler's account of it is there
    double seen_ns, unknown_ns; // from outside: in our functions, and in what nobody saw
    double untold_ns;           // told by the program of places where nobody saw it wait
    double of_seen, of_untold, of_unknown;
};

struct told {
    const struct hone_collected *collected;
    struct place *places;
    uint32_t place_count, place_room;
    struct hone_table table;
    uint32_t *of_rows; // by row that was told: its place, plus one; 0: it has none
    uint32_t *begins;  // by stack: the first frame beyond our functions, plus two; 1: it has none
                       // of ours; 0: not looked at yet
    struct share *shares;
    uint32_t *files; // by module: the first of the same build id. From inside and from outside one
                     // file may have two paths.
};

static void told_done(struct told *told)
{
    free(told->places);
    hone_table_done(&told->table);
    free(told->of_rows);
    free(told->begins);
    free(told->shares);
    free(told->files);
}

static void find_files(struct told *told)
{
    const struct hone_collected_module *modules = told->collected->modules;
    for (uint32_t i = 0; i < told->collected->module_count; i++) {
        uint32_t same = 0;
        while (same < i && (!modules[i].build_id_bytes ||
                            modules[same].build_id_bytes != modules[i].build_id_bytes ||
                            memcmp(modules[same].build_id, modules[i].build_id,
                                   modules[i].build_id_bytes) != 0))
            same++;
        told->files[i] = same;
    }
}

static const char *path_of(const struct hone_collected *collected, uint32_t frame)
{
    uint32_t module = collected->places[collected->frames[frame]].module;
    return module == HONE_NO_MODULE ? "" : collected->modules[module].path;
}

static bool is_ours(const struct hone_collected *collected, uint32_t frame)
{
    return collected->modules[collected->places[collected->frames[frame]].module].ours;
}

// Where the program called our function. False: the stack has none. Our hooks of locks wait in the
// C library's functions; what waits in us is the hook of syscall(), through which others' locks go,
// Rust's among them, and that tells nothing of waits.
static bool find_program(struct told *told, uint32_t number, uint32_t *ret)
{
    const struct hone_collected *collected = told->collected;
    const struct hone_collected_stack *stack = &collected->stacks[number];
    uint32_t *known = &told->begins[number];
    if (!*known) {
        uint32_t i = stack->first, end = stack->first + stack->count;
        while (i < end && strcmp(path_of(collected, i), HONE_KERNEL_PATH) == 0)
            i++;
        uint32_t innermost = i;
        while (i < end && !is_ours(collected, i))
            i++;
        bool none = i == end || i == innermost;
        while (i < end && is_ours(collected, i))
            i++;
        *known = none ? 1 : i - stack->first + 2;
    }
    *ret = *known > 1 ? *known - 2 : 0;
    return *known > 1;
}

static uint64_t hash_of_frame(const struct told *told, uint32_t frame)
{
    const struct hone_collected_place *place = &told->collected->places[frame];
    return hone_hash_fold(place->address ^ 0x9e3779b97f4a7c15u,
                          0xa0761d6478bd642fu + told->files[place->module] +
                              ((uint64_t)place->process << 32));
}

static bool find_place(struct told *told, uint32_t thread, uint32_t stack, uint32_t *ret,
                       struct place *ret_place, uint64_t *ret_hash)
{
    uint32_t begin;
    (void)find_program(told, stack, &begin);
    const struct hone_collected_stack *at = &told->collected->stacks[stack];
    struct place place = {.thread = thread};
    for (uint32_t i = begin; i < at->count && place.count < MATCHED_FRAMES; i++)
        place.frames[place.count++] = hash_of_frame(told, told->collected->frames[at->first + i]);
    uint64_t hash = hone_table_hash(place.frames, place.count * sizeof *place.frames, thread);
    struct hone_table_probe probe = hone_table_probe(&told->table, hash);
    while (told->places && (*ret = hone_table_next(&told->table, &probe)) != HONE_TABLE_END) {
        const struct place *known = &told->places[*ret];
        if (known->thread == thread && known->count == place.count &&
            memcmp(known->frames, place.frames, place.count * sizeof *place.frames) == 0)
            return true;
    }
    *ret_place = place;
    *ret_hash = hash;
    return false;
}

// Who waits for a spin lock computes: the scheduler knows nothing of it.
static bool is_off_cpu(const struct hone_collected_wait *wait)
{
    return wait->kind != HONE_LOCK_SPIN;
}

static int add_told(struct told *told)
{
    const struct hone_collected *collected = told->collected;
    for (uint32_t i = 0; i < collected->waits.count; i++) {
        const struct hone_collected_wait *wait = &collected->waits.at[i];
        uint32_t at;
        struct place place;
        uint64_t hash;
        if (!is_off_cpu(wait))
            continue;
        if (!find_place(told, wait->thread, wait->stack, &at, &place, &hash)) {
            at = told->place_count;
            if (!hone_array_reserve(&told->places, &told->place_room, (uint64_t)at + 1,
                                    sizeof *told->places) ||
                hone_table_add(&told->table, hash, at))
                return -ENOMEM;
            told->places[told->place_count++] = place;
        }
        told->places[at].told_ns += wait->delay_ns;
        told->of_rows[i] = at + 1;
    }
    return 0;
}

// A wait for a futex that passes through one of our functions.
static bool is_of_ours(struct told *told, const struct hone_collected_wall *wall)
{
    uint32_t begin;
    return wall->kind == HONE_KIND_FUTEX && find_program(told, wall->stack, &begin);
}

// The place where the program told of it, too; NULL: it did not.
static struct place *told_place(struct told *told, const struct hone_collected_wall *wall)
{
    uint32_t at;
    struct place place;
    uint64_t hash;
    return is_of_ours(told, wall) && find_place(told, wall->thread, wall->stack, &at, &place, &hash)
               ? &told->places[at]
               : NULL;
}

static void add_seen(struct told *told)
{
    const struct hone_collected *collected = told->collected;
    for (uint32_t i = 0; i < collected->wall_count; i++) {
        const struct hone_collected_wall *wall = &collected->wall[i];
        struct share *share = &told->shares[wall->thread];
        struct place *place = told_place(told, wall);
        share->watched = true;
        if (place)
            place->seen_ns += (double)wall->ns;
        if (is_of_ours(told, wall))
            share->seen_ns += (double)wall->ns;
        else if (wall->kind == HONE_KIND_UNKNOWN)
            share->unknown_ns += (double)wall->ns;
    }
    for (uint32_t i = 0; i < told->place_count; i++)
        if (told->places[i].seen_ns <= 0)
            told->shares[told->places[i].thread].untold_ns += told->places[i].told_ns;
}

// What was told of places where nobody saw the thread wait is part of what nobody saw; else of what
// was seen elsewhere in our functions, for those that are seen stand for those that are not. If
// there is neither, these waits were over before the thread had left its CPU.
static void set_shares(struct told *told)
{
    for (uint32_t i = 0; i < told->collected->thread_count; i++) {
        struct share *share = &told->shares[i];
        double unseen = share->unknown_ns < share->untold_ns ? share->unknown_ns : share->untold_ns;
        double rest = share->untold_ns - unseen;
        share->of_seen = rest > 0 ? share->seen_ns / (share->seen_ns + rest) : 1;
        share->of_unknown = unseen > 0 ? 1 - unseen / share->unknown_ns : 1;
        share->of_untold = !share->watched || share->untold_ns <= 0
                               ? 1
                               : (unseen + rest * share->of_seen) / share->untold_ns;
    }
}

static int prepare(struct told *told)
{
    const struct hone_collected *collected = told->collected;
    told->of_rows = calloc((size_t)collected->waits.count + 1, sizeof *told->of_rows);
    told->begins = calloc((size_t)collected->stack_count + 1, sizeof *told->begins);
    told->shares = calloc((size_t)collected->thread_count + 1, sizeof *told->shares);
    told->files = calloc((size_t)collected->module_count + 1, sizeof *told->files);
    if (!told->of_rows || !told->begins || !told->shares || !told->files)
        return -ENOMEM;
    find_files(told);
    int r = add_told(told);
    if (r)
        return r;
    add_seen(told);
    set_shares(told);
    return 0;
}

static void add(struct hone_block *block, const struct hone_block_row *row)
{
    block->totals.waits += row->waits;
    block->totals.delay_ns += row->delay_ns;
    if (row->kind == HONE_KIND_UNKNOWN)
        block->totals.unknown_ns += row->delay_ns;
    block->rows[block->count++] = *row;
}

// As long as the scheduler saw the thread wait there, divided as the program tells.
static double delay_of(const struct told *told, uint32_t row)
{
    const struct hone_collected_wait *wait = &told->collected->waits.at[row];
    if (!told->of_rows[row])
        return wait->delay_ns;
    const struct place *place = &told->places[told->of_rows[row] - 1];
    const struct share *share = &told->shares[wait->thread];
    return place->seen_ns > 0 && place->told_ns > 0
               ? wait->delay_ns * share->of_seen * place->seen_ns / place->told_ns
               : wait->delay_ns * share->of_untold;
}

static void add_told_rows(struct hone_block *block, const struct told *told)
{
    const struct hone_collected *collected = told->collected;
    for (uint32_t i = 0; i < collected->waits.count; i++) {
        const struct hone_collected_wait *wait = &collected->waits.at[i];
        add(block, &(struct hone_block_row){
                       .thread = wait->thread,
                       .stack = wait->stack,
                       .kind = hone_wait_kind_of_lock(wait->kind),
                       .lock = wait->lock,
                       .module = wait->module,
                       .vaddr = wait->vaddr,
                       .holder = wait->holder,
                       .holder_stack = wait->holder_stack,
                       .waits = wait->waits,
                       .delay_ns = delay_of(told, i),
                   });
        block->totals.told_ns += wait->delay_ns;
    }
    block->totals.labelled_waits = block->totals.waits;
    block->totals.labelled_ns = block->totals.delay_ns;
}

static void add_seen_rows(struct hone_block *block, struct told *told)
{
    const struct hone_collected *collected = told->collected;
    for (uint32_t i = 0; i < collected->wall_count; i++) {
        const struct hone_collected_wall *wall = &collected->wall[i];
        const struct share *share = &told->shares[wall->thread];
        if (wall->kind == HONE_KIND_NONE || wall->kind == HONE_KIND_RUNNABLE)
            continue;
        const struct place *place = told_place(told, wall);
        if (place && place->told_ns > 0) // its time has a lock already
            continue;
        add(block, &(struct hone_block_row){
                       .thread = wall->thread,
                       .stack = wall->stack,
                       .kind = wall->kind,
                       .waits = wall->blocks,
                       .delay_ns =
                           (double)wall->ns * (is_of_ours(told, wall)            ? share->of_seen
                                               : wall->kind == HONE_KIND_UNKNOWN ? share->of_unknown
                                                                                 : 1),
                   });
    }
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
    add_told_rows(block, &told);
    add_seen_rows(block, &told);
    return 0;
}

void hone_block_done(struct hone_block *block)
{
    free(block->rows);
    *block = (struct hone_block){0};
}
