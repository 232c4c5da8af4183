#include "analyse/nodes.h"

#include "base/cleanup.h"
#include "base/path.h"
#include "base/table.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct builder {
    const struct hone_profile *profile;
    struct hone_nodes *nodes;
    enum hone_graph_group group;
    bool strict;
    struct hone_arena *text;
    struct hone_table table;
    uint32_t room;
    uint32_t *by_function; // node + 1, where the function alone says which it is; 0: look
};

static struct hone_nodes_key key_of(const struct builder *b, uint32_t location,
                                    const struct hone_profile_line *line)
{
    const struct hone_profile *p = b->profile;
    struct hone_nodes_key key = {0};
    bool by_object = b->group == HONE_GRAPH_OBJECT || b->group == HONE_GRAPH_OBJECT_LINE;
    bool by_address = b->group == HONE_GRAPH_ADDRESS || b->group == HONE_GRAPH_OBJECT;
    bool by_line = b->group == HONE_GRAPH_LINE || b->group == HONE_GRAPH_OBJECT_LINE;
    if (by_address)
        key.address = p->locations.address[location];
    if (line) {
        if (b->group != HONE_GRAPH_FILE)
            key.name = p->functions.name[line->function];
        if (b->group != HONE_GRAPH_FUNCTION)
            key.file = p->functions.file[line->function];
        if (by_line || by_address)
            key.line = line->number;
    }
    if (by_object || (!key.name && (!key.file || b->strict)))
        key.object = p->mappings.at[p->locations.mapping[location]].file;
    if (line && (by_object || (!key.name && b->strict)))
        key.start_line = p->functions.start_line[line->function];
    return key;
}

static struct hone_str base_name(struct hone_str path)
{
    while (path.len > 1 && path.at[path.len - 1] == '/')
        path.len--;
    for (size_t at = path.len; at-- > 0;)
        if (path.at[at] == '/' && at + 1 < path.len)
            return (struct hone_str){path.at + at + 1, path.len - at - 1};
    return path;
}

// All that tells the node apart, in one line.
static struct hone_str format_name(struct builder *b, const struct hone_nodes_key *key)
{
    const struct hone_profile *p = b->profile;
    const char *name = hone_profile_text(p, key->name);
    struct hone_str file = hone_path_clean(b->text, hone_profile_str(p, key->file));
    struct hone_str object = base_name(hone_profile_str(p, key->object));
    if (!file.at)
        return file;
    char address[24] = "";
    if (key->address)
        (void)snprintf(address, sizeof address, "%016" PRIx64 " ", key->address);
    const char *gap = key->name ? " " : "";
    char *text;
    if (key->line)
        text = hone_arena_format(b->text, "%s%s%s%.*s:%" PRId64, address, name, gap, (int)file.len,
                                 file.at, key->line);
    else if (key->file)
        text = hone_arena_format(b->text, "%s%s%s%.*s", address, name, gap, (int)file.len, file.at);
    else if (key->name)
        text = hone_arena_format(b->text, "%s%s", address, name);
    else if (key->object)
        text = hone_arena_format(b->text, "%s[%.*s]", address, (int)object.len, object.at);
    else
        text = hone_arena_format(b->text, "%s<unknown>", address);
    return hone_str_of(text);
}

static int add_node(struct builder *b, const struct hone_nodes_key *key, uint64_t hash,
                    struct hone_nodes_origin origin)
{
    struct hone_nodes *nodes = b->nodes;
    if (nodes->count == b->room) {
        uint32_t room = b->room ? b->room * 2 : 256;
        struct hone_str *names = reallocarray(nodes->names, room, sizeof *names);
        if (names)
            nodes->names = names;
        struct hone_nodes_origin *origins = reallocarray(nodes->origins, room, sizeof *origins);
        if (origins)
            nodes->origins = origins;
        struct hone_nodes_key *keys = reallocarray(nodes->keys, room, sizeof *keys);
        if (keys)
            nodes->keys = keys;
        if (!names || !origins || !keys)
            return -ENOMEM;
        b->room = room;
    }
    bool plain = key->name && !key->address && !key->line && !key->file;
    struct hone_str name = plain ? hone_profile_str(b->profile, key->name) : format_name(b, key);
    if (!name.at || hone_table_add(&b->table, hash, nodes->count))
        return -ENOMEM;
    nodes->names[nodes->count] = name;
    nodes->origins[nodes->count] = origin;
    nodes->keys[nodes->count++] = *key;
    return 0;
}

