// threads.prof: every thread at a moment, where it is and where it was created, and
// threads-time.prof: threads that were created and that ended, by the stack that created them and
// by interval.
#include "capture/profile_parts.h"

#include "base/cleanup.h"
#include "capture/thread_names.h"
#include "capture/thread_sites.h"
#include "core/core.h"
#include "symbol/place.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t add_word(struct hone_profile_builder *builder, const char *name)
{
    struct hone_profile_line line = {
        .function = hone_symbol_add_function(builder->profile, name, "", "", 0)};
    uint32_t location = hone_profile_add_location(
        builder->profile, &(struct hone_profile_location){.lines = &line, .line_count = 1});
    return hone_profile_add_stack(builder->profile, &location, 1);
}

// --- a moment ------------------------------------------------------------------------------------

enum { LABELS_MAX = 16 };

struct labels {
    struct hone_profile *profile;
    struct hone_profile_label at[LABELS_MAX];
    uint32_t count;
};

static void add_text(struct labels *labels, const char *key, const char *text)
{
    labels->at[labels->count++] =
        (struct hone_profile_label){.key = hone_profile_intern(labels->profile, key),
                                    .text = hone_profile_intern(labels->profile, text)};
}

static void add_number(struct labels *labels, const char *key, int64_t number, const char *unit)
{
    labels->at[labels->count++] =
        (struct hone_profile_label){.key = hone_profile_intern(labels->profile, key),
                                    .number = number,
                                    .unit = hone_profile_intern(labels->profile, unit)};
}

static void add_creation(struct labels *labels, const struct hone_profile_builder *builder,
                         const struct hone_dump_thread *thread)
{
    char place[64];
    struct hone_profile_line line;
    if (thread->creator_tid)
        add_number(labels, "creator", thread->creator_tid, "");
    if (!thread->creation ||
        !hone_creator_line(labels->profile, builder->stacks[thread->creation - 1], &line))
        return;
    const struct hone_profile_functions *functions = &labels->profile->functions;
    add_text(labels, "created by",
             hone_profile_text(labels->profile, functions->name[line.function]));
    const char *file = hone_profile_text(labels->profile, functions->file[line.function]);
    const char *slash = strrchr(file, '/');
    if (!file[0] || !line.number)
        return;
    (void)snprintf(place, sizeof place, "%.40s:%lld", slash ? slash + 1 : file,
                   (long long)line.number);
    add_text(labels, "created at", place);
}

static int add_dump(struct hone_profile_builder *builder)
{
    const struct hone_dump *dump = builder->recording->dump;
    struct hone_profile *profile = builder->profile;
    uint32_t no_stack = add_word(builder, "[no stack]");
    for (uint32_t i = 0; dump && i < dump->thread_count; i++) {
        const struct hone_dump_thread *thread = &dump->threads[i];
        const struct hone_dump_process *process = &dump->processes[thread->process];
        uint32_t stack = thread->stack ? builder->stacks[thread->stack - 1] : no_stack;
        struct labels labels = {.profile = profile};
        add_text(&labels, "process", dump->collected->processes[process->collected].name);
        add_text(&labels, "thread", thread->name);
        add_number(&labels, "pid", process->pid, "");
        add_number(&labels, "tid", thread->tid, "");
        add_text(&labels, "state", hone_dump_state_name(thread));
        if (thread->placed && thread->wait != HONE_WAIT_NONE)
            add_text(&labels, "wait",
                     hone_wait_kind_name(hone_builder_wait_kind(builder, stack, thread->kind)));
        if (thread->wait != HONE_WAIT_NONE && thread->waits_ns != HONE_DUMP_UNKNOWN)
            add_number(&labels, "waits", (int64_t)thread->waits_ns, "nanoseconds");
        if (hone_dump_miss_words(thread->miss))
            add_text(&labels, "no stack", hone_dump_miss_words(thread->miss));
        if (process->asleep && thread->miss != HONE_DUMP_OVER)
            add_text(&labels, "may be stuck",
                     "all threads of the process wait for each other, without a time limit, and it "
                     "handles no signal");
        add_creation(&labels, builder, thread);
        (void)hone_profile_add_sample(profile, stack, (int64_t[]){1}, labels.at, labels.count);
    }
    return 0;
}

static void describe_dump(struct hone_profile_builder *builder)
{
    (void)hone_profile_add_type(builder->profile, "threads", "count");
    hone_profile_set_default_type(builder->profile, "threads");
    hone_profile_set_period(builder->profile, "threads", "count", 1);
}

const struct hone_profile_kind hone_profile_threads = {describe_dump, add_dump};

// --- a whole recording ---------------------------------------------------------------------------

enum { CREATED, ENDED, MOST, LIVED, ALIVE, VALUES };
enum { INTERVALS_MAX = 500 };

