// hone leaks: what a recorded program leaked, and which of its sites grow.
#include "analyse/leaks.h"
#include "analyse/growth.h"
#include "base/cleanup.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/values.h"
#include "convert/convert.h"
#include "fetch/fetch.h"
#include "profile/profile.h"
#include "view/leaks.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

struct leaks_options {
    const char *suppressions;
    const char *fail_above;
    int64_t threshold;
    const char *output;
    int64_t rows;
    int64_t frames;
    bool json;
};

#define AT(field) .at = offsetof(struct leaks_options, field)

static const struct hone_option options[] = {
    {.name = "suppressions",
     .kind = HONE_OPTION_TEXT,
     .value = "FILE",
     .complete = "file",
     AT(suppressions),
     .help = "leave out what its lines name: leak:PATTERN, as LeakSanitizer reads them"},
    {.name = "fail-above",
     .kind = HONE_OPTION_TEXT,
     .value = "SIZE",
     AT(fail_above),
     .help = "exit with status 1 if more than so much is leaked, such as 0 or 64KiB, or if that is "
             "not known"},
    {.name = "threshold",
     .kind = HONE_OPTION_SIZE,
     .value = "SIZE",
     AT(threshold),
     .help = "list only stacks that leaked so much, and sites of which so much lives"},
    {.name = "rows",
     .letter = 'n',
     .kind = HONE_OPTION_COUNT,
     .value = "N",
     .initial = "10",
     .maximum = INT32_MAX,
     AT(rows),
     .help = "at most N stacks; 0 is all"},
    {.name = "frames",
     .kind = HONE_OPTION_COUNT,
     .value = "N",
     .initial = "8",
     .maximum = INT32_MAX,
     AT(frames),
     .help = "at most N functions of each stack; 0 is all"},
    HONE_OPTION_ROW_JSON(AT(json)),
    HONE_OPTION_ROW_OUTPUT(AT(output)),
    {0},
};

static const struct hone_example examples[] = {
    {"hone leaks", "of the newest recording"},
    {"hone record -t heap --heap-rate 1 ./server", "count every block, and look for leaks"},
    {"hone leaks --suppressions known.txt leaks.prof", "without what is known"},
    {"hone leaks --fail-above 0 profiles/server/", "for CI: status 1 if anything leaked"},
    {0},
};

struct input {
    struct hone_profile *leaks, *growth;
};

static void input_done(struct input *input)
{
    hone_profile_free(input->leaks);
    hone_profile_free(input->growth);
}

static bool has_type(const struct hone_profile *profile, const char *name)
{
    for (uint32_t i = 0; i < profile->type_count; i++)
        if (strcmp(hone_profile_text(profile, profile->types[i].type), name) == 0)
            return true;
    return false;
}

// A file of the recording, unless it has none.
static int read_part(const char *directory, const char *file, struct hone_profile **ret,
                     struct hone_error *err)
{
    char path[HONE_FETCH_PATH_MAX + 32];
    struct stat status;
    (void)snprintf(path, sizeof path, "%s/%s", directory, file);
    if (stat(path, &status) && errno == ENOENT)
        return 0;
    return hone_profile_read(path, NULL, ret, err);
}

static int read_recording(const char *directory, struct input *ret, struct hone_error *err)
{
    int r = read_part(directory, "leaks.prof", &ret->leaks, err);
    if (!r)
        r = read_part(directory, "heap-time.prof", &ret->growth, err);
    if (r || ret->leaks || ret->growth)
        return r;
    (void)hone_error_set(err, -ENOENT, "'%s' holds no leaks.prof and no heap-time.prof", directory);
    hone_error_hint(err, "make them: hone record -t heap --heap-rate 1 PROGRAM");
    return -ENOENT;
}

static bool is_recording(const char *directory)
{
    static const char *const files[] = {"leaks.prof", "heap-time.prof", "session.json"};
    char path[HONE_FETCH_PATH_MAX];
    struct stat status;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", directory, files[i]);
        if (stat(path, &status) == 0)
            return true;
    }
    return false;
}

static int read_file(const char *path, struct input *ret, struct hone_error *err)
{
    HONE_CLEANUP(hone_profile_freep) struct hone_profile *profile = NULL;
    int r = hone_convert_read(path, NULL, &profile, NULL, err);
    if (r)
        return r;
    if (has_type(profile, "leaked_space"))
        ret->leaks = hone_take(profile);
    else if (has_type(profile, "inuse_space"))
        ret->growth = hone_take(profile);
    if (ret->leaks || ret->growth)
        return 0;
    (void)hone_error_set(err, -EINVAL, "'%s' is no profile of leaks or of the heap over time",
                         path);
    hone_error_hint(err, "give the directory of a recording, or its leaks.prof or heap-time.prof");
    return -EINVAL;
}

