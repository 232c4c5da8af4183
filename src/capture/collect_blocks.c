// The heap's share of what processes tell: blocks that were sampled, sites where every one is
// counted, and the marks that part their time.
#include "capture/collect_parts.h"

#include "base/utf8.h"
#include "core/clock.h"

#include <errno.h>
#include <string.h>

void hone_collect_on_mark(void *context, uint32_t number, const struct hone_reader_mark *mark)
{
    struct hone_collected *collected = context;
    if (number != collected->mark_count || number >= HONE_MARKS_MAX)
        return;
    bool failed = false;
    struct hone_str name = hone_utf8_clean(
        &collected->arena, (struct hone_str){mark->name, strlen(mark->name)}, SIZE_MAX, &failed);
    if (failed) {
        collected->state->status = -ENOMEM;
        return;
    }
    // One whose maker died before it was complete was made at the time of the last one, at least.
    uint64_t before_ns = number ? collected->marks[number - 1].time_ns : 0;
    collected->marks[collected->mark_count++] = (struct hone_collected_mark){
        .time_ns = mark->time_ns ? mark->time_ns : before_ns,
        .pid = mark->pid,
        .name = name.len ? name.at : "?",
    };
}

// Times are what the program wrote: one that is yet to come would make all intervals as wide.
static uint64_t believed(const struct hone_collected *collected, uint64_t time_ns)
{
    if (time_ns <= collected->now_ns)
        return time_ns;
    uint64_t now_ns = hone_now_ns(); // it was written while this look lasted
    return time_ns < now_ns ? time_ns : now_ns;
}

static void add_change(struct hone_collected *collected, uint64_t time_ns,
                       const struct hone_heap_change *change)
{
    time_ns = believed(collected, time_ns);
    if ((change->objects != 0 || change->bytes != 0) &&
        hone_heap_series_add(&collected->heap_series, time_ns, change))
        collected->state->status = -ENOMEM;
}

// --- sampled blocks ------------------------------------------------------------------------------

static uint32_t generation_at(const struct hone_collected *collected, uint64_t time_ns)
{
    uint32_t generation = collected->mark_count;
    while (generation && collected->marks[generation - 1].time_ns > time_ns)
        generation--;
    return generation;
}

static void add_sampled(struct hone_collected *collected, const struct hone_live *live,
                        const struct hone_collected_heap *row, uint64_t time_ns, int blocks)
{
    double weight = hone_heap_weight(row->size, row->rate) * blocks;
    const struct hone_heap_change change = {
        .process = live->process,
        .stack = row->stack,
        .generation = generation_at(collected, time_ns),
        .objects = weight,
        .bytes = weight * (double)row->size,
    };
    add_change(collected, time_ns, &change);
}

void hone_collect_on_heap_alloc(void *context, uint32_t number,
                                const struct hone_record_heap_alloc *record)
{
    struct hone_collected *collected = context;
    struct hone_live *live = hone_live_of(collected, number);
    struct hone_collected_heap row = {.size = record->size, .rate = record->rate};
    uint32_t at;
    if (!live || !hone_collect_find_stack(collected, live, record->record.small, record->stack,
                                          &row.thread, &row.stack))
        return;
    int r = hone_heap_rows_add(&collected->heap, &row, &at);
    if (!r && record->block) {
        r = hone_heap_blocks_add(&live->blocks, record->block, at);
        if (!r) {
            collected->heap.at[at].live++;
            add_sampled(collected, live, &row, record->time_ns, 1);
        }
    }
    if (r == -ENOMEM)
        collected->state->status = r;
}

void hone_collect_on_heap_free(void *context, uint32_t number,
                               const struct hone_record_heap_free *record)
{
    struct hone_collected *collected = context;
    struct hone_live *live = hone_live_of(collected, number);
    uint32_t row;
    if (!live || !hone_heap_blocks_take(&live->blocks, record->block, &row))
        return;
    collected->heap.at[row].live--;
    add_sampled(collected, live, &collected->heap.at[row], record->time_ns, -1);
}

