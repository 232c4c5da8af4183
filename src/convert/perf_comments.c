// What a profile made of a perf.data says of itself. Comments that begin with '#' are facts for
// those who ask; the others are warnings, which every report shows.
#include "convert/perf_parts.h"

#include "base/cleanup.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    COMPLETE_WELL = 99, // percent: below that it is a warning
    MODULES_NAMED = 8,  // in one comment
};

static void comment_on_origin(const struct hone_perfdata_reading *reading,
                              struct hone_profile *profile)
{
    const struct hone_perfdata_info *info = &reading->stream.info;
    hone_profile_comment(profile, "# perf.data: recorded by perf%s%s%s%s",
                         info->perf_version[0] ? " " : "", info->perf_version,
                         info->host[0] ? " on " : "", info->host);
    if (info->machine[0] || info->release[0])
        hone_profile_comment(profile, "# machine: %s%s%s%s%s", info->machine,
                             info->processor[0] ? ", " : "", info->processor,
                             info->release[0] ? ", Linux " : "", info->release);
    if (info->cpus)
        hone_profile_comment(profile, "# CPUs: %" PRIu32, info->cpus);
    if (info->command[0])
        hone_profile_comment(profile, "# command: %s", info->command);
}

static void comment_on_events(const struct hone_perfdata_reading *reading,
                              struct hone_profile *profile)
{
    const struct hone_perfdata_info *info = &reading->stream.info;
    const struct hone_perfdata_event *event = &info->events[reading->event];
    const struct perf_event_attr *attr = &event->attr;
    if (attr->freq)
        hone_profile_comment(profile, "# event: %s, %" PRIu64 " samples per second asked for",
                             event->name, (uint64_t)attr->sample_freq);
    else
        hone_profile_comment(profile, "# event: %s, a sample every %" PRIu64, event->name,
                             (uint64_t)attr->sample_period);
    char others[512] = "";
    for (uint32_t i = 0; i < info->event_count; i++) {
        size_t len = strlen(others);
        if (i != reading->event && info->events[i].samples)
            (void)snprintf(others + len, sizeof others - len, "%s%s (%" PRIu64 " samples)",
                           len ? ", " : "", info->events[i].name, info->events[i].samples);
    }
    if (others[0])
        hone_profile_comment(profile,
                             "events: this profile is of %s; not in it: %s; choose with --event",
                             event->name, others);
    if (!reading->has_period)
        hone_profile_comment(profile,
                             "events: perf did not record how much of '%s' a sample stands for",
                             event->name);
}

static void comment_on_losses(const struct hone_perfdata_reading *reading,
                              struct hone_profile *profile)
{
    const struct hone_perfdata_losses *losses = &reading->stream.losses;
    hone_profile_comment(profile, "%ssamples lost: %" PRIu64 "%s", reading->lost ? "" : "# ",
                         reading->lost,
                         reading->lost ? " (perf did not keep up; their time is nowhere)" : "");
    if (reading->throttled)
        hone_profile_comment(profile, "# throttled: the kernel held samples back %" PRIu64 " times",
                             reading->throttled);
    if (losses->unfinished)
        hone_profile_comment(
            profile, "file: perf ended before it could finish it: no build ids, no names of "
                     "machine and command");
    if (losses->short_file)
        hone_profile_comment(profile,
                             "file: it is shorter than its header says, the end is missing");
    if (reading->stream.info.in_parts && !reading->stream.part_count)
        hone_profile_comment(profile,
                             "file: its samples are in other files of its directory; give that");
    char where[32] = "file";
    if (losses->damaged_part)
        (void)snprintf(where, sizeof where, "file: data.%" PRIu32, losses->damaged_part->number);
    if (losses->damage == HONE_PERFDATA_CUT)
        hone_profile_comment(profile, "%s: it ends within the record at byte %" PRIu64, where,
                             losses->damaged_at);
    else if (losses->damage)
        hone_profile_comment(profile, "%s: %s at byte %" PRIu64 ", what follows is not read", where,
                             losses->damage == HONE_PERFDATA_NOT_PACKED
                                 ? "compressed data is broken"
                                 : "no record begins",
                             losses->damaged_at);
    if (reading->broken)
        hone_profile_comment(profile, "lost: %" PRIu64 " records that are not as their event says",
                             reading->broken);
    if (reading->strangers)
        hone_profile_comment(profile,
                             "lost: %" PRIu64 " samples of events that the file does not describe",
                             reading->strangers);
    if (losses->late)
        hone_profile_comment(profile, "# order: %" PRIu64 " records came later than perf said",
                             losses->late);
    if (losses->auxtrace_bytes)
        hone_profile_comment(
            profile, "not read: %" PRIu64 " bytes of a processor trace (Intel PT, Arm SPE, …)",
            losses->auxtrace_bytes);
    if (reading->processes.dropped || reading->modules.dropped)
        hone_profile_comment(profile,
                             "lost: %" PRIu64 " processes, threads or mappings, more than can be",
                             reading->processes.dropped + reading->modules.dropped);
}

