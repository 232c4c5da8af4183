// Samples, a run of them at a time, in three steps. First they are gone through in order: places
// that were not met yet get numbers, stacks are noted. Then the noted stacks are written behind the
// result's own, in the result's numbers, and hashed: nearly all of the work, which no stack has to
// do with another's, so it is shared out. Last, in order again, each stack finds an equal one or
// stays where it was written, and the samples are added.
//
//     frames of the result   ┤ closed stacks ├┤ written ┊ written ┊ written ┊ …
#include "profile/merge_parts.h"

#include "base/crew.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

enum {
    RUN_STACKS = 1 << 16,
    RUN_FRAMES = 1 << 21, // and one stack more
    FEW_FRAMES = 1 << 17, // are written before another thread has begun
    SHARE = 512,          // stacks that a thread takes at a time
    AHEAD = 16,
};

// A stack that was met and has no number in the result yet.
struct met {
    uint64_t hash;   // of its frames, once they are written
    uint32_t number; // in the profile at hand
    uint32_t place;  // of its frames among those of the run
};

struct run {
    struct hone_merger *merger;
    const struct hone_profile_part *part;
    struct met *stacks; // in the order in which samples name them first
    uint32_t count;
    uint32_t frame_count;
    uint32_t *frames;       // where those of the run are written
    _Atomic uint32_t taken; // stacks; relaxed: who takes which does not matter
};

// --- meeting -------------------------------------------------------------------------------------

// The sample's values. False when all are 0.
static bool values_of(const struct hone_profile_part *part, uint32_t sample,
                      int64_t values[HONE_PROFILE_TYPES_MAX])
{
    const struct hone_profile *p = part->profile;
    int64_t any = 0;
    for (uint32_t i = 0; i < p->type_count; i++) {
        values[i] = p->samples.values[i][sample];
        if (part->ratios)
            values[i] = hone_profile_scale_value(values[i], part->ratios[i]);
        any |= values[i];
    }
    return any != 0;
}

static void meet_stack(struct run *run, uint32_t number)
{
    struct hone_merger *m = run->merger;
    struct hone_profile_span frames = hone_profile_frames_of(m->from, number);
    if (frames.count > HONE_PROFILE_DEPTH_MAX)
        (void)hone_profile_fail(m->result, -EOVERFLOW);
    m->stacks[number] = HONE_MERGE_PENDING;
    run->stacks[run->count++] = (struct met){.number = number, .place = run->frame_count};
    run->frame_count += frames.count;
    hone_merge_meet_places(m, frames);
}

// Notes the stacks of samples from this one on; returns the first that the run has no room for.
static uint32_t meet(struct run *run, uint32_t from)
{
    const struct hone_profile_samples *all = &run->part->profile->samples;
    const uint32_t *known = run->merger->stacks;
    int64_t values[HONE_PROFILE_TYPES_MAX];
    run->count = run->frame_count = 0;
    for (; from < all->count && run->count < RUN_STACKS && run->frame_count < RUN_FRAMES; from++) {
        uint32_t stack = all->stack[from];
        if (stack && !known[stack] && values_of(run->part, from, values))
            meet_stack(run, stack);
    }
    hone_merge_add_places(run->merger);
    return from;
}

// --- writing -------------------------------------------------------------------------------------

static void write_stack(const struct run *run, struct met *stack)
{
    const struct hone_merger *m = run->merger;
    struct hone_profile_span theirs = hone_profile_frames_of(m->from, stack->number);
    uint32_t *frames = run->frames + stack->place;
    for (uint32_t i = 0; i < theirs.count; i++)
        frames[i] = m->locations[theirs.at[i]];
    stack->hash = hone_profile_frames_hash(m->result, frames, theirs.count);
}

static void write_shares(void *context, unsigned number)
{
    (void)number;
    struct run *run = context;
    uint32_t first;
    while ((first = atomic_fetch_add_explicit(&run->taken, SHARE, memory_order_relaxed)) <
           run->count) {
        uint32_t end = run->count - first < SHARE ? run->count : first + SHARE;
        for (uint32_t i = first; i < end; i++)
            write_stack(run, &run->stacks[i]);
    }
}

