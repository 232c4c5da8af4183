// Costs in callgrind's format: per address and line what it took itself and what its calls took.
// Names are written once and then known by number, addresses relative to the one before where that
// is shorter. A function whose nodes must stay apart (in a call tree) gets a number of its own.
//
// This is what pprof prints of a trimmed graph. Whole profiles with all sample types are written by
// convert/callgrind_write.c, which says why these are two.
#include "view/drawing.h"

#include "base/cleanup.h"
#include "base/table.h"
#include "view/dot_parts.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

// Names in the order of their first use.
struct names {
    struct hone_table table;
    struct hone_str *texts;
    uint32_t count;
};

struct callgrind {
    struct hone_dot dot;
    struct names objects;
    struct names files;
    struct names functions;
    struct hone_str *callee_names; // by node: as callers call it
    uint32_t *edges;               // of one node
    const struct hone_graph_place *before;
};

static void names_done(struct names *names)
{
    hone_table_done(&names->table);
    free(names->texts);
}

static void callgrind_done(struct callgrind *c)
{
    names_done(&c->objects);
    names_done(&c->files);
    names_done(&c->functions);
    free(c->callee_names);
    free(c->edges);
    hone_dot_done(&c->dot);
}

// "(N) name" the first time, "(N)" from then on; no name is nothing.
static int put_name(struct callgrind *c, const char *what, struct names *names,
                    struct hone_str name)
{
    struct hone_buffer *out = c->dot.report.out;
    hone_buffer_text(out, what);
    if (!name.len) {
        hone_buffer_text(out, "\n");
        return 0;
    }
    uint64_t hash = hone_table_hash(name.at, name.len, hone_table_seed());
    struct hone_table_probe probe = hone_table_probe(&names->table, hash);
    uint32_t at;
    while ((at = hone_table_next(&names->table, &probe)) != HONE_TABLE_END)
        if (hone_str_equal(names->texts[at], name)) {
            hone_buffer_format(out, "(%u)\n", at + 1);
            return 0;
        }
    if ((names->count & (names->count - 1)) == 0) {
        size_t room = names->count ? (size_t)names->count * 2 : 1;
        struct hone_str *texts = reallocarray(names->texts, room, sizeof *texts);
        if (!texts)
            return -ENOMEM;
        names->texts = texts;
    }
    if (hone_table_add(&names->table, hash, names->count))
        return -ENOMEM;
    names->texts[names->count++] = name;
    hone_buffer_format(out, "(%u) %.*s\n", names->count, (int)name.len, name.at);
    return 0;
}

// --- functions that share a name -----------------------------------------------------------------

// What tells functions apart that have one name in one file.
struct function {
    struct hone_str name;
    struct hone_str file;
    struct hone_str object;
    int64_t start;
    uint32_t parent; // in a tree
    uint32_t order;  // of its first node
    uint32_t node;
};

static int compare_names(const struct function *a, const struct function *b)
{
    int order = hone_str_compare(a->name, b->name);
    return order ? order : hone_str_compare(a->file, b->file);
}

static int compare_functions(const struct function *a, const struct function *b)
{
    int order = compare_names(a, b);
    if (order)
        return order;
    if (a->parent != b->parent)
        return a->parent < b->parent ? -1 : 1;
    if (a->start != b->start)
        return a->start < b->start ? -1 : 1;
    return hone_str_compare(a->object, b->object);
}

static int compare_identities(const void *left, const void *right)
{
    const struct function *a = left;
    const struct function *b = right;
    int order = compare_functions(a, b);
    return order ? order : (a->order > b->order) - (a->order < b->order);
}

static int compare_appearances(const void *left, const void *right)
{
    const struct function *a = left;
    const struct function *b = right;
    int order = compare_names(a, b);
    return order ? order : (a->order > b->order) - (a->order < b->order);
}

// Gives each node of a run of equal names and files its name: with "[2/3]" when they are several
// functions. Nodes of one function have the order of its first node by now.
static int name_run(struct callgrind *c, const struct function *functions, uint32_t count)
{
    uint32_t total = 0;
    for (uint32_t i = 0; i < count; i++)
        total += i == 0 || functions[i].order != functions[i - 1].order;
    uint32_t number = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct hone_str name = functions[i].name;
        number += i == 0 || functions[i].order != functions[i - 1].order;
        if (total > 1)
            name = hone_str_of(hone_arena_format(&c->dot.arena, "%.*s [%u/%u]", (int)name.len,
                                                 name.at, number, total));
        if (total > 1 && !name.at)
            return -ENOMEM;
        c->callee_names[functions[i].node] = name;
    }
    return 0;
}

static int name_all(struct callgrind *c, struct function *functions, uint32_t count)
{
    if (count)
        qsort(functions, count, sizeof *functions, compare_identities);
    for (uint32_t i = 1; i < count; i++)
        if (compare_functions(&functions[i - 1], &functions[i]) == 0)
            functions[i].order = functions[i - 1].order;
    if (count)
        qsort(functions, count, sizeof *functions, compare_appearances);
    int r = 0;
    for (uint32_t from = 0, run; !r && from < count; from += run) {
        for (run = 1;
             from + run < count && !compare_names(&functions[from], &functions[from + run]);
             run++) {
        }
        r = name_run(c, functions + from, run);
    }
    return r;
}