static int read_input(const struct hone_operands *operands, struct input *ret,
                      struct hone_error *err)
{
    const char *name = operands->count ? operands->at[0] : NULL;
    struct stat status;
    bool directory = name && stat(name, &status) == 0 && S_ISDIR(status.st_mode);
    if (name && !directory)
        return read_file(name, ret, err);
    char path[HONE_FETCH_PATH_MAX];
    if (directory && is_recording(name)) {
        return read_recording(name, ret, err);
    }
    int r = hone_fetch_locate(name, NULL, path, err);
    if (r)
        return r;
    char *slash = strrchr(path, '/');
    if (slash)
        *slash = '\0';
    return read_recording(slash ? path : ".", ret, err);
}

static uint32_t terminal_width(void)
{
    struct winsize size;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

// Whether nothing was found where not all was looked through that could be.
static bool is_unknown(const struct hone_leaks *leaks)
{
    return !leaks || (leaks->some_unknown && leaks->objects == 0 && leaks->hidden == 0);
}

static int show(const struct leaks_options *given, const struct hone_leaks_shown *shown,
                struct hone_error *err)
{
    const struct hone_leaks_options how = {
        .rows = given->rows ? (uint32_t)given->rows : UINT32_MAX,
        .frames = given->frames ? (uint32_t)given->frames : UINT32_MAX,
        .width = !given->output && isatty(STDOUT_FILENO) ? terminal_width() : 0,
    };
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer out = {0};
    int r = given->json ? hone_json_leaks(shown, &how, &out, err)
                        : hone_text_leaks(shown, &how, &out, err);
    return r ? r : hone_output_text(given->output, &out, err);
}

static int run(const void *parsed, const struct hone_operands *operands, struct hone_error *err)
{
    const struct leaks_options *given = parsed;
    int64_t limit = 0;
    if (operands->count > 1)
        return hone_misused(err, "leaks: one recording at a time, not '%s' too", operands->at[1]);
    if (given->fail_above && !hone_value_size(given->fail_above, &limit))
        return hone_misused(err, "--fail-above takes a size such as 0 or 64KiB, not '%s'",
                            given->fail_above);
    HONE_CLEANUP(hone_suppressions_freep) struct hone_suppressions *suppressions = NULL;
    HONE_CLEANUP(input_done) struct input input = {0};
    HONE_CLEANUP(hone_leaks_done) struct hone_leaks leaks = {0};
    HONE_CLEANUP(hone_growths_done) struct hone_growths growths = {0};
    int r =
        given->suppressions ? hone_suppressions_read(given->suppressions, &suppressions, err) : 0;
    if (!r)
        r = read_input(operands, &input, err);
    if (!r && input.leaks)
        r = hone_leaks_new(input.leaks, suppressions, &leaks, err);
    if (!r && input.growth)
        r = hone_growths_new(input.growth, NULL, &growths, err);
    hone_leaks_leave_small(&leaks, given->threshold);
    hone_growths_leave_small(&growths, (double)given->threshold);
    if (!r && ((input.leaks && hone_profile_one_line(input.leaks)) ||
               (input.growth && hone_profile_one_line(input.growth))))
        r = hone_error_set(err, -ENOMEM, "cannot show leaks");
    const struct hone_leaks_shown shown = {
        .profile = input.leaks,
        .leaks = input.leaks ? &leaks : NULL,
        .growth_profile = input.growth,
        .growths = input.growth ? &growths : NULL,
    };
    if (!r)
        r = show(given, &shown, err);
    if (r || !given->fail_above)
        return r;
    return leaks.bytes > limit || is_unknown(shown.leaks);
}

const struct hone_command hone_command_leaks = {
    .name = "leaks",
    .summary = "blocks that nothing points to any more, and sites that grow",
    .operands = "[DIR | FILE]",
    .manual =
        "A recording that counts every block (--heap-rate 1) looks through each process at its "
        "end, "
        "when exit() has run all destructors: data of the program and its libraries, stacks, "
        "registers and thread-local storage are read, and a word that is an address inside a "
        "block counts as a pointer to it. A block that nothing points to is unreachable; one that "
        "only "
        "such blocks point to is indirect. All others are reachable and no leaks. The rules are "
        "those of LeakSanitizer, except that memory which the program mapped itself is looked at, "
        "too: what only that points to is reachable with the label mapped.\n\n"
        "Growth is told from what lived at moments of the recording: the median slope after the "
        "first fifth, with limits that hold for all sites together in 98 of 100 recordings. A "
        "site grows fast at 1 MB/s or more, over at least 5 s, and slowly at 100 MB/hour or more, "
        "over at least 20 minutes, both after the first fifth. One that stops growing or falls "
        "back at times is not "
        "accused.\n\n"
        "The status is 1 with --fail-above when more is leaked, or when no leak was found but "
        "some process could not be looked through.",
    .examples = examples,
    .options = options,
    .options_size = sizeof(struct leaks_options),
    .complete = "profile",
    .run = run,
};
