#include "analyse/heap_summary.h"

#include "analyse/nodes.h"
#include "base/cleanup.h"
#include "profile/profile.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

// Of a profile, which columns count what. NULL: it has none; that of a moment has no alloc_….
struct columns {
    const int64_t *alloc_objects, *alloc_space, *inuse_objects, *inuse_space;
};

// A sum on its way: values and variances.
struct sum {
    double bytes, objects, bytes_variance, objects_variance;
    bool seen;
};

struct reading {
    const struct hone_profile *profile;
    struct columns columns;
    double period;      // 0: nothing is uncertain
    uint32_t bytes_key; // of the label with a block's size; 0: there is none
    struct hone_nodes nodes;
    struct sum *sums; // by node, while places are made
};

static void reading_done(struct reading *reading)
{
    hone_nodes_done(&reading->nodes);
    free(reading->sums);
}

uint64_t hone_heap_class_limit(unsigned number)
{
    return number + 1 < HONE_HEAP_CLASSES ? UINT64_C(16) << number : 0;
}

static unsigned class_of(double size)
{
    unsigned number = 0;
    while (number + 1 < HONE_HEAP_CLASSES && size > (double)hone_heap_class_limit(number))
        number++;
    return number;
}

// --- one sample ----------------------------------------------------------------------------------

static double at(const int64_t *column, uint32_t sample)
{
    return column ? (double)column[sample] : 0;
}

static double block_size(const struct reading *reading, uint32_t sample)
{
    const struct columns *c = &reading->columns;
    const int64_t *object_column = c->alloc_objects ? c->alloc_objects : c->inuse_objects;
    double objects = at(object_column, sample);
    double bytes = at(c->alloc_objects ? c->alloc_space : c->inuse_space, sample);
    const struct hone_profile *p = reading->profile;
    struct hone_profile_label_span labels = hone_profile_labels_of(p, p->samples.label_set[sample]);
    for (uint32_t i = 0; reading->bytes_key && i < labels.count; i++)
        if (labels.at[i].key == reading->bytes_key && labels.at[i].number > 0)
            return (double)labels.at[i].number;
    return objects > 0 ? bytes / objects : 0;
}

// How many blocks one stands for.
static double weight(double size, double period)
{
    return period > 1 && size > 0 ? -1 / expm1(-size / period) : 1;
}

static void add(struct sum *sum, double objects, double bytes, double size, double period)
{
    if (objects == 0 && bytes == 0)
        return;
    double more = fabs(objects) * (weight(size, period) - 1);
    sum->objects += objects;
    sum->bytes += bytes;
    sum->objects_variance += more;
    sum->bytes_variance += more * size * size;
    sum->seen = true;
}

static struct hone_heap_amounts amounts(const struct sum *sum)
{
    return (struct hone_heap_amounts){
        .bytes = {sum->bytes, sqrt(sum->bytes_variance)},
        .objects = {sum->objects, sqrt(sum->objects_variance)},
        .seen = sum->seen,
    };
}

// --- totals and sizes ----------------------------------------------------------------------------

static void total(const struct reading *reading, struct hone_heap_summary *summary)
{
    const struct columns *c = &reading->columns;
    struct sum allocated = {0}, live = {0};
    struct sum classes[HONE_HEAP_CLASSES] = {0}, live_classes[HONE_HEAP_CLASSES] = {0};
    for (uint32_t i = 0; i < reading->profile->samples.count; i++) {
        double objects = at(c->alloc_objects, i), bytes = at(c->alloc_space, i);
        double size = block_size(reading, i);
        unsigned number = class_of(size);
        add(&allocated, objects, bytes, size, reading->period);
        add(&classes[number], objects, bytes, size, reading->period);
        objects = at(c->inuse_objects, i);
        bytes = at(c->inuse_space, i);
        add(&live, objects, bytes, size, reading->period);
        add(&live_classes[number], objects, bytes, size, reading->period);
    }
    summary->allocated = amounts(&allocated);
    summary->live = amounts(&live);
    summary->classes_known = reading->bytes_key != 0;
    for (unsigned i = 0; summary->classes_known && i < HONE_HEAP_CLASSES; i++) {
        summary->classes[i] = amounts(&classes[i]);
        summary->live_classes[i] = amounts(&live_classes[i]);
    }
}

