#include "analyse/tree.h"
#include "profile/profile.h"

#include "check.h"

#include <errno.h>
#include <stdlib.h>

// --- by hand -------------------------------------------------------------------------------------

static uint32_t frame(struct hone_tree *tree, const char *name)
{
    uint32_t index = UINT32_MAX;
    CHECK_EQ(hone_tree_frame(tree, &(struct hone_tree_frame){.name = hone_str_of(name)}, &index),
             0);
    return index;
}

// Adds "a;b;c", root first.
static void add(struct hone_tree *tree, const char *stack, int64_t value)
{
    char text[256];
    uint32_t frames[32];
    size_t count = 0;
    CHECK(strlen(stack) < sizeof text);
    memcpy(text, stack, strlen(stack) + 1);
    for (char *rest = text, *name; (name = strsep(&rest, ";")) && *name;) {
        // The tree borrows names, so each needs a place that stays.
        static char *names[64];
        size_t i = 0;
        while (names[i] && strcmp(names[i], name) != 0)
            i++;
        if (!names[i])
            names[i] = strdup(name);
        frames[count++] = frame(tree, names[i]);
    }
    CHECK_EQ(hone_tree_add(tree, frames, count, value), 0);
}

// One line per node: depth, name, total, self.
static void print(const struct hone_tree *tree, struct hone_buffer *out)
{
    for (size_t i = 0; i < tree->node_count; i++) {
        const struct hone_tree_node *node = &tree->nodes[i];
        struct hone_str name = i ? tree->frames[node->frame].name : HONE_STR("-");
        hone_buffer_format(out, "%u %.*s %lld %lld\n", node->depth, (int)name.len, name.at,
                           (long long)node->total, (long long)node->self);
    }
    hone_buffer_add(out, "", 1);
}

static void check_sound(const struct hone_tree *tree)
{
    for (size_t i = 0; i < tree->node_count; i++) {
        const struct hone_tree_node *node = &tree->nodes[i];
        int64_t sum = node->self;
        int64_t last = INT64_MAX;
        CHECK(node->end > i && node->end <= tree->node_count);
        for (size_t child = i + 1; child < node->end; child = tree->nodes[child].end) {
            CHECK_EQ(tree->nodes[child].parent, i);
            CHECK_EQ(tree->nodes[child].depth, node->depth + 1);
            CHECK(tree->nodes[child].total <= last);
            last = tree->nodes[child].total;
            sum += last;
        }
        CHECK_EQ(sum, node->total);
    }
}

TEST(tree_merges_stacks_that_begin_alike)
{
    HONE_CLEANUP(hone_tree_freep) struct hone_tree *tree = NULL;
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer text = {0};
    CHECK_EQ(hone_tree_new(&tree), 0);
    add(tree, "main;read", 20);
    add(tree, "worker", 10);
    add(tree, "main;sort", 30);
    add(tree, "main;sort;swap", 40);
    add(tree, "", 5);
    CHECK_EQ(hone_tree_finish(tree, NULL, NULL), 0);
    check_sound(tree);
    print(tree, &text);
    CHECK_STR(text.at, "0 - 105 5\n"
                       "1 main 90 0\n"
                       "2 sort 70 30\n"
                       "3 swap 40 40\n"
                       "2 read 20 20\n"
                       "1 worker 10 10\n");
    CHECK_EQ(tree->depth, 3);
    CHECK_EQ(tree->stacks, 5);
}

TEST(tree_is_the_same_for_any_order_of_stacks)
{
    static const char *const stacks[] = {"a;b;c", "a;b", "a;d", "e", "a;b;f", "e;b", "a"};
    enum { STACKS = sizeof stacks / sizeof *stacks };
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer first = {0};
    uint32_t random = 7;
    for (int round = 0; round < 50; round++) {
        HONE_CLEANUP(hone_tree_freep) struct hone_tree *tree = NULL;
        HONE_CLEANUP(hone_buffer_done) struct hone_buffer text = {0};
        CHECK_EQ(hone_tree_new(&tree), 0);
        int order[STACKS] = {0};
        for (int i = 0; i < STACKS; i++) {
            random = random * 1664525 + 1013904223;
            int at = (int)(random >> 16) % (i + 1);
            order[i] = order[at];
            order[at] = i;
        }
        for (int i = 0; i < STACKS; i++)
            add(tree, stacks[order[i]], 10);
        CHECK_EQ(hone_tree_finish(tree, NULL, NULL), 0);
        check_sound(tree);
        print(tree, &text);
        if (round == 0)
            hone_buffer_add(&first, text.at, text.len);
        else
            CHECK_STR(text.at, first.at);
    }
}

