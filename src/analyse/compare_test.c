#include "analyse/compare.h"

#include "analyse/compare_parts.h"
#include "analyse/tree_diff.h"
#include "base/starve.h"
#include "check.h"
#include "profile/fixture.h"
#include "profile/profile.h"

#include <errno.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

// --- profiles ------------------------------------------------------------------------------------

// A stack of these functions, root first, parted by ';'. A name may say where its function begins
// ("main@main.c:12"), and '~' before it that it was inlined into the one before.
struct stack {
    const char *frames;
    int64_t samples;
};

struct part {
    char name[64];
    char file[64];
    int64_t line;
    bool inlined;
};

static struct part read_part(const char *text)
{
    struct part part = {.inlined = text[0] == '~'};
    (void)sscanf(text + part.inlined, "%63[^@]@%63[^:]:%ld", part.name, part.file, &part.line);
    return part;
}

static uint32_t function_of(struct hone_profile *p, const struct part *part)
{
    return hone_profile_add_function(
        p, &(struct hone_profile_function){.name = hone_profile_intern(p, part->name),
                                           .file = hone_profile_intern(p, part->file),
                                           .start_line = part->line});
}

static uint32_t location_of(struct hone_profile *p, const struct part *parts, size_t count)
{
    struct hone_profile_line lines[8];
    for (size_t i = 0; i < count; i++)
        lines[count - 1 - i] =
            (struct hone_profile_line){.function = function_of(p, &parts[i]), .number = 1};
    return hone_profile_add_location(
        p, &(struct hone_profile_location){
               .mapping = p->mappings.count > 1, .lines = lines, .line_count = (uint32_t)count});
}

static void add_stack(struct hone_profile *p, const struct stack *stack, int64_t weight)
{
    struct part parts[16];
    uint32_t locations[16];
    char text[512];
    size_t parts_count = 0;
    size_t count = 0;
    (void)snprintf(text, sizeof text, "%s", stack->frames);
    char *rest = text;
    for (char *word; (word = strsep(&rest, ";")) != NULL;)
        parts[parts_count++] = read_part(word);
    for (size_t i = 0, end; i < parts_count; i = end) {
        for (end = i + 1; end < parts_count && parts[end].inlined;)
            end++;
        locations[count++] = location_of(p, parts + i, end - i);
    }
    for (size_t i = 0; i < count / 2; i++) {
        uint32_t moved = locations[i];
        locations[i] = locations[count - 1 - i];
        locations[count - 1 - i] = moved;
    }
    (void)hone_profile_add_sample(p, hone_profile_add_stack(p, locations, count),
                                  (int64_t[]){stack->samples, stack->samples * weight}, NULL, 0);
}

static struct hone_profile *make(const struct stack *stacks)
{
    struct hone_profile *p = hone_profile_new();
    (void)hone_profile_add_type(p, "samples", "count");
    (void)hone_profile_add_type(p, "cpu", "nanoseconds");
    p->duration_ns = 10000000000;
    (void)hone_profile_add_mapping(
        p, &(struct hone_profile_mapping){
               .start = 4096, .limit = 1 << 20, .file = hone_profile_intern(p, "/bin/program")});
    for (; stacks->frames; stacks++)
        add_stack(p, stacks, 1000000);
    return p;
}

#define STACKS(...) ((const struct stack[]){__VA_ARGS__, {0}})

struct pair {
    struct hone_profile *base;
    struct hone_profile *new;
    struct hone_compare *compare;
};

static struct pair pair_of(const struct stack *base, const struct stack *new,
                           const struct hone_compare_options *options)
{
    struct pair pair = {.base = make(base), .new = make(new)};
    struct hone_compare_input sides[2] = {
        {(const struct hone_profile *const *)&pair.base, 1},
        {(const struct hone_profile *const *)&pair.new, 1},
    };
    struct hone_error err = {0};
    CHECK_EQ(hone_compare_new(sides, options, &pair.compare, &err), 0);
    return pair;
}

