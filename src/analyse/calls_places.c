// The places of a program: what the grouping of nodes.h found, taken apart into what labels and
// tooltips print, and told apart by all that they have.
#include "analyse/calls_parts.h"

#include "base/path.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static struct hone_str base_name(struct hone_str path)
{
    while (path.len > 1 && path.at[path.len - 1] == '/')
        path.len--;
    for (size_t at = path.len; at-- > 0;)
        if (path.at[at] == '/' && at + 1 < path.len)
            return (struct hone_str){path.at + at + 1, path.len - at - 1};
    return path;
}

// All that the place has in one line, as the names of other views.
static struct hone_str together(struct hone_arena *text, const struct hone_calls_place *place)
{
    char address[24] = "";
    if (place->address)
        (void)snprintf(address, sizeof address, "%016" PRIx64 " ", place->address);
    const char *gap = place->name.len ? " " : "";
    struct hone_str object = base_name(place->object);
    char *made;
    if (place->line)
        made = hone_arena_format(text, "%s%.*s%s%.*s:%" PRId64, address, (int)place->name.len,
                                 place->name.at, gap, (int)place->file.len, place->file.at,
                                 place->line);
    else if (place->file.len)
        made = hone_arena_format(text, "%s%.*s%s%.*s", address, (int)place->name.len,
                                 place->name.at, gap, (int)place->file.len, place->file.at);
    else if (place->name.len)
        made = hone_arena_format(text, "%s%.*s", address, (int)place->name.len, place->name.at);
    else if (place->object.len)
        made = hone_arena_format(text, "%s[%.*s]", address, (int)object.len, object.at);
    else
        made = hone_arena_format(text, "%s<unknown>", address);
    return hone_str_of(made);
}

static int take_apart(struct hone_calls_builder *b, const struct hone_nodes_origin *origin,
                      struct hone_calls_place *place)
{
    const struct hone_profile *p = b->profile;
    enum hone_graph_group group = b->options->group;
    bool by_address = group == HONE_GRAPH_ADDRESS || group == HONE_GRAPH_OBJECT;
    if (by_address)
        place->address = p->locations.address[origin->location];
    if (origin->line != HONE_GRAPH_NO_LINE) {
        const struct hone_profile_line *line = &p->lines.at[origin->line];
        if (group != HONE_GRAPH_FILE)
            place->name = hone_profile_str(p, p->functions.name[line->function]);
        if (group != HONE_GRAPH_FUNCTION)
            place->file = hone_path_clean(&b->calls->text,
                                          hone_profile_str(p, p->functions.file[line->function]));
        if (group == HONE_GRAPH_LINE || by_address)
            place->line = line->number;
        if (!place->name.len || group == HONE_GRAPH_OBJECT)
            place->start = p->functions.start_line[line->function];
    }
    if (!place->name.len || group == HONE_GRAPH_OBJECT)
        place->object =
            hone_profile_str(p, p->mappings.at[p->locations.mapping[origin->location]].file);
    bool plain = place->name.len && !place->address && !place->line && !place->file.len;
    place->together = plain ? place->name : together(&b->calls->text, place);
    return place->together.at && (place->file.at || !place->file.len) ? 0 : -ENOMEM;
}

int hone_calls_find_places(struct hone_calls_builder *b)
{
    struct hone_calls *calls = b->calls;
    int r = hone_nodes_init(&b->places, b->profile, b->options->group, true, &calls->text);
    if (r)
        return r;
    calls->place_count = b->places.count;
    calls->places = calloc((size_t)calls->place_count + 1, sizeof *calls->places);
    if (!calls->places)
        return -ENOMEM;
    for (uint32_t i = 0; !r && i < calls->place_count; i++)
        r = take_apart(b, &b->places.origins[i], &calls->places[i]);
    return r;
}

// --- order ---------------------------------------------------------------------------------------

int hone_calls_compare_texts(struct hone_str a, struct hone_str b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len ? memcmp(a.at, b.at, len) : 0;
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

// What a place consists of, with a blank between: pprof orders what prints alike by that text.
// Its second part, a name that we do not show, is empty.
struct parts {
    struct hone_str at[7];
    char numbers[3][24];
};

static void spell(const struct hone_calls_place *place, struct parts *ret)
{
    (void)snprintf(ret->numbers[0], sizeof ret->numbers[0], "%" PRIu64, place->address);
    (void)snprintf(ret->numbers[1], sizeof ret->numbers[1], "%" PRId64, place->start);
    (void)snprintf(ret->numbers[2], sizeof ret->numbers[2], "%" PRId64, place->line);
    ret->at[0] = place->name;
    ret->at[1] = HONE_STR("");
    ret->at[2] = hone_str_of(ret->numbers[0]);
    ret->at[3] = place->file;
    ret->at[4] = hone_str_of(ret->numbers[1]);
    ret->at[5] = hone_str_of(ret->numbers[2]);
    ret->at[6] = place->object;
}

struct spelling {
    const struct parts *parts;
    uint32_t part;
    size_t at;
};

// The next byte; -1 at the end.
static int next_byte(struct spelling *s)
{
    const struct hone_str *part = &s->parts->at[s->part];
    if (s->at < part->len)
        return (unsigned char)part->at[s->at++];
    if (s->part + 1 == sizeof s->parts->at / sizeof s->parts->at[0])
        return s->at++ == part->len ? '}' : -1;
    s->part++;
    s->at = 0;
    return ' ';
}

int hone_calls_compare_places(const struct hone_calls_place *a, const struct hone_calls_place *b)
{
    struct parts parts[2];
    spell(a, &parts[0]);
    spell(b, &parts[1]);
    struct spelling left = {.parts = &parts[0]};
    struct spelling right = {.parts = &parts[1]};
    for (;;) {
        int from = next_byte(&left);
        int to = next_byte(&right);
        if (from != to || from < 0)
            return from - to;
    }
}
