// Compares top, tree, traces, peek and list byte for byte with `go tool pprof` (Debian's golang-go)
// on random profiles with inlining, recursion, labels, modules without names and values of both
// signs.
//
//     text_pprof_test [FILE…]      compares on these profiles instead
//
// Exit status 77, "skipped", when go is not here.
#include "view/text.h"

#include "base/base.h"
#include "base/pattern.h"
#include "profile/fixture.h"
#include "profile/profile.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct comparison {
    const char *arguments; // of go tool pprof
    hone_text_view view;
    struct hone_text_options options;
    const char *pattern;
    bool positive; // pprof orders calls of equal size and unlike sign by chance
};

static const struct comparison comparisons[] = {
    {"-top", hone_text_top, {0}},
    {"-top -cum", hone_text_top, {.by_cum = true}},
    {"-top -lines -nodecount=25", hone_text_top, {.group = HONE_TEXT_LINES, .rows = 25}},
    {"-top -addresses", hone_text_top, {.group = HONE_TEXT_ADDRESSES}},
    {"-top -trim=false -sample_index=0", hone_text_top, {.all = true, .type = "0"}},
    {"-top -nodefraction=0.1", hone_text_top, {.node_fraction = 0.1}},
    {"-tree", hone_text_tree, {0}},
    {"-tree -cum -nodecount=10", hone_text_tree, {.by_cum = true, .rows = 10}},
    {"-tree -lines", hone_text_tree, {.group = HONE_TEXT_LINES}},
    {"-tree -edgefraction=0.02", hone_text_tree, {.edge_fraction = 0.02}},
    {"-traces", hone_text_traces, {0}},
    {"-traces -lines -sample_index=samples",
     hone_text_traces,
     {.group = HONE_TEXT_LINES, .type = "samples"}},
    {"-peek 'f1[0-9]?$|libc'", hone_text_peek, {0}, "f1[0-9]?$|libc", true},
    {"-peek . -cum -lines", hone_text_peek, {.by_cum = true, .group = HONE_TEXT_LINES}, ".", true},
    {"-list 'f[12][0-9]?$'", hone_text_list, {0}, "f[12][0-9]?$"},
    {"-list . -sample_index=0", hone_text_list, {.type = "0"}, "."},
};

// Two lines of listings are not compared: why a source is missing has other words, and pprof counts
// a recursive function's stacks several times in its sum.
static void drop_lines(struct hone_buffer *text)
{
    size_t len = 0;
    for (size_t at = 0; at < text->len;) {
        const char *end = memchr(text->at + at, '\n', text->len - at);
        size_t line = end ? (size_t)(end - text->at) + 1 - at : text->len - at;
        bool dropped = memmem(text->at + at, line, " Error: ", 8) ||
                       memmem(text->at + at, line, "(flat, cum)", 11);
        if (!dropped) {
            memmove(text->at + len, text->at + at, line);
            len += line;
        }
        at += line;
    }
    text->len = len;
}

static int read_command(const char *command, struct hone_buffer *out)
{
    FILE *pipe = popen(command, "r");
    if (!pipe)
        return -errno;
    char bytes[4096];
    for (size_t len; (len = fread(bytes, 1, sizeof bytes, pipe));)
        hone_buffer_add(out, bytes, len);
    return pclose(pipe) == 0 && !out->failed ? 0 : -EIO;
}

static void print_first_difference(const char *ours, const char *theirs)
{
    size_t line = 0;
    for (size_t i = 0; ours[i] && ours[i] == theirs[i]; i++)
        if (ours[i] == '\n')
            line = i + 1;
    (void)printf("  ours    %.*s\n  theirs  %.*s\n", (int)strcspn(ours + line, "\n"), ours + line,
                 (int)strcspn(theirs + line, "\n"), theirs + line);
}

static bool has_negative(const struct hone_profile *p)
{
    for (uint32_t i = 0; i < p->samples.count; i++)
        if (p->samples.values[p->type_count - 1][i] < 0)
            return true;
    return false;
}

