#include "analyse/graph.h"

#include "base/base.h"
#include "check.h"
#include "profile/fixture.h"

// Functions f0, f1, … of one location each, number i + 1.
static struct hone_profile *program(uint32_t functions)
{
    struct hone_profile *p = hone_profile_new();
    (void)hone_profile_add_type(p, "samples", "count");
    for (uint32_t i = 0; i < functions; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "f%u", i);
        struct hone_profile_line line = {
            .number = 10 + i,
            .function = hone_profile_add_function(
                p, &(struct hone_profile_function){.name = hone_profile_intern(p, name),
                                                   .file = hone_profile_intern(p, "f.c")})};
        (void)hone_profile_add_location(p, &(struct hone_profile_location){.address = 0x1000 + i,
                                                                           .lines = &line,
                                                                           .line_count = 1});
    }
    return p;
}

// Adds a stack written root first, as in "0 1 2".
static void sample(struct hone_profile *p, const char *path, int64_t value)
{
    uint32_t frames[32];
    uint32_t count = 0;
    for (const char *at = path; *at; at++)
        if (*at != ' ')
            frames[31 - count++] = (uint32_t)(*at - '0') + 1;
    uint32_t stack = hone_profile_add_stack(p, frames + 32 - count, count);
    (void)hone_profile_add_sample(p, stack, &value, NULL, 0);
}

static struct hone_graph *graph_of(const struct hone_profile *p,
                                   const struct hone_graph_options *options)
{
    struct hone_graph *graph = NULL;
    CHECK_EQ(hone_graph_new(p, options, &graph, NULL), 0);
    return graph;
}

static const struct hone_graph_node *node_of(const struct hone_graph *graph, const char *name)
{
    for (uint32_t i = 0; i < graph->node_count; i++)
        if (hone_str_equal(graph->nodes[i].name, hone_str_of(name)))
            return &graph->nodes[i];
    return NULL;
}

static const struct hone_graph_edge *edge_of(const struct hone_graph *graph, const char *from,
                                             const char *to)
{
    for (uint32_t i = 0; i < graph->edge_count; i++)
        if (&graph->nodes[graph->edges[i].from] == node_of(graph, from) &&
            &graph->nodes[graph->edges[i].to] == node_of(graph, to))
            return &graph->edges[i];
    return NULL;
}

TEST(recursion_is_counted_once)
{
    struct hone_profile *p = program(3);
    sample(p, "0 1 0 1 0 2", 7);
    sample(p, "0 0 0", 5);
    struct hone_graph *graph = graph_of(p, &(struct hone_graph_options){.edges = true});
    CHECK_EQ(graph->total, 12);
    CHECK_EQ(node_of(graph, "f0")->cum, 12);
    CHECK_EQ(node_of(graph, "f0")->flat, 5);
    CHECK_EQ(node_of(graph, "f1")->cum, 7);
    CHECK_EQ(node_of(graph, "f2")->flat, 7);
    CHECK_EQ(edge_of(graph, "f0", "f1")->weight, 7);
    CHECK_EQ(edge_of(graph, "f1", "f0")->weight, 7);
    CHECK(!edge_of(graph, "f0", "f0")); // a call of itself is no edge
    hone_graph_free(graph);
    hone_profile_free(p);
}

TEST(nodes_are_ordered_by_value_then_by_name)
{
    struct hone_profile *p = program(5);
    sample(p, "4", 3);
    sample(p, "0 3", 3);
    sample(p, "0 1", 9);
    struct hone_graph *graph = graph_of(p, &(struct hone_graph_options){0});
    static const char *const by_flat[] = {"f1", "f3", "f4", "f0"};
    CHECK_EQ(graph->node_count, 4); // f2 was never seen
    for (uint32_t i = 0; i < 4; i++)
        CHECK(hone_str_equal(graph->nodes[i].name, hone_str_of(by_flat[i])));
    hone_graph_free(graph);
    graph = graph_of(p, &(struct hone_graph_options){.by_cum = true});
    static const char *const by_cum[] = {"f0", "f1", "f3", "f4"};
    for (uint32_t i = 0; i < 4; i++)
        CHECK(hone_str_equal(graph->nodes[i].name, hone_str_of(by_cum[i])));
    hone_graph_free(graph);
    hone_profile_free(p);
}

