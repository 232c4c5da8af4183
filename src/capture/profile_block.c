// block.prof, as Go has it: who waited, at the stack that waited. Labels say for what and, where
// the program's own lock functions told, for which lock and who let it go on.
#include "capture/profile_parts.h"

#include "base/cleanup.h"
#include "base/str.h"
#include "capture/block.h"
#include "capture/lock_names.h"
#include "core/core.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void describe(struct hone_profile_builder *builder)
{
    struct hone_profile *profile = builder->profile;
    (void)hone_profile_add_type(profile, "contentions", "count");
    (void)hone_profile_add_type(profile, "delay", "nanoseconds");
    hone_profile_set_default_type(profile, "delay");
    hone_profile_set_period(profile, "contentions", "count", 1); // each value is scaled already
}

// As mutex.prof calls it; what nobody holds, such as a condition variable, by its place in a file's
// data, or else its address.
static uint32_t name_of(const struct hone_profile_builder *builder, struct hone_lock_names *names,
                        const struct hone_block_row *row)
{
    const struct hone_collected *collected = builder->recording->collected;
    uint32_t process = collected->threads[row->thread].process;
    uint32_t number = hone_locks_only(collected, process, row->lock);
    char address[32];
    (void)snprintf(address, sizeof address, "%#" PRIx64, row->lock);
    const char *name = number ? names->at[number - 1].text : NULL;
    if (!number &&
        hone_lock_names_data(names, collected, builder->symbolizer, row->module, row->vaddr, &name))
        name = NULL;
    return hone_profile_intern(builder->profile, name ? name : address);
}

static uint32_t label_set(struct hone_profile_builder *builder, struct hone_lock_names *names,
                          const struct hone_block_row *row)
{
    struct hone_profile *profile = builder->profile;
    enum hone_wait_kind kind =
        hone_builder_wait_kind(builder, builder->stacks[row->stack], row->kind);
    struct hone_profile_label labels[3] = {
        {.key = hone_profile_intern(profile, "wait"),
         .text = hone_profile_intern(profile, hone_wait_kind_name(kind))},
    };
    size_t count = 1;
    if (row->lock)
        labels[count++] = (struct hone_profile_label){.key = hone_profile_intern(profile, "lock"),
                                                      .text = name_of(builder, names, row)};
    struct hone_str site = row->holder_stack
                               ? hone_lock_site(profile, builder->stacks[row->holder_stack - 1])
                               : (struct hone_str){0};
    if (site.len)
        labels[count++] =
            (struct hone_profile_label){.key = hone_profile_intern(profile, "holder"),
                                        .text = hone_profile_intern_str(profile, site)};
    return hone_builder_thread_labels(builder, row->thread, labels, count);
}

static int add(struct hone_profile_builder *builder)
{
    const struct hone_collected *collected = builder->recording->collected;
    HONE_CLEANUP(hone_block_done) struct hone_block block = {0};
    HONE_CLEANUP(hone_lock_names_done) struct hone_lock_names names = {0};
    int r = hone_block_init(&block, collected);
    if (!r)
        r = hone_lock_names_init(&names, collected, builder->symbolizer, builder->profile,
                                 builder->stacks);
    for (uint32_t i = 0; !r && i < block.count; i++) {
        const struct hone_block_row *row = &block.rows[i];
        int64_t values[] = {hone_builder_whole(row->waits), hone_builder_whole(row->delay_ns)};
        if (values[0] || values[1])
            (void)hone_profile_add_sample_in_set(builder->profile, builder->stacks[row->stack],
                                                 values, label_set(builder, &names, row));
    }
    return r;
}

const struct hone_profile_kind hone_profile_block = {describe, add};