// --- sites ---------------------------------------------------------------------------------------

// What was known of a site when it was looked at last.
static struct hone_heap_look *look_of(struct hone_collected *collected, struct hone_live *live,
                                      uint32_t at)
{
    struct hone_collect_state *state = collected->state;
    const struct hone_number *known = hone_numbers_find_next(state, &live->looks, at);
    if (known)
        return &live->look[known->at];
    if (!hone_collect_grow(state, &live->look, &live->look_room, (uint64_t)live->look_count + 1,
                           sizeof *live->look) ||
        !hone_numbers_set(state, &live->looks, at, live->look_count))
        return NULL;
    live->look[live->look_count] = (struct hone_heap_look){0};
    return &live->look[live->look_count++];
}

// What a site has now, of which all that is new belongs to that generation.
static void add_look(struct hone_collected *collected, const struct hone_live *live,
                     struct hone_heap_look *look, uint32_t stack, uint32_t generation,
                     uint64_t time_ns, int64_t objects, int64_t bytes)
{
    if (generation > collected->mark_count)
        generation = collected->mark_count;
    // It was before the next mark, however late it is seen.
    if (generation < collected->mark_count && collected->marks[generation].time_ns < time_ns)
        time_ns = collected->marks[generation].time_ns;
    const struct hone_heap_change change = {
        .process = live->process,
        .stack = stack,
        .generation = generation,
        .objects = (double)objects - (double)look->live,
        .bytes = (double)bytes - (double)look->live_bytes,
    };
    add_change(collected, time_ns, &change);
    look->live = objects;
    look->live_bytes = bytes;
}

void hone_collect_on_heap_kept(void *context, uint32_t number,
                               const struct hone_record_heap_kept *record)
{
    struct hone_collected *collected = context;
    struct hone_live *live = hone_live_of(collected, number);
    if (!live || record->site > UINT32_MAX || record->stack > UINT32_MAX ||
        record->since >= HONE_MARKS_MAX)
        return;
    const struct hone_number *stack =
        hone_numbers_find(collected->state, &live->stacks, (uint32_t)record->stack);
    struct hone_heap_look *look = stack ? look_of(collected, live, (uint32_t)record->site) : NULL;
    if (!look)
        return;
    add_look(collected, live, look, stack->at, record->since, collected->now_ns, record->live,
             record->live_bytes);
    look->mark = record->mark;
}

void hone_collect_on_heap_site(void *context, uint32_t number,
                               const struct hone_process_facts *facts, uint32_t at,
                               const struct hone_heap_site *site, bool last)
{
    struct hone_collected *collected = context;
    struct hone_live *live = hone_live_of(collected, number);
    uint32_t id = atomic_load_explicit(&site->stack, memory_order_relaxed);
    if (!live)
        return;
    const struct hone_number *stack = hone_numbers_find_next(collected->state, &live->stacks, id);
    if (!stack) {
        collected->unknown_stacks += last;
        return;
    }
    struct hone_heap_look *look = look_of(collected, live, at);
    if (!look)
        return;
    // A mark whose record of this site is still on its way: the next look is soon enough.
    uint32_t mark = atomic_load_explicit(&site->mark, memory_order_relaxed);
    if (look->mark != mark && !last && !look->waits) {
        look->waits = true;
        return;
    }
    look->waits = false;
    look->mark = mark;
    uint64_t time_ns = last && facts->ended_ns ? facts->ended_ns : collected->now_ns;
    struct hone_heap_lives lives = hone_heap_site_lives(site);
    add_look(collected, live, look, stack->at, mark, time_ns, lives.objects, lives.bytes);
    if (last && hone_heap_sites_add(&collected->heap_sites, live->process, stack->at, site,
                                    facts->heap_fall))
        collected->state->status = -ENOMEM;
}