static void pair_done(struct pair *pair)
{
    hone_compare_free(pair->compare);
    hone_profile_free(pair->base);
    hone_profile_free(pair->new);
}

static const struct hone_compare_row *row_of(const struct pair *pair, const char *name)
{
    for (uint32_t i = 0; i < pair->compare->row_count; i++)
        if (hone_str_equal(pair->compare->rows[i].name, hone_str_of(name)))
            return &pair->compare->rows[i];
    return NULL;
}

// --- rows ----------------------------------------------------------------------------------------

TEST(a_row_has_its_values_on_both_sides_and_a_verdict)
{
    struct pair pair = pair_of(STACKS({"main;parse", 1000}, {"main;render", 3000}),
                               STACKS({"main;parse", 1500}, {"main;render", 3010}), NULL);
    const struct hone_compare_row *parse = row_of(&pair, "parse");
    CHECK_NEAR(parse->is.value[0], 1e9, 0);
    CHECK_NEAR(parse->is.value[1], 1.5e9, 0);
    CHECK_NEAR(parse->is.change, 0.5, 1e-9);
    CHECK_NEAR(parse->samples[1], 1500, 0.001);
    CHECK_EQ(parse->is.verdict, HONE_VERDICT_MORE);
    cr_assert(parse->is.low > 0.3 && parse->is.low < 0.5 && parse->is.high < 0.8, "%g to %g",
              parse->is.low, parse->is.high);
    CHECK_EQ(row_of(&pair, "render")->is.verdict, HONE_VERDICT_UNKNOWN);
    CHECK_EQ(pair.compare->judge.whole.verdict, HONE_VERDICT_MORE);
    CHECK(row_of(&pair, "main") == NULL); // nothing of its own
    pair_done(&pair);
}

TEST(shares_do_not_care_how_long_was_recorded)
{
    const struct stack *base = STACKS({"main;parse", 1000}, {"main;render", 3000});
    const struct stack *new = STACKS({"main;parse", 4000}, {"main;render", 12000});
    struct pair pair =
        pair_of(base, new, &(struct hone_compare_options){.per = HONE_COMPARE_SHARE});
    CHECK_NEAR(row_of(&pair, "parse")->is.value[1], 0.25, 1e-9);
    CHECK_EQ(row_of(&pair, "parse")->is.verdict, HONE_VERDICT_UNKNOWN);
    CHECK_NEAR(row_of(&pair, "parse")->is.change, 0, 1e-9);
    pair_done(&pair);
    pair = pair_of(base, new, NULL);
    CHECK_NEAR(row_of(&pair, "parse")->is.change, 3, 1e-9);
    CHECK_EQ(row_of(&pair, "parse")->is.verdict, HONE_VERDICT_MORE);
    pair_done(&pair);
}

TEST(recursion_counts_once_and_cum_holds_what_was_called)
{
    struct pair pair = pair_of(STACKS({"main;f;g;f", 1000}), STACKS({"main;f;g;f", 2000}),
                               &(struct hone_compare_options){.by_cum = true});
    CHECK_NEAR(row_of(&pair, "f")->is.value[0], 1e9, 0);
    CHECK_NEAR(row_of(&pair, "main")->is.value[1], 2e9, 0);
    pair_done(&pair);
}

// --- another name --------------------------------------------------------------------------------

