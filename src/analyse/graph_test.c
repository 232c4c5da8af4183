#include "analyse/graph.h"

#include "base/base.h"
#include "check.h"
#include "profile/fixture.h"

#include <sched.h>
#include <stdlib.h>

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

static struct hone_str name_of(const struct hone_graph *graph, uint32_t node)
{
    return graph->places[graph->nodes[node].place].together;
}

// Of the nodes that are shown.
static const struct hone_graph_node *node_of(const struct hone_graph *graph, const char *name)
{
    for (uint32_t i = 0; i < graph->shown_count; i++)
        if (hone_str_equal(name_of(graph, graph->order[i]), hone_str_of(name)))
            return &graph->nodes[graph->order[i]];
    return NULL;
}

static const struct hone_graph_edge *edge_of(const struct hone_graph *graph, const char *from,
                                             const char *to)
{
    const struct hone_graph_node *caller = node_of(graph, from);
    for (uint32_t i = caller ? caller->first_out : HONE_GRAPH_NONE; i != HONE_GRAPH_NONE;
         i = graph->edges[i].next_out)
        if (&graph->nodes[graph->edges[i].to] == node_of(graph, to))
            return &graph->edges[i];
    return NULL;
}

static uint32_t count_edges(const struct hone_graph *graph)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < graph->node_count; i++)
        count += graph->nodes[i].in_count;
    return count;
}

TEST(recursion_is_counted_once)
{
    struct hone_profile *p = program(3);
    sample(p, "0 1 0 1 0 2", 7);
    sample(p, "0 0 0", 5);
    struct hone_graph *graph = graph_of(p, &(struct hone_graph_options){0});
    CHECK_EQ(node_of(graph, "f0")->cum.sum, 12);
    CHECK_EQ(node_of(graph, "f0")->flat.sum, 5);
    CHECK_EQ(node_of(graph, "f1")->cum.sum, 7);
    CHECK_EQ(node_of(graph, "f2")->flat.sum, 7);
    CHECK_EQ(edge_of(graph, "f0", "f1")->weight.sum, 7);
    CHECK_EQ(edge_of(graph, "f1", "f0")->weight.sum, 7);
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
    CHECK_EQ(graph->shown_count, 4); // f2 was never seen
    for (uint32_t i = 0; i < 4; i++)
        CHECK(hone_str_equal(name_of(graph, graph->order[i]), hone_str_of(by_flat[i])));
    hone_graph_free(graph);
    graph = graph_of(p, &(struct hone_graph_options){.by_cum = true});
    static const char *const by_cum[] = {"f0", "f1", "f3", "f4"};
    for (uint32_t i = 0; i < 4; i++)
        CHECK(hone_str_equal(name_of(graph, graph->order[i]), hone_str_of(by_cum[i])));
    hone_graph_free(graph);
    hone_profile_free(p);
}

TEST(calls_skip_over_nodes_that_are_trimmed)
{
    struct hone_profile *p = program(4);
    sample(p, "0 1 2", 5);
    sample(p, "0 2", 95);
    sample(p, "0 3", 900);
    struct hone_graph *graph = graph_of(p, &(struct hone_graph_options){.node_fraction = 0.05});
    CHECK_EQ(graph->dropped_nodes, 1);
    CHECK(!node_of(graph, "f1"));
    CHECK_EQ(node_of(graph, "f2")->cum.sum, 100); // nobody else's numbers change
    CHECK_EQ(edge_of(graph, "f0", "f2")->weight.sum, 100);
    hone_graph_free(graph);

    graph = graph_of(p, &(struct hone_graph_options){.rows = 2});
    CHECK_EQ(graph->shown_count, 2); // f3 and f2
    CHECK_EQ(graph->untrimmed_count, 4);
    CHECK_EQ(count_edges(graph), 0);
    CHECK_EQ(graph->flat_sum, 1000);
    hone_graph_free(graph);

    graph = graph_of(p, &(struct hone_graph_options){.edge_fraction = 0.05});
    CHECK_EQ(graph->dropped_edges, 2);
    CHECK(!edge_of(graph, "f0", "f1"));
    CHECK_EQ(edge_of(graph, "f0", "f2")->weight.sum, 95);
    hone_graph_free(graph);
    hone_profile_free(p);
}

TEST(inlined_frames_are_nodes_and_their_calls_say_so)
{
    struct hone_profile *p = hone_fixture_small();
    struct hone_graph *graph = graph_of(p, &(struct hone_graph_options){.type = 1});
    CHECK_EQ(node_of(graph, "main")->cum.sum, 40000000);
    CHECK_EQ(node_of(graph, "sort")->cum.sum, 30000000);
    CHECK_EQ(node_of(graph, "compare")->flat.sum, 30000000);
    CHECK_EQ(node_of(graph, "[libz.so]")->flat.sum, 10000000);
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
    CHECK_EQ(node_of(graph, "main src/sorter.c:20")->cum.sum, 30000000);
    CHECK_EQ(node_of(graph, "main src/sorter.c:21")->cum.sum, 10000000);
    hone_graph_free(graph);
    options.group = HONE_GRAPH_FILE;
    graph = graph_of(p, &options);
    CHECK_EQ(graph->shown_count, 2);
    CHECK_EQ(node_of(graph, "src/sorter.c")->cum.sum, 40000000);
    CHECK_EQ(node_of(graph, "src/sorter.c")->flat.sum, 30000000);
    hone_graph_free(graph);
    options.group = HONE_GRAPH_ADDRESS;
    graph = graph_of(p, &options);
    CHECK_EQ(node_of(graph, "0000000000400100 sort src/sorter.c:10")->cum.sum, 30000000);
    CHECK_EQ(node_of(graph, "00000000007f0010 [libz.so]")->flat.sum, 10000000);
    hone_graph_free(graph);
    hone_profile_free(p);
}

