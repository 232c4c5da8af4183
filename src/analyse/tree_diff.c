#include "analyse/tree_diff.h"

#include "analyse/tree_parts.h"
#include "base/cleanup.h"
#include "base/crew.h"
#include "base/table.h"
#include "profile/profile.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#define NONE UINT32_MAX

// Smaller nodes are not looked into: no picture has room for them, and there may be millions. Where
// a side has more nodes than MANY, nor are those that are smaller than so many on both sides.
static const double least_part = 2e-6;
enum { MANY = 1 << 18 };
// Fewer samples on both sides together cannot tell anything: 2 * 2^-8 is above any level used.
enum { TELLING = 8 };
enum { NOT_DONE = 1 };

// A node of both sides. On either it is some of the sorted stacks, which all go through it: no tree
// is made of nodes that nobody looks into.
struct merged {
    struct merged_side {
        uint32_t first; // stacks; end is first: it is not there
        uint32_t end;
        int64_t total;
        int64_t self; // where it was looked into; else all of it
    } side[2];
    uint32_t frame; // among all
    uint32_t parent;
    uint32_t depth;
};

struct merger {
    const struct hone_compare *compare;
    const struct hone_tree *trees[2];
    int64_t wholes[2];
    int64_t least_of[2]; // total of the last of the MANY largest nodes
    uint32_t *frames[2]; // by frame of a tree: its number among all
    double scale[2];     // of a tree's values
    double least;        // value of a node worth looking into, on the scale
    double least_part;   // of both wholes
    struct hone_tree_frame *all;
    uint32_t all_count;
    struct merged *nodes;
    size_t count;
    size_t room;
};

static void merger_done(struct merger *m)
{
    free(m->frames[0]);
    free(m->frames[1]);
    free(m->all);
    free(m->nodes);
}

// --- frames of both ------------------------------------------------------------------------------

struct frame_finder {
    struct hone_table table;
    struct hone_table renamed; // rows of the comparison, by the base's name
    uint64_t seed;
};

static void finder_done(struct frame_finder *finder)
{
    hone_table_done(&finder->table);
    hone_table_done(&finder->renamed);
}

static int note_renamed(const struct merger *m, struct frame_finder *finder)
{
    int r = 0;
    for (uint32_t i = 0; !r && i < m->compare->row_count; i++) {
        struct hone_str was = m->compare->rows[i].was;
        if (was.len)
            r = hone_table_add(&finder->renamed, hone_table_hash(was.at, was.len, finder->seed), i);
    }
    return r;
}

static struct hone_str name_now(const struct merger *m, const struct frame_finder *finder,
                                struct hone_str name)
{
    uint64_t hash = hone_table_hash(name.at, name.len, finder->seed);
    struct hone_table_probe probe = hone_table_probe(&finder->renamed, hash);
    uint32_t at;
    while ((at = hone_table_next(&finder->renamed, &probe)) != HONE_TABLE_END)
        if (hone_str_equal(m->compare->rows[at].was, name))
            return m->compare->rows[at].name;
    return name;
}

// By name and line, as rows of a comparison: programs are upgraded and built elsewhere, so a module
// says nothing, and whether a call was inlined is how it was compiled, not what it is.
static int add_frame(struct merger *m, struct frame_finder *finder, struct hone_tree_frame frame,
                     uint32_t *ret)
{
    uint64_t hash = hone_table_hash(frame.name.at, frame.name.len, finder->seed ^ frame.line);
    struct hone_table_probe probe = hone_table_probe(&finder->table, hash);
    while ((*ret = hone_table_next(&finder->table, &probe)) != HONE_TABLE_END) {
        const struct hone_tree_frame *at = &m->all[*ret];
        if (at->line == frame.line && hone_str_equal(at->name, frame.name))
            return 0;
    }
    *ret = m->all_count;
    m->all[m->all_count++] = frame;
    return hone_table_add(&finder->table, hash, *ret);
}

