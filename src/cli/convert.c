#include "cli/commands.h"

#include "base/cleanup.h"
#include "cli/help.h"
#include "cli/input.h"
#include "cli/output.h"
#include "convert/convert.h"
#include "fetch/fetch.h"
#include "profile/profile.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct convert_options {
    const char *from;
    const char *to;
    const char *type;
    const char *event;
    struct hone_input_options input;
};

static const struct hone_option options[] = {
    {.name = "from",
     .kind = HONE_OPTION_TEXT,
     .value = "FORMAT",
     .at = offsetof(struct convert_options, from),
     .help = "what IN is (what its content says)"},
    {.name = "to",
     .kind = HONE_OPTION_TEXT,
     .value = "FORMAT",
     .at = offsetof(struct convert_options, to),
     .help = "what OUT becomes (what its name says)"},
    {.name = "type",
     .kind = HONE_OPTION_TEXT,
     .value = "TYPE",
     .at = offsetof(struct convert_options, type),
     .help = "the sample type for formats that hold one only, by name or place (the profile's "
             "default)"},
    {.name = "event",
     .kind = HONE_OPTION_TEXT,
     .value = "NAME",
     .at = offsetof(struct convert_options, event),
     .help = "of a perf.data with several events, the one to take (the first)"},
    HONE_INPUT_ROWS(convert_options),
    {0},
};

static const struct hone_example examples[] = {
    {"hone convert out.perf cpu.prof", "whatever it is, to pprof's format"},
    {"hone convert cpu.prof cpu.speedscope.json", "for speedscope"},
    {"hone convert --event cycles perf.data cpu.prof", "one event of several"},
    {"hone convert --to collapsed heap.prof -", "to standard output"},
    {"hone convert localhost:6060/debug/pprof/heap heap.csv", "what a server measures"},
    {0},
};

static int unknown_format(const char *option, const char *name, struct hone_error *err)
{
    return hone_misused(err, "unknown format '%s' for '--%s'; see 'hone help convert'", name,
                        option);
}

static int choose(const struct convert_options *given, const char *out,
                  const struct hone_convert_format **ret_from,
                  const struct hone_convert_format **ret_to, struct hone_error *err)
{
    *ret_from = given->from ? hone_convert_format_named(given->from) : NULL;
    if (given->from && !*ret_from)
        return unknown_format("from", given->from, err);
    if (*ret_from && !(*ret_from)->read && !(*ret_from)->read_file)
        return hone_misused(err, "'%s' is written only", given->from);
    *ret_to = given->to ? hone_convert_format_named(given->to) : hone_convert_format_for(out);
    if (given->to && !*ret_to)
        return unknown_format("to", given->to, err);
    if (!*ret_to)
        return hone_misused(err, "the name '%s' does not tell the format; give --to FORMAT", out);
    if (!(*ret_to)->write)
        return hone_misused(err, "'%s' is read only", given->to);
    return 0;
}

static bool is_packed_name(const char *path)
{
    size_t len = strlen(path);
    return len > 3 && strcmp(path + len - 3, ".gz") == 0;
}

// A format or an event that is named is of a file here; else IN is what every view takes.
static int read_input(const struct convert_options *given, char *in,
                      const struct hone_convert_format *from, struct hone_profile **ret,
                      struct hone_error *err)
{
    const struct hone_operands one = {&in, 1};
    char path[HONE_FETCH_PATH_MAX];
    struct hone_input_options input = given->input;
    input.type = given->type;
    if (!from && !given->event)
        return hone_input_read(&one, &input, ret, err);
    // Recordings hold pprof's files only; others have folders of their own.
    bool recording = !from || strcmp(from->name, "pprof") == 0;
    int r = recording ? hone_fetch_locate(in, given->type, path, err) : 0;
    if (r)
        return r;
    const char *file = recording ? path : in;
    return given->event ? hone_convert_read_event(file, from, given->event, ret, err)
                        : hone_convert_read(file, from, ret, NULL, err);
}

static int run(const void *parsed, const struct hone_operands *operands, struct hone_error *err)
{
    const struct convert_options *given = parsed;
    if (operands->count > 2)
        return hone_misused(err, "more than IN and OUT: '%s'", operands->at[2]);
    const char *out = operands->at[1];
    const struct hone_convert_format *from = NULL;
    const struct hone_convert_format *to = NULL;
    int r = choose(given, out, &from, &to, err);
    if (r)
        return r;
    HONE_CLEANUP(hone_profile_freep) struct hone_profile *profile = NULL;
    r = read_input(given, operands->at[0], from, &profile, err);
    if (r)
        return r;
    if (given->type) {
        uint32_t type;
        r = hone_profile_select_type(profile, given->type, &type, err);
        if (r)
            return r;
        hone_profile_set_default_type(profile,
                                      hone_profile_text(profile, profile->types[type].type));
    }
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer bytes = {0};
    r = hone_convert_write(profile, to, is_packed_name(out), &bytes, err);
    return r ? r : hone_output_write(out, &bytes, err);
}

// --- what is said of formats ---------------------------------------------------------------------

enum { FORMATS_MAX = 64 };

static const char *ways_of(const struct hone_convert_format *format)
{
    bool in = format->read || format->read_file;
    return in && format->write ? "in, out" : in ? "in" : "out";
}

static const struct hone_command_row *rows(void)
{
    static struct hone_command_row made[FORMATS_MAX + 1];
    static char meanings[FORMATS_MAX][256];
    const struct hone_convert_format *format = hone_convert_formats;
    for (unsigned i = 0; format->name && i < FORMATS_MAX; i++, format++) {
        (void)snprintf(meanings[i], sizeof meanings[i], "%s: %s%s%.*s", ways_of(format),
                       format->summary, format->write ? "; ." : "",
                       format->write ? (int)strcspn(format->extensions, " ") : 0,
                       format->extensions);
        made[i] = (struct hone_command_row){format->name, meanings[i]};
    }
    return made;
}

void hone_help_formats(FILE *out)
{
    (void)fputs("| format | | names of files | what it is | what is kept |\n"
                "|---|---|---|---|---|\n",
                out);
    for (const struct hone_convert_format *format = hone_convert_formats; format->name; format++) {
        (void)fprintf(out, "| `%s` | %s | ", format->name, ways_of(format));
        for (const char *at = format->write ? format->extensions : ""; *at;) {
            int len = (int)strcspn(at, " ");
            (void)fprintf(out, "`.%.*s` ", len, at);
            at += len;
            at += strspn(at, " ");
        }
        (void)fprintf(out, "| %s | %s |\n", format->summary, format->keeps);
    }
}

const struct hone_command hone_command_convert = {
    .name = "convert",
    .summary = "a profile in another tool's format",
    .operands = "IN OUT",
    .manual =
        "IN is a file, a recording or a URL, and known by its content, also packed by gzip or "
        "zstd; every other command reads such files too. OUT is known by its name; one that ends "
        "in .gz is packed. \"-\" is "
        "standard input or output.",
    .rows = rows,
    .examples = examples,
    .options = options,
    .options_size = sizeof(struct convert_options),
    .complete = "profile",
    .operands_minimum = 2,
    .run = run,
};
