// hone merge: one profile of several.
#include "base/cleanup.h"
#include "cli/commands.h"
#include "cli/input.h"
#include "cli/output.h"
#include "profile/profile.h"

struct merge_options {
    const char *output;
    struct hone_input_options input;
};

static const struct hone_option options[] = {
    {.name = "output",
     .letter = 'o',
     .kind = HONE_OPTION_TEXT,
     .value = "FILE",
     .complete = "file",
     .at = offsetof(struct merge_options, output),
     .help = "the profile to write; - is standard output"},
    HONE_INPUT_ROWS(merge_options),
    {0},
};

static const struct hone_example examples[] = {
    {"hone merge monday.prof tuesday.prof -o both.prof", "the samples of both"},
    {"hone merge profiles/*/cpu.prof -o all.prof", "of all recordings"},
    {0},
};

static int run(const void *parsed, const struct hone_operands *operands, struct hone_error *err)
{
    const struct merge_options *o = parsed;
    if (!o->output)
        return hone_misused(
            err, "where to? give a file, or - for standard output: hone merge … -o FILE");
    HONE_CLEANUP(hone_profile_freep) struct hone_profile *profile = NULL;
    int r = hone_input_read(operands, &o->input, &profile, err);
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer bytes = {0};
    if (!r)
        r = hone_profile_encode_gzip(profile, &bytes, err);
    return r ? r : hone_output_write(o->output, &bytes, err);
}

const struct hone_command hone_command_merge = {
    .name = "merge",
    .summary = "one profile with the samples of several",
    .operands = "FILE…",
    .manual = "Equal stacks are summed. The profiles must have the same sample types.",
    .examples = examples,
    .options = options,
    .options_size = sizeof(struct merge_options),
    .complete = "profile",
    .operands_minimum = 1,
    .run = run,
};