static const char *const end_texts[HONE_PERFDATA_ENDS] = {
    [HONE_WALK_TOO_DEEP] = "deeper than the limit",
    [HONE_WALK_NO_RULE] = "code without unwind rules or frame pointers",
    [HONE_WALK_UNREADABLE] = "unreadable stack memory",
    [HONE_WALK_BAD_FRAME] = "rules and stack contradict each other",
    [HONE_WALK_BAD_RULE] = "broken unwind rules",
    [HONE_WALK_STALE] = "a module that was not known",
    [HONE_WALK_COPY_SHORT] = "the copy of the stack ends before it (--call-graph dwarf,65528)",
    [HONE_WALK_UNKNOWN_REGISTER] = "a register that was not recorded",
};

static void comment_on_stacks(const struct hone_perfdata_reading *reading,
                              struct hone_profile *profile)
{
    if (!reading->samples)
        return;
    if (reading->ways[HONE_PERFDATA_LEAF])
        hone_profile_comment(profile,
                             "stacks: %" PRIu64
                             " samples without callers: perf was not asked for them (-g)",
                             reading->ways[HONE_PERFDATA_LEAF]);
    if (reading->ways[HONE_PERFDATA_CHAIN])
        hone_profile_comment(profile,
                             "# stacks: %" PRIu64
                             " by frame pointers, as the kernel followed them; where one "
                             "ends too early nobody can tell",
                             reading->ways[HONE_PERFDATA_CHAIN]);
    if (reading->strayed)
        hone_profile_comment(
            profile,
            "stacks: %" PRIu64 " by frame pointers led to where no code is, and are truncated "
            "there: not all code keeps them (perf record --call-graph dwarf needs none)",
            reading->strayed);
    if (reading->ways[HONE_PERFDATA_BRANCH])
        hone_profile_comment(profile,
                             "# stacks: %" PRIu64
                             " by the processor's notes of calls, no deeper than these",
                             reading->ways[HONE_PERFDATA_BRANCH]);
    uint64_t walked = reading->ways[HONE_PERFDATA_COPY];
    if (!walked)
        return;
    uint64_t cut = walked - reading->ends[HONE_WALK_COMPLETE];
    double complete = 100.0 * (double)(walked - cut) / (double)walked;
    hone_profile_comment(
        profile, "%sstacks: %.2f%% of %" PRIu64 " copied ones complete, %" PRIu64 " truncated",
        complete < COMPLETE_WELL ? "" : "# ", complete, walked, cut);
    for (int end = 1; end < HONE_PERFDATA_ENDS; end++)
        if (reading->ends[end])
            hone_profile_comment(profile, "# stacks truncated: %" PRIu64 ", %s", reading->ends[end],
                                 end_texts[end]);
    if (reading->searched)
        hone_profile_comment(profile,
                             "# stacks searched: %" PRIu64
                             ", the callers of code without unwind rules were "
                             "taken from its stack as calls had left them there",
                             reading->searched);
    if (!reading->modules.same_machine)
        hone_profile_comment(
            profile, "stacks: copies of a %s machine's stacks are walked on such a machine only",
            reading->stream.info.machine);
}

// Those of whom samples are, and whose names are missing.
static void comment_on_modules(const struct hone_perfdata_reading *reading,
                               struct hone_profile *profile)
{
    const struct hone_profile *raw = reading->raw;
    uint32_t missing = 0, changed = 0, by_age = 0;
    char names[512] = "";
    for (uint32_t i = 1; i < raw->mappings.count && !reading->options->no_names; i++) {
        const struct hone_perfdata_module *module =
            &reading->modules.at[raw->mappings.at[i].start - 1];
        by_age += module->by_age;
        if (module->code ||
            (module->kind != HONE_PERFDATA_FILE && module->kind != HONE_PERFDATA_VDSO))
            continue;
        missing++;
        changed += module->changed;
        size_t len = strlen(names);
        if (missing <= MODULES_NAMED)
            (void)snprintf(names + len, sizeof names - len, "%s%s", len ? ", " : "", module->path);
    }
    if (missing)
        hone_profile_comment(profile,
                             "names: %" PRIu32 " files that ran are not here (%" PRIu32
                             " are there as another build): %s%s",
                             missing, changed, names, missing > MODULES_NAMED ? ", …" : "");
    if (by_age)
        hone_profile_comment(profile,
                             "# names: of %" PRIu32
                             " files no build id was recorded; they are taken for those "
                             "that ran, as they did not change since",
                             by_age);
}

void hone_perfdata_comment(const struct hone_perfdata_reading *reading,
                           struct hone_profile *profile)
{
    comment_on_origin(reading, profile);
    comment_on_events(reading, profile);
    if (!reading->samples)
        hone_profile_comment(profile, "empty: the file holds no sample of %s",
                             reading->stream.info.events[reading->event].name);
    comment_on_losses(reading, profile);
    comment_on_stacks(reading, profile);
    comment_on_modules(reading, profile);
}
