#include "pprof/commands.h"
#include "pprof/config.h"

#include <stdlib.h>
#include <string.h>

static const char head[] =
    "usage:\n"
    "\n"
    "Produce output in the specified format.\n"
    "\n"
    "   pprof <format> [options] [binary] <source> ...\n"
    "\n"
    "Omit the format to get an interactive shell whose commands can be used\n"
    "to generate various views of a profile\n"
    "\n"
    "   pprof [options] [binary] <source> ...\n"
    "\n"
    "Omit the format and provide the \"-http\" flag to get an interactive web\n"
    "interface at the specified host:port that can be used to navigate through\n"
    "various views of a profile.\n"
    "\n"
    "   pprof -http [host]:[port] [options] [binary] <source> ...\n"
    "\n"
    "Details:\n";

static const char sources[] =
    "\n"
    "\n"
    "  Source options:\n"
    "    -seconds              Duration for time-based profile collection\n"
    "    -timeout              Timeout in seconds for profile collection\n"
    "    -buildid              Override build id for main binary\n"
    "    -add_comment          Free-form annotation to add to the profile\n"
    "                          Displayed on some reports or with pprof -comments\n"
    "    -diff_base source     Source of base profile for comparison\n"
    "    -base source          Source of base profile for profile subtraction\n"
    "    profile.pb.gz         Profile in compressed protobuf format\n"
    "    legacy_profile        Profile in legacy pprof format\n"
    "    http://host/profile   URL for profile handler to retrieve\n"
    "    -symbolize=           Controls source of symbol information\n"
    "      none                  Do not attempt symbolization\n"
    "      local                 Examine only local binaries\n"
    "      fastlocal             Only get function names from local binaries\n"
    "      remote                Do not examine local binaries\n"
    "      force                 Force re-symbolization\n"
    "    Binary                  Local path or build id of binary for symbolization\n"
    "    -tls_cert             TLS client certificate file for fetching profile and symbols\n"
    "    -tls_key              TLS private key file for fetching profile and symbols\n"
    "    -tls_ca               TLS CA certs file for fetching profile and symbols";

static const char tail[] =
    "\n"
    "\n"
    "  Misc options:\n"
    "   -http              Provide web interface at host:port.\n"
    "                      Host is optional and 'localhost' by default.\n"
    "                      Port is optional and a randomly available port by default.\n"
    "   -no_browser        Skip opening a browser for the interactive web UI.\n"
    "   -tools             Search path for object tools\n"
    "\n"
    "  Legacy convenience options:\n"
    "   -inuse_space           Same as -sample_index=inuse_space\n"
    "   -inuse_objects         Same as -sample_index=inuse_objects\n"
    "   -alloc_space           Same as -sample_index=alloc_space\n"
    "   -alloc_objects         Same as -sample_index=alloc_objects\n"
    "   -total_delay           Same as -sample_index=delay\n"
    "   -contentions           Same as -sample_index=contentions\n"
    "   -mean_delay            Same as -mean -sample_index=delay\n"
    "\n"
    "  Environment Variables:\n"
    "   PPROF_TMPDIR       Location for saved profiles (default $HOME/pprof)\n"
    "   PPROF_TOOLS        Search path for object-level tools\n"
    "   PPROF_BINARY_PATH  Search path for local binary files\n"
    "                      default: $HOME/pprof/binaries\n"
    "                      searches $name, $path, $buildid/$name, $path/$buildid\n"
    "   * On Windows, %USERPROFILE% is used instead of $HOME\n";

// One line of a list: the name and the first line of its help.
static void put_line(struct hone_buffer *out, const char *indent, const char *prefix,
                     const char *name, const char *help)
{
    int used = (int)strlen(prefix);
    hone_buffer_format(out, "%s    %s%-*s %.*s\n", indent, prefix, 16 - used, name,
                       (int)strcspn(help, "\n"), help);
}

static int compare_names(const void *a, const void *b)
{
    const struct hone_pprof_option *const *left = a;
    const struct hone_pprof_option *const *right = b;
    return strcmp((*left)->name, (*right)->name);
}

enum { OPTIONS_MAX = 64 };

// The options with any value in the order of names, then the groups.
static void put_options(struct hone_buffer *out, const char *prefix)
{
    const struct hone_pprof_option *sorted[OPTIONS_MAX];
    size_t count = 0;
    for (const struct hone_pprof_option *at = hone_pprof_options; at->name; at++)
        if (count < OPTIONS_MAX)
            sorted[count++] = at;
    // NOLINTNEXTLINE(bugprone-sizeof-expression): pointers are what it holds
    qsort(sorted, count, sizeof sorted[0], compare_names);
    hone_buffer_text(out, "\n  Options:\n");
    for (size_t i = 0; i < count; i++)
        if (!sorted[i]->choices)
            put_line(out, "", prefix, sorted[i]->name, sorted[i]->help);
    hone_buffer_text(out, "\n  Option groups (only set one per group):\n");
    for (size_t i = 0; i < count; i++) {
        if (!sorted[i]->choices)
            continue;
        put_line(out, "", "", sorted[i]->name, "");
        for (const struct hone_pprof_choice *at = sorted[i]->choices; at->name; at++)
            put_line(out, "  ", prefix, at->name, at->help);
    }
    if (!out->failed)
        out->len--; // the last line has no end of its own
}

void hone_pprof_put_usage(struct hone_buffer *out, bool command_line)
{
    const char *prefix = command_line ? "-" : "";
    hone_buffer_text(out,
                     command_line ? "  Output formats (select at most one):\n" : "  Commands:\n");
    for (const struct hone_pprof_command *at = hone_pprof_commands; at->name; at++)
        put_line(out, "", prefix, at->name, at->help);
    if (!command_line) {
        put_line(out, "", "", "o/options", "List options and their current values");
        put_line(out, "", "", "q/quit/exit/^D", "Exit pprof");
    }
    put_options(out, prefix);
}

void hone_pprof_put_help(struct hone_buffer *out)
{
    hone_buffer_text(out, head);
    hone_pprof_put_usage(out, true);
    hone_buffer_text(out, sources);
    hone_buffer_text(out, tail);
}

void hone_pprof_put_command_help(struct hone_buffer *out, const struct hone_pprof_command *command)
{
    hone_buffer_format(out, "%s\n", command->help);
    if (*command->usage)
        hone_buffer_text(out, "  Usage:\n");
    for (const char *at = command->usage; *at;) {
        size_t len = strcspn(at, "\n");
        hone_buffer_format(out, "    %.*s\n", (int)len, at);
        at += len + (at[len] == '\n');
    }
    hone_buffer_text(out, "\n");
}
