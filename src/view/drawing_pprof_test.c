// Compares dot and callgrind byte for byte with `go tool pprof` (Debian's golang-go) on random
// profiles with inlining, recursion, tags of words and sizes, names of many languages, modules
// without names and values of both signs.
//
//     drawing_pprof_test [FILE…]      compares on these profiles instead
//
// Where nodes or calls agree in all that pprof orders them by (calls of equal size and unlike sign,
// nodes that only their ways tell apart), it orders them by chance: it may try several times, and
// where that cannot help, lines are compared without order and numbers of nodes. Exit status 77,
// "skipped", when go is not here.
#include "view/drawing.h"

#include "base/base.h"
#include "core/core.h"
#include "profile/fixture.h"
#include "profile/profile.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TRIES = 6 };

struct comparison {
    const char *arguments; // of go tool pprof
    hone_text_view view;
    struct hone_text_options options;
    bool tree;
};

// As the command pprof asks for it.
#define STRICT .strict = true, .rows = 80, .node_fraction = 0.005, .edge_fraction = 0.001

static const struct comparison comparisons[] = {
    {"-dot", hone_view_dot, {0}},
    {"-dot -nodecount=5", hone_view_dot, {.rows = 5}},
    {"-dot -nodecount=15 -sample_index=0", hone_view_dot, {.rows = 15, .type = "0"}},
    {"-dot -nodefraction=0.05", hone_view_dot, {.node_fraction = 0.05}},
    {"-dot -edgefraction=0.02", hone_view_dot, {.edge_fraction = 0.02}},
    {"-dot -nodefraction=0.02 -edgefraction=0.01 -nodecount=30",
     hone_view_dot,
     {.node_fraction = 0.02, .edge_fraction = 0.01, .rows = 30}},
    {"-dot -trim=false", hone_view_dot, {.all = true}},
    {"-dot -lines", hone_view_dot, {.group = HONE_TEXT_LINES}},
    {"-dot -lines -nodecount=12", hone_view_dot, {.group = HONE_TEXT_LINES, .rows = 12}},
    {"-dot -addresses", hone_view_dot, {.group = HONE_TEXT_ADDRESSES}},
    {"-dot -addresses -trim=false", hone_view_dot, {.group = HONE_TEXT_ADDRESSES, .all = true}},
    {"-dot -call_tree", hone_view_dot, {.call_tree = true}, true},
    {"-dot -call_tree -nodecount=20 -nodefraction=0.001",
     hone_view_dot,
     {.call_tree = true, .rows = 20, .node_fraction = 0.001},
     true},
    {"-dot -files", hone_view_dot, {STRICT, .group = HONE_TEXT_FILES}},
    {"-dot -filefunctions", hone_view_dot, {STRICT, .group = HONE_TEXT_ROUTINES}},
    {"-dot -mean -drop_negative", hone_view_dot, {STRICT, .mean = true, .drop_negative = true}},
    {"-dot -unit=hr -divide_by=3", hone_view_dot, {STRICT, .unit = "hr", .divide_by = 3}},
    {"-dot -nodecount=0 -nodefraction=0", hone_view_dot, {.strict = true, .edge_fraction = 0.001}},
    {"-callgrind", hone_view_callgrind, {0}},
    {"-callgrind -mean -divide_by=7",
     hone_view_callgrind,
     {.strict = true, .mean = true, .divide_by = 7}},
    {"-callgrind -unit=kb -drop_negative",
     hone_view_callgrind,
     {.strict = true, .unit = "kb", .drop_negative = true}},
    {"-callgrind -cum", hone_view_callgrind, {.by_cum = true}},
    {"-callgrind -sample_index=0", hone_view_callgrind, {.type = "0"}},
};