// The new side first, so that what is told of a frame (its line, its module) is told of today.
static int number_frames(struct merger *m)
{
    HONE_CLEANUP(finder_done) struct frame_finder finder = {.seed = hone_table_seed()};
    size_t room = m->trees[0]->frame_count + m->trees[1]->frame_count + 1;
    m->all = calloc(room, sizeof *m->all);
    if (!m->all || note_renamed(m, &finder))
        return -ENOMEM;
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t side = 1 - i;
        const struct hone_tree *tree = m->trees[side];
        m->frames[side] = calloc(tree->frame_count + 1, sizeof *m->frames[side]);
        if (!m->frames[side])
            return -ENOMEM;
        for (size_t frame = 0; frame < tree->frame_count; frame++) {
            struct hone_tree_frame named = tree->frames[frame];
            if (side == 0)
                named.name = name_now(m, &finder, named.name);
            if (add_frame(m, &finder, named, &m->frames[side][frame]))
                return -ENOMEM;
        }
    }
    return 0;
}

// --- nodes of both -------------------------------------------------------------------------------

static double value_of(const struct merger *m, uint32_t side, const struct merged *node)
{
    return (double)node->side[side].total * m->scale[side];
}

static double whole_of(const struct merger *m, uint32_t side)
{
    return (double)m->wholes[side] * m->scale[side];
}

static bool is_there(const struct merged *node, uint32_t side)
{
    return node->side[side].first < node->side[side].end;
}

static bool is_looked_into(const struct merger *m, const struct merged *node)
{
    return value_of(m, 0, node) + value_of(m, 1, node) >= m->least;
}

struct child {
    uint32_t frame; // among all
    struct merged_side at;
};

struct children {
    struct child *at;
    size_t count;
    size_t room;
};

static int compare_children(const void *left, const void *right)
{
    const struct child *a = left;
    const struct child *b = right;
    if (a->frame != b->frame)
        return a->frame < b->frame ? -1 : 1;
    if (a->at.total != b->at.total)
        return a->at.total > b->at.total ? -1 : 1;
    return (a->at.first > b->at.first) - (a->at.first < b->at.first);
}

// Also finds what the node takes itself.
static int list_children(const struct merger *m, uint32_t side, struct merged *node,
                         struct children *list)
{
    const struct hone_tree_builder *builder = m->trees[side]->builder;
    const struct hone_tree_row *stacks = builder->stacks;
    struct merged_side *own = &node->side[side];
    uint32_t i = own->first;
    list->count = 0;
    for (own->self = 0; i < own->end && stacks[i].count == node->depth; i++)
        own->self += stacks[i].value;
    while (i < own->end) {
        int r = hone_tree_grow(&list->at, &list->room, list->count + 1, sizeof *list->at);
        if (r)
            return r;
        struct child *child = &list->at[list->count++];
        uint32_t frame = builder->stack_frames[stacks[i].first + node->depth];
        *child = (struct child){.frame = m->frames[side][frame], .at = {.first = i}};
        do
            child->at.total += stacks[i++].value;
        while (i < own->end && stacks[i].shared > node->depth);
        child->at.end = i;
    }
    if (list->count > 1)
        qsort(list->at, list->count, sizeof *list->at, compare_children);
    return 0;
}

struct pending {
    struct merged *at;
    size_t count;
    size_t room;
};

static int push(struct pending *pending, struct merged node)
{
    int r = hone_tree_grow(&pending->at, &pending->room, pending->count + 1, sizeof *pending->at);
    if (r)
        return r;
    pending->at[pending->count++] = node;
    return 0;
}

// Puts the children of a node on the pile, those of one frame together, the last on top. Equal
// frames under one parent (the same name in two directories) pair up in their order.
static int push_children(const struct merger *m, struct merged *node, uint32_t place,
                         struct children lists[2], struct pending *pending)
{
    int r = list_children(m, 0, node, &lists[0]);
    if (!r)
        r = list_children(m, 1, node, &lists[1]);
    size_t b = 0;
    size_t n = 0;
    while (!r && (b < lists[0].count || n < lists[1].count)) {
        uint32_t base_frame = b < lists[0].count ? lists[0].at[b].frame : NONE;
        uint32_t new_frame = n < lists[1].count ? lists[1].at[n].frame : NONE;
        struct merged child = {.frame = base_frame < new_frame ? base_frame : new_frame,
                               .parent = place,
                               .depth = node->depth + 1};
        if (base_frame <= new_frame)
            // NOLINTNEXTLINE(clang-analyzer-core.NullDereference): the frame was one of the list
            child.side[0] = lists[0].at[b++].at;
        if (new_frame <= base_frame)
            // NOLINTNEXTLINE(clang-analyzer-core.NullDereference): likewise
            child.side[1] = lists[1].at[n++].at;
        r = push(pending, child);
    }
    return r;
}