static int find_names(struct callgrind *c)
{
    const struct hone_graph *graph = c->dot.graph;
    bool tree = c->dot.report.options->call_tree;
    c->callee_names = calloc((size_t)graph->node_count + 1, sizeof *c->callee_names);
    HONE_CLEANUP(hone_freep)
    struct function *functions = calloc((size_t)graph->shown_count + 1, sizeof *functions);
    if (!c->callee_names || !functions)
        return -ENOMEM;
    for (uint32_t i = 0; i < graph->shown_count; i++) {
        uint32_t node = graph->order[i];
        const struct hone_graph_place *place = &graph->places[graph->nodes[node].place];
        functions[i] = (struct function){.name = place->name,
                                         .file = place->file,
                                         .object = place->object,
                                         .start = place->start,
                                         .parent = tree ? graph->edges[node].from : 0,
                                         .order = i,
                                         .node = node};
    }
    return name_all(c, functions, graph->shown_count);
}

// --- writing -------------------------------------------------------------------------------------

static void put_address(const struct callgrind *c, uint64_t address)
{
    struct hone_buffer *out = c->dot.report.out;
    char absolute[24];
    char relative[24];
    int absolute_len = snprintf(absolute, sizeof absolute, "0x%" PRIx64, address);
    if (!c->before) {
        hone_buffer_text(out, absolute);
        return;
    }
    if (c->before->address == address) {
        hone_buffer_text(out, "*");
        return;
    }
    int relative_len =
        snprintf(relative, sizeof relative, "%+" PRId64, (int64_t)(address - c->before->address));
    hone_buffer_text(out, relative_len < absolute_len ? relative : absolute);
}

static int64_t cost(const struct callgrind *c, int64_t value)
{
    const char *unit;
    double scaled = hone_measure_scale(value, c->dot.report.unit, c->dot.report.shown_unit, &unit);
    return scaled >= -0x1p63 && scaled < 0x1p63 ? (int64_t)scaled : INT64_MIN;
}

static int put_calls(struct callgrind *c, uint32_t node)
{
    const struct hone_graph *graph = c->dot.graph;
    struct hone_buffer *out = c->dot.report.out;
    int r = 0;
    hone_graph_sort_out(graph, node, c->edges);
    for (uint32_t i = 0; !r && i < graph->nodes[node].out_count; i++) {
        const struct hone_graph_edge *edge = &graph->edges[c->edges[i]];
        const struct hone_graph_place *callee = &graph->places[graph->nodes[edge->to].place];
        r = put_name(c, "cfl=", &c->files, callee->file);
        if (!r)
            r = put_name(c, "cfn=", &c->functions, c->callee_names[edge->to]);
        hone_buffer_text(out, "calls=0 ");
        put_address(c, callee->address);
        hone_buffer_format(out, " %" PRId64 "\n* * %" PRId64 "\n", callee->line,
                           cost(c, edge->weight.sum));
    }
    return r;
}

static int put_node(struct callgrind *c, uint32_t node)
{
    const struct hone_graph *graph = c->dot.graph;
    struct hone_buffer *out = c->dot.report.out;
    const struct hone_graph_place *place = &graph->places[graph->nodes[node].place];
    int r = 0;
    if (!c->before || !hone_str_equal(place->object, c->before->object) ||
        !hone_str_equal(place->file, c->before->file) ||
        !hone_str_equal(place->name, c->before->name)) {
        r = put_name(c, "\nob=", &c->objects, place->object);
        if (!r)
            r = put_name(c, "fl=", &c->files, place->file);
        if (!r)
            r = put_name(c, "fn=", &c->functions, place->name);
    }
    put_address(c, place->address);
    hone_buffer_format(out, " %" PRId64 " %" PRId64 "\n", place->line,
                       cost(c, hone_graph_value(graph->nodes[node].flat)));
    if (!r)
        r = put_calls(c, node);
    c->before = place;
    return r;
}

static int put_all(struct callgrind *c)
{
    const struct hone_graph *graph = c->dot.graph;
    uint32_t most = 0;
    for (uint32_t i = 0; i < graph->node_count; i++)
        if (graph->nodes[i].out_count > most)
            most = graph->nodes[i].out_count;
    c->edges = calloc((size_t)most + 1, sizeof *c->edges);
    if (!c->edges)
        return -ENOMEM;
    const struct hone_report *report = &c->dot.report;
    const char *asked = report->options->unit ? report->options->unit : "minimum";
    hone_buffer_format(report->out, "positions: instr line\nevents: %s%s(%s)\n",
                       report->options->mean ? "mean_" : "", report->type_name,
                       graph->shown_count ? report->shown_unit : asked);
    int r = find_names(c);
    for (uint32_t i = 0; !r && i < graph->shown_count; i++)
        r = put_node(c, graph->order[i]);
    return r;
}

int hone_view_callgrind(const struct hone_profile *profile, const struct hone_text_options *options,
                        struct hone_buffer *out, struct hone_error *err)
{
    HONE_CLEANUP(callgrind_done) struct callgrind c = {0};
    int r = hone_dot_init(&c.dot, profile, options, false, out, err);
    if (r)
        return r;
    r = put_all(&c);
    return r ? hone_error_set(err, r, "cannot write the costs")
             : hone_report_finish(&c.dot.report, err);
}