// Numbers and addresses depend on the order of nodes, so this one needs a profile without chance.
static const struct comparison of_distinct_values[] = {
    {"-dot -call_tree -trim=false", hone_view_dot, {.call_tree = true, .all = true}},
    {"-dot -call_tree -nodecount=9", hone_view_dot, {.call_tree = true, .rows = 9}},
    {"-callgrind -call_tree", hone_view_callgrind, {.call_tree = true}},
    {"-callgrind -call_tree -cum", hone_view_callgrind, {.call_tree = true, .by_cum = true}},
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

static int compare_lines(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

// Numbers of nodes become one sign, and lines stand in order.
static void forget_order(struct hone_buffer *text)
{
    size_t len = 0;
    size_t lines = 0;
    for (size_t i = 0; i < text->len; i++) {
        bool digit = text->at[i] >= '0' && text->at[i] <= '9';
        bool numbered = digit && len &&
                        (text->at[len - 1] == 'N' || text->at[len - 1] == '#' ||
                         (len > 3 && memcmp(text->at + len - 4, "node", 4) == 0));
        if (numbered) {
            text->at[len++] = '#';
            while (i + 1 < text->len && text->at[i + 1] >= '0' && text->at[i + 1] <= '9')
                i++;
            continue;
        }
        lines += text->at[i] == '\n';
        text->at[len++] = text->at[i];
    }
    text->len = len;
    HONE_CLEANUP(hone_freep) char **at = calloc(lines + 1, sizeof *at);
    HONE_CLEANUP(hone_freep) char *copy = strndup(text->at, text->len);
    if (!at || !copy)
        return;
    size_t count = 0;
    char *rest = copy;
    for (char *line; count < lines && (line = strsep(&rest, "\n")) != NULL;)
        at[count++] = line;
    qsort(at, count, sizeof *at, compare_lines);
    text->len = 0;
    for (size_t i = 0; i < count; i++)
        hone_buffer_format(text, "%s\n", at[i]);
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

static bool is_same(const struct comparison *comparison, const char *path,
                    const struct hone_profile *p, bool ordered, bool last)
{
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer ours = {0};
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer theirs = {0};
    char command[1024];
    (void)snprintf(command, sizeof command, "go tool pprof -symbolize=none %s '%s' 2>/dev/null",
                   comparison->arguments, path);
    if (comparison->view(p, &comparison->options, &ours, NULL) || read_command(command, &theirs)) {
        (void)printf("%s: %s failed\n", path, command);
        return false;
    }
    hone_buffer_add(&ours, "", 1);
    hone_buffer_add(&theirs, "", 1);
    if (!ordered) {
        forget_order(&ours);
        forget_order(&theirs);
    }
    bool same = !ours.failed && !theirs.failed && ours.len == theirs.len &&
                memcmp(ours.at, theirs.at, ours.len) == 0;
    if (!same && last) {
        (void)printf("%s: %s differs:\n", path, comparison->arguments);
        print_first_difference(ours.at, theirs.at);
    }
    return same;
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
    for (size_t i = 0; i < HONE_ARRAY_LENGTH(comparisons); i++) {
        bool same = false;
        bool chance = comparisons[i].tree || has_negative(p);
        for (int k = 1; !same && k <= TRIES; k++)
            same = is_same(&comparisons[i], path, p, !chance || k < TRIES / 2, k == TRIES);
        different += !same;
    }
    return different;
}

static int compare_distinct(const char *path, const struct hone_profile *p)
{
    int different = 0;
    for (size_t i = 0; i < HONE_ARRAY_LENGTH(of_distinct_values); i++)
        different += !is_same(&of_distinct_values[i], path, p, true, true);
    return different;
}

typedef int (*comparing)(const char *path, const struct hone_profile *p);

static int compare_file(const char *path, comparing compare_one)
{
    struct hone_error err = {0};
    HONE_CLEANUP(hone_profile_freep) struct hone_profile *p = NULL;
    if (hone_profile_read(path, NULL, &p, &err)) {
        hone_error_print(&err);
        return 1;
    }
    return compare_one(path, p);
}

// --- profiles ------------------------------------------------------------------------------------

// What short names are made of, and what must be escaped.
static const char *const names[] = {
    "main",
    "github.com/user/repo/v3/pkg.(*Type).Method",
    "github.com/user/repo/pkg/v2.Function",
    "example.org/a-b/c.Generic[...].Do",
    "runtime.mallocgc",
    "java.util.HashMap.get(Ljava/lang/Object;)",
    "com.example.Main.<init>",
    "com.example.Outer$Inner.method$1",
    "javax.Foo",
    "ns::inner::Class::method<int, std::vector<int>>::operator",
    "ns::_Hidden::~Thing()",
    "std::vector<int>::push_back(int const&)",
    "(anonymous namespace)::helper::Class::run",
    "(anonymous namespace)::free_function",
    "lower::case::only",
    "quote\"and\\backslash",
    "a::b.c::d",
    "operator new(unsigned long)",
    "path/v10/x.y/z",
    "path/v1/x.y",
    "trailing/slash/",
    "http://strange//name",
    "Main.main",
    "A::B::C::D::e",
};

static void add_tagged_places(struct hone_profile *p)
{
    uint32_t program = hone_profile_add_mapping(
        p, &(struct hone_profile_mapping){.start = 0x1000,
                                          .limit = 0x9000,
                                          .file = hone_profile_intern(p, "/opt/app/bin/server"),
                                          .build_id = hone_profile_intern(p, "ab12")});
    uint32_t library = hone_profile_add_mapping(
        p, &(struct hone_profile_mapping){.start = 0x10000,
                                          .limit = 0x19000,
                                          .file = hone_profile_intern(p, "/lib/libx.so.1")});
    for (uint32_t i = 0; i < HONE_ARRAY_LENGTH(names); i++) {
        char file[40];
        (void)snprintf(file, sizeof file, i % 4 ? "./src//d%u/../f%u.c" : "", i % 3, i % 5);
        struct hone_profile_line line = {
            .number = i % 6 ? 10 + i : 0,
            .function = hone_profile_add_function(
                p, &(struct hone_profile_function){.name = hone_profile_intern(p, names[i]),
                                                   .file = hone_profile_intern(p, file),
                                                   .start_line = i})};
        (void)hone_profile_add_location(
            p, &(struct hone_profile_location){.mapping = i % 3 ? program : library,
                                               .address = i % 3 ? 0x1000 + i : 0x10000 + i,
                                               .lines = &line,
                                               .line_count = 1});
    }
    for (uint32_t i = 0; i < 4; i++)
        (void)hone_profile_add_location(
            p, &(struct hone_profile_location){.mapping = i % 3, .address = 0x20000 + i % 2});
}

static uint32_t tagged_labels(struct hone_profile *p, uint64_t *state, const char *unit,
                              struct hone_profile_label labels[4])
{
    static const char *const states[] = {"running", "waiting", "a\"b", "done"};
    uint32_t count = 0;
    if (hone_fixture_random(state, 3))
        labels[count++] = (struct hone_profile_label){
            .key = hone_profile_intern(p, "state"),
            .text = hone_profile_intern(p, states[hone_fixture_random(state, 4)])};
    if (hone_fixture_random(state, 4) == 0)
        labels[count++] = (struct hone_profile_label){.key = hone_profile_intern(p, "owner"),
                                                      .text = hone_profile_intern(p, "me")};
    if (hone_fixture_random(state, 4))
        labels[count++] =
            (struct hone_profile_label){.key = hone_profile_intern(p, "bytes"),
                                        .number = 1 + (int64_t)hone_fixture_random(state, 9) * 700 *
                                                          (1 << hone_fixture_random(state, 10)),
                                        .unit = hone_profile_intern(p, unit)};
    if (hone_fixture_random(state, 5) == 0)
        labels[count++] =
            (struct hone_profile_label){.key = hone_profile_intern(p, "thread"), .number = 7};
    return count;
}

static struct hone_profile *tagged(uint64_t seed, const char *unit, bool negative)
{
    struct hone_profile *p = hone_profile_new();
    if (!p)
        return NULL;
    uint64_t state = seed;
    (void)hone_profile_add_type(p, "alloc_objects", "count");
    (void)hone_profile_add_type(p, "alloc_space", "bytes");
    add_tagged_places(p);
    hone_profile_add_comment(p, "a warning with \"quotes\"");
    hone_profile_add_comment(p, "# a fact");
    for (uint32_t i = 0; i < 600; i++) {
        uint32_t frames[12];
        uint32_t depth = 1 + hone_fixture_random(&state, 12);
        for (uint32_t k = 0; k < depth; k++) {
            uint32_t a = hone_fixture_random(&state, p->locations.count - 1);
            uint32_t b = hone_fixture_random(&state, p->locations.count - 1);
            frames[k] = 1 + (a < b ? a : b);
        }
        struct hone_profile_label labels[4];
        uint32_t count = tagged_labels(p, &state, unit, labels);
        int64_t value = hone_fixture_value(&state, negative);
        (void)hone_profile_add_sample(p, hone_profile_add_stack(p, frames, depth),
                                      (int64_t[]){i % 4, value}, labels, count);
    }
    return p;
}

// Every stack's beginnings are stacks too, and no two sets of them have the same sum.
static struct hone_profile *distinct(void)
{
    struct hone_profile *p = hone_profile_new();
    if (!p)
        return NULL;
    uint64_t state = 16;
    (void)hone_profile_add_type(p, "cpu", "nanoseconds");
    add_tagged_places(p);
    int64_t value = 1;
    for (uint32_t i = 0; i < 12; i++) {
        uint32_t frames[5]; // root last
        for (uint32_t k = 0; k < 5; k++)
            frames[k] = 1 + hone_fixture_random(&state, p->locations.count - 1);
        for (uint32_t depth = 1; depth <= 5; depth++, value += value / 3 + 1)
            (void)hone_profile_add_sample(p, hone_profile_add_stack(p, frames + 5 - depth, depth),
                                          &value, NULL, 0);
    }
    return p;
}

static int compare_profile(struct hone_profile *p, comparing compare_one)
{
    char path[] = "/tmp/drawing_pprof_test.XXXXXX";
    int fd = mkstemp(path);
    int different = 1;
    if (fd >= 0 && p && hone_profile_write(p, path, NULL) == 0)
        different = compare_file(path, compare_one);
    if (fd >= 0) {
        (void)close(fd);
        (void)unlink(path);
    }
    hone_profile_free(p);
    return different;
}

static int compare_random(void)
{
    static const struct hone_fixture_options options[] = {
        {.seed = 11,
         .samples = 1500,
         .depth = 30,
         .functions = 200,
         .type = "cpu",
         .unit = "nanoseconds"},
        {.seed = 12,
         .samples = 800,
         .depth = 12,
         .functions = 90,
         .type = "delay",
         .unit = "microseconds",
         .negative = true},
    };
    int different = 0;
    for (size_t i = 0; i < HONE_ARRAY_LENGTH(options); i++)
        different += compare_profile(hone_fixture_large(&options[i]), compare);
    different += compare_profile(tagged(13, "bytes", false), compare);
    different += compare_profile(tagged(14, "", true), compare);
    different += compare_profile(tagged(15, "kilobytes", false), compare);
    different += compare_profile(hone_fixture_small(), compare);
    different += compare_profile(distinct(), compare_distinct);
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
        different += compare_file(argv[i], compare);
    if (argc == 1)
        different = compare_random();
    (void)printf("%d reports differ\n", different);
    return different ? 1 : 0;
}