// A round number of milliseconds, from 1, 2, 5, 10, … on, of which the recording has not too many.
static uint64_t interval_ms(uint64_t duration_ns)
{
    static const uint64_t steps[] = {1, 2, 5};
    uint64_t ten = 1;
    for (int i = 0;; i++) {
        if (i == 3) {
            i = 0;
            ten *= 10;
        }
        if (steps[i] * ten >= duration_ns / 1000000 / INTERVALS_MAX + 1)
            return steps[i] * ten;
    }
}

struct course {
    struct hone_profile_builder *builder;
    const struct hone_thread_lives *lives;
    uint64_t width_ns, started_ns, duration_ns;
    int64_t (*values)[VALUES]; // by interval
    uint32_t count;
    uint32_t unknown; // the stack of threads whose creator is not known
};

static int64_t *values_at(const struct course *course, uint64_t time_ns)
{
    uint64_t since_ns = time_ns > course->started_ns ? time_ns - course->started_ns : 0;
    uint64_t at = since_ns / course->width_ns;
    return course->values[at < course->count ? at : course->count - 1];
}

// Where an interval ends; the last one, where the recording does.
static int64_t end_ms(const struct course *course, uint32_t interval)
{
    uint64_t end_ns = (interval + 1) * course->width_ns;
    if (end_ns > course->duration_ns)
        end_ns = course->duration_ns;
    return (int64_t)((end_ns + 999999) / 1000000);
}

static void add_site(struct course *course, const struct hone_thread_site *site)
{
    struct hone_profile *profile = course->builder->profile;
    const struct hone_collected *collected = course->builder->recording->collected;
    const struct hone_collected_process *process = &collected->processes[site->process];
    memset(course->values, 0, course->count * sizeof *course->values);
    for (uint32_t i = site->first; i < site->first + site->created; i++) {
        const struct hone_thread_life *life = &course->lives->at[i];
        int64_t *begin = values_at(course, life->begun_ns);
        begin[CREATED]++;
        begin[ALIVE]++;
        if (!life->ended_ns)
            continue;
        int64_t *end = values_at(course, life->ended_ns);
        end[ENDED]++;
        end[ALIVE]--;
        if (life->ended_ns > life->begun_ns)
            end[LIVED] += (int64_t)(life->ended_ns - life->begun_ns);
    }
    values_at(course, site->most_ns)[MOST] = site->most;
    uint32_t stack = site->creation ? course->builder->stacks[site->creation - 1] : course->unknown;
    for (uint32_t i = 0; i < course->count; i++) {
        static const int64_t nothing[VALUES];
        if (memcmp(course->values[i], nothing, sizeof nothing) == 0)
            continue;
        const struct hone_profile_label labels[] = {
            {.key = hone_profile_intern(profile, "process"),
             .text = hone_profile_intern(profile, process->name)},
            {.key = hone_profile_intern(profile, "pid"), .number = process->pid},
            {.key = hone_profile_intern(profile, "time"),
             .number = end_ms(course, i),
             .unit = hone_profile_intern(profile, "milliseconds")},
        };
        (void)hone_profile_add_sample(profile, stack, course->values[i], labels,
                                      HONE_ARRAY_LENGTH(labels));
    }
}

static int add_course(struct hone_profile_builder *builder)
{
    const struct hone_recording *recording = builder->recording;
    HONE_CLEANUP(hone_thread_lives_done) struct hone_thread_lives lives = {0};
    struct course course = {
        .builder = builder,
        .lives = &lives,
        .width_ns = interval_ms(recording->duration_ns) * 1000000,
        .started_ns = recording->started_monotonic_ns,
        .duration_ns = recording->duration_ns,
    };
    course.count = (uint32_t)(recording->duration_ns / course.width_ns) + 1;
    course.unknown = add_word(builder, "[creator not known]");
    HONE_CLEANUP(hone_freep) void *values = calloc(course.count, sizeof *course.values);
    course.values = values;
    int r = values ? hone_thread_lives_new(recording->collected,
                                           course.started_ns + course.duration_ns, &lives)
                   : -ENOMEM;
    for (uint32_t first = 0; !r && first < lives.count;) {
        struct hone_thread_site site;
        r = hone_thread_site_sum(&lives, first, &site);
        if (r)
            break;
        add_site(&course, &site);
        first += site.created;
    }
    return r;
}

static void describe_course(struct hone_profile_builder *builder)
{
    struct hone_profile *profile = builder->profile;
    (void)hone_profile_add_type(profile, "created", "count");
    (void)hone_profile_add_type(profile, "ended", "count");
    (void)hone_profile_add_type(profile, "most", "count");
    (void)hone_profile_add_type(profile, "lived", "nanoseconds");
    (void)hone_profile_add_type(profile, "alive", "count");
    hone_profile_set_default_type(profile, "alive");
    hone_profile_set_period(profile, "threads", "count", 1);
}

const struct hone_profile_kind hone_profile_threads_time = {describe_course, add_course};
