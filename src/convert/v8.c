#include "convert/v8.h"

#include "base/array.h"
#include "base/cleanup.h"
#include "convert/build.h"

#include <errno.h>

static int out_of_memory(struct hone_json *json)
{
    return hone_build_out_of_memory(json->name, json->err);
}

static uint64_t hash_of(int64_t id)
{
    uint64_t word = (uint64_t)id;
    return hone_hash_words(&word, 1, hone_table_seed());
}

// The node with this id, or NULL.
static struct hone_v8_node *find_node(const struct hone_v8_profile *v8, int64_t id)
{
    struct hone_table_probe probe = hone_table_probe(&v8->by_id, hash_of(id));
    uint32_t at;
    while ((at = hone_table_next(&v8->by_id, &probe)) != HONE_TABLE_END)
        if (v8->nodes[at].id == id)
            return &v8->nodes[at];
    return NULL;
}

// The node with this id, made when it is not there yet.
static struct hone_v8_node *want_node(struct hone_v8_profile *v8, int64_t id)
{
    struct hone_v8_node *node = find_node(v8, id);
    if (node)
        return node;
    if (!hone_array_reserve(&v8->nodes, &v8->node_room, (uint64_t)v8->node_count + 1,
                            sizeof *v8->nodes) ||
        hone_table_add(&v8->by_id, hash_of(id), v8->node_count))
        return NULL;
    node = &v8->nodes[v8->node_count++];
    *node = (struct hone_v8_node){.id = id};
    return node;
}

static int read_call_frame(struct hone_json *json, struct hone_profile *p, struct hone_place *place)
{
    struct hone_str key;
    struct hone_str text;
    int r = hone_json_object(json);
    while (!r && (r = hone_json_key(json, &key)) > 0) {
        bool number = hone_json_peek(json) == HONE_JSON_NUMBER;
        if (hone_json_is(key, "functionName") || hone_json_is(key, "url")) {
            struct hone_str *to = hone_json_is(key, "url") ? &place->file : &place->name;
            r = hone_json_string(json, &text);
            if (!r)
                *to = hone_profile_str(p, hone_profile_intern_str(p, text));
        } else if (number && hone_json_is(key, "lineNumber")) {
            r = hone_json_integer(json, &place->start_line);
        } else {
            r = hone_json_skip(json);
        }
    }
    // From 0 there, from 1 here; -1 is unknown. The function's own line, not that of the sample.
    place->start_line = place->start_line >= 0 && place->file.len ? place->start_line + 1 : 0;
    place->line = place->start_line;
    if (!place->name.len)
        place->name = HONE_STR("(anonymous)");
    return r;
}

static int read_children(struct hone_json *json, struct hone_stack *children)
{
    int r = hone_json_array(json);
    while (!r && (r = hone_json_item(json)) > 0) {
        int64_t id;
        r = hone_json_integer(json, &id);
        if (!r && (id < 0 || id > UINT32_MAX))
            r = hone_json_bad(json, "a node's id is beyond 32 bits");
        if (!r && !hone_stack_push(children, (uint32_t)id))
            r = out_of_memory(json);
    }
    return r;
}

static int read_node(struct hone_v8_profile *v8, struct hone_json *json, struct hone_profile *p)
{
    HONE_CLEANUP(hone_stack_done) struct hone_stack children = {0};
    struct hone_place place = {0};
    int64_t id = 0;
    int64_t parent = 0;
    struct hone_str key;
    int r = hone_json_object(json);
    while (!r && (r = hone_json_key(json, &key)) > 0) {
        if (hone_json_is(key, "id"))
            r = hone_json_integer(json, &id);
        else if (hone_json_is(key, "parent"))
            r = hone_json_integer(json, &parent);
        else if (hone_json_is(key, "callFrame"))
            r = read_call_frame(json, p, &place);
        else if (hone_json_is(key, "children"))
            r = read_children(json, &children);
        else
            r = hone_json_skip(json);
    }
    if (r)
        return r;
    struct hone_v8_node *node = want_node(v8, id);
    if (!node)
        return out_of_memory(json);
    if (parent)
        node->parent = parent;
    node->location = hone_str_equal(place.name, HONE_STR("(root)")) ? 0 : hone_place_add(p, &place);
    for (uint32_t i = 0; i < children.count; i++) {
        struct hone_v8_node *child = want_node(v8, children.at[i]);
        if (!child)
            return out_of_memory(json);
        child->parent = id;
    }
    return 0;
}

static int read_numbers(struct hone_json *json, int64_t **at, uint32_t *count, uint32_t *room)
{
    int r = hone_json_array(json);
    while (!r && (r = hone_json_item(json)) > 0) {
        if (!hone_array_reserve(at, room, (uint64_t)*count + 1, sizeof **at))
            return out_of_memory(json);
        r = hone_json_integer(json, &(*at)[*count]);
        *count += !r;
    }
    return r;
}

int hone_v8_read_deltas(struct hone_v8_profile *v8, struct hone_json *json)
{
    return read_numbers(json, &v8->deltas, &v8->delta_count, &v8->delta_room);
}

