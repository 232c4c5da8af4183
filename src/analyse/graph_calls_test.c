#include "analyse/graph.h"

#include "base/base.h"
#include "check.h"
#include "profile/profile.h"

// Functions a, b, c, … of one location each, number i + 1.
static struct hone_profile *program(uint32_t functions)
{
    struct hone_profile *p = hone_profile_new();
    (void)hone_profile_add_type(p, "samples", "count");
    (void)hone_profile_add_type(p, "space", "bytes");
    for (uint32_t i = 0; i < functions; i++) {
        char name[] = {(char)('a' + i), '\0'};
        struct hone_profile_line line = {
            .number = 10 + i,
            .function = hone_profile_add_function(
                p, &(struct hone_profile_function){.name = hone_profile_intern(p, name)})};
        (void)hone_profile_add_location(p, &(struct hone_profile_location){.address = 0x1000 + i,
                                                                           .lines = &line,
                                                                           .line_count = 1});
    }
    return p;
}

// Adds a stack written root first, as in "abc".
static void sample(struct hone_profile *p, const char *path, int64_t count, int64_t value,
                   const char *state)
{
    uint32_t frames[32];
    uint32_t depth = 0;
    for (const char *at = path; *at; at++)
        frames[31 - depth++] = (uint32_t)(*at - 'a') + 1;
    struct hone_profile_label label = {.key = hone_profile_intern(p, "state"),
                                       .text = hone_profile_intern(p, state)};
    uint32_t stack = hone_profile_add_stack(p, frames + 32 - depth, depth);
    (void)hone_profile_add_sample(p, stack, (int64_t[]){count, value}, &label, state != NULL);
}

static struct hone_graph *calls_of(const struct hone_profile *p, struct hone_graph_options options)
{
    struct hone_graph *graph = NULL;
    options.type = 1;
    CHECK_EQ(hone_graph_new(p, &options, &graph, NULL), 0);
    return graph;
}

static const char *name_of(const struct hone_graph *graph, uint32_t node)
{
    return graph->places[graph->nodes[node].place].name.at;
}

static const struct hone_graph_node *node_of(const struct hone_graph *graph, const char *name)
{
    for (uint32_t i = 0; i < graph->node_count; i++)
        if (strcmp(name_of(graph, i), name) == 0)
            return &graph->nodes[i];
    return NULL;
}

// "a>b 30, a.c 12…": caller, callee and weight of every call that is shown, ordered by weight.
static const char *edges_of(const struct hone_graph *graph, struct hone_buffer *out)
{
    uint32_t edges[64];
    uint32_t count = 0;
    for (uint32_t i = 0; i < graph->edge_count; i++)
        if (graph->edges[i].from != HONE_GRAPH_NONE)
            edges[count++] = i;
    hone_graph_sort_edges(graph, edges, count);
    out->len = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct hone_graph_edge *edge = &graph->edges[edges[i]];
        hone_buffer_format(out, "%s%s%s%s %lld", i ? ", " : "", name_of(graph, edge->from),
                           edge->residual ? "." : ">", name_of(graph, edge->to),
                           (long long)hone_graph_value(edge->weight));
    }
    hone_buffer_add(out, "", 1);
    return out->at;
}

static const char *order_of(const struct hone_graph *graph, struct hone_buffer *out)
{
    out->len = 0;
    for (uint32_t i = 0; i < graph->shown_count; i++)
        hone_buffer_text(out, name_of(graph, graph->order[i]));
    hone_buffer_add(out, "", 1);
    return out->at;
}

TEST(calls_pass_over_nodes_that_are_too_small)
{
    struct hone_profile *p = program(4);
    sample(p, "abd", 1, 3, NULL);
    sample(p, "acd", 1, 97, NULL);
    struct hone_graph *graph =
        calls_of(p, (struct hone_graph_options){.telling = true, .node_fraction = 0.05});
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer text = {0};
    CHECK_EQ(graph->dropped_nodes, 1);
    CHECK_EQ(graph->shown_count, 3);
    // a reaches d through c as well: the dotted call says nothing new.
    CHECK_STR(edges_of(graph, &text), "a>c 97, c>d 97");
    hone_graph_free(graph);
    graph = calls_of(p, (struct hone_graph_options){.node_fraction = 0.05});
    CHECK_STR(edges_of(graph, &text), "a>c 97, c>d 97, a.d 3");
    hone_graph_free(graph);
    hone_profile_free(p);
}

TEST(a_picture_shows_those_whose_calls_say_most)
{
    struct hone_profile *p = program(6);
    sample(p, "abcd", 1, 40, NULL); // b only hands on, c shares out
    sample(p, "abce", 1, 40, NULL);
    sample(p, "af", 1, 20, NULL);
    struct hone_graph *graph = calls_of(p, (struct hone_graph_options){.telling = true, .rows = 3});
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer text = {0};
    CHECK_STR(order_of(graph, &text), "adc");
    CHECK_STR(edges_of(graph, &text), "a.c 80, c>d 40");
    CHECK_EQ(graph->untrimmed_count, 6);
    hone_graph_free(graph);
    graph = calls_of(p, (struct hone_graph_options){.rows = 3, .by_cum = true});
    CHECK_STR(order_of(graph, &text), "abc");
    hone_graph_free(graph);
    hone_profile_free(p);
}