static int add_node(struct merger *m, struct merged node)
{
    int r = hone_tree_grow(&m->nodes, &m->room, m->count + 1, sizeof *m->nodes);
    if (r)
        return r;
    m->nodes[m->count++] = node;
    return m->count < INT32_MAX ? 0 : -ENOMEM;
}

static int merge_nodes(struct merger *m)
{
    struct children lists[2] = {{0}};
    struct pending pending = {0};
    struct merged root = {.frame = HONE_TREE_NO_FRAME};
    for (uint32_t side = 0; side < 2; side++)
        root.side[side] = (struct merged_side){
            .end = (uint32_t)m->trees[side]->builder->stack_count, .total = m->wholes[side]};
    int r = push(&pending, root);
    while (!r && pending.count) {
        struct merged node = pending.at[--pending.count];
        for (uint32_t side = 0; side < 2; side++)
            node.side[side].self = node.side[side].total;
        if (is_looked_into(m, &node))
            r = push_children(m, &node, (uint32_t)m->count, lists, &pending);
        if (!r)
            r = add_node(m, node);
    }
    free(lists[0].at);
    free(lists[1].at);
    free(pending.at);
    return r;
}

// --- what became of them
// ---------------------------------------------------------------------------

static double known_samples(const struct hone_compare *compare, uint32_t side, double part)
{
    return compare->side[side].samples * part;
}

// How far a side's samples spread beyond chance in sampling: by node as by function, and as the
// few runs of it allow to know.
static struct hone_judge_sum sum_of(const struct merger *m, uint32_t side, double value)
{
    const struct hone_judge *judge = &m->compare->judge;
    double whole = whole_of(m, side);
    double samples = known_samples(m->compare, side, whole > 0 ? value / whole : 0);
    double runs = m->compare->side[side].runs;
    double spread = judge->row_spread * judge->row_spread * samples / runs;
    double few = judge->df > 0 ? judge->whole_point / 2.3263 : 1;
    double weight = m->compare->side[side].samples > 0 ? whole / m->compare->side[side].samples : 1;
    return (struct hone_judge_sum){value, value * weight * (1 + spread) * few * few};
}

static uint8_t tone_of(const struct hone_judge_row *row)
{
    double more = row->value[1] / row->value[0];
    if (row->verdict == HONE_VERDICT_UNKNOWN)
        return HONE_TREE_UNSURE;
    if (!(row->value[0] > 0))
        return HONE_TREE_FRESH;
    if (!(row->value[1] > 0))
        return HONE_TREE_GONE;
    double times = more > 1 ? more : 1 / more;
    uint8_t step = times < 1.1 ? 0 : times < 1.5 ? 1 : times < 2.5 ? 2 : 3;
    return (uint8_t)((more > 1 ? HONE_TREE_MORE : HONE_TREE_LESS) + step);
}

