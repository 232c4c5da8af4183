#include "analyse/tree_profile.h"

#include "analyse/tree_parts.h"
#include "profile/profile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void hone_tree_places_done(struct hone_tree_places *locations)
{
    free(locations->first);
    free(locations->frames);
}

static const struct hone_str truncated_name = {"[truncated]", sizeof "[truncated]" - 1};

static struct hone_str last_part(struct hone_str path)
{
    const char *slash = path.len ? memrchr(path.at, '/', path.len) : NULL;
    if (!slash || slash + 1 == path.at + path.len)
        return path;
    return (struct hone_str){slash + 1, (size_t)(path.at + path.len - (slash + 1))};
}

static uint32_t to_line(int64_t number)
{
    return number > 0 && number <= UINT32_MAX ? (uint32_t)number : 0;
}

// Code of a module without names is one frame, "[libz.so.1]": its addresses say nothing to people,
// and apart they would hide how much of the time the module takes.
static int nameless_frame(struct hone_tree *tree, struct hone_str module, uint32_t *ret)
{
    struct hone_str file = last_part(module);
    struct hone_tree_frame frame = {.module = module, .name = HONE_STR("[unknown]")};
    if (file.len && file.at[0] == '[') {
        frame.name = file; // "[vdso]" needs no second pair
    } else if (file.len) {
        char *name = hone_arena_alloc(&tree->names, file.len + 2);
        if (!name)
            return -ENOMEM;
        name[0] = '[';
        memcpy(name + 1, file.at, file.len);
        name[file.len + 1] = ']';
        frame.name = (struct hone_str){name, file.len + 2};
    }
    return hone_tree_frame(tree, &frame, ret);
}

static int line_frame(struct hone_tree *tree, const struct hone_profile *profile,
                      const struct hone_profile_line *line, struct hone_str module, bool inlined,
                      enum hone_tree_group group, uint32_t *ret)
{
    struct hone_tree_frame frame = {
        .name = hone_profile_str(profile, profile->functions.name[line->function]),
        .module = module,
        .line = group == HONE_TREE_LINE ? to_line(line->number) : 0,
        .inlined = inlined,
        .start_line = to_line(profile->functions.start_line[line->function]),
        .file = hone_profile_str(profile, profile->functions.file[line->function]),
    };
    if (frame.name.len == 0)
        frame.name = hone_profile_str(profile, profile->functions.system_name[line->function]);
    if (frame.name.len == 0)
        return nameless_frame(tree, module, ret);
    return hone_tree_frame(tree, &frame, ret);
}

static int module_frame(struct hone_tree *tree, struct hone_str module, uint32_t *ret)
{
    struct hone_tree_frame frame = {.name = last_part(module), .module = module};
    if (frame.name.len == 0)
        frame.name = HONE_STR("[unknown]");
    return hone_tree_frame(tree, &frame, ret);
}

static bool is_truncated(const struct hone_profile *profile, uint32_t location)
{
    struct hone_profile_line_span lines = hone_profile_lines_of(profile, location);
    return lines.count == 1 &&
           hone_str_equal(hone_profile_str(profile, profile->functions.name[lines.at->function]),
                          truncated_name);
}

static int intern_location(struct hone_tree *tree, const struct hone_profile *profile,
                           uint32_t location, enum hone_tree_group group, uint32_t *frames)
{
    uint32_t mapping = profile->locations.mapping[location];
    struct hone_str module = hone_profile_str(profile, profile->mappings.at[mapping].file);
    struct hone_profile_line_span lines = hone_profile_lines_of(profile, location);
    if (is_truncated(profile, location))
        return hone_tree_frame(tree, &(struct hone_tree_frame){.name = truncated_name}, frames);
    if (group == HONE_TREE_MODULE)
        return module_frame(tree, module, frames);
    if (lines.count == 0)
        return nameless_frame(tree, module, frames);
    for (uint32_t i = 0; i < lines.count; i++) {
        int r =
            line_frame(tree, profile, &lines.at[i], module, i + 1 < lines.count, group, &frames[i]);
        if (r)
            return r;
    }
    return 0;
}

int hone_tree_places(struct hone_tree *tree, const struct hone_profile *profile,
                     enum hone_tree_group group, struct hone_tree_places *ret)
{
    uint32_t count = profile->locations.count;
    // A location without lines still makes one frame, hence the second count.
    ret->first = calloc((size_t)count + 1, sizeof *ret->first);
    ret->frames = calloc((size_t)profile->lines.count + count + 1, sizeof *ret->frames);
    if (!ret->first || !ret->frames)
        return -ENOMEM;
    uint32_t used = 0;
    for (uint32_t i = 0; i < count; i++) {
        ret->first[i] = used;
        if (i == 0) // "none"
            continue;
        int r = intern_location(tree, profile, i, group, ret->frames + used);
        if (r)
            return r;
        uint32_t lines = hone_profile_lines_of(profile, i).count;
        used += group == HONE_TREE_MODULE || lines == 0 ? 1 : lines;
    }
    ret->first[count] = used;
    return 0;
}