// --- places --------------------------------------------------------------------------------------

// The function that called the allocator, the innermost one where several were inlined.
static uint32_t innermost(const struct reading *reading, uint32_t location)
{
    return reading->nodes.at[reading->nodes.first[location + 1] - 1];
}

// Whoever called that: another function of the same place, or the next frame's innermost.
static uint32_t caller_of(const struct reading *reading, uint32_t stack, uint32_t node)
{
    struct hone_profile_span frames = hone_profile_frames_of(reading->profile, stack);
    for (uint32_t i = 0; i < frames.count; i++) {
        uint32_t first = reading->nodes.first[frames.at[i]];
        for (uint32_t at = reading->nodes.first[frames.at[i] + 1]; at-- > first;)
            if (reading->nodes.at[at] != node)
                return reading->nodes.at[at];
    }
    return HONE_NODES_SEVERAL;
}

struct ranked {
    uint32_t node;
    const struct sum *sum;
    struct hone_str name;
};

static int by_bytes(const void *left, const void *right)
{
    const struct ranked *a = left, *b = right;
    if (a->sum->bytes != b->sum->bytes)
        return a->sum->bytes > b->sum->bytes ? -1 : 1;
    int order = hone_str_compare(a->name, b->name);
    return order ? order : (a->node > b->node) - (a->node < b->node);
}

static void sum_nodes(struct reading *reading, const int64_t *objects, const int64_t *bytes)
{
    const struct hone_profile *p = reading->profile;
    for (uint32_t i = 0; i < p->samples.count; i++) {
        struct hone_profile_span frames = hone_profile_frames_of(p, p->samples.stack[i]);
        if (!frames.count)
            continue;
        add(&reading->sums[innermost(reading, frames.at[0])], at(objects, i), at(bytes, i),
            block_size(reading, i), reading->period);
    }
}

// Who called the function most, by bytes. callers is by node, all 0, before and after.
static void find_caller(const struct reading *reading, const int64_t *bytes, uint32_t node,
                        double *callers, struct hone_heap_place *ret)
{
    const struct hone_profile *p = reading->profile;
    uint32_t most = HONE_NODES_SEVERAL;
    for (int turn = 0; turn < 2; turn++)
        for (uint32_t i = 0; i < p->samples.count; i++) {
            uint32_t stack = p->samples.stack[i];
            struct hone_profile_span frames = hone_profile_frames_of(p, stack);
            if (!frames.count || innermost(reading, frames.at[0]) != node)
                continue;
            uint32_t caller = caller_of(reading, stack, node);
            if (caller == HONE_NODES_SEVERAL)
                continue;
            if (turn) {
                callers[caller] = 0;
                continue;
            }
            callers[caller] += at(bytes, i);
            if (most == HONE_NODES_SEVERAL || callers[caller] > callers[most])
                most = caller;
            if (most != HONE_NODES_SEVERAL)
                ret->caller_share = callers[most];
        }
    if (most == HONE_NODES_SEVERAL)
        return;
    ret->caller = reading->nodes.names[most];
    ret->caller_share =
        ret->amounts.bytes.value > 0 ? ret->caller_share / ret->amounts.bytes.value : 0;
}

static int rank(struct reading *reading, const int64_t *objects, const int64_t *bytes,
                uint32_t limit, struct hone_arena *arena, struct hone_heap_place **ret,
                uint32_t *ret_count)
{
    uint32_t count = reading->nodes.count, found = 0;
    free(reading->sums);
    reading->sums = calloc((size_t)count + 1, sizeof *reading->sums);
    HONE_CLEANUP(hone_freep) struct ranked *ranked = calloc((size_t)count + 1, sizeof *ranked);
    HONE_CLEANUP(hone_freep) double *callers = calloc((size_t)count + 1, sizeof *callers);
    if (!reading->sums || !ranked || !callers)
        return -ENOMEM;
    sum_nodes(reading, objects, bytes);
    for (uint32_t node = 0; node < count; node++)
        if (reading->sums[node].seen && reading->sums[node].bytes > 0)
            ranked[found++] =
                (struct ranked){node, &reading->sums[node], reading->nodes.names[node]};
    qsort(ranked, found, sizeof *ranked, by_bytes);
    found = found < limit ? found : limit;
    *ret = hone_arena_zalloc(arena, (size_t)found + 1, sizeof **ret);
    if (!*ret)
        return -ENOMEM;
    for (uint32_t i = 0; i < found; i++) {
        struct hone_heap_place *place = &(*ret)[i];
        place->name = ranked[i].name;
        place->amounts = amounts(ranked[i].sum);
        find_caller(reading, bytes, ranked[i].node, callers, place);
    }
    *ret_count = found;
    return 0;
}

