#include "analyse/tree.h"
#include "analyse/tree_profile.h"
#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// Two trees that are built at once: what lies below the wanted functions, and what lies above.
enum { BELOW, ABOVE };

struct sandwich {
    struct hone_tree *trees[2];
    struct hone_tree_places places[2]; // the same numbers in both: they intern the same frames
    uint8_t *wanted;                   // by frame
    struct hone_tree_stack stack;
};

static void sandwich_done(struct sandwich *s)
{
    for (int i = BELOW; i <= ABOVE; i++) {
        hone_tree_free(s->trees[i]);
        hone_tree_places_done(&s->places[i]);
    }
    hone_tree_stack_done(&s->stack);
    free(s->wanted);
}

static void reverse(uint32_t *at, size_t count)
{
    for (size_t i = 0; i < count / 2; i++) {
        uint32_t moved = at[i];
        at[i] = at[count - 1 - i];
        at[count - 1 - i] = moved;
    }
}

static int add_sample(struct sandwich *s, const struct hone_profile *profile,
                      const struct hone_tree_options *options, uint32_t sample, int64_t value)
{
    size_t count;
    int r = hone_tree_expand(&s->places[BELOW],
                             hone_profile_frames_of(profile, profile->samples.stack[sample]),
                             options, &s->stack, &count);
    if (r)
        return r;
    uint32_t *at = s->stack.at;
    size_t first = 0;
    while (first < count && !s->wanted[at[first]])
        first++;
    if (first == count)
        return 0;
    r = hone_tree_add(s->trees[BELOW], at + first + 1, count - first - 1, value);
    if (r)
        return r;
    reverse(at, first);
    return hone_tree_add(s->trees[ABOVE], at, first, value);
}

static int add_samples(struct sandwich *s, const struct hone_profile *profile,
                       const struct hone_tree_options *options)
{
    HONE_CLEANUP(hone_freep) int64_t *net = NULL;
    const int64_t *values = profile->samples.values[options->type];
    struct hone_tree *below = s->trees[BELOW];
    int r = options->net ? hone_tree_net(profile, options, &s->places[BELOW], &net) : 0;
    values = net ? net : values;
    for (uint32_t i = 0; !r && i < profile->samples.count; i++) {
        if (values[i] == 0)
            below->stacks_of_zero++;
        else if (values[i] < 0 && !options->keep_negative)
            below->stacks_negative++;
        else
            r = add_sample(s, profile, options, i, values[i]);
    }
    return r;
}

// The nodes of one tree behind those that are there: deeper by one where they hang below a node of
// their own, and with frames behind the other tree's.
static void append(struct hone_tree *to, const struct hone_tree *from, uint32_t first_frame,
                   bool own_root)
{
    uint32_t place = (uint32_t)to->node_count; // of from's root or, without it, of what follows
    uint32_t shift = own_root ? place : place - 1;
    for (size_t i = own_root ? 0 : 1; i < from->node_count; i++) {
        struct hone_tree_node node = from->nodes[i];
        node.parent = i && (own_root || node.parent) ? node.parent + shift : 0;
        node.end += shift;
        node.depth += own_root;
        if (i)
            node.frame += first_frame;
        to->nodes[to->node_count++] = node;
    }
}

static int join(struct sandwich *s, struct hone_tree **ret)
{
    struct hone_tree *below = s->trees[BELOW];
    struct hone_tree *above = s->trees[ABOVE];
    HONE_CLEANUP(hone_tree_freep) struct hone_tree *tree = calloc(1, sizeof *tree);
    if (!tree)
        return -ENOMEM;
    size_t own = below->frame_count + above->frame_count; // the upper root's, so that it has one
    tree->frame_count = own + 1;
    tree->frames = calloc(tree->frame_count, sizeof *tree->frames);
    tree->nodes = calloc(below->node_count + above->node_count, sizeof *tree->nodes);
    tree->frame_self = calloc(tree->frame_count, sizeof *tree->frame_self);
    if (!tree->frames || !tree->nodes || !tree->frame_self)
        return -ENOMEM;
    // What lies above is the same time once more.
    memcpy(tree->frame_self, below->frame_self, below->frame_count * sizeof *tree->frame_self);
    memcpy(tree->frames, below->frames, below->frame_count * sizeof *tree->frames);
    memcpy(tree->frames + below->frame_count, above->frames,
           above->frame_count * sizeof *tree->frames);
    tree->nodes[0] = below->nodes[0];
    tree->node_count = 1;
    append(tree, above, (uint32_t)below->frame_count, true);
    tree->frames[own].name = HONE_STR("[callers]");
    tree->nodes[1].frame = (uint32_t)own;
    tree->upper_end = (uint32_t)tree->node_count;
    append(tree, below, 0, false);
    tree->nodes[0].end = (uint32_t)tree->node_count;
    tree->depth = (below->depth > above->depth ? below->depth : above->depth) + 1;
    tree->all_count = below->all_count + above->all_count;
    tree->largest_left_out = below->largest_left_out > above->largest_left_out
                                 ? below->largest_left_out
                                 : above->largest_left_out;
    tree->stacks = below->stacks;
    tree->stacks_of_zero = below->stacks_of_zero;
    tree->stacks_negative = below->stacks_negative;
    // Names that the trees made ("[libz.so.1]") go with them.
    tree->names = below->names;
    below->names = (struct hone_arena){0};
    tree->more_names = above->names;
    above->names = (struct hone_arena){0};
    *ret = hone_take(tree);
    return 0;
}

static int build(struct sandwich *s, const struct hone_profile *profile,
                 const struct hone_tree_options *options,
                 bool (*wanted)(void *context, struct hone_str name), void *context, bool *ret_any)
{
    int r = 0;
    for (int i = BELOW; i <= ABOVE && !r; i++) {
        r = hone_tree_new(&s->trees[i]);
        if (!r)
            r = hone_tree_places(s->trees[i], profile, options->group, &s->places[i]);
    }
    if (r)
        return r;
    size_t count = s->trees[BELOW]->frame_count;
    s->wanted = calloc(count + 1, sizeof *s->wanted);
    if (!s->wanted)
        return -ENOMEM;
    *ret_any = false;
    for (size_t i = 0; i < count; i++) {
        s->wanted[i] = wanted(context, s->trees[BELOW]->frames[i].name);
        *ret_any |= s->wanted[i];
    }
    return *ret_any ? add_samples(s, profile, options) : 0;
}

int hone_tree_sandwich(const struct hone_profile *profile, const struct hone_tree_options *options,
                       bool (*wanted)(void *context, struct hone_str name), void *context,
                       struct hone_tree **ret, struct hone_error *err)
{
    struct hone_tree_options chosen = {0};
    if (options)
        memcpy(&chosen, options, options->size < sizeof chosen ? options->size : sizeof chosen);
    chosen.reversed = false;
    if (chosen.type >= profile->type_count)
        return hone_error_set(err, -EINVAL, "the profile has no sample type %u", chosen.type);
    HONE_CLEANUP(sandwich_done) struct sandwich s = {0};
    bool any;
    int r = build(&s, profile, &chosen, wanted, context, &any);
    if (r)
        return hone_error_set(err, r, "cannot build the call tree");
    if (!any)
        return -ENOENT;
    for (int i = BELOW; i <= ABOVE && !r; i++)
        r = hone_tree_finish(s.trees[i], &chosen.limit, err);
    if (!r && (r = join(&s, ret)) != 0)
        return hone_error_set(err, r, "cannot build the call tree");
    return r;
}