TEST(tree_knows_recursion_as_levels)
{
    HONE_CLEANUP(hone_tree_freep) struct hone_tree *tree = NULL;
    CHECK_EQ(hone_tree_new(&tree), 0);
    add(tree, "f;f;f", 1);
    add(tree, "f;f", 1);
    CHECK_EQ(hone_tree_finish(tree, NULL, NULL), 0);
    CHECK_EQ(tree->node_count, 4);
    CHECK_EQ(tree->frame_count, 1);
    CHECK_EQ(tree->nodes[1].total, 2);
    CHECK_EQ(tree->nodes[3].total, 1);
}

TEST(tree_of_a_million_levels_needs_no_recursion)
{
    enum { DEPTH = 1000000 };
    HONE_CLEANUP(hone_tree_freep) struct hone_tree *tree = NULL;
    HONE_CLEANUP(hone_freep) uint32_t *frames = calloc(DEPTH, sizeof *frames);
    CHECK_EQ(hone_tree_new(&tree), 0);
    (void)frame(tree, "f");
    CHECK_EQ(hone_tree_add(tree, frames, DEPTH, 3), 0);
    CHECK_EQ(hone_tree_finish(tree, NULL, NULL), 0);
    CHECK_EQ(tree->depth, DEPTH);
    CHECK_EQ(tree->nodes[DEPTH].self, 3);
}

TEST(tree_refuses_values_that_do_not_add_up)
{
    struct hone_error err = {0};
    HONE_CLEANUP(hone_tree_freep) struct hone_tree *tree = NULL;
    CHECK_EQ(hone_tree_new(&tree), 0);
    add(tree, "a", INT64_MAX);
    add(tree, "b", 1);
    CHECK_EQ(hone_tree_finish(tree, NULL, &err), -EOVERFLOW);
    CHECK(strstr(err.message, "cannot be added up") != NULL);
}

TEST(tree_without_stacks_is_a_root_of_nothing)
{
    HONE_CLEANUP(hone_tree_freep) struct hone_tree *tree = NULL;
    CHECK_EQ(hone_tree_new(&tree), 0);
    CHECK_EQ(hone_tree_finish(tree, NULL, NULL), 0);
    CHECK_EQ(tree->node_count, 1);
    CHECK_EQ(tree->nodes[0].total, 0);
    CHECK_EQ(tree->nodes[0].end, 1);
}

TEST(tree_keeps_the_same_place_for_equal_frames_in_any_order)
{
    static const char *const files[] = {"b.c", "", "a.c"};
    for (int turn = 0; turn < 3; turn++) {
        HONE_CLEANUP(hone_tree_freep) struct hone_tree *tree = NULL;
        CHECK_EQ(hone_tree_new(&tree), 0);
        for (int i = 0; i < 3; i++) {
            uint32_t index;
            struct hone_tree_frame f = {
                .name = HONE_STR("f"), .file = hone_str_of(files[(i + turn) % 3]), .start_line = 1};
            CHECK_EQ(hone_tree_frame(tree, &f, &index), 0);
            CHECK_EQ(index, 0);
        }
        CHECK_STR(tree->frames[0].file.at, "a.c");
    }
}

// --- the largest nodes ---------------------------------------------------------------------------

// Stacks of few values, so that many nodes are equally large.
static struct hone_tree *grown(uint32_t stacks, int64_t values, const struct hone_tree_limit *limit)
{
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g"};
    struct hone_tree *tree = NULL;
    uint32_t frames[7];
    uint32_t random = 11;
    CHECK_EQ(hone_tree_new(&tree), 0);
    for (uint32_t i = 0; i < 7; i++)
        frames[i] = frame(tree, names[i]);
    for (uint32_t i = 0; i < stacks; i++) {
        uint32_t stack[12];
        random = random * 1664525 + 1013904223;
        uint32_t count = (random >> 16) % 12;
        for (uint32_t k = 0; k < count; k++) {
            random = random * 1664525 + 1013904223;
            stack[k] = frames[(random >> 16) % 7];
        }
        CHECK_EQ(hone_tree_add(tree, stack, count, 1 + (int64_t)(random >> 20) % values), 0);
    }
    CHECK_EQ(hone_tree_finish(tree, limit, NULL), 0);
    return tree;
}

