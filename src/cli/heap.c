// hone heap: the first screen on what a recording says of the heap.
#include "view/heap.h"
#include "analyse/heap_facts.h"
#include "analyse/heap_summary.h"
#include "analyse/pressure.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "cli/commands.h"
#include "cli/input.h"
#include "cli/output.h"
#include "profile/profile.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

struct heap_options {
    int64_t rows;
    bool json;
    const char *output;
};

static const struct hone_option options[] = {
    {.name = "rows",
     .letter = 'n',
     .kind = HONE_OPTION_COUNT,
     .value = "N",
     .initial = "5",
     .maximum = 10000,
     .at = offsetof(struct heap_options, rows),
     .help = "at most N functions in each list; 0 is all"},
    {.name = "json",
     .kind = HONE_OPTION_FLAG,
     .at = offsetof(struct heap_options, json),
     .help = "print JSON instead of text"},
    HONE_OPTION_ROW_OUTPUT(.at = offsetof(struct heap_options, output)),
    {0},
};

static const struct hone_example examples[] = {
    {"hone heap", "of the newest recording"},
    {"hone heap -n 20 recording/", "twenty functions in each list"},
    {"hone heap heap.prof", "of a file, be it Go's"},
    {0},
};

// What a recording has; all of it may be missing.
struct parts {
    char path[HONE_INPUT_PATH_MAX];      // of the heap's profile, or what stands for it
    char directory[HONE_INPUT_PATH_MAX]; // that it lies in
    struct hone_profile *heap, *peak, *cpu;
    struct hone_heap_summary *summary, *peak_summary;
    struct hone_heap_facts facts;
    struct hone_pressure pressure;
    bool has_pressure;
};

static void parts_done(struct parts *parts)
{
    hone_heap_summary_free(parts->summary);
    hone_heap_summary_free(parts->peak_summary);
    hone_profile_free(parts->heap);
    hone_profile_free(parts->peak);
    hone_profile_free(parts->cpu);
    hone_heap_facts_done(&parts->facts);
}

static int beside(const struct parts *parts, const char *name, char path[HONE_INPUT_PATH_MAX])
{
    int len = snprintf(path, HONE_INPUT_PATH_MAX, "%s/%s", parts->directory, name);
    return len > 0 && len < HONE_INPUT_PATH_MAX ? access(path, R_OK) : -1;
}

static int read_beside(const struct parts *parts, const char *name, struct hone_profile **ret,
                       struct hone_error *err)
{
    char path[HONE_INPUT_PATH_MAX];
    return beside(parts, name, path) ? 0 : hone_profile_read(path, NULL, ret, err);
}

static int read_facts(struct parts *parts, struct hone_error *err)
{
    enum { SESSION_MAX = 256 << 20 };
    char path[HONE_INPUT_PATH_MAX];
    HONE_CLEANUP(hone_freep) char *text = NULL;
    size_t len = 0;
    int r = beside(parts, "session.json", path)
                ? 0
                : hone_file_read(path, SESSION_MAX, &text, &len, err);
    return r ? r : hone_heap_facts_read(&parts->facts, text, len, err);
}

// Of the newest recording or the given one: its heap, or what else it has where that is missing.
static int locate(const struct hone_operands *operands, struct parts *parts, struct hone_error *err)
{
    int r = hone_input_path(operands, "inuse_space", parts->path, err);
    if (r)
        return r;
    memcpy(parts->directory, parts->path, sizeof parts->directory);
    char *slash = strrchr(parts->directory, '/');
    if (slash)
        slash[slash == parts->directory] = '\0';
    else
        memcpy(parts->directory, ".", 2);
    return 0;
}

static bool is_named(const char *path, const char *name)
{
    const char *slash = strrchr(path, '/');
    return strcmp(slash ? slash + 1 : path, name) == 0;
}

static int read_parts(const struct hone_operands *operands, struct parts *parts, uint32_t rows,
                      struct hone_error *err)
{
    const struct hone_input_options input = {.type = "inuse_space"};
    int r = locate(operands, parts, err);
    bool recorded = !is_named(parts->path, "cpu.prof") && !is_named(parts->path, "wall.prof");
    // What is no recording's own file stands for itself.
    bool session =
        is_named(parts->path, "heap.prof") || is_named(parts->path, "allocs.prof") || !recorded;
    if (!r && recorded)
        r = hone_input_read(operands, &input, &parts->heap, err);
    if (!r && recorded)
        r = hone_heap_summary_new(parts->heap, rows, &parts->summary, err);
    if (!r && session)
        r = read_beside(parts, "cpu.prof", &parts->cpu, err);
    if (!r && session)
        r = read_beside(parts, "heap-peak.prof", &parts->peak, err);
    if (!r && parts->peak)
        r = hone_heap_summary_new(parts->peak, rows, &parts->peak_summary, err);
    if (!r)
        r = session ? read_facts(parts, err) : hone_heap_facts_read(&parts->facts, NULL, 0, err);
    if (r || !parts->cpu)
        return r;
    parts->has_pressure = hone_pressure_of(parts->cpu, &parts->pressure, err) == 0;
    return parts->has_pressure ? 0 : err->code;
}

// A recording without any heap.
static int refuse(const struct parts *parts, struct hone_error *err)
{
    if (parts->facts.not_covered.count) {
        (void)hone_error_set(err, 0, "'%s' has no heap: %.200s", parts->directory,
                             parts->facts.not_covered.at[0].at);
        return -ENOENT;
    }
    (void)hone_error_set(err, 0, "'%s' has no heap.prof", parts->directory);
    hone_error_hint(err, "record it with 'hone record --types cpu,heap'");
    return -ENOENT;
}

static uint32_t terminal_width(void)
{
    struct winsize size;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

static int run(const void *parsed, const struct hone_operands *operands, struct hone_error *err)
{
    const struct heap_options *given = parsed;
    if (operands->count > 1)
        return hone_misused(err, "'hone heap' shows one recording, not '%s' too", operands->at[1]);
    HONE_CLEANUP(parts_done) struct parts parts = {0};
    int r = read_parts(operands, &parts, given->rows ? (uint32_t)given->rows : UINT32_MAX, err);
    if (!r && !parts.heap)
        r = refuse(&parts, err);
    if (r)
        return r;
    const struct hone_heap_view view = {
        .profile = parts.heap,
        .summary = parts.summary,
        .peak = parts.peak_summary,
        .facts = &parts.facts,
        .pressure = parts.has_pressure ? &parts.pressure : NULL,
        .directory = parts.cpu || parts.facts.command.len ? parts.directory : NULL,
        .width = !given->output && isatty(STDOUT_FILENO) ? terminal_width() : 0,
    };
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer out = {0};
    r = given->json ? hone_json_heap(&view, &out, err) : hone_text_heap(&view, &out, err);
    return r ? r : hone_output_text(given->output, &out, err);
}

const struct hone_command hone_command_heap = {
    .name = "heap",
    .summary = "what was allocated and what lives, by whom, and how sure that is",
    .operands = "[FILE|DIR|URL]",
    .manual =
        "Totals, the functions that allocated most and that keep most, blocks by size, what the "
        "allocator takes of the CPU time, and what is not covered. Where blocks were sampled, ± is "
        "what chance leaves of a figure, 95 of 100 times; where every one was counted "
        "(--heap-rate 1), the peak, temporary blocks and lives are known too; lives of stacks that "
        "make many blocks are estimated, with ±. Without FILE it is the newest recording under "
        "profiles/.",
    .examples = examples,
    .options = options,
    .options_size = sizeof(struct heap_options),
    .complete = "profile",
    .run = run,
};
