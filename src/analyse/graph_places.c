// The places of a program: what the grouping of nodes.h found, taken apart into what labels and
// tooltips print.
#include "analyse/graph_parts.h"

#include "base/path.h"

#include <errno.h>
#include <stdlib.h>

static int take_apart(struct hone_graph_builder *b, uint32_t number, struct hone_graph_place *place)
{
    const struct hone_profile *p = b->profile;
    const struct hone_nodes_key *key = &b->places.keys[number];
    *place = (struct hone_graph_place){
        .name = hone_profile_str(p, key->name),
        .file = hone_path_clean(&b->graph->text, hone_profile_str(p, key->file)),
        .object = hone_profile_str(p, key->object),
        .address = key->address,
        .line = key->line,
        .start = key->start_line,
        .together = b->places.names[number],
        .location = b->places.origins[number].location,
        .number = b->places.origins[number].line,
    };
    return place->file.at ? 0 : -ENOMEM;
}

int hone_graph_find_places(struct hone_graph_builder *b)
{
    struct hone_graph *graph = b->graph;
    int r = hone_nodes_init(&b->places, b->profile, b->options->group, b->options->strict,
                            &graph->text);
    if (r)
        return r;
    graph->place_count = b->places.count;
    graph->places = calloc((size_t)graph->place_count + 1, sizeof *graph->places);
    if (!graph->places)
        return -ENOMEM;
    for (uint32_t i = 0; !r && i < graph->place_count; i++)
        r = take_apart(b, i, &graph->places[i]);
    return r;
}
