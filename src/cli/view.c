#include "cli/view.h"

#include "base/cleanup.h"
#include "base/pattern.h"
#include "cli/output.h"
#include "profile/profile.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

const struct hone_choice hone_view_groups[] = {
    {"functions", HONE_TEXT_FUNCTIONS, false}, {"lines", HONE_TEXT_LINES, false},
    {"files", HONE_TEXT_FILES, false},         {"filefunctions", HONE_TEXT_ROUTINES, false},
    {"addresses", HONE_TEXT_ADDRESSES, false}, {0},
};

const struct hone_choice hone_view_heap_types[][2] = {
    {{"inuse_space", 0, false}, {0}},
    {{"inuse_objects", 0, false}, {0}},
    {{"alloc_space", 0, false}, {0}},
    {{"alloc_objects", 0, false}, {0}},
};

// Columns of the terminal; 0, which is no limit, when it does not tell.
static uint32_t terminal_width(void)
{
    struct winsize size;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

static int run(hone_text_view view, const struct hone_view_options *options,
               struct hone_pattern *pattern, const struct hone_operands *files,
               struct hone_error *err)
{
    HONE_CLEANUP(hone_profile_freep) struct hone_profile *profile = NULL;
    int r = hone_input_read(files, &options->input, &profile, err);
    if (r)
        return r;
    bool standard = !options->output || strcmp(options->output, "-") == 0;
    bool terminal = !options->output && isatty(STDOUT_FILENO);
    const struct hone_text_sink sink = {.put = hone_output_put};
    struct hone_text_options text = {
        .type = options->input.type,
        .group = options->by_line ? HONE_TEXT_LINES : (enum hone_text_group)options->group,
        .by_cum = options->by_cum,
        .rows = (uint32_t)options->rows,
        .all = options->all,
        .pattern = pattern,
        .source_path = options->source_path,
        .trim_path = options->trim_path,
        .call_tree = options->call_tree,
        .intel = options->intel,
        .reversed = options->reversed,
        .width = terminal ? terminal_width() : 0,
        .sink = standard ? &sink : NULL,
    };
    HONE_CLEANUP(hone_filter_lines_done) struct hone_filter_lines lines = {0};
    struct hone_filter_options part = options->filter;
    part.kernel |= view == hone_text_raw || view == hone_text_info; // of all that there is
    r = hone_filter_apply(&part, &options->input, &profile, &lines, &text, err);
    if (r)
        return r;
    r = hone_profile_one_line(profile);
    if (r)
        return hone_error_set(err, r, "cannot show the profile");
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer out = {0};
    r = view(profile, &text, &out, err);
    if (r)
        return r;
    return hone_output_text(options->output, &out, err);
}

int hone_view_run(hone_text_view view, const struct hone_view_options *options,
                  const struct hone_operands *operands, struct hone_error *err)
{
    return run(view, options, NULL, operands, err);
}

int hone_view_run_pattern(hone_text_view view, const struct hone_view_options *options,
                          const struct hone_operands *operands, struct hone_error *err)
{
    HONE_CLEANUP(hone_pattern_freep) struct hone_pattern *pattern = NULL;
    int r = hone_pattern_new(operands->at[0], &pattern, err);
    if (r)
        return r == -EINVAL ? HONE_MISUSED : r;
    struct hone_operands files = {operands->at + 1, operands->count - 1};
    r = run(view, options, pattern, &files, err);
    if (r == -ENOENT && operands->count == 1 && access(operands->at[0], F_OK) == 0)
        hone_error_hint(err,
                        "'%s' was taken for a function: the first operand is one, files follow",
                        operands->at[0]);
    return r;
}
