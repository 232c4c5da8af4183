// Stacks that print alike are one line: frames become numbers that rank their names, stacks become
// runs of such numbers from the root, and sorting the runs brings equal ones together.
#include "convert/collapse.h"

#include "base/arena.h"
#include "base/cleanup.h"
#include "profile/profile.h"

#include <errno.h>
#include <stdlib.h>

struct run {
    const uint32_t *at; // names, root first
    uint32_t count;
    int64_t weight;
};

struct collapser {
    const struct hone_profile *profile;
    const struct hone_collapse_names *nodes;
    struct hone_arena names;
    struct hone_str *printed; // by node: the name with its separators replaced
    uint32_t *rank;           // by node
    uint32_t *ranked;         // by rank: a node
    uint32_t *frames;
    struct run *runs;
    uint32_t run_count;
};

static void collapser_done(struct collapser *c)
{
    hone_arena_done(&c->names);
    free(c->printed);
    free(c->rank);
    free(c->ranked);
    free(c->frames);
    free(c->runs);
}

// A ';' would split a frame in two and a line end the line.
static struct hone_str printable(struct hone_arena *names, struct hone_str name)
{
    bool clean = true;
    for (size_t i = 0; i < name.len; i++)
        clean &= name.at[i] != ';' && name.at[i] != '\n' && name.at[i] != '\r';
    if (clean)
        return name;
    char *copy = hone_arena_copy(names, name.at, name.len);
    for (size_t i = 0; copy && i < name.len; i++)
        copy[i] = copy[i] == ';' ? ':' : copy[i] == '\n' || copy[i] == '\r' ? ' ' : copy[i];
    return (struct hone_str){copy, name.len};
}

static int compare_names(const void *left, const void *right, void *context)
{
    const struct hone_str *names = context;
    struct hone_str a = names[*(const uint32_t *)left];
    struct hone_str b = names[*(const uint32_t *)right];
    int order = memcmp(a.at, b.at, a.len < b.len ? a.len : b.len);
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static int rank_names(struct collapser *c)
{
    uint32_t count = c->nodes->count;
    c->printed = calloc(count, sizeof *c->printed);
    c->rank = calloc(count, sizeof *c->rank);
    c->ranked = calloc(count, sizeof *c->ranked);
    if (!c->printed || !c->rank || !c->ranked)
        return -ENOMEM;
    for (uint32_t i = 0; i < count; i++) {
        c->ranked[i] = i;
        c->printed[i] = printable(&c->names, c->nodes->names[i]);
        if (!c->printed[i].at)
            return -ENOMEM;
    }
    qsort_r(c->ranked, count, sizeof *c->ranked, compare_names, c->printed);
    uint32_t rank = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (i && !hone_str_equal(c->printed[c->ranked[i]], c->printed[c->ranked[i - 1]]))
            rank = i;
        c->rank[c->ranked[i]] = rank;
    }
    return 0;
}

static size_t count_frames(const struct collapser *c)
{
    size_t count = 0;
    for (uint32_t i = 0; i < c->profile->frames.count; i++) {
        uint32_t location = c->profile->frames.location[i];
        count += c->nodes->first[location + 1] - c->nodes->first[location];
    }
    return count;
}

static int make_runs(struct collapser *c, const int64_t *values)
{
    const struct hone_profile *p = c->profile;
    c->frames = calloc(count_frames(c) + 1, sizeof *c->frames);
    c->runs = calloc(p->stacks.count, sizeof *c->runs);
    if (!c->frames || !c->runs)
        return -ENOMEM;
    for (uint32_t i = 0; i < p->samples.count; i++) {
        struct run *run = &c->runs[p->samples.stack[i]];
        run->weight = (int64_t)((uint64_t)run->weight + (uint64_t)values[i]);
    }
    uint32_t *at = c->frames;
    for (uint32_t stack = 1; stack < p->stacks.count; stack++) {
        int64_t weight = c->runs[stack].weight;
        if (!weight)
            continue;
        struct run *run = &c->runs[c->run_count++];
        struct hone_profile_span frames = hone_profile_frames_of(p, stack);
        *run = (struct run){.at = at, .weight = weight};
        for (uint32_t i = frames.count; i-- > 0;)
            for (uint32_t n = c->nodes->first[frames.at[i]]; n < c->nodes->first[frames.at[i] + 1];
                 n++)
                *at++ = c->rank[c->nodes->at[n]];
        run->count = (uint32_t)(at - run->at);
    }
    return 0;
}

static int compare_runs(const void *left, const void *right)
{
    const struct run *a = left;
    const struct run *b = right;
    uint32_t shorter = a->count < b->count ? a->count : b->count;
    for (uint32_t i = 0; i < shorter; i++)
        if (a->at[i] != b->at[i])
            return a->at[i] < b->at[i] ? -1 : 1;
    return (a->count > b->count) - (a->count < b->count);
}

static void put_run(const struct collapser *c, const struct run *run, int64_t weight,
                    struct hone_buffer *out)
{
    for (uint32_t i = 0; i < run->count; i++) {
        struct hone_str name = c->printed[c->ranked[run->at[i]]];
        if (i)
            hone_buffer_add(out, ";", 1);
        hone_buffer_add(out, name.at, name.len);
    }
    hone_buffer_format(out, " %lld\n", (long long)weight);
}

static void put_runs(struct collapser *c, struct hone_buffer *out)
{
    if (c->run_count)
        qsort(c->runs, c->run_count, sizeof *c->runs, compare_runs);
    for (uint32_t i = 0; i < c->run_count && !out->failed;) {
        const struct run *run = &c->runs[i];
        uint64_t weight = 0;
        for (; i < c->run_count && compare_runs(run, &c->runs[i]) == 0; i++)
            weight += (uint64_t)c->runs[i].weight;
        if (weight)
            put_run(c, run, (int64_t)weight, out);
    }
}

int hone_collapse(const struct hone_profile *profile, const int64_t *values,
                  const struct hone_collapse_names *names, struct hone_buffer *out)
{
    HONE_CLEANUP(collapser_done) struct collapser c = {.profile = profile, .nodes = names};
    int r = rank_names(&c);
    if (!r)
        r = make_runs(&c, values);
    if (r)
        return r;
    put_runs(&c, out);
    return out->failed ? -ENOMEM : 0;
}