static int judge_nodes(const struct merger *m, uint8_t *tones)
{
    HONE_CLEANUP(hone_freep)
    struct hone_judge_sum *sums = calloc(m->count * 2, sizeof *sums);
    HONE_CLEANUP(hone_freep) uint32_t *numbers = calloc(m->count, sizeof *numbers);
    if (!sums || !numbers)
        return -ENOMEM;
    struct hone_judge_sides sides = {.runs = {1, 1},
                                     .rows = sums,
                                     .disjoint = sums,
                                     .share = m->compare->per == HONE_COMPARE_SHARE,
                                     .error = 0.05,
                                     .verdicts_only = true};
    double wholes[2] = {whole_of(m, 0), whole_of(m, 1)};
    struct hone_judge_sum whole[2] = {sum_of(m, 0, wholes[0]), sum_of(m, 1, wholes[1])};
    for (uint32_t side = 0; side < 2 && m->compare->judge.df > 0; side++)
        whole[side].squares = wholes[side] * wholes[side] * m->compare->judge.whole_variance / 2;
    sides.whole = whole;
    for (size_t i = 0; i < m->count; i++) {
        double base = value_of(m, 0, &m->nodes[i]);
        double new = value_of(m, 1, &m->nodes[i]);
        double samples = known_samples(m->compare, 0, base / wholes[0]) +
                         known_samples(m->compare, 1, new / wholes[1]);
        if (samples < TELLING)
            continue;
        sums[(size_t)sides.row_count * 2] = sum_of(m, 0, base);
        sums[(size_t)sides.row_count * 2 + 1] = sum_of(m, 1, new);
        numbers[sides.row_count++] = (uint32_t)i;
    }
    struct hone_judge judge;
    int r = hone_judge(&sides, &judge);
    for (uint32_t i = 0; !r && i < sides.row_count; i++)
        tones[numbers[i]] = tone_of(&judge.rows[i]);
    if (!r)
        free(judge.rows);
    return r;
}

// A node that the new side lacks is gone when it surely is, or when its parent is.
static void settle_gone(const struct merger *m, uint8_t *tones)
{
    for (size_t i = 1; i < m->count; i++) {
        const struct merged *node = &m->nodes[i];
        if (is_there(node, 1))
            continue;
        bool inside = !is_there(&m->nodes[node->parent], 1);
        if (inside)
            tones[i] = tones[node->parent];
        else if (tones[i] != HONE_TREE_GONE)
            tones[i] = HONE_TREE_UNSURE; // missed, and so left out
    }
}

// --- the tree that is drawn
// ------------------------------------------------------------------------

struct measured {
    int64_t base; // totals
    int64_t width;
    int64_t gone;
    int64_t self; // width of its own
};

static int64_t rounded(double value)
{
    return value > 0 ? llround(value) : 0;
}

static int64_t self_of(const struct merger *m, uint32_t side, const struct merged *node)
{
    return rounded((double)node->side[side].self * m->scale[side]);
}

static void measure_nodes(const struct merger *m, const uint8_t *tones, struct measured *measured)
{
    for (size_t i = m->count; i-- > 0;) {
        const struct merged *node = &m->nodes[i];
        struct measured *at = &measured[i];
        at->base += self_of(m, 0, node);
        bool gone = tones[i] == HONE_TREE_GONE;
        at->self = self_of(m, gone ? 0 : 1, node);
        at->width += at->self;
        at->gone += gone ? at->self : 0;
        if (!i)
            break;
        struct measured *parent = &measured[node->parent];
        parent->base += at->base;
        parent->width += at->width;
        parent->gone += at->gone;
    }
}

// Writes the nodes that have a width, their sizes and tones, still in the order of the merged ones.
static int build_tree(const struct merger *m, const uint8_t *tones, const struct measured *measured,
                      struct hone_tree_diff *diff)
{
    struct hone_tree *tree = diff->tree;
    HONE_CLEANUP(hone_freep) uint32_t *places = calloc(m->count, sizeof *places);
    tree->nodes = calloc(m->count, sizeof *tree->nodes);
    diff->base = calloc(m->count, sizeof *diff->base);
    diff->gone = calloc(m->count, sizeof *diff->gone);
    diff->tone = calloc(m->count, sizeof *diff->tone);
    if (!places || !tree->nodes || !diff->base || !diff->gone || !diff->tone)
        return -ENOMEM;
    for (size_t i = 0; i < m->count; i++) {
        const struct merged *node = &m->nodes[i];
        if (i && measured[i].width <= 0)
            continue;
        uint32_t place = (uint32_t)tree->node_count++;
        places[i] = place;
        tree->nodes[place] = (struct hone_tree_node){
            .total = measured[i].width,
            .self = measured[i].self,
            .frame = node->frame,
            .parent = places[node->parent],
            .end = place + 1,
            .depth = node->depth,
        };
        diff->base[place] = measured[i].base;
        diff->gone[place] = measured[i].gone;
        diff->tone[place] = tones[i];
        if (node->depth > tree->depth)
            tree->depth = node->depth;
    }
    tree->all_count = tree->node_count;
    for (size_t i = tree->node_count; i-- > 1;) {
        struct hone_tree_node *parent = &tree->nodes[tree->nodes[i].parent];
        if (tree->nodes[i].end > parent->end)
            parent->end = tree->nodes[i].end;
    }
    return 0;
}