// The nodes of a whole tree that a limit leaves.
static uint8_t *wanted_of(const struct hone_tree *whole, const struct hone_tree_limit *limit)
{
    uint8_t *wanted = calloc(whole->node_count, 1);
    for (size_t i = 0; i < whole->node_count; i++) {
        size_t before = 0;
        for (size_t k = 0; k < whole->node_count; k++)
            before += whole->nodes[k].total > whole->nodes[i].total ||
                      (whole->nodes[k].total == whole->nodes[i].total && k < i);
        wanted[i] = before < limit->max_nodes;
        if (limit->part > 0)
            wanted[i] |=
                whole->nodes[i].total >= (int64_t)(limit->part * (double)whole->nodes[0].total);
    }
    for (size_t i = 0; i < whole->node_count; i++) { // and the first way
        wanted[i] = 1;
        if (i + 1 == whole->nodes[i].end)
            break;
    }
    return wanted;
}

static void check_limit(const struct hone_tree *whole, uint32_t stacks, int64_t values,
                        const struct hone_tree_limit *limit)
{
    HONE_CLEANUP(hone_tree_freep) struct hone_tree *tree = grown(stacks, values, limit);
    HONE_CLEANUP(hone_freep) uint8_t *wanted = wanted_of(whole, limit);
    CHECK_EQ(tree->all_count, whole->node_count);
    size_t at = 0;
    int64_t largest = 0;
    uint64_t left_out = 0;
    for (size_t i = 0; i < whole->node_count; i++) {
        const struct hone_tree_node *node = &whole->nodes[i];
        if (!wanted[i]) {
            largest = node->total > largest ? node->total : largest;
            continue;
        }
        const struct hone_tree_node *there = &tree->nodes[at];
        CHECK_EQ(there->total, node->total);
        CHECK_EQ(there->self, node->self);
        CHECK_EQ(there->frame, node->frame);
        CHECK_EQ(there->depth, node->depth);
        int64_t hidden = 0;
        uint32_t children = 0;
        for (uint32_t child = (uint32_t)i + 1; child < node->end; child = whole->nodes[child].end) {
            hidden += wanted[child] ? 0 : whole->nodes[child].total;
            children += !wanted[child];
        }
        CHECK_EQ(there->children_left_out, children);
        CHECK_EQ(hone_tree_left_out(tree, (uint32_t)at), hidden);
        left_out += there->left_out;
        at++;
    }
    CHECK_EQ(at, tree->node_count);
    CHECK_EQ(tree->largest_left_out, largest);
    CHECK_EQ(tree->node_count + left_out, whole->node_count);
    for (size_t i = 0; i < tree->frame_count; i++)
        CHECK_EQ(tree->frame_self[i], whole->frame_self[i]);
    CHECK_EQ(tree->depth, whole->depth);
}

TEST(a_tree_with_a_limit_has_the_largest_nodes_and_counts_the_others)
{
    static const int64_t values[] = {1, 3, 1000000};
    for (size_t i = 0; i < 3; i++) {
        HONE_CLEANUP(hone_tree_freep) struct hone_tree *whole = grown(300, values[i], NULL);
        check_sound(whole);
        CHECK_EQ(whole->all_count, whole->node_count);
        for (uint32_t most = 1; most < whole->node_count + 50; most += 1 + most / 3)
            check_limit(whole, 300, values[i], &(struct hone_tree_limit){.max_nodes = most});
        check_limit(whole, 300, values[i],
                    &(struct hone_tree_limit){.max_nodes = 3, .part = 0.004});
    }
}

TEST(a_tree_of_negative_values_has_all_its_nodes)
{
    HONE_CLEANUP(hone_tree_freep) struct hone_tree *tree = NULL;
    CHECK_EQ(hone_tree_new(&tree), 0);
    add(tree, "a;b", 10);
    add(tree, "a;c", -10); // so a is smaller than what it calls
    add(tree, "d", 1);
    CHECK_EQ(hone_tree_finish(tree, &(struct hone_tree_limit){.max_nodes = 1}, NULL), 0);
    CHECK_EQ(tree->node_count, 5);
}

// --- of a profile --------------------------------------------------------------------------------

struct maker {
    struct hone_profile *profile;
    uint32_t mapping;
};

static struct maker make(void)
{
    struct maker maker = {.profile = hone_profile_new()};
    hone_profile_add_type(maker.profile, "samples", "count");
    hone_profile_add_type(maker.profile, "cpu", "nanoseconds");
    maker.mapping = hone_profile_add_mapping(
        maker.profile,
        &(struct hone_profile_mapping){.start = 4096,
                                       .limit = 8192,
                                       .file = hone_profile_intern(maker.profile, "/bin/program")});
    return maker;
}