void hone_tree_stack_done(struct hone_tree_stack *stack)
{
    free(stack->at);
}

int hone_tree_stack_reserve(struct hone_tree_stack *stack, size_t need)
{
    if (stack->at && need <= stack->capacity)
        return 0;
    size_t capacity = need * 2 + 64;
    uint32_t *at = reallocarray(stack->at, capacity, sizeof *at);
    if (!at)
        return -ENOMEM;
    stack->at = at;
    stack->capacity = capacity;
    return 0;
}

int hone_tree_expand(const struct hone_tree_places *locations, struct hone_profile_span stack,
                     const struct hone_tree_options *options, struct hone_tree_stack *out,
                     size_t *ret)
{
    size_t count = 0;
    for (uint32_t i = 0; i < stack.count; i++)
        count += locations->first[stack.at[i] + 1] - locations->first[stack.at[i]];
    int r = hone_tree_stack_reserve(out, count);
    if (r)
        return r;
    size_t at = 0;
    for (uint32_t i = 0; i < stack.count; i++) {
        uint32_t location = options->reversed ? stack.at[i] : stack.at[stack.count - 1 - i];
        uint32_t first = locations->first[location], end = locations->first[location + 1];
        for (uint32_t j = first; j < end; j++) {
            uint32_t frame = locations->frames[options->reversed ? j : end - 1 - (j - first)];
            bool run = options->group == HONE_TREE_MODULE && at && out->at[at - 1] == frame;
            if (!run)
                out->at[at++] = frame;
        }
    }
    *ret = at;
    return 0;
}

static int add_samples(struct hone_tree *tree, const struct hone_profile *profile,
                       const struct hone_tree_options *options,
                       const struct hone_tree_places *locations)
{
    HONE_CLEANUP(hone_tree_stack_done) struct hone_tree_stack stack = {0};
    HONE_CLEANUP(hone_freep) int64_t *net = NULL;
    const int64_t *values = profile->samples.values[options->type];
    if (options->net) {
        int r = hone_tree_net(profile, options, locations, &net);
        if (r)
            return r;
        values = net;
    }
    for (uint32_t i = 0; i < profile->samples.count; i++) {
        if (values[i] == 0) {
            tree->stacks_of_zero++;
            continue;
        }
        if (values[i] < 0 && !options->keep_negative) {
            tree->stacks_negative++;
            continue;
        }
        struct hone_profile_span frames =
            hone_profile_frames_of(profile, profile->samples.stack[i]);
        size_t count = 0;
        int r = hone_tree_expand(locations, frames, options, &stack, &count);
        if (!r)
            r = hone_tree_add(tree, stack.at, count, values[i]);
        if (r)
            return r;
        if (frames.count && is_truncated(profile, frames.at[frames.count - 1])) {
            tree->stacks_truncated++;
            tree->truncated = (int64_t)((uint64_t)tree->truncated + (uint64_t)values[i]);
        }
    }
    return 0;
}

int hone_tree_collect(const struct hone_profile *profile, const struct hone_tree_options *options,
                      struct hone_tree **ret, struct hone_error *err)
{
    if (options->type >= profile->type_count)
        return hone_error_set(err, -EINVAL, "the profile has no sample type %u", options->type);
    HONE_CLEANUP(hone_tree_freep) struct hone_tree *tree = NULL;
    HONE_CLEANUP(hone_tree_places_done) struct hone_tree_places locations = {0};
    int r = hone_tree_new(&tree);
    if (!r)
        r = hone_tree_places(tree, profile, options->group, &locations);
    if (!r)
        r = add_samples(tree, profile, options, &locations);
    if (r)
        return hone_error_set(err, r, "cannot build the call tree");
    *ret = hone_take(tree);
    return 0;
}

int hone_tree_of_profile(const struct hone_profile *profile,
                         const struct hone_tree_options *options, struct hone_tree **ret,
                         struct hone_error *err)
{
    struct hone_tree_options chosen = {0};
    if (options)
        memcpy(&chosen, options, options->size < sizeof chosen ? options->size : sizeof chosen);
    HONE_CLEANUP(hone_tree_freep) struct hone_tree *tree = NULL;
    int r = hone_tree_collect(profile, &chosen, &tree, err);
    if (!r)
        r = hone_tree_finish(tree, &chosen.limit, err);
    if (!r)
        *ret = hone_take(tree);
    return r;
}