static void write_all(struct run *run)
{
    uint32_t *end = hone_profile_stack_open(run->merger->result, run->frame_count, 0);
    if (!end)
        return;
    run->frames = end - run->frame_count;
    atomic_store_explicit(&run->taken, 0, memory_order_relaxed);
    hone_crew_run(run->frame_count < FEW_FRAMES ? 1 : hone_crew_size(), write_shares, run);
}

// --- adding --------------------------------------------------------------------------------------

static uint32_t add_label_set(struct hone_merger *m, uint32_t theirs)
{
    struct hone_profile_label_span labels = hone_profile_labels_of(m->from, theirs);
    uint32_t base_key = m->is_base ? hone_profile_intern(m->result, HONE_PROFILE_BASE_KEY) : 0;
    uint32_t count = 0;
    for (uint32_t i = 0; i < labels.count; i++) {
        struct hone_profile_label label = {
            .key = hone_merge_string(m, labels.at[i].key),
            .text = hone_merge_string(m, labels.at[i].text),
            .number = labels.at[i].number,
            .unit = hone_merge_string(m, labels.at[i].unit),
        };
        if (!(m->is_base && label.key == base_key && label.text))
            m->labels[count++] = label;
    }
    if (m->is_base)
        m->labels[count++] = (struct hone_profile_label){
            .key = base_key, .text = hone_profile_intern(m->result, HONE_PROFILE_BASE_TEXT)};
    return hone_profile_add_label_set(m->result, m->labels, count);
}

// Gives the stack its number in the result; tells whether it is a new one.
static bool close_stack(const struct run *run, const struct met *stack, size_t first_place)
{
    struct hone_merger *m = run->merger;
    uint32_t before = m->result->stacks.count;
    uint32_t count = hone_profile_frames_of(m->from, stack->number).count;
    m->stacks[stack->number] =
        hone_profile_stack_close(m->result, first_place + stack->place, count, stack->hash);
    return m->result->stacks.count != before;
}

// Adds the samples of the run. Stacks were noted in the order in which they are asked for now.
static void add_samples(const struct run *run, uint32_t from, uint32_t end)
{
    struct hone_merger *m = run->merger;
    struct hone_profile *result = m->result;
    const struct hone_profile_samples *all = &run->part->profile->samples;
    const size_t first_place = result->frames.count;
    const struct met *next = run->stacks;
    int64_t values[HONE_PROFILE_TYPES_MAX];
    for (uint32_t i = from; i < end && !hone_profile_status(result); i++) {
        if (!values_of(run->part, i, values))
            continue;
        uint32_t stack = all->stack[i];
        uint32_t set = all->label_set[i];
        bool is_new = false;
        if (m->stacks[stack] == HONE_MERGE_PENDING) {
            if (next + AHEAD < run->stacks + run->count)
                hone_table_prefetch(&result->index->stacks, next[AHEAD].hash);
            is_new = close_stack(run, next++, first_place);
        }
        if ((set || m->is_base) && !m->label_sets[set])
            m->label_sets[set] = add_label_set(m, set);
        hone_profile_sample_append(result, m->stacks[stack], is_new, values, m->label_sets[set]);
    }
}

// -------------------------------------------------------------------------------------------------

void hone_merge_samples(struct hone_merger *m, const struct hone_profile_part *part)
{
    const struct hone_profile *p = part->profile;
    uint32_t room = p->stacks.count < RUN_STACKS ? p->stacks.count : RUN_STACKS;
    struct run run = {.merger = m, .part = part};
    run.stacks = calloc(room, sizeof *run.stacks); // number 0 is never met, so there is room
    if (!run.stacks) {
        (void)hone_profile_fail(m->result, -ENOMEM);
        return;
    }
    hone_profile_expect(m->result, (uint64_t)m->result->samples.count + p->samples.count,
                        (uint64_t)m->result->frames.count + p->frames.count);
    for (uint32_t from = 0; from < p->samples.count && !hone_profile_status(m->result);) {
        uint32_t end = meet(&run, from);
        write_all(&run);
        add_samples(&run, from, end);
        from = end;
    }
    free(run.stacks);
}
