#include "analyse/compare_parts.h"

#include "base/cleanup.h"
#include "base/crew.h"
#include "profile/profile.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

static int find_row(struct hone_compare_build *b, struct hone_str name, uint64_t seed,
                    uint32_t *ret)
{
    uint64_t hash = hone_table_hash(name.at, name.len, seed);
    struct hone_table_probe probe = hone_table_probe(&b->names, hash);
    while ((*ret = hone_table_next(&b->names, &probe)) != HONE_TABLE_END)
        if (hone_str_equal(b->found[*ret].name, name))
            return 0;
    if (b->found_count == b->found_room) {
        uint32_t room = b->found_room ? b->found_room * 2 : 1024;
        struct hone_compare_found *found = reallocarray(b->found, room, sizeof *found);
        if (!found)
            return -ENOMEM;
        b->found = found;
        b->found_room = room;
    }
    *ret = b->found_count;
    b->found[b->found_count++] =
        (struct hone_compare_found){.name = name, .joined = *ret, .caller = HONE_COMPARE_NO_ROW};
    return hone_table_add(&b->names, hash, *ret);
}

// Where a row is declared: the first place of each side that tells.
static void note_place(struct hone_compare_found *found, const struct hone_compare_run *run,
                       const struct hone_nodes_origin *origin)
{
    const struct hone_profile *p = run->profile;
    if (origin->line == HONE_GRAPH_NO_LINE || found->file[run->side].len)
        return;
    uint32_t function = p->lines.at[origin->line].function;
    found->file[run->side] = hone_profile_str(p, p->functions.file[function]);
    found->start_line[run->side] = p->functions.start_line[function];
}

// Gives the nodes of a run the numbers of their rows.
static int number_run(struct hone_compare_build *b, struct hone_compare_run *run, uint64_t seed)
{
    struct hone_nodes *nodes = &run->nodes;
    HONE_CLEANUP(hone_freep) uint32_t *rows = calloc((size_t)nodes->count + 1, sizeof *rows);
    if (!rows)
        return -ENOMEM;
    for (uint32_t i = 0; i < nodes->count; i++) {
        int r = find_row(b, nodes->names[i], seed, &rows[i]);
        if (r)
            return r;
        note_place(&b->found[rows[i]], run, &nodes->origins[i]);
    }
    uint32_t locations = run->profile->locations.count;
    for (uint32_t i = 0; i < nodes->first[locations]; i++)
        nodes->at[i] = rows[nodes->at[i]];
    for (uint32_t i = 0; i < locations; i++)
        if (nodes->only[i] != HONE_NODES_SEVERAL)
            nodes->only[i] = rows[nodes->only[i]];
    return 0;
}

// --- adding up -----------------------------------------------------------------------------------

static inline void add(struct hone_judge_sum *to, const struct hone_judge_sum *weight)
{
    to->value += weight->value;
    to->squares += weight->squares;
}

// A stack counts once for a row: last holds the last one that did.
static inline void add_cum(struct hone_compare_sum *sum, uint32_t *last, uint32_t stack,
                           const struct hone_judge_sum *weight, bool inlined)
{
    if (*last == stack)
        return;
    *last = stack;
    add(&sum->cum, weight);
    if (inlined)
        sum->cum_inlined += weight->value;
}

static void tally_run(struct hone_compare_run *run, uint32_t *last)
{
    const struct hone_profile *p = run->profile;
    const struct hone_nodes *nodes = &run->nodes;
    for (uint32_t stack = 1; stack < p->stacks.count; stack++) {
        const struct hone_judge_sum *weight = &run->weights.stacks[stack];
        if (!(weight->value > 0))
            continue;
        struct hone_profile_span frames = hone_profile_frames_of(p, stack);
        for (uint32_t i = 0; i < frames.count; i++) {
            uint32_t location = frames.at[i];
            uint32_t row = nodes->only[location];
            if (row != HONE_NODES_SEVERAL) {
                add_cum(&run->sums[row], &last[row], stack, weight, false);
                continue;
            }
            uint32_t first = nodes->first[location];
            for (uint32_t at = first; at < nodes->first[location + 1]; at++)
                add_cum(&run->sums[nodes->at[at]], &last[nodes->at[at]], stack, weight,
                        at != first);
        }
        if (!frames.count)
            continue;
        uint32_t end = nodes->first[frames.at[0] + 1];
        struct hone_compare_sum *leaf = &run->sums[nodes->at[end - 1]];
        add(&leaf->flat, weight);
        if (end - nodes->first[frames.at[0]] > 1)
            leaf->flat_inlined += weight->value;
    }
}

struct tally_work {
    struct hone_compare_build *build;
    uint32_t *lasts; // row by row, for each thread
    _Atomic uint32_t next;
};

static void tally_some(void *context, unsigned number)
{
    struct tally_work *work = context;
    uint32_t rows = work->build->found_count;
    uint32_t *last = work->lasts + (size_t)number * rows;
    for (;;) {
        // Relaxed: runs are taken by number, and joining the threads orders what comes of them.
        uint32_t run = atomic_fetch_add_explicit(&work->next, 1, memory_order_relaxed);
        if (run >= work->build->run_count)
            return;
        memset(last, 0, (size_t)rows * sizeof *last);
        tally_run(&work->build->runs[run], last);
    }
}

static int tally_all(struct hone_compare_build *b)
{
    for (uint32_t i = 0; i < b->run_count; i++) {
        b->runs[i].sums = calloc((size_t)b->found_count + 1, sizeof *b->runs[i].sums);
        if (!b->runs[i].sums)
            return -ENOMEM;
    }
    unsigned crew = hone_crew_size();
    if (crew > b->run_count)
        crew = b->run_count;
    HONE_CLEANUP(hone_freep)
    uint32_t *lasts = calloc((size_t)crew * b->found_count + 1, sizeof *lasts);
    if (!lasts)
        return -ENOMEM;
    struct tally_work work = {.build = b, .lasts = lasts};
    hone_crew_run(crew, tally_some, &work);
    return 0;
}

static void see_sides(struct hone_compare_build *b)
{
    for (uint32_t run = 0; run < b->run_count; run++)
        for (uint32_t row = 0; row < b->found_count; row++)
            if (b->runs[run].sums[row].cum.value > 0)
                b->found[row].seen |= 1u << b->runs[run].side;
}

int hone_compare_rows(struct hone_compare_build *b)
{
    uint64_t seed = hone_table_seed();
    for (uint32_t i = 0; i < b->run_count; i++) {
        struct hone_compare_run *run = &b->runs[i];
        int r = hone_nodes_init(&run->nodes, run->profile, b->options->group, false, b->text);
        if (!r)
            r = hone_weights_init(&run->weights, run->profile, run->type);
        if (!r)
            r = number_run(b, run, seed);
        if (r)
            return r;
    }
    int r = tally_all(b);
    if (!r)
        see_sides(b);
    return r;
}