TEST(values_of_both_signs_and_overflows_are_survived)
{
    struct hone_profile *p = program(3);
    sample(p, "0 1", INT64_MAX);
    sample(p, "0 2", INT64_MAX);
    sample(p, "0", INT64_MIN);
    struct hone_graph *graph =
        graph_of(p, &(struct hone_graph_options){.node_fraction = 0.5, .edge_fraction = 1});
    CHECK(graph->shown_count >= 2);
    hone_graph_free(graph);
    hone_profile_free(p);
}

static void check_lists(const struct hone_graph *graph)
{
    HONE_CLEANUP(hone_freep)
    uint32_t *edges = calloc((size_t)graph->edge_count + 1, sizeof *edges);
    uint32_t seen = 0;
    for (uint32_t i = 0; i < graph->node_count; i++) {
        hone_graph_sort_in(graph, i, edges);
        for (uint32_t k = 0; k < graph->nodes[i].in_count; k++)
            CHECK_EQ(graph->edges[edges[k]].to, i);
        hone_graph_sort_out(graph, i, edges);
        int64_t last = INT64_MAX;
        for (uint32_t k = 0; k < graph->nodes[i].out_count; k++) {
            const struct hone_graph_edge *edge = &graph->edges[edges[k]];
            CHECK_EQ(edge->from, i);
            CHECK(edge->weight.sum <= graph->nodes[i].cum.sum && edge->weight.sum <= last);
            last = edge->weight.sum;
            seen++;
        }
    }
    CHECK_EQ(seen, graph->edge_count);
}

// Edges are kept in a hash table; this one must grow several times.
TEST(every_call_of_a_large_program_is_found)
{
    struct hone_profile *p = hone_fixture_large(&(struct hone_fixture_options){
        .seed = 3, .samples = 5000, .depth = 40, .functions = 500, .type = "cpu", .unit = "ns"});
    struct hone_graph *graph = graph_of(p, &(struct hone_graph_options){.type = 1});
    CHECK(graph->edge_count > 10000);
    check_lists(graph);
    hone_graph_free(graph);
    hone_profile_free(p);
}

// Which processors the process may use decides how many parts there are.
static void use_processors(cpu_set_t *all, int count)
{
    cpu_set_t few;
    CPU_ZERO(&few);
    for (int i = 0; i < CPU_SETSIZE && count; i++)
        if (CPU_ISSET(i, all)) {
            CPU_SET(i, &few);
            count--;
        }
    CHECK_EQ(sched_setaffinity(0, sizeof few, &few), 0);
}

static bool same_edge(const struct hone_graph_edge *a, const struct hone_graph_edge *b)
{
    return a->from == b->from && a->to == b->to && a->next_in == b->next_in &&
           a->next_out == b->next_out && a->weight.sum == b->weight.sum &&
           a->inlined == b->inlined && a->residual == b->residual;
}

TEST(a_graph_that_was_shared_out_is_the_same_as_one_made_at_once)
{
    struct hone_profile *p = hone_fixture_large(&(struct hone_fixture_options){
        .seed = 5, .samples = 120000, .depth = 40, .functions = 500, .type = "cpu", .unit = "ns"});
    CHECK(p->frames.count > 2 << 20); // enough for two
    cpu_set_t all;
    CHECK_EQ(sched_getaffinity(0, sizeof all, &all), 0);
    const struct hone_graph_options options = {.type = 1, .node_fraction = 0.01, .telling = true};
    struct hone_graph *shared = graph_of(p, &options);
    use_processors(&all, 1);
    struct hone_graph *alone = graph_of(p, &options);
    CHECK_EQ(shared->shown_count, alone->shown_count);
    CHECK_EQ(shared->edge_count, alone->edge_count);
    for (uint32_t i = 0; i < alone->shown_count; i++) {
        const struct hone_graph_node *a = &alone->nodes[alone->order[i]];
        const struct hone_graph_node *b = &shared->nodes[shared->order[i]];
        CHECK_EQ(alone->order[i], shared->order[i]);
        CHECK_EQ(a->flat.sum, b->flat.sum);
        CHECK_EQ(a->cum.sum, b->cum.sum);
    }
    for (uint32_t i = 0; i < alone->edge_count; i++)
        CHECK(same_edge(&alone->edges[i], &shared->edges[i]));
    hone_graph_free(alone);
    hone_graph_free(shared);
    hone_profile_free(p);
}

TEST(calls_into_what_is_inlined_nowhere_can_be_left_out)
{
    struct hone_profile *p = hone_fixture_small();
    struct hone_graph *graph =
        graph_of(p, &(struct hone_graph_options){.type = 1, .edges = HONE_GRAPH_INLINED_EDGES});
    CHECK(edge_of(graph, "main", "sort")->inlined);
    CHECK(!edge_of(graph, "sort", "compare"));
    hone_graph_free(graph);
    graph = graph_of(p, &(struct hone_graph_options){.type = 1, .edges = HONE_GRAPH_NO_EDGES});
    CHECK_EQ(count_edges(graph), 0);
    CHECK_EQ(node_of(graph, "sort")->cum.sum, 30000000);
    hone_graph_free(graph);
    hone_profile_free(p);
}
