#include "capture/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

void hone_recording_total(const struct hone_recording *recording, struct hone_recording_totals *ret)
{
    const struct hone_collected *collected = recording->collected;
    *ret = (struct hone_recording_totals){0};
    for (uint32_t i = 0; i < collected->process_count; i++) {
        const struct hone_process_facts *facts = &collected->processes[i].facts;
        if (collected->processes[i].unsampled)
            continue;
        ret->processes++;
        ret->engines[facts->engine]++;
        ret->uncovered += facts->engine == HONE_ENGINE_NONE;
        ret->lost_memory += facts->lost_memory;
        ret->lost_busy += facts->lost_busy;
        ret->lost_overrun += facts->lost_overrun;
        ret->records_lost += facts->records_lost;
        ret->stacks += facts->stacks;
        ret->stack_repeats += facts->stack_repeats;
        ret->frames += facts->frames;
        ret->frame_misses += facts->frame_misses;
        ret->frame_pointer += facts->frame_pointer;
        ret->foreign_traps += facts->foreign_traps;
        ret->searched += facts->searched;
        ret->threads += facts->threads;
        ret->threads_uncovered += facts->threads_uncovered;
        ret->modules_lost += facts->modules_lost;
        ret->modules_without_rules += facts->modules_without_rules;
    }
    for (uint32_t i = 0; i < collected->sample_count; i++) {
        const struct hone_collected_sample *sample = &collected->samples[i];
        enum hone_stack_end end = collected->stacks[sample->stack].end;
        ret->samples += sample->samples;
        ret->cpu_ns += sample->cpu_ns;
        ret->truncated[end] += sample->samples;
        if (end != HONE_STACK_COMPLETE)
            ret->truncated_cpu_ns += sample->cpu_ns;
    }
}

uint64_t hone_recording_sampled_ns(const struct hone_recording *recording,
                                   const struct hone_recording_totals *totals)
{
    const struct hone_collected *collected = recording->collected;
    return totals->cpu_ns - collected->never_sampled_ns - collected->not_sampled_ns -
           collected->before_ns;
}

double hone_recording_rate(const struct hone_recording *recording,
                           const struct hone_recording_totals *totals)
{
    uint64_t seen_ns = hone_recording_sampled_ns(recording, totals);
    return seen_ns ? (double)totals->samples * 1e9 / (double)seen_ns : 0;
}

static int cannot_create(const char *path, int r, struct hone_error *err)
{
    (void)hone_error_set(err, r, "cannot create '%s'", path);
    if (r == -EEXIST)
        hone_error_hint(err, "a recording never overwrites another; give a new name to -o");
    else
        hone_error_hint(err, "give a place that you can write to: -o DIR");
    return r;
}

static int make_directory(const char *path, struct hone_error *err)
{
    return mkdir(path, 0777) == 0 ? 0 : cannot_create(path, -errno, err);
}

int hone_recording_directory_check(const struct hone_capture_options *options,
                                   struct hone_error *err)
{
    const char *path = options->directory ? options->directory : "profiles";
    struct stat st;
    if (lstat(path, &st) == 0 && options->directory)
        return cannot_create(path, -EEXIST, err);
    char parent[PATH_MAX];
    if ((size_t)snprintf(parent, sizeof parent, "%s", path) >= sizeof parent)
        return hone_error_set(err, -ENAMETOOLONG, "cannot create '%.80s…'", path);
    if (options->directory || lstat(path, &st)) {
        char *end = parent + strlen(parent);
        while (end > parent + 1 && end[-1] == '/')
            *--end = '\0';
        char *slash = strrchr(parent, '/');
        if (!slash)
            (void)snprintf(parent, sizeof parent, ".");
        else
            slash[slash == parent] = '\0';
    }
    if (stat(parent, &st) == 0 && !S_ISDIR(st.st_mode)) // root may write to a file, too
        return cannot_create(path, -ENOTDIR, err);
    if (faccessat(AT_FDCWD, parent, W_OK | X_OK, AT_EACCESS))
        return cannot_create(path, -errno, err);
    return 0;
}

int hone_recording_directory(const struct hone_capture_options *options, const char *program,
                             char *ret, size_t size, struct hone_error *err)
{
    if (options->directory) {
        if ((size_t)snprintf(ret, size, "%s", options->directory) >= size)
            return hone_error_set(err, -ENAMETOOLONG, "cannot create '%.80s…'", options->directory);
        return make_directory(ret, err);
    }
    if (mkdir("profiles", 0777) && errno != EEXIST)
        return cannot_create("profiles", -errno, err);
    const char *slash = strrchr(program, '/');
    time_t now = time(NULL);
    struct tm local;
    char when[32];
    (void)strftime(when, sizeof when, "%Y%m%d_%H%M%S", localtime_r(&now, &local));
    // Two recordings of the same second get names of their own.
    int r = -EEXIST;
    for (int attempt = 1; r == -EEXIST && attempt <= 1000; attempt++) {
        char suffix[16] = "";
        if (attempt > 1)
            (void)snprintf(suffix, sizeof suffix, "_%d", attempt);
        if ((size_t)snprintf(ret, size, "profiles/%.200s_%s%s", slash ? slash + 1 : program, when,
                             suffix) >= size)
            return hone_error_set(err, -ENAMETOOLONG, "cannot create '%.80s…'", ret);
        r = mkdir(ret, 0777) ? -errno : 0;
    }
    return r ? cannot_create(ret, r, err) : 0;
}