// --- all -----------------------------------------------------------------------------------------

static int find_columns(const struct hone_profile *profile, struct columns *ret,
                        struct hone_error *err)
{
    const struct {
        const char *name;
        const int64_t **column;
    } wanted[] = {
        {"alloc_objects", &ret->alloc_objects},
        {"alloc_space", &ret->alloc_space},
        {"inuse_objects", &ret->inuse_objects},
        {"inuse_space", &ret->inuse_space},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        *wanted[i].column = NULL;
        for (uint32_t type = 0; type < profile->type_count; type++)
            if (strcmp(hone_profile_text(profile, profile->types[type].type), wanted[i].name) == 0)
                *wanted[i].column = profile->samples.values[type];
    }
    if ((ret->inuse_objects && ret->inuse_space) || !profile->samples.count)
        return 0;
    (void)hone_error_set(err, 0, "this is no profile of the heap: it has no inuse_space");
    hone_error_hint(err, "record one with 'hone record --types heap'");
    return -EINVAL;
}

static uint32_t find_key(const struct hone_profile *profile, const char *key)
{
    for (uint32_t i = 0; i < profile->labels.count; i++)
        if (!profile->labels.at[i].text &&
            strcmp(hone_profile_text(profile, profile->labels.at[i].key), key) == 0)
            return profile->labels.at[i].key;
    return 0;
}

// The period that its values were made with; 0: it does not say.
static double period_of(const struct hone_profile *profile)
{
    bool space = strcmp(hone_profile_text(profile, profile->period_type.type), "space") == 0 &&
                 strcmp(hone_profile_text(profile, profile->period_type.unit), "bytes") == 0;
    return space && profile->period > 0 ? (double)profile->period : 0;
}

double hone_heap_summary_unseen(const struct hone_heap_summary *summary)
{
    return summary->sampled ? -log(0.05) * summary->period : 0;
}

static int summarize(struct reading *reading, uint32_t places, struct hone_heap_summary *summary)
{
    const struct columns *c = &reading->columns;
    total(reading, summary);
    int r = hone_nodes_init(&reading->nodes, reading->profile, HONE_GRAPH_FUNCTION, false,
                            &summary->arena);
    if (!r)
        r = rank(reading, c->alloc_objects, c->alloc_space, places, &summary->arena,
                 &summary->allocated_places, &summary->allocated_count);
    // What the names of places lie in dies with the nodes, but for those that are the profile's or
    // the arena's, as all of them are.
    return r ? r
             : rank(reading, c->inuse_objects, c->inuse_space, places, &summary->arena,
                    &summary->live_places, &summary->live_count);
}

int hone_heap_summary_new(const struct hone_profile *profile, uint32_t places,
                          struct hone_heap_summary **ret, struct hone_error *err)
{
    HONE_CLEANUP(reading_done) struct reading reading = {.profile = profile};
    int r = find_columns(profile, &reading.columns, err);
    if (r)
        return r;
    HONE_CLEANUP(hone_heap_summary_freep)
    struct hone_heap_summary *summary = calloc(1, sizeof *summary);
    if (!summary)
        return hone_error_set(err, -ENOMEM, "cannot summarize the heap");
    summary->period = period_of(profile);
    summary->sampled = summary->period > 1;
    reading.period = summary->sampled ? summary->period : 0;
    reading.bytes_key = find_key(profile, "bytes");
    r = summarize(&reading, places, summary);
    if (r)
        return hone_error_set(err, r, "cannot summarize the heap");
    *ret = hone_take(summary);
    return 0;
}

void hone_heap_summary_free(struct hone_heap_summary *summary)
{
    if (!summary)
        return;
    hone_arena_done(&summary->arena);
    free(summary);
}

void hone_heap_summary_freep(struct hone_heap_summary **summary)
{
    hone_heap_summary_free(*summary);
}