// Returns how many reports differ.
static int compare(const char *path, const struct hone_profile *p)
{
    int different = 0;
    for (size_t i = 0; i < sizeof comparisons / sizeof comparisons[0]; i++) {
        if (comparisons[i].positive && has_negative(p))
            continue;
        HONE_CLEANUP(hone_buffer_done) struct hone_buffer ours = {0};
        HONE_CLEANUP(hone_buffer_done) struct hone_buffer theirs = {0};
        HONE_CLEANUP(hone_pattern_freep) struct hone_pattern *pattern = NULL;
        struct hone_text_options asked = comparisons[i].options;
        if (comparisons[i].pattern)
            (void)hone_pattern_new(comparisons[i].pattern, &pattern, NULL);
        asked.pattern = pattern;
        char command[1024];
        (void)snprintf(command, sizeof command, "go tool pprof -symbolize=none %s '%s' 2>/dev/null",
                       comparisons[i].arguments, path);
        if (comparisons[i].view(p, &asked, &ours, NULL) || read_command(command, &theirs)) {
            (void)printf("%s: %s failed\n", path, command);
            different++;
            continue;
        }
        if (comparisons[i].view == hone_text_list) {
            drop_lines(&ours);
            drop_lines(&theirs);
        }
        hone_buffer_add(&ours, "", 1);
        hone_buffer_add(&theirs, "", 1);
        if (ours.failed || theirs.failed || strcmp(ours.at, theirs.at) != 0) {
            (void)printf("%s: %s differs:\n", path, comparisons[i].arguments);
            print_first_difference(ours.at, theirs.at);
            different++;
        }
    }
    return different;
}

static int compare_file(const char *path)
{
    struct hone_error err = {0};
    HONE_CLEANUP(hone_profile_freep) struct hone_profile *p = NULL;
    if (hone_profile_read(path, NULL, &p, &err)) {
        hone_error_print(&err);
        return 1;
    }
    return compare(path, p);
}

// Functions of the random profiles begin somewhere and lie in one module each, as real ones do;
// their sources are in the current directory.
static int make_sources(struct hone_profile *p)
{
    p->time_ns = 0; // or they would be younger than the profile
    for (uint32_t i = 1; i < p->functions.count; i++)
        p->functions.start_line[i] = i % 3 ? 1 : 0;
    for (uint32_t i = 1; i < p->locations.count; i++)
        p->locations.mapping[i] = 1;
    for (uint32_t i = 1; i < p->functions.count; i++) {
        const char *file = hone_profile_text(p, p->functions.file[i]) + strlen("/src/");
        char directory[16];
        (void)snprintf(directory, sizeof directory, "%.*s", (int)strcspn(file, "/"), file);
        (void)mkdir(directory, 0700);
        HONE_CLEANUP(hone_fclosep) FILE *out = fopen(file, "w");
        for (int line = 1; out && line <= 53; line++) // the last line of a function may be its 50th
            (void)fprintf(out, "%*sline %d of\t%s\n", line % 7, "", line, file);
        if (!out)
            return -errno;
    }
    return 0;
}

static int compare_random(void)
{
    static const struct hone_fixture_options options[] = {
        {.seed = 1, .samples = 2000, .depth = 30, .functions = 200, .type = "cpu", .unit = "ns"},
        {.seed = 2,
         .samples = 500,
         .depth = 60,
         .functions = 40,
         .type = "inuse_space",
         .unit = "bytes"},
        {.seed = 3,
         .samples = 800,
         .depth = 12,
         .functions = 90,
         .type = "delay",
         .unit = "microseconds",
         .negative = true},
    };
    int different = 0;
    char path[] = "/tmp/text_pprof_test.XXXXXX";
    int fd = mkstemp(path);
    char scratch[] = "/tmp/text_pprof_test.d.XXXXXX";
    char command[64];
    if (fd < 0 || !mkdtemp(scratch) || chdir(scratch) != 0 || mkdir("src", 0700) != 0 ||
        chdir("src") != 0)
        return 1;
    (void)close(fd);
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        HONE_CLEANUP(hone_profile_freep)
        struct hone_profile *p = hone_fixture_large(&options[i]);
        different +=
            !p || make_sources(p) || hone_profile_write(p, path, NULL) ? 1 : compare_file(path);
    }
    (void)unlink(path);
    (void)chdir("/");
    (void)snprintf(command, sizeof command, "rm -r '%s'", scratch);
    different += system(command) != 0;
    return different;
}

int main(int argc, char **argv)
{
    if (system("go version >/dev/null 2>&1") != 0) {
        (void)printf("skipped: go is not here (package golang-go)\n");
        return 77;
    }
    int different = 0;
    for (int i = 1; i < argc; i++)
        different += compare_file(argv[i]);
    if (argc == 1)
        different = compare_random();
    (void)printf("%d reports differ\n", different);
    return different ? 1 : 0;
}