TEST(a_tree_has_a_node_for_each_way)
{
    struct hone_profile *p = program(4);
    sample(p, "acd", 1, 5, NULL);
    sample(p, "abcd", 1, 7, NULL);
    sample(p, "abc", 1, 2, NULL);
    struct hone_graph *graph = calls_of(p, (struct hone_graph_options){.tree = true});
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer text = {0};
    CHECK_EQ(graph->shown_count, 6);
    CHECK_STR(edges_of(graph, &text), "a>b 9, b>c 9, c>d 7, a>c 5, c>d 5");
    hone_graph_free(graph);
    hone_profile_free(p);
}

TEST(what_goes_from_a_tree_leaves_its_callees_to_its_caller)
{
    struct hone_profile *p = program(4);
    sample(p, "abc", 1, 10, NULL);
    sample(p, "abd", 1, -9, NULL); // so b is small and c below it is not
    sample(p, "a", 1, 50, NULL);
    struct hone_graph *graph =
        calls_of(p, (struct hone_graph_options){.tree = true, .node_fraction = 0.1});
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer text = {0};
    CHECK_EQ(graph->dropped_nodes, 1);
    CHECK_STR(edges_of(graph, &text), "a.c 10, a.d -9");
    hone_graph_free(graph);
    hone_profile_free(p);
}

TEST(branches_that_are_too_small_are_counted_and_cost_nothing)
{
    struct hone_profile *p = program(5);
    sample(p, "abcde", 1, 1, NULL);
    sample(p, "ab", 1, 400, NULL);
    struct hone_graph *graph =
        calls_of(p, (struct hone_graph_options){.tree = true, .node_fraction = 0.01});
    CHECK_EQ(graph->dropped_nodes, 3);
    CHECK_EQ(graph->node_count, 2);
    CHECK_EQ(graph->nodes[1].cum.sum, 401);
    CHECK_EQ(graph->nodes[1].flat.sum, 400);
    hone_graph_free(graph);
    hone_profile_free(p);
}

TEST(negative_nodes_go_where_asked_and_calls_to_them_stay)
{
    struct hone_profile *p = program(3);
    sample(p, "ab", 1, -5, NULL);
    sample(p, "ac", 1, 20, NULL);
    struct hone_graph *graph = calls_of(p, (struct hone_graph_options){.drop_negative = true});
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer text = {0};
    CHECK_STR(order_of(graph, &text), "ca");
    CHECK_STR(edges_of(graph, &text), "a>c 20, a>b -5");
    CHECK_EQ(node_of(graph, "b")->number, 0);
    hone_graph_free(graph);
    hone_profile_free(p);
}

TEST(means_are_per_unit_of_the_first_type)
{
    struct hone_profile *p = program(2);
    sample(p, "ab", 4, 100, NULL);
    sample(p, "a", 1, 40, NULL);
    struct hone_graph *graph = calls_of(p, (struct hone_graph_options){.mean = true});
    CHECK_EQ(hone_graph_value(node_of(graph, "a")->cum), 28);
    CHECK_EQ(hone_graph_value(node_of(graph, "b")->flat), 25);
    hone_graph_free(graph);
    hone_profile_free(p);
}

TEST(tags_tell_what_went_through_and_what_ended_there)
{
    struct hone_profile *p = program(2);
    sample(p, "ab", 1, 10, "run");
    sample(p, "a", 1, 3, "run");
    sample(p, "ab", 1, 7, "wait");
    // By label set: none, "run", "wait".
    const uint32_t words[] = {0, 1, 2};
    const uint32_t first_size[] = {0, 0, 0, 0};
    const struct hone_graph_labels labels = {.word = words, .first_size = first_size};
    for (int tree = 0; tree <= 1; tree++) {
        struct hone_graph *graph =
            calls_of(p, (struct hone_graph_options){.labels = &labels, .tree = tree});
        const struct hone_graph_node *a = node_of(graph, "a");
        CHECK_EQ(a->tag_count, 2);
        for (uint32_t i = 0; i < a->tag_count; i++) {
            const struct hone_graph_tag *tag = &graph->tags[a->first_tag + i];
            CHECK_EQ(tag->cum.sum, tag->word == 1 ? 13 : 7);
            CHECK_EQ(tag->flat.sum, tag->word == 1 ? 3 : 0);
        }
        hone_graph_free(graph);
    }
    hone_profile_free(p);
}

TEST(a_profile_without_samples_has_no_node)
{
    struct hone_profile *p = program(2);
    for (int tree = 0; tree <= 1; tree++) {
        struct hone_graph *graph = calls_of(
            p, (struct hone_graph_options){.telling = true, .tree = tree, .node_fraction = 0.1});
        CHECK_EQ(graph->shown_count, 0);
        hone_graph_free(graph);
    }
    hone_profile_free(p);
}