// Puts the wider sibling first, and what belongs to nodes with them.
static int order_tree(struct hone_tree_diff *diff)
{
    size_t count = diff->tree->node_count;
    HONE_CLEANUP(hone_freep) uint32_t *places = calloc(count, sizeof *places);
    int64_t *base = calloc(count, sizeof *base);
    int64_t *gone = calloc(count, sizeof *gone);
    uint8_t *tone = calloc(count, sizeof *tone);
    int r = places && base && gone && tone ? hone_tree_order(diff->tree, places) : -ENOMEM;
    if (r) {
        free(base);
        free(gone);
        free(tone);
        return r;
    }
    for (size_t i = 0; i < count; i++) {
        base[places[i]] = diff->base[i];
        gone[places[i]] = diff->gone[i];
        tone[places[i]] = diff->tone[i];
    }
    free(diff->base);
    free(diff->gone);
    free(diff->tone);
    diff->base = base;
    diff->gone = gone;
    diff->tone = tone;
    return 0;
}

// --- both sides
// ------------------------------------------------------------------------------------

struct side_work {
    const struct hone_profile *profiles[2];
    struct hone_tree_options options[2];
    struct hone_tree **trees;
    unsigned threads;
    int results[2];
    struct hone_error *errors;
};

static int build_side(const struct side_work *work, unsigned side)
{
    struct hone_error *err = &work->errors[side];
    int r = hone_tree_collect(work->profiles[side], &work->options[side], &work->trees[side], err);
    return r ? r : hone_tree_sort(work->trees[side], err);
}

static void build_sides(void *context, unsigned number)
{
    struct side_work *work = context;
    for (unsigned side = number; side < 2; side += work->threads)
        work->results[side] = build_side(work, side);
}

static int build_trees(const struct hone_compare *compare, const struct hone_compare_input sides[2],
                       const struct hone_tree_diff_options *options, struct hone_tree_diff *diff,
                       struct hone_error *err)
{
    struct hone_error errors[2] = {{0}};
    struct side_work work = {
        .trees = diff->trees, .results = {NOT_DONE, NOT_DONE}, .errors = errors};
    const char *type =
        hone_arena_format(&diff->tree->names, "%.*s", (int)compare->type.len, compare->type.at);
    if (!type)
        return -ENOMEM;
    for (uint32_t side = 0; side < 2; side++) {
        work.profiles[side] = sides[side].at[0];
        if (sides[side].count > 1) {
            int r =
                hone_profile_merge(sides[side].at, sides[side].count, &diff->profiles[side], err);
            if (r)
                return r;
            work.profiles[side] = diff->profiles[side];
        }
        work.options[side] = (struct hone_tree_options){.size = sizeof work.options[side],
                                                        .group = options->group,
                                                        .reversed = options->reversed};
        int r = hone_profile_select_type(work.profiles[side], type, &work.options[side].type, err);
        if (r)
            return r;
    }
    work.threads = hone_crew_size() > 1 ? 2 : 1;
    hone_crew_run(work.threads, build_sides, &work);
    for (uint32_t side = 0; side < 2; side++)
        if (work.results[side] == NOT_DONE) // no thread was to be had
            work.results[side] = build_side(&work, side);
    for (uint32_t side = 0; side < 2; side++)
        if (work.results[side]) {
            if (err)
                *err = errors[side];
            return work.results[side];
        }
    return 0;
}