static struct hone_profile_line line(struct maker *maker, const char *name, int64_t number)
{
    struct hone_profile_function function = {.name = hone_profile_intern(maker->profile, name),
                                             .start_line = 10};
    return (struct hone_profile_line){
        .function = hone_profile_add_function(maker->profile, &function), .number = number};
}

static uint32_t place(struct maker *maker, uint32_t mapping, uint64_t address,
                      const struct hone_profile_line *lines, uint32_t count)
{
    return hone_profile_add_location(
        maker->profile,
        &(struct hone_profile_location){
            .mapping = mapping, .address = address, .lines = lines, .line_count = count});
}

static void sample(struct maker *maker, const uint32_t *locations, size_t count, int64_t value)
{
    uint32_t stack = hone_profile_add_stack(maker->profile, locations, count);
    hone_profile_add_sample(maker->profile, stack, (int64_t[]){1, value}, NULL, 0);
}

static struct hone_tree *tree_of(struct maker *maker, struct hone_tree_options options)
{
    struct hone_tree *tree = NULL;
    options.size = sizeof options;
    CHECK_EQ(hone_tree_of_profile(maker->profile, &options, &tree, NULL), 0);
    check_sound(tree);
    return tree;
}

static const char *name_of(const struct hone_tree *tree, size_t node)
{
    static char text[64];
    struct hone_str name = tree->frames[tree->nodes[node].frame].name;
    (void)snprintf(text, sizeof text, "%.*s", (int)name.len, name.at);
    return text;
}

TEST(tree_of_profile_opens_inlined_calls)
{
    struct maker maker = make();
    struct hone_profile_line lines[] = {line(&maker, "inlined", 5), line(&maker, "holder", 6)};
    uint32_t leaf = place(&maker, maker.mapping, 4100, lines, 2);
    sample(&maker, &leaf, 1, 7);
    struct hone_tree *tree = tree_of(&maker, (struct hone_tree_options){.type = 1});
    CHECK_EQ(tree->node_count, 3);
    CHECK_STR(name_of(tree, 1), "holder");
    CHECK_STR(name_of(tree, 2), "inlined");
    CHECK(!tree->frames[tree->nodes[1].frame].inlined);
    CHECK(tree->frames[tree->nodes[2].frame].inlined);
    CHECK_EQ(tree->nodes[0].total, 7);
    hone_tree_free(tree);
    tree = tree_of(&maker, (struct hone_tree_options){.type = 1, .reversed = true});
    CHECK_STR(name_of(tree, 1), "inlined");
    CHECK_STR(name_of(tree, 2), "holder");
    hone_tree_free(tree);
    hone_profile_free(maker.profile);
}

TEST(tree_groups_by_function_line_or_module)
{
    struct maker maker = make();
    struct hone_profile_line lines[] = {line(&maker, "f", 11), line(&maker, "f", 12),
                                        line(&maker, "main", 3)};
    uint32_t top = place(&maker, maker.mapping, 4096, &lines[2], 1);
    for (uint32_t i = 0; i < 2; i++)
        sample(&maker, (uint32_t[]){place(&maker, maker.mapping, 5000 + i, &lines[i], 1), top}, 2,
               10);
    static const size_t nodes[] = {
        [HONE_TREE_FUNCTION] = 3, [HONE_TREE_LINE] = 4, [HONE_TREE_MODULE] = 2};
    for (int group = HONE_TREE_FUNCTION; group <= HONE_TREE_MODULE; group++) {
        struct hone_tree *tree =
            tree_of(&maker, (struct hone_tree_options){.type = 1, .group = group});
        CHECK_EQ(tree->node_count, nodes[group]);
        CHECK_EQ(tree->nodes[0].total, 20);
        if (group == HONE_TREE_MODULE)
            CHECK_STR(name_of(tree, 1), "program");
        hone_tree_free(tree);
    }
    hone_profile_free(maker.profile);
}

