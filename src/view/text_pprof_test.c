// Compares top, tree and traces byte for byte with `go tool pprof` (Debian's golang-go) on random
// profiles with inlining, recursion, labels, modules without names and values of both signs.
//
//     text_pprof_test [FILE…]      compares on these profiles instead
//
// Exit status 77, "skipped", when go is not here.
#include "view/text.h"

#include "base/base.h"
#include "profile/fixture.h"
#include "profile/profile.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct comparison {
    const char *arguments; // of go tool pprof
    hone_text_view view;
    struct hone_text_options options;
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
};

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

// Returns how many reports differ.
static int compare(const char *path, const struct hone_profile *p)
{
    int different = 0;
    for (size_t i = 0; i < sizeof comparisons / sizeof comparisons[0]; i++) {
        HONE_CLEANUP(hone_buffer_done) struct hone_buffer ours = {0};
        HONE_CLEANUP(hone_buffer_done) struct hone_buffer theirs = {0};
        char command[1024];
        (void)snprintf(command, sizeof command, "go tool pprof -symbolize=none %s '%s' 2>/dev/null",
                       comparisons[i].arguments, path);
        if (comparisons[i].view(p, &comparisons[i].options, &ours, NULL) ||
            read_command(command, &theirs)) {
            (void)printf("%s: %s failed\n", path, command);
            different++;
            continue;
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
    if (fd < 0)
        return 1;
    (void)close(fd);
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        HONE_CLEANUP(hone_profile_freep)
        struct hone_profile *p = hone_fixture_large(&options[i]);
        different += !p || hone_profile_write(p, path, NULL) ? 1 : compare_file(path);
    }
    (void)unlink(path);
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
