// hone pprof: the command line of `go tool pprof`, to the letter, so it reads its own flags and
// prints its own errors.
#include "pprof/driver.h"

#include "base/cleanup.h"
#include "cli/commands.h"
#include "pprof/shell.h"
#include "profile/profile.h"

#include <errno.h>
#include <stdio.h>

enum { FAILED = 2 }; // as pprof has it for everything

static int fail(const struct hone_error *err)
{
    (void)fprintf(stderr, "%s\n", err->message);
    return FAILED;
}

static int run(const void *parsed, const struct hone_operands *operands, struct hone_error *err)
{
    (void)parsed;
    struct hone_pprof_arguments arguments;
    int r = hone_pprof_parse(operands->count, operands->at, &arguments, err);
    if (r)
        return r < 0 ? fail(err) : r == HONE_PPROF_HELP ? 0 : FAILED;
    if (*arguments.http) {
        (void)hone_error_set(err, 0, "there is no page for '-http' yet");
        hone_error_hint(err, "try 'hone flame -o flame.svg SOURCE' or 'hone pprof -svg SOURCE'");
        return -ENOTSUP;
    }
    HONE_CLEANUP(hone_profile_freep) struct hone_profile *profile = NULL;
    r = hone_pprof_load(&arguments.input, &profile, err);
    if (!r && !arguments.command)
        r = hone_pprof_shell(profile, &arguments.config, err);
    else if (!r)
        r = hone_pprof_run(profile, false, arguments.command, arguments.pattern, &arguments.config,
                           false, err);
    return r ? fail(err) : 0;
}

static const struct hone_example examples[] = {
    {"hone pprof -top cpu.prof", "instead of go tool pprof -top cpu.prof"},
    {"hone pprof -tree -focus=parse cpu.prof", "only stacks with a function that matches"},
    {"hone pprof -top -base old.prof new.prof", "what became more and what less"},
    {0},
};

static const struct hone_option no_options[] = {{0}};

static const char *const *flags(void)
{
    enum { FLAGS_MAX = 127 };
    static char words[FLAGS_MAX][32];
    static const char *at[FLAGS_MAX + 1];
    const char *names[FLAGS_MAX];
    size_t count = hone_pprof_flag_names(names, FLAGS_MAX);
    for (size_t i = 0; i < count && i < FLAGS_MAX; i++) {
        (void)snprintf(words[i], sizeof words[i], "-%s", names[i]);
        at[i] = words[i];
    }
    return at;
}

const struct hone_command hone_command_pprof = {
    .name = "pprof",
    .summary = "the commands, flags and output of 'go tool pprof'",
    .operands = "[FORMAT] [FLAG]… [BINARY] SOURCE…",
    .manual = "Takes the flags of 'go tool pprof', which 'hone pprof -h' lists, and prints the "
              "same.",
    .examples = examples,
    .options = no_options,
    .options_size = 1,
    .verbatim = true,
    .flags = flags,
    .complete = "profile",
    .run = run,
};
