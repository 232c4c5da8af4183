// mutex.prof, as Go has it: each release of a lock that others waited for, at the stack that
// released it, with what they waited. Labels say which lock, of what kind, and where they waited.
#include "capture/profile_parts.h"

#include "base/cleanup.h"
#include "capture/lock_kind_names.h"
#include "capture/lock_names.h"
#include "symbol/place.h"

static void describe(struct hone_profile_builder *builder)
{
    struct hone_profile *profile = builder->profile;
    (void)hone_profile_add_type(profile, "contentions", "count");
    (void)hone_profile_add_type(profile, "delay", "nanoseconds");
    hone_profile_set_default_type(profile, "delay");
    hone_profile_set_period(profile, "contentions", "count",
                            (int64_t)builder->recording->options->mutex_fraction);
}

// Which of an rwlock's two kinds was held is said, too: who waits for a reader writes.
static const char *kind_text(enum hone_lock_kind kind)
{
    return kind == HONE_LOCK_READ    ? "rwlock read"
           : kind == HONE_LOCK_WRITE ? "rwlock write"
                                     : hone_lock_kind_name(kind);
}

struct writer {
    const struct hone_collected *collected;
    struct hone_profile *profile;
    const uint32_t *stacks;
    const struct hone_lock_names *names;
    uint32_t unknown; // the stack of releases whose own was lost
};

static uint32_t label_set(const struct writer *w, const struct hone_collected_hold *hold)
{
    struct hone_profile *profile = w->profile;
    const struct hone_collected_lock *lock = &w->collected->locks.at[hold->lock];
    const struct hone_collected_process *process = &w->collected->processes[lock->process];
    const struct hone_collected_thread *thread =
        hold->thread == UINT32_MAX ? NULL : &w->collected->threads[hold->thread];
    struct hone_str waiter =
        hold->waiter ? hone_lock_site(profile, w->stacks[hold->waiter - 1]) : (struct hone_str){0};
    struct hone_profile_label labels[7] = {
        {.key = hone_profile_intern(profile, "process"),
         .text = hone_profile_intern(profile, process->name)},
        {.key = hone_profile_intern(profile, "pid"), .number = process->pid},
        {.key = hone_profile_intern(profile, "lock"),
         .text = hone_profile_intern(profile, w->names->at[hold->lock].text)},
        {.key = hone_profile_intern(profile, "kind"),
         .text = hone_profile_intern(profile, kind_text(hold->kind))},
    };
    uint32_t count = 4;
    if (waiter.len)
        labels[count++] =
            (struct hone_profile_label){.key = hone_profile_intern(profile, "waiter"),
                                        .text = hone_profile_intern_str(profile, waiter)};
    if (thread) {
        labels[count++] = (struct hone_profile_label){
            .key = hone_profile_intern(profile, "thread"),
            .text = hone_profile_intern(profile, thread->name[0] ? thread->name : process->name)};
        labels[count++] = (struct hone_profile_label){.key = hone_profile_intern(profile, "tid"),
                                                      .number = thread->tid};
    }
    return hone_profile_add_label_set(profile, labels, count);
}

static uint32_t unknown_stack(struct hone_profile *profile)
{
    const struct hone_profile_line line = {
        .function = hone_symbol_add_function(profile, "[unknown holder]", "", "", 0)};
    uint32_t location = hone_profile_add_location(
        profile, &(struct hone_profile_location){.lines = &line, .line_count = 1});
    return hone_profile_add_stack(profile, &location, 1);
}

static int add(struct hone_profile_builder *builder)
{
    const struct hone_collected *collected = builder->recording->collected;
    const struct hone_locks *locks = &collected->locks;
    struct hone_profile *profile = builder->profile;
    HONE_CLEANUP(hone_lock_names_done) struct hone_lock_names names = {0};
    int r = hone_lock_names_init(&names, collected, builder->symbolizer, profile, builder->stacks);
    if (r)
        return r;
    struct writer w = {collected, profile, builder->stacks, &names, UINT32_MAX};
    for (uint32_t i = 0; i < locks->hold_count; i++) {
        const struct hone_collected_hold *hold = &locks->holds[i];
        int64_t values[] = {hone_builder_whole(hold->releases.value),
                            hone_builder_whole(hold->delay_ns.value)};
        if (!hold->stack && w.unknown == UINT32_MAX)
            w.unknown = unknown_stack(profile);
        uint32_t stack = hold->stack ? builder->stacks[hold->stack - 1] : w.unknown;
        (void)hone_profile_add_sample_in_set(profile, stack, values, label_set(&w, hold));
    }
    return 0;
}

const struct hone_profile_kind hone_profile_mutex = {describe, add};
