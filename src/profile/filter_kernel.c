// The kernel's frames below waits. A thread that waits does so in the kernel, whatever for: in a
// profile of waiting these frames are below every stack, and the same few of them take everything.
#include "profile/filter_parts.h"

#include "base/cleanup.h"
#include "profile/profile.h"

#include <errno.h>
#include <stdlib.h>

enum { WAITS = 1 << 0, RUNS = 1 << 1 };

struct cut {
    const struct hone_profile *profile;
    const bool *kernel;   // by mapping
    const uint8_t *marks; // by stack
    uint32_t stack;       // the one that is next
};

static struct hone_profile_span edit_stack(void *context, uint32_t *frames, uint32_t count,
                                           bool *keep)
{
    struct cut *cut = context;
    uint32_t first = 0;
    (void)keep;
    if (cut->marks[cut->stack++] != WAITS)
        return (struct hone_profile_span){frames, count};
    while (first < count && cut->kernel[cut->profile->locations.mapping[frames[first]]])
        first++;
    if (first == count) // a thread of the kernel
        first = 0;
    return (struct hone_profile_span){frames + first, count - first};
}

// Returns whether there is any.
static bool find_kernel(const struct hone_profile *p, bool *ret)
{
    bool any = false;
    for (uint32_t i = 1; i < p->mappings.count; i++) {
        ret[i] = hone_str_starts(hone_profile_str(p, p->mappings.at[i].file), HONE_STR("[kernel"));
        any = any || ret[i];
    }
    return any;
}

static void mark_stacks(const struct hone_profile *p, bool *waiting, uint8_t *marks)
{
    for (uint32_t set = 1; set < p->label_sets.count; set++)
        for (uint32_t i = p->label_sets.first_label[set]; i < p->label_sets.first_label[set + 1];
             i++)
            if (hone_str_equal(hone_profile_str(p, p->labels.at[i].key), HONE_STR("wait")))
                waiting[set] = true;
    for (uint32_t i = 0; i < p->samples.count; i++)
        marks[p->samples.stack[i]] |= waiting[p->samples.label_set[i]] ? WAITS : RUNS;
}

int hone_profile_drop_kernel(struct hone_profile *p, struct hone_error *err)
{
    HONE_CLEANUP(hone_freep) bool *kernel = calloc(p->mappings.count, sizeof *kernel);
    HONE_CLEANUP(hone_freep) bool *waiting = calloc(p->label_sets.count, sizeof *waiting);
    HONE_CLEANUP(hone_freep) bool *keep = calloc(p->stacks.count, sizeof *keep);
    HONE_CLEANUP(hone_freep) uint8_t *marks = calloc(p->stacks.count, sizeof *marks);
    if (!kernel || !waiting || !keep || !marks)
        return hone_error_set(err, -ENOMEM, "cannot leave the kernel's frames out");
    if (!find_kernel(p, kernel))
        return 0;
    mark_stacks(p, waiting, marks);
    struct cut cut = {.profile = p, .kernel = kernel, .marks = marks, .stack = 1};
    hone_filter_stacks(p, edit_stack, &cut, keep);
    return 0;
}