TEST(stems_leave_out_what_compilers_and_signatures_add)
{
    static const char *const names[][2] = {
        {"work.isra.0", "work"},
        {"work.constprop.12.cold", "work"},
        {"work.part.0", "work"},
        {"app::run::h0123456789abcdef", "app::run"},
        {"ns::f(int, std::pair<int, int>) const", "ns::f"},
        {"operator()(int)", "operator()"},
        {"ns::(anonymous namespace)", "ns::(anonymous namespace)"},
        {"v1.2", "v1.2"},
        {"", ""},
        {")", ")"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct hone_str stem = hone_compare_stem(hone_str_of(names[i][0]));
        cr_assert(hone_str_equal(stem, hone_str_of(names[i][1])), "%s is %.*s", names[i][0],
                  (int)stem.len, stem.at);
    }
}

static void check_joined(const struct stack *base, const struct stack *new, const char *was,
                         const char *name, enum hone_compare_match how)
{
    struct pair pair = pair_of(base, new, NULL);
    const struct hone_compare_row *row = row_of(&pair, name);
    CHECK(row != NULL);
    cr_assert(hone_str_equal(row->was, hone_str_of(was)), "%s was %.*s", name, (int)row->was.len,
              row->was.at ? row->was.at : "");
    CHECK_EQ(row->match, how);
    CHECK(row_of(&pair, was) == NULL);
    CHECK(row->is.value[0] > 0 && row->is.value[1] > 0);
    pair_done(&pair);
}

TEST(the_same_lines_under_another_name_are_the_same_function)
{
    check_joined(STACKS({"main@a.c:1;sum@/old/src/a.c:20", 500}),
                 STACKS({"main@a.c:1;add_up@/new/src/a.c:20", 300}), "sum", "add_up",
                 HONE_COMPARE_SAME_PLACE);
}

TEST(a_compilers_ending_is_no_other_function)
{
    check_joined(STACKS({"main;sum", 500}), STACKS({"main;sum.isra.0", 300}), "sum", "sum.isra.0",
                 HONE_COMPARE_SAME_STEM);
}

TEST(the_same_callers_and_callees_are_the_same_function)
{
    check_joined(STACKS({"main;load;old_name;read", 300}, {"main;load;old_name", 200},
                        {"main;draw;line", 500}),
                 STACKS({"main;load;new_name;read", 310}, {"main;load;new_name", 190},
                        {"main;draw;line", 480}),
                 "old_name", "new_name", HONE_COMPARE_SAME_CALLS);
}

TEST(functions_that_only_look_alike_stay_apart)
{
    // Two were there and two are: which is which cannot be known.
    struct pair pair = pair_of(STACKS({"main;a", 500}, {"main;b", 500}),
                               STACKS({"main;c", 500}, {"main;d", 500}), NULL);
    CHECK_EQ(pair.compare->row_count, 4);
    pair_done(&pair);
    // Other callers.
    pair = pair_of(STACKS({"main;load;a", 500}, {"main;draw", 500}),
                   STACKS({"main;load", 500}, {"main;draw;b", 500}), NULL);
    CHECK(row_of(&pair, "a") && row_of(&pair, "b"));
    pair_done(&pair);
    // Asked not to.
    pair = pair_of(STACKS({"main;sum", 500}), STACKS({"main;sum.isra.0", 300}),
                   &(struct hone_compare_options){.names_only = true});
    CHECK_EQ(pair.compare->row_count, 2);
    pair_done(&pair);
}

TEST(inlined_code_keeps_its_row_and_says_so)
{
    struct pair pair = pair_of(STACKS({"main;small", 500}), STACKS({"main;~small", 500}), NULL);
    const struct hone_compare_row *row = row_of(&pair, "small");
    CHECK_NEAR(row->inlined[0], 0, 0);
    CHECK_NEAR(row->inlined[1], 1, 0);
    CHECK_EQ(row->is.verdict, HONE_VERDICT_UNKNOWN);
    pair_done(&pair);
}

TEST(what_is_gone_and_grew_its_caller_may_be_inlined)
{
    struct pair pair = pair_of(STACKS({"main;work;small", 1000}, {"main;work", 500}, {"main", 100}),
                               STACKS({"main;work", 1500}, {"main", 100}), NULL);
    const struct hone_compare_row *row = row_of(&pair, "small");
    CHECK_EQ(row->is.verdict, HONE_VERDICT_LESS);
    cr_assert(hone_str_equal(row->perhaps_in, HONE_STR("work")));
    pair_done(&pair);
}

// --- how samples count ---------------------------------------------------------------------------

static struct hone_profile *heap(int64_t objects, int64_t bytes, int64_t rate)
{
    struct hone_profile *p = hone_profile_new();
    (void)hone_profile_add_type(p, "alloc_objects", "count");
    (void)hone_profile_add_type(p, "alloc_space", "bytes");
    hone_profile_set_period(p, "space", "bytes", rate);
    struct part part = read_part("make");
    uint32_t location = location_of(p, &part, 1);
    (void)hone_profile_add_sample(p, hone_profile_add_stack(p, &location, 1),
                                  (int64_t[]){objects, bytes}, NULL, 0);
    return p;
}

static double heap_samples(int64_t objects, int64_t bytes, int64_t rate)
{
    struct hone_profile *p = heap(objects, bytes, rate);
    struct hone_weights weights;
    CHECK_EQ(hone_weights_init(&weights, p, 1), 0);
    double samples = weights.whole.value * weights.whole.value / weights.whole.squares;
    hone_weights_done(&weights);
    hone_profile_free(p);
    return samples;
}

TEST(a_heap_profiles_objects_are_not_its_samples)
{
    // A million objects of 16 bytes at one sample each 512 KiB: some 30 samples.
    CHECK_NEAR(heap_samples(1000000, 16000000, 524288), 30.5, 0.5);
    // Large ones are all sampled; with a rate of 1 everything is.
    CHECK_NEAR(heap_samples(10, 100000000, 524288), 10, 0.001);
    CHECK_NEAR(heap_samples(1000000, 16000000, 1), 1000000, 1);
}

TEST(types_units_and_empty_sides_are_refused_with_a_reason)
{
    struct hone_profile *cpu = make(STACKS({"main", 5}));
    struct hone_profile *other = heap(1, 1, 1);
    struct hone_profile *empty = make((const struct stack[]){{0}});
    struct hone_compare_input wrong[2] = {{(const struct hone_profile *const *)&cpu, 1},
                                          {(const struct hone_profile *const *)&other, 1}};
    struct hone_compare_input nothing[2] = {{(const struct hone_profile *const *)&cpu, 1},
                                            {(const struct hone_profile *const *)&empty, 1}};
    struct hone_compare *compare = NULL;
    struct hone_error err = {0};
    CHECK_EQ(hone_compare_new(wrong, NULL, &compare, &err), -EINVAL);
    CHECK(strstr(err.message, "cpu"));
    CHECK_EQ(hone_compare_new(nothing, NULL, &compare, &err), -ENODATA);
    CHECK_STR(err.message, "the new side has no samples of type 'cpu'");
    hone_profile_free(cpu);
    hone_profile_free(other);
    hone_profile_free(empty);
}

// --- gates ---------------------------------------------------------------------------------------

TEST(a_gate_fails_only_what_is_surely_above_its_limit)
{
    static const struct {
        int64_t new;
        enum hone_compare_gate gate;
    } cases[] = {{10000, HONE_COMPARE_BELOW},
                 {10600, HONE_COMPARE_UNSURE},
                 {10300, HONE_COMPARE_UNSURE},
                 {12000, HONE_COMPARE_ABOVE},
                 {8000, HONE_COMPARE_BELOW}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pair pair = pair_of(STACKS({"main", 10000}), STACKS({"main", cases[i].new}), NULL);
        const struct hone_compare_row *row;
        CHECK_EQ(hone_compare_gate(pair.compare, 0.05, &row), cases[i].gate);
        pair_done(&pair);
    }
}

TEST(the_samples_it_would_take_tell_indeed)
{
    struct pair pair = pair_of(STACKS({"main", 1000}), STACKS({"main", 1050}), NULL);
    CHECK_EQ(pair.compare->judge.whole.verdict, HONE_VERDICT_UNKNOWN);
    int64_t need = (int64_t)hone_compare_need(pair.compare, 0).samples;
    pair_done(&pair);
    cr_assert(need > 5000 && need < 20000, "%lld", (long long)need);
    pair = pair_of(STACKS({"main", need}), STACKS({"main", need * 105 / 100}), NULL);
    CHECK_EQ(pair.compare->judge.whole.verdict, HONE_VERDICT_MORE);
    pair_done(&pair);
}

TEST(a_gate_of_shares_names_the_row)
{
    struct pair pair = pair_of(STACKS({"main;a", 5000}, {"main;b", 5000}),
                               STACKS({"main;a", 8000}, {"main;b", 2000}),
                               &(struct hone_compare_options){.per = HONE_COMPARE_SHARE});
    const struct hone_compare_row *row;
    CHECK_EQ(hone_compare_gate(pair.compare, 0.05, &row), HONE_COMPARE_ABOVE);
    cr_assert(hone_str_equal(row->name, HONE_STR("a")));
    pair_done(&pair);
}

// --- the trees of both ---------------------------------------------------------------------------

static struct hone_tree_diff *trees_of(const struct pair *pair)
{
    struct hone_compare_input sides[2] = {
        {(const struct hone_profile *const *)&pair->base, 1},
        {(const struct hone_profile *const *)&pair->new, 1},
    };
    struct hone_tree_diff *diff = NULL;
    CHECK_EQ(hone_tree_diff_new(pair->compare, sides, NULL, &diff, NULL), 0);
    return diff;
}

static uint32_t node_of(const struct hone_tree_diff *diff, const char *name)
{
    for (uint32_t i = 1; i < diff->tree->node_count; i++)
        if (hone_str_equal(diff->tree->frames[diff->tree->nodes[i].frame].name, hone_str_of(name)))
            return i;
    return 0;
}

static int64_t sum_of(const struct hone_profile *p)
{
    int64_t sum = 0;
    for (uint32_t i = 0; i < p->samples.count; i++)
        sum += p->samples.values[1][i];
    return sum;
}

TEST(trees_of_large_profiles_are_not_told_apart_where_no_picture_has_room)
{
    struct pair pair = {0};
    struct hone_profile **sides[2] = {&pair.base, &pair.new};
    for (uint64_t side = 0; side < 2; side++)
        *sides[side] = hone_fixture_large(&(struct hone_fixture_options){.seed = 1 + side,
                                                                         .samples = 20000,
                                                                         .depth = 64,
                                                                         .functions = 500,
                                                                         .type = "cpu",
                                                                         .unit = "nanoseconds"});
    struct hone_compare_input inputs[2] = {
        {(const struct hone_profile *const *)&pair.base, 1},
        {(const struct hone_profile *const *)&pair.new, 1},
    };
    CHECK_EQ(hone_compare_new(inputs, NULL, &pair.compare, NULL), 0);
    struct hone_tree_diff *diff = trees_of(&pair);
    CHECK(diff->least > 2e-6);
    CHECK_EQ(diff->whole[0], sum_of(pair.base));
    CHECK_EQ(diff->whole[1], sum_of(pair.new));
    CHECK(diff->tree->node_count < 2 << 20);
    hone_tree_diff_free(diff);
    pair_done(&pair);
}

TEST(trees_of_both_sides_lie_over_each_other)
{
    struct pair pair = pair_of(
        STACKS({"main;parse", 1000}, {"main;old;deep", 500}, {"main;rare", 1}, {"main;same", 300}),
        STACKS({"main;parse", 2000}, {"main;fresh", 700}, {"main;same", 310}), NULL);
    struct hone_tree_diff *diff = trees_of(&pair);
    CHECK_EQ(diff->whole[0], 1801000000);
    CHECK_EQ(diff->whole[1], 3010000000);
    // What is gone stands beside what is there; one sample that was not seen again is no loss.
    CHECK_EQ(diff->tree->nodes[0].total, 3510000000);
    CHECK_EQ(diff->gone[0], 500000000);
    CHECK_EQ(node_of(diff, "rare"), 0);
    CHECK_EQ(diff->tone[node_of(diff, "deep")], HONE_TREE_GONE);
    CHECK_EQ(diff->tone[node_of(diff, "old")], HONE_TREE_GONE);
    CHECK_EQ(diff->tone[node_of(diff, "fresh")], HONE_TREE_FRESH);
    CHECK_EQ(diff->tone[node_of(diff, "parse")], HONE_TREE_MORE + 2);
    CHECK_EQ(diff->tone[node_of(diff, "same")], HONE_TREE_UNSURE);
    CHECK_EQ(diff->base[node_of(diff, "parse")], 1000000000);
    // Totals are conserved and siblings in order.
    for (uint32_t i = 0; i < diff->tree->node_count; i++) {
        const struct hone_tree_node *nodes = diff->tree->nodes;
        int64_t sum = nodes[i].self;
        int64_t last = INT64_MAX;
        for (uint32_t child = i + 1; child < nodes[i].end; child = nodes[child].end) {
            sum += nodes[child].total;
            CHECK(nodes[child].total <= last);
            last = nodes[child].total;
        }
        CHECK_EQ(sum, nodes[i].total);
    }
    hone_tree_diff_free(diff);
    pair_done(&pair);
}

TEST(joined_functions_are_one_frame)
{
    struct pair pair = pair_of(STACKS({"main;sum", 500}), STACKS({"main;sum.isra.0", 500}), NULL);
    struct hone_tree_diff *diff = trees_of(&pair);
    CHECK_EQ(diff->gone[0], 0);
    CHECK_EQ(diff->base[node_of(diff, "sum.isra.0")], 500000000);
    hone_tree_diff_free(diff);
    pair_done(&pair);
}

// --- a sandwich ----------------------------------------------------------------------------------

static bool is_lock(void *context, struct hone_str name)
{
    (void)context;
    return hone_str_equal(name, HONE_STR("lock"));
}

TEST(a_sandwich_has_callers_above_and_callees_below)
{
    struct hone_profile *p = make(STACKS({"main;read;lock;wait", 5}, {"main;write;lock", 3},
                                         {"main;lock;wait;lock", 2}, {"main;other", 90}));
    struct hone_tree *tree = NULL;
    struct hone_tree_options options = {.size = sizeof options, .type = 0};
    CHECK_EQ(hone_tree_sandwich(p, &options, is_lock, NULL, &tree, NULL), 0);
    const struct hone_tree_node *nodes = tree->nodes;
    CHECK_EQ(nodes[0].total, 10);
    CHECK_EQ(nodes[0].self, 3);
    CHECK_EQ(nodes[1].total, 10);
    CHECK_EQ(nodes[1].end, tree->upper_end);
    CHECK_EQ(nodes[0].end, tree->node_count);
    // Above: read (5), write (3), main (2), the first two called by main. Below: wait (7), lock
    // (2).
    CHECK_EQ(tree->upper_end, 7);
    CHECK_EQ(tree->node_count, 9);
    cr_assert(hone_str_equal(tree->frames[nodes[2].frame].name, HONE_STR("read")));
    CHECK_EQ(nodes[2].parent, 1);
    cr_assert(hone_str_equal(tree->frames[nodes[7].frame].name, HONE_STR("wait")));
    CHECK_EQ(nodes[7].total, 7);
    CHECK_EQ(nodes[7].parent, 0);
    CHECK_EQ(nodes[8].parent, 7);
    hone_tree_free(tree);
    hone_profile_free(p);
}

// --- memory and strange numbers ------------------------------------------------------------------

static int compare_all(const struct hone_compare_input sides[2])
{
    struct hone_compare *compare = NULL;
    struct hone_error err = {0};
    int r = hone_compare_new(sides, &(struct hone_compare_options){.type = "cpu"}, &compare, &err);
    if (!r) {
        struct hone_tree_diff *diff = NULL;
        r = hone_tree_diff_new(compare, sides, NULL, &diff, &err);
        hone_tree_diff_free(diff);
    }
    CHECK_EQ(err.code, r);
    hone_compare_free(compare);
    return r;
}

TEST(running_out_of_memory_is_an_error_and_nothing_leaks)
{
    struct hone_profile *profiles[4];
    for (uint64_t i = 0; i < 4; i++)
        profiles[i] = hone_fixture_large(&(struct hone_fixture_options){.seed = 9 + i % 2,
                                                                        .samples = 40,
                                                                        .depth = 10,
                                                                        .functions = 20,
                                                                        .type = "cpu",
                                                                        .unit = "nanoseconds"});
    struct hone_compare_input sides[2] = {{(const struct hone_profile *const *)profiles, 2},
                                          {(const struct hone_profile *const *)profiles + 2, 2}};
    // One processor: allocations are counted without a lock.
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    CHECK_EQ(sched_setaffinity(0, sizeof one, &one), 0);
    for (long after = 0;; after++) {
        long before = hone_starve_blocks;
        hone_starve_after = after;
        int r = compare_all(sides);
        bool starved = hone_starve_after < 0;
        hone_starve_after = -1;
        CHECK_EQ(hone_starve_blocks, before);
        if (!starved) {
            CHECK_EQ(r, 0);
            break;
        }
    }
    struct hone_tree *tree = NULL;
    struct hone_tree_options options = {.size = sizeof options, .type = 1};
    for (long after = 0;; after++) {
        long before = hone_starve_blocks;
        hone_starve_after = after;
        int r = hone_tree_sandwich(profiles[0], &options, is_lock, NULL, &tree, NULL);
        bool starved = hone_starve_after < 0;
        hone_starve_after = -1;
        CHECK_EQ(hone_starve_blocks, before);
        CHECK_EQ(r, starved ? -ENOMEM : -ENOENT);
        if (!starved)
            break;
    }
    for (int i = 0; i < 4; i++)
        hone_profile_free(profiles[i]);
}

TEST(negative_values_are_left_out_and_counted)
{
    struct hone_profile *base = make(STACKS({"main;a", 100}, {"main;b", 50}));
    struct hone_profile *new = make(STACKS({"main;a", 100}, {"main;b", -50}));
    struct hone_compare_input sides[2] = {{(const struct hone_profile *const *)&base, 1},
                                          {(const struct hone_profile *const *)&new, 1}};
    struct hone_compare *compare = NULL;
    CHECK_EQ(hone_compare_new(sides, NULL, &compare, NULL), 0);
    CHECK_EQ(compare->side[1].negative, 1);
    CHECK_NEAR(compare->judge.whole.value[1], 1e8, 0);
    hone_compare_free(compare);
    hone_profile_free(base);
    hone_profile_free(new);
}

TEST(huge_values_do_not_overflow)
{
    struct hone_profile *p = hone_profile_new();
    (void)hone_profile_add_type(p, "cpu", "nanoseconds");
    for (int i = 0; i < 6; i++) {
        char name[8];
        (void)snprintf(name, sizeof name, "f%d", i);
        struct part part = read_part(name);
        uint32_t location = location_of(p, &part, 1);
        (void)hone_profile_add_sample(p, hone_profile_add_stack(p, &location, 1),
                                      (int64_t[]){i ? INT64_MAX : INT64_MIN}, NULL, 0);
    }
    struct hone_compare_input sides[2] = {{(const struct hone_profile *const *)&p, 1},
                                          {(const struct hone_profile *const *)&p, 1}};
    struct hone_compare *compare = NULL;
    CHECK_EQ(hone_compare_new(sides, NULL, &compare, NULL), 0);
    CHECK_EQ(compare->row_count, 5);
    for (uint32_t i = 0; i < compare->row_count; i++)
        CHECK_EQ(compare->rows[i].is.verdict, HONE_VERDICT_UNKNOWN);
    struct hone_tree_diff *diff = NULL;
    CHECK_EQ(hone_tree_diff_new(compare, sides, NULL, &diff, NULL), -EOVERFLOW);
    hone_compare_free(compare);
    hone_profile_free(p);
}
