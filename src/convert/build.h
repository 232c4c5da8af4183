// What readers share on the way into a profile: names that become locations, stacks at hand, and
// the one check at the end. Private to this room.
#ifndef HONE_CONVERT_BUILD_H
#define HONE_CONVERT_BUILD_H

#include "base/array.h"
#include "base/table.h"
#include "profile/profile.h"

// The stack of the sample at hand: locations in the order in which the file has them.
struct hone_stack {
    uint32_t *at;
    uint32_t room;
    uint32_t count;
    uint64_t total; // frames of all stacks added
};

// What all stacks of a file may have together, 1 GiB of frames: a tree of calls can say more in few
// bytes than any memory holds.
#define HONE_STACK_TOTAL_MAX ((uint64_t)1 << 28)

// False: memory is out.
static inline bool hone_stack_push(struct hone_stack *stack, uint32_t location)
{
    if (!hone_array_reserve(&stack->at, &stack->room, (uint64_t)stack->count + 1,
                            sizeof *stack->at))
        return false;
    stack->at[stack->count++] = location;
    return true;
}

static inline void hone_stack_done(struct hone_stack *stack)
{
    free(stack->at);
}

// Turns what was pushed root first into leaf first.
void hone_stack_reverse(struct hone_stack *stack);

// The profile's number of the stack. Beyond HONE_STACK_TOTAL_MAX the profile fails (-EOVERFLOW).
uint32_t hone_stack_add(struct hone_profile *profile, struct hone_stack *stack);

// A place with one function and no address. The text may be empty where it is unknown; a name that
// is empty is "[unknown]".
struct hone_place {
    struct hone_str name;
    struct hone_str file;
    int64_t line;
    int64_t column;
    int64_t start_line;
    uint32_t mapping;
};
uint32_t hone_place_add(struct hone_profile *profile, const struct hone_place *place);

// A mapping known by its file only.
uint32_t hone_module_add(struct hone_profile *profile, struct hone_str file);

// "# command: …" among the comments, as recordings have it.
void hone_command_comment(struct hone_profile *profile, struct hone_str command);

// From texts to locations: an equal text is looked up once. The texts are borrowed.
struct hone_name_cache {
    struct hone_table table;
    uint64_t seed;
    struct hone_name_entry {
        struct hone_str text;
        uint32_t number;
    } * at;
    uint32_t room;
    uint32_t count;
};

// Returns a place for the text's number, 0 in a new one, or NULL when memory is out.
uint32_t *hone_name_cache_find(struct hone_name_cache *cache, struct hone_str text);
void hone_name_cache_done(struct hone_name_cache *cache);

// Takes over the profile when all went well; otherwise tells why not.
int hone_build_finish(struct hone_profile **profile, const char *name, struct hone_profile **ret,
                      struct hone_error *err);
int hone_build_out_of_memory(const char *name, struct hone_error *err); // -ENOMEM

#endif