static int measure_sides(struct merger *m)
{
    int r = 0;
    for (uint32_t side = 0; !r && side < 2; side++) {
        m->wholes[side] = (int64_t)m->trees[side]->builder->magnitude;
        r = hone_tree_least(m->trees[side], MANY, &m->least_of[side]);
    }
    return r;
}

// What values of either side are multiplied by: the new side's are a run's, the base's what they
// are compared as.
static void set_scale(struct merger *m)
{
    const struct hone_compare *compare = m->compare;
    double runs[2] = {compare->side[0].runs, compare->side[1].runs};
    m->scale[0] = 1 / runs[0];
    m->scale[1] = 1 / runs[1];
    if (compare->per == HONE_COMPARE_SHARE)
        m->scale[0] = whole_of(m, 1) / (double)m->wholes[0];
    if (compare->per == HONE_COMPARE_SECOND)
        m->scale[0] = compare->side[1].seconds / runs[1] / compare->side[0].seconds;
    double whole = whole_of(m, 0) + whole_of(m, 1);
    double least = 0;
    for (uint32_t side = 0; side < 2; side++)
        least += m->least_of[side] > 0 ? (double)m->least_of[side] * m->scale[side] : 0;
    m->least_part = least > whole * least_part ? least / whole : least_part;
    m->least = whole * m->least_part;
}

static int fill(const struct hone_compare *compare, const struct hone_compare_input sides[2],
                const struct hone_tree_diff_options *options, struct hone_tree_diff *diff,
                struct hone_error *err)
{
    int r = build_trees(compare, sides, options, diff, err);
    if (r)
        return r;
    HONE_CLEANUP(merger_done) struct merger m = {.compare = compare};
    for (uint32_t side = 0; side < 2; side++)
        m.trees[side] = diff->trees[side];
    r = measure_sides(&m);
    if (r)
        return r;
    set_scale(&m);
    r = number_frames(&m);
    if (!r)
        r = merge_nodes(&m);
    for (uint32_t side = 0; side < 2; side++)
        hone_tree_forget_stacks(diff->trees[side]);
    if (r)
        return r;
    HONE_CLEANUP(hone_freep) uint8_t *tones = calloc(m.count, sizeof *tones);
    HONE_CLEANUP(hone_freep) struct measured *measured = calloc(m.count, sizeof *measured);
    if (!tones || !measured)
        return -ENOMEM;
    r = judge_nodes(&m, tones);
    if (r)
        return r;
    settle_gone(&m, tones);
    measure_nodes(&m, tones, measured);
    diff->whole[0] = measured[0].base;
    diff->whole[1] = measured[0].width - measured[0].gone;
    diff->least = m.least_part;
    r = build_tree(&m, tones, measured, diff);
    if (r)
        return r;
    diff->tree->frames = hone_take(m.all);
    diff->tree->frame_count = m.all_count;
    return order_tree(diff);
}

int hone_tree_diff_new(const struct hone_compare *compare, const struct hone_compare_input sides[2],
                       const struct hone_tree_diff_options *options, struct hone_tree_diff **ret,
                       struct hone_error *err)
{
    static const struct hone_tree_diff_options defaults;
    HONE_CLEANUP(hone_tree_diff_freep) struct hone_tree_diff *diff = calloc(1, sizeof *diff);
    if (diff)
        diff->tree = calloc(1, sizeof *diff->tree);
    int r = diff && diff->tree ? fill(compare, sides, options ? options : &defaults, diff, err)
                               : -ENOMEM;
    if (r)
        return r == -ENOMEM ? hone_error_set(err, r, "cannot compare the call trees") : r;
    *ret = hone_take(diff);
    return 0;
}

void hone_tree_diff_free(struct hone_tree_diff *diff)
{
    if (!diff)
        return;
    hone_tree_free(diff->tree);
    free(diff->base);
    free(diff->gone);
    free(diff->tone);
    for (uint32_t side = 0; side < 2; side++) {
        hone_profile_free(diff->profiles[side]);
        hone_tree_free(diff->trees[side]);
    }
    free(diff);
}

void hone_tree_diff_freep(struct hone_tree_diff **diff)
{
    hone_tree_diff_free(*diff);
}