int hone_v8_read(struct hone_v8_profile *v8, struct hone_json *json, struct hone_profile *profile)
{
    struct hone_str key;
    int r = hone_json_object(json);
    while (!r && (r = hone_json_key(json, &key)) > 0) {
        bool number = hone_json_peek(json) == HONE_JSON_NUMBER;
        if (hone_json_is(key, "nodes")) {
            r = hone_json_array(json);
            while (!r && (r = hone_json_item(json)) > 0)
                r = read_node(v8, json, profile);
        } else if (hone_json_is(key, "samples")) {
            r = read_numbers(json, &v8->samples, &v8->sample_count, &v8->sample_room);
        } else if (hone_json_is(key, "timeDeltas")) {
            r = hone_v8_read_deltas(v8, json);
        } else if (number && hone_json_is(key, "startTime")) {
            r = hone_json_integer(json, &v8->start);
        } else if (number && hone_json_is(key, "endTime")) {
            r = hone_json_integer(json, &v8->end);
        } else {
            r = hone_json_skip(json);
        }
    }
    return r;
}

// The node's functions, leaf first. Stops where parents go round in a circle.
static bool walk(const struct hone_v8_profile *v8, const struct hone_v8_node *node,
                 struct hone_stack *stack)
{
    stack->count = 0;
    for (uint32_t steps = 0; node && steps <= v8->node_count && steps < HONE_PROFILE_DEPTH_MAX;
         steps++) {
        if (node->location && !hone_stack_push(stack, node->location))
            return false;
        node = node->parent ? find_node(v8, node->parent) : NULL;
    }
    return true;
}

bool hone_v8_add_node(struct hone_v8_profile *v8, const struct hone_v8_node *node)
{
    struct hone_v8_node *to = want_node(v8, node->id);
    if (to)
        *to = *node;
    return to != NULL;
}

int hone_v8_stack(const struct hone_v8_profile *v8, struct hone_profile *profile, int64_t id,
                  struct hone_stack *scratch, uint32_t *ret)
{
    const struct hone_v8_node *node = find_node(v8, id);
    if (!node)
        return -EBADMSG;
    if (!walk(v8, node, scratch))
        return -ENOMEM;
    *ret = hone_stack_add(profile, scratch);
    return 0;
}

// The time that a sample stands for: to the next one, for the last to the end.
static int64_t time_of(const struct hone_v8_profile *v8, uint32_t sample, int64_t now)
{
    int64_t us = 0;
    if (sample + 1 < v8->delta_count && sample + 1 < v8->sample_count)
        us = v8->deltas[sample + 1];
    else if (sample + 1 == v8->sample_count && v8->end > v8->start &&
             __builtin_sub_overflow(v8->end, now, &us))
        us = 0;
    return us < 0 ? 0 : us < INT64_MAX / 1000 ? us * 1000 : INT64_MAX;
}

// The stack of a sample's node, by way of the number that is kept for it, + 1. False: out of
// memory.
static bool find_stack(const struct hone_v8_profile *v8, struct hone_profile *p, int64_t id,
                       struct hone_stack *stack, uint32_t *stacks, uint32_t *ret)
{
    const struct hone_v8_node *node = find_node(v8, id);
    uint32_t *known = &stacks[node ? (uint32_t)(node - v8->nodes) : v8->node_count];
    if (!*known) {
        stack->count = 0;
        bool good = node ? walk(v8, node, stack)
                         : hone_stack_push(stack, hone_place_add(p, &(struct hone_place){0}));
        if (!good)
            return false;
        *known = hone_stack_add(p, stack) + 1;
    }
    *ret = *known - 1;
    return true;
}

void hone_v8_add_types(struct hone_profile *profile)
{
    (void)hone_profile_add_type(profile, "samples", "count");
    (void)hone_profile_add_type(profile, "time", "nanoseconds");
}

int hone_v8_add_samples(const struct hone_v8_profile *v8, struct hone_profile *p,
                        uint32_t label_set)
{
    HONE_CLEANUP(hone_stack_done) struct hone_stack stack = {0};
    HONE_CLEANUP(hone_freep)
    uint32_t *stacks = calloc((size_t)v8->node_count + 1, sizeof *stacks);
    if (!stacks)
        return -ENOMEM;
    int64_t now = v8->start;
    for (uint32_t i = 0; i < v8->sample_count && !hone_profile_status(p); i++) {
        uint32_t number;
        if (!find_stack(v8, p, v8->samples[i], &stack, stacks, &number))
            return -ENOMEM;
        if (i < v8->delta_count && __builtin_add_overflow(now, v8->deltas[i], &now))
            now = INT64_MAX;
        int64_t values[2] = {1, time_of(v8, i, now)};
        (void)hone_profile_add_sample_in_set(p, number, values, label_set);
    }
    return 0;
}

void hone_v8_done(struct hone_v8_profile *v8)
{
    free(v8->nodes);
    free(v8->samples);
    free(v8->deltas);
    hone_table_done(&v8->by_id);
}
