// The places of a program: what the grouping of nodes.h found, taken apart into what labels and
// tooltips print.
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

static int take_apart(struct hone_calls_builder *b, const struct hone_nodes_key *key,
                      struct hone_calls_place *place)
{
    const struct hone_profile *p = b->profile;
    struct hone_arena *text = &b->calls->text;
    *place = (struct hone_calls_place){
        .name = hone_profile_str(p, key->name),
        .file = hone_path_clean(text, hone_profile_str(p, key->file)),
        .object = hone_profile_str(p, key->object),
        .address = key->address,
        .line = key->line,
        .start = key->start_line,
    };
    bool plain = place->name.len && !place->address && !place->line && !place->file.len;
    place->together = plain ? place->name : together(text, place);
    return place->together.at && place->file.at ? 0 : -ENOMEM;
}

int hone_calls_find_places(struct hone_calls_builder *b)
{
    struct hone_calls *calls = b->calls;
    int r = hone_nodes_init(&b->places, b->profile, b->options->group, b->options->strict,
                            &calls->text);
    if (r)
        return r;
    calls->place_count = b->places.count;
    calls->places = calloc((size_t)calls->place_count + 1, sizeof *calls->places);
    if (!calls->places)
        return -ENOMEM;
    for (uint32_t i = 0; !r && i < calls->place_count; i++)
        r = take_apart(b, &b->places.keys[i], &calls->places[i]);
    return r;
}