TEST(calls_skip_over_nodes_that_are_trimmed)
{
    struct hone_profile *p = program(4);
    sample(p, "0 1 2", 5);
    sample(p, "0 2", 95);
    sample(p, "0 3", 900);
    struct hone_graph *graph =
        graph_of(p, &(struct hone_graph_options){.edges = true, .node_fraction = 0.05});
    CHECK_EQ(graph->dropped_nodes, 1);
    CHECK(!node_of(graph, "f1"));
    CHECK_EQ(node_of(graph, "f2")->cum, 100); // nobody else's numbers change
    CHECK_EQ(edge_of(graph, "f0", "f2")->weight, 100);
    hone_graph_free(graph);

    graph = graph_of(p, &(struct hone_graph_options){.edges = true, .rows = 2});
    CHECK_EQ(graph->node_count, 2); // f3 and f2
    CHECK_EQ(graph->untrimmed_count, 4);
    CHECK_EQ(graph->edge_count, 0);
    CHECK_EQ(graph->flat_sum, 1000);
    hone_graph_free(graph);

    graph = graph_of(p, &(struct hone_graph_options){.edges = true, .edge_fraction = 0.05});
    CHECK_EQ(graph->dropped_edges, 2);
    CHECK(!edge_of(graph, "f0", "f1"));
    CHECK_EQ(edge_of(graph, "f0", "f2")->weight, 95);
    hone_graph_free(graph);
    hone_profile_free(p);
}

TEST(inlined_frames_are_nodes_and_their_calls_say_so)
{
    struct hone_profile *p = hone_fixture_small();
    struct hone_graph *graph = graph_of(p, &(struct hone_graph_options){.type = 1, .edges = true});
    CHECK_EQ(graph->total, 40000000);
    CHECK_EQ(node_of(graph, "main")->cum, 40000000);
    CHECK_EQ(node_of(graph, "sort")->cum, 30000000);
    CHECK_EQ(node_of(graph, "compare")->flat, 30000000);
    CHECK_EQ(node_of(graph, "[libz.so]")->flat, 10000000);
    CHECK(edge_of(graph, "main", "sort")->inlined);
    CHECK(!edge_of(graph, "sort", "compare")->inlined);
    hone_graph_free(graph);
    hone_profile_free(p);
}

TEST(groups_tell_lines_files_and_addresses_apart)
{
    struct hone_profile *p = hone_fixture_small();
    struct hone_graph_options options = {.type = 1, .group = HONE_GRAPH_LINE};
    struct hone_graph *graph = graph_of(p, &options);
    CHECK_EQ(node_of(graph, "main src/sorter.c:20")->cum, 30000000);
    CHECK_EQ(node_of(graph, "main src/sorter.c:21")->cum, 10000000);
    hone_graph_free(graph);
    options.group = HONE_GRAPH_FILE;
    graph = graph_of(p, &options);
    CHECK_EQ(graph->node_count, 2);
    CHECK_EQ(node_of(graph, "src/sorter.c")->cum, 40000000);
    CHECK_EQ(node_of(graph, "src/sorter.c")->flat, 30000000);
    hone_graph_free(graph);
    options.group = HONE_GRAPH_ADDRESS;
    graph = graph_of(p, &options);
    CHECK_EQ(node_of(graph, "0000000000400100 sort src/sorter.c:10")->cum, 30000000);
    CHECK_EQ(node_of(graph, "00000000007f0010 [libz.so]")->flat, 10000000);
    hone_graph_free(graph);
    hone_profile_free(p);
}

TEST(values_of_both_signs_and_overflows_are_survived)
{
    struct hone_profile *p = program(3);
    sample(p, "0 1", INT64_MAX);
    sample(p, "0 2", INT64_MAX);
    sample(p, "0", INT64_MIN);
    struct hone_graph *graph = graph_of(
        p, &(struct hone_graph_options){.edges = true, .node_fraction = 0.5, .edge_fraction = 1});
    CHECK(graph->node_count >= 2);
    hone_graph_free(graph);
    hone_profile_free(p);
}

// Edges are kept in a hash table; this one must grow several times.
TEST(every_call_of_a_large_program_is_found)
{
    struct hone_profile *p = hone_fixture_large(&(struct hone_fixture_options){
        .seed = 3, .samples = 5000, .depth = 40, .functions = 500, .type = "cpu", .unit = "ns"});
    struct hone_graph *graph = graph_of(p, &(struct hone_graph_options){.type = 1, .edges = true});
    CHECK(graph->edge_count > 10000);
    uint32_t seen = 0;
    for (uint32_t i = 0; i < graph->node_count; i++) {
        for (uint32_t k = graph->nodes[i].first_in; k < graph->nodes[i + 1].first_in; k++)
            CHECK_EQ(graph->edges[graph->in[k]].to, i);
        for (uint32_t k = graph->nodes[i].first_out; k < graph->nodes[i + 1].first_out; k++) {
            CHECK_EQ(graph->edges[graph->out[k]].from, i);
            CHECK(graph->edges[graph->out[k]].weight <= graph->nodes[i].cum);
            seen++;
        }
    }
    CHECK_EQ(seen, graph->edge_count);
    hone_graph_free(graph);
    hone_profile_free(p);
}
