#include "cli/view.h"

#include "base/cleanup.h"
#include "cli/input.h"
#include "cli/output.h"
#include "profile/profile.h"

#include <sys/ioctl.h>

const struct hone_choice hone_view_groups[] = {
    {"functions", HONE_TEXT_FUNCTIONS, false},
    {"lines", HONE_TEXT_LINES, false},
    {"files", HONE_TEXT_FILES, false},
    {"addresses", HONE_TEXT_ADDRESSES, false},
    {0},
};

// Columns of the terminal that will show the output; 0, which is no limit, when none will.
static uint32_t terminal_width(const char *output)
{
    struct winsize size;
    if (output || !isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0)
        return 0;
    return size.ws_col;
}

int hone_view_run(hone_text_view view, const struct hone_view_options *options,
                  const struct hone_operands *operands, struct hone_error *err)
{
    HONE_CLEANUP(hone_profile_freep) struct hone_profile *profile = NULL;
    int r = hone_input_read(operands, &profile, err);
    if (r)
        return r;

    struct hone_text_options text = {
        .type = options->type,
        .group = (enum hone_text_group)options->group,
        .by_cum = options->by_cum,
        .rows = (uint32_t)options->rows,
        .all = options->all,
        .width = terminal_width(options->output),
    };
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer out = {0};
    r = view(profile, &text, &out, err);
    if (r)
        return r;
    return hone_output_write(options->output, &out, err);
}