TEST(tree_calls_code_without_names_by_its_module)
{
    struct maker maker = make();
    sample(&maker, (uint32_t[]){place(&maker, maker.mapping, 4200, NULL, 0)}, 1, 1);
    sample(&maker, (uint32_t[]){place(&maker, maker.mapping, 4300, NULL, 0)}, 1, 1);
    sample(&maker, (uint32_t[]){place(&maker, 0, 66, NULL, 0)}, 1, 1);
    struct hone_tree *tree = tree_of(&maker, (struct hone_tree_options){.type = 1});
    CHECK_EQ(tree->node_count, 3);
    CHECK_STR(name_of(tree, 1), "[program]");
    CHECK_EQ(tree->nodes[1].total, 2);
    CHECK_STR(name_of(tree, 2), "[unknown]");
    hone_tree_free(tree);
    hone_profile_free(maker.profile);
}

TEST(tree_counts_what_it_leaves_out_and_what_was_cut_short)
{
    struct maker maker = make();
    struct hone_profile_line lines[] = {line(&maker, "f", 1), line(&maker, "[truncated]", 0)};
    uint32_t f = place(&maker, maker.mapping, 4200, &lines[0], 1);
    uint32_t cut = place(&maker, 0, 0, &lines[1], 1);
    sample(&maker, (uint32_t[]){f}, 1, 0);
    sample(&maker, (uint32_t[]){f, f}, 2, -5);
    sample(&maker, (uint32_t[]){f, cut}, 2, 8);
    sample(&maker, (uint32_t[]){f, f, f}, 3, 2);
    struct hone_tree *tree = tree_of(&maker, (struct hone_tree_options){.type = 1});
    CHECK_EQ(tree->nodes[0].total, 10);
    CHECK_EQ(tree->stacks, 2);
    CHECK_EQ(tree->stacks_of_zero, 1);
    CHECK_EQ(tree->stacks_negative, 1);
    CHECK_EQ(tree->stacks_truncated, 1);
    CHECK_EQ(tree->truncated, 8);
    hone_tree_free(tree);
    tree = tree_of(&maker, (struct hone_tree_options){.type = 1, .keep_negative = true});
    CHECK_EQ(tree->nodes[0].total, 5);
    hone_tree_free(tree);
    hone_profile_free(maker.profile);
}

static bool is_f(void *context, struct hone_str name)
{
    (void)context;
    return hone_str_equal(name, HONE_STR("f"));
}

TEST(tree_of_a_difference_nets_stacks_that_are_the_same_functions)
{
    struct maker maker = make();
    struct hone_profile_line lines[] = {line(&maker, "f", 1), line(&maker, "g", 5),
                                        line(&maker, "g", 6)};
    uint32_t f = place(&maker, maker.mapping, 4200, &lines[0], 1);
    uint32_t before = place(&maker, maker.mapping, 4300, &lines[1], 1);
    uint32_t now = place(&maker, maker.mapping, 4400, &lines[2], 1);
    sample(&maker, (uint32_t[]){before, f}, 2, -5);
    sample(&maker, (uint32_t[]){now, f}, 2, 8);
    sample(&maker, (uint32_t[]){f}, 1, -2);
    sample(&maker, (uint32_t[]){f, f}, 2, 4);
    sample(&maker, (uint32_t[]){f, f}, 2, -4);
    struct hone_tree *tree = tree_of(&maker, (struct hone_tree_options){.type = 1, .net = true});
    CHECK_EQ(tree->nodes[0].total, 3);
    CHECK_EQ(tree->node_count, 3);
    CHECK_STR(name_of(tree, 2), "g");
    CHECK_EQ(tree->stacks_negative, 1); // f alone
    hone_tree_free(tree);
    // By lines these are different stacks.
    tree = tree_of(&maker,
                   (struct hone_tree_options){.type = 1, .net = true, .group = HONE_TREE_LINE});
    CHECK_EQ(tree->nodes[0].total, 8);
    CHECK_EQ(tree->stacks_negative, 2);
    hone_tree_free(tree);
    const struct hone_tree_options options = {.size = sizeof options, .type = 1, .net = true};
    CHECK_EQ(hone_tree_sandwich(maker.profile, &options, is_f, NULL, &tree, NULL), 0);
    CHECK_EQ(tree->nodes[0].total, 3);
    CHECK_EQ(tree->stacks_negative, 1);
    hone_tree_free(tree);
    hone_profile_free(maker.profile);
}

TEST(tree_refuses_a_sample_type_that_is_not_there)
{
    struct maker maker = make();
    struct hone_tree *tree = NULL;
    struct hone_tree_options options = {.size = sizeof options, .type = 2};
    CHECK_EQ(hone_tree_of_profile(maker.profile, &options, &tree, NULL), -EINVAL);
    hone_profile_free(maker.profile);
}