static int look_up(struct builder *b, uint32_t location, const struct hone_profile_line *line,
                   const struct hone_nodes_key *key, uint32_t *ret)
{
    uint64_t hash = hone_table_hash(key, sizeof *key, b->profile->strings.count);
    struct hone_table_probe probe = hone_table_probe(&b->table, hash);
    uint32_t at;
    while ((at = hone_table_next(&b->table, &probe)) != HONE_TABLE_END)
        // NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): what the table knows has a key
        if (memcmp(&b->nodes->keys[at], key, sizeof *key) == 0) {
            *ret = at;
            return 0;
        }
    *ret = b->nodes->count;
    uint32_t number = line ? (uint32_t)(line - b->profile->lines.at) : HONE_GRAPH_NO_LINE;
    return add_node(b, key, hash, (struct hone_nodes_origin){location, number});
}

// Whether nothing of the key is the location's, so that it is the same wherever the function is.
static bool is_of_function(const struct builder *b, const struct hone_nodes_key *key)
{
    bool group = b->group == HONE_GRAPH_FUNCTION || b->group == HONE_GRAPH_FILE ||
                 b->group == HONE_GRAPH_ROUTINE;
    return group && (key->name || (key->file && !b->strict));
}

static int find_node(struct builder *b, uint32_t location, const struct hone_profile_line *line,
                     uint32_t *ret)
{
    uint32_t known = line ? b->by_function[line->function] : 0;
    if (known) {
        *ret = known - 1;
        return 0;
    }
    struct hone_nodes_key key = key_of(b, location, line);
    int r = look_up(b, location, line, &key, ret);
    if (!r && line && is_of_function(b, &key))
        b->by_function[line->function] = *ret + 1;
    return r;
}

static int find_all(struct builder *b)
{
    const struct hone_profile *p = b->profile;
    uint32_t next = 0;
    int r = 0;
    for (uint32_t location = 0; !r && location < p->locations.count; location++) {
        b->nodes->first[location] = next;
        struct hone_profile_line_span lines = hone_profile_lines_of(p, location);
        if (!lines.count)
            r = find_node(b, location, NULL, &b->nodes->at[next++]);
        for (uint32_t i = lines.count; !r && i-- > 0;)
            r = find_node(b, location, &lines.at[i], &b->nodes->at[next++]);
        b->nodes->only[location] = lines.count > 1 ? HONE_NODES_SEVERAL : b->nodes->at[next - 1];
    }
    b->nodes->first[p->locations.count] = next;
    return r;
}

int hone_nodes_init(struct hone_nodes *nodes, const struct hone_profile *profile,
                    enum hone_graph_group group, bool strict, struct hone_arena *text)
{
    *nodes = (struct hone_nodes){0};
    nodes->first = calloc((size_t)profile->locations.count + 1, sizeof *nodes->first);
    nodes->at = calloc((size_t)profile->locations.count + profile->lines.count, sizeof *nodes->at);
    nodes->only = calloc(profile->locations.count, sizeof *nodes->only);
    if (!nodes->first || !nodes->at || !nodes->only)
        return -ENOMEM;
    struct builder b = {
        .profile = profile, .nodes = nodes, .group = group, .strict = strict, .text = text};
    b.by_function = calloc(profile->functions.count, sizeof *b.by_function);
    int r = b.by_function ? find_all(&b) : -ENOMEM;
    free(b.by_function);
    hone_table_done(&b.table);
    return r;
}

static void print_key(const struct hone_profile *p, const struct hone_nodes_key *key,
                      struct hone_buffer *out)
{
    hone_buffer_format(out, "{%s  %" PRIu64 " %s %" PRId64 " %" PRId64 " %s}",
                       hone_profile_text(p, key->name), key->address,
                       hone_profile_text(p, key->file), key->start_line, key->line,
                       hone_profile_text(p, key->object));
    hone_buffer_add(out, "", 1);
}

int hone_nodes_compare(const struct hone_nodes *nodes, const struct hone_profile *profile,
                       uint32_t a, uint32_t b)
{
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer text_a = {0};
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer text_b = {0};
    print_key(profile, &nodes->keys[a], &text_a);
    print_key(profile, &nodes->keys[b], &text_b);
    int order = text_a.failed || text_b.failed ? 0 : strcmp(text_a.at, text_b.at);
    return order ? order : (a > b) - (a < b);
}

void hone_nodes_done(struct hone_nodes *nodes)
{
    free(nodes->names);
    free(nodes->keys);
    free(nodes->origins);
    free(nodes->first);
    free(nodes->at);
    free(nodes->only);
}
