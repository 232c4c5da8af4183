// The table, the corpus as ordinary tests and once more with every allocation failing in turn, and
// round trips of profiles whose numbers are known.
#include <stdio.h>

#include "convert/convert_fuzz.h"

#include "base/base.h"
#include "base/starve.h"
#include "check.h"
#include "corpus.h"
#include "profile/fixture.h"

#include <stdlib.h>

// Files of the corpus are named FORMAT-WHAT, bad ones FORMAT-bad-WHAT: the longest format that the
// name begins with.
static const struct hone_convert_format *format_of(const struct corpus_file *input)
{
    const struct hone_convert_format *best = NULL;
    for (const struct hone_convert_format *at = hone_convert_formats; at->name; at++) {
        size_t len = strlen(at->name);
        if (strncmp(input->name, at->name, len) == 0 && input->name[len] == '-' &&
            (!best || len > strlen(best->name)))
            best = at;
    }
    cr_assert(best, "%s names no format", input->name);
    return best;
}

static bool is_bad(const struct corpus_file *input)
{
    return strstr(input->name, "-bad-") != NULL;
}

static void check_outcome(const struct corpus_file *input)
{
    const struct hone_convert_format *format = format_of(input);
    int r = hone_convert_check(format, input->bytes, input->len, false);
    cr_assert(r == (is_bad(input) ? -EBADMSG : 0), "%s: reading returned %d", input->name, r);
    if (is_bad(input))
        return;
    struct hone_profile *p = NULL;
    const struct hone_convert_format *found = NULL;
    CHECK_EQ(hone_convert_read_bytes(input->bytes, input->len, "x", NULL, &p, &found, NULL), 0);
    cr_assert(found == format, "%s: taken for %s", input->name, found ? found->name : "nothing");
    hone_profile_free(p);
}

TEST(corpus_is_recognised_and_read_unless_its_name_says_bad)
{
    CHECK(corpus_each(CORPUS, check_outcome) >= 30);
}

static int read_checked(const struct corpus_file *input)
{
    return hone_convert_check(format_of(input), input->bytes, input->len, true);
}

static void check_short_of_memory(const struct corpus_file *input)
{
    corpus_starve(input, is_bad(input), read_checked);
}

TEST(running_out_of_memory_anywhere_is_an_error_and_nothing_leaks)
{
    CHECK(corpus_each(CORPUS, check_short_of_memory) >= 30);
}

static void check_cut(const struct corpus_file *input)
{
    const struct hone_convert_format *format = format_of(input);
    for (size_t len = 0; len < input->len; len += 1 + input->len / 300)
        (void)hone_convert_check(format, input->bytes, len, false);
}

TEST(files_cut_anywhere_give_a_profile_or_words)
{
    CHECK(corpus_each(CORPUS, check_cut) >= 30);
}

// --- the table -----------------------------------------------------------------------------------

TEST(every_format_has_all_that_help_and_documents_need)
{
    for (const struct hone_convert_format *at = hone_convert_formats; at->name; at++) {
        CHECK(at->summary && at->summary[0] && at->keeps && at->keeps[0] && at->extensions);
        CHECK(at->read || at->read_file || at->write);
        CHECK((at->read || at->read_file) == (at->detect != NULL));
        CHECK(!at->write || at->extensions[0]);
        CHECK(hone_convert_format_named(at->name) == at);
    }
}

TEST(names_of_files_tell_the_format_to_write)
{
    static const struct {
        const char *path;
        const char *format;
    } cases[] = {{"a.pb.gz", "pprof"},
                 {"/x.y/cpu.prof", "pprof"},
                 {"a.speedscope.json", "speedscope"},
                 {"a.speedscope.json.gz", "speedscope"},
                 {"a.json", "json"},
                 {"a.b.csv", "csv"},
                 {"a.functions.csv", "csv-functions"},
                 {"a.folded", "collapsed"},
                 {"a.txt.gz", "collapsed"},
                 {"a.callgrind", "callgrind"},
                 {"a.trace.json", "chrome"},
                 {"a.firefox.json", "firefox"},
                 {"a.otlp", "otlp"},
                 {"a.otlp.json", "otlp-json"},
                 {"json", NULL},
                 {".json", "json"},
                 {"dir.json/plain", NULL},
                 {"a.unknown", NULL},
                 {"", NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct hone_convert_format *found = hone_convert_format_for(cases[i].path);
        cr_assert(cases[i].format ? found && strcmp(found->name, cases[i].format) == 0 : !found,
                  "%s: %s", cases[i].path, found ? found->name : "none");
    }
}

// --- round trips ---------------------------------------------------------------------------------

static struct hone_profile *through(const struct hone_profile *p, const char *name, bool pack)
{
    const struct hone_convert_format *format = hone_convert_format_named(name);
    struct hone_buffer out = {0};
    struct hone_buffer again = {0};
    struct hone_error err = {0};
    struct hone_profile *read = NULL;
    const struct hone_convert_format *found = NULL;
    int r = hone_convert_write(p, format, pack, &out, &err);
    cr_assert(r == 0, "%s: %s", name, err.message);
    CHECK_EQ(hone_convert_write(p, format, pack, &again, NULL), 0);
    CHECK(out.len == again.len && memcmp(out.at, again.at, out.len) == 0);
    r = hone_convert_read_bytes(out.at, out.len, name, NULL, &read, &found, &err);
    cr_assert(r == 0, "%s: %s", name, err.message);
    cr_assert(found == format, "%s: taken for %s", name, found->name);
    hone_buffer_done(&out);
    hone_buffer_done(&again);
    return read;
}

static uint32_t type_of(const struct hone_profile *p, const char *name)
{
    uint32_t type = UINT32_MAX;
    struct hone_error err = {0};
    cr_assert(hone_profile_select_type(p, name, &type, &err) == 0, "%s", err.message);
    return type;
}

// The stacks with the values of a type, as lines in order.
static char *as_text(const struct hone_profile *p, const char *type)
{
    struct hone_profile copy = *p; // another default type, to be shown instead of the other one
    uint32_t number = type_of(p, type);
    copy.types[0] = p->types[number];
    copy.type_count = 1;
    copy.samples.values[0] = p->samples.values[number];
    copy.default_type = 0;
    struct hone_buffer out = {0};
    CHECK_EQ(hone_convert_write(&copy, hone_convert_format_named("collapsed"), false, &out, NULL),
             0);
    hone_buffer_add(&out, "", 1);
    return out.at;
}

static struct hone_profile *large(void)
{
    return hone_fixture_large(&(struct hone_fixture_options){.seed = 7,
                                                             .samples = 400,
                                                             .depth = 12,
                                                             .functions = 40,
                                                             .type = "cpu",
                                                             .unit = "nanoseconds"});
}

TEST(stacks_and_values_survive_every_format_with_whole_stacks)
{
    static const char *const names[] = {"pprof", "speedscope", "json", "csv", "otlp", "otlp-json"};
    struct hone_profile *p = large();
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        for (int pack = 0; pack < 2; pack++) {
            struct hone_profile *q = through(p, names[i], pack);
            CHECK_EQ(q->type_count, p->type_count);
            for (uint32_t t = 0; t < p->type_count; t++) {
                const char *type = hone_profile_text(p, p->types[t].type);
                char *before = as_text(p, type);
                char *after = as_text(q, type);
                cr_assert(strcmp(before, after) == 0, "%s: %s differs", names[i], type);
                free(before);
                free(after);
            }
            hone_profile_free(q);
        }
    hone_profile_free(p);
}

TEST(stacks_and_values_of_one_type_survive_formats_for_one)
{
    static const char *const names[] = {"collapsed", "chrome", "firefox"};
    struct hone_profile *p = large();
    const char *type = hone_profile_text(p, p->types[type_of(p, NULL)].type);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct hone_profile *q = through(p, names[i], i & 1);
        char *before = as_text(p, type);
        char *after = as_text(q, NULL);
        cr_assert(strcmp(before, after) == 0, "%s differs", names[i]);
        free(before);
        free(after);
        hone_profile_free(q);
    }
    hone_profile_free(p);
}

TEST(json_keeps_files_lines_labels_and_what_is_said_of_the_profile)
{
    struct hone_profile *p = hone_fixture_small();
    struct hone_profile *q = through(p, "json", false);
    CHECK_EQ(q->time_ns, p->time_ns);
    CHECK_EQ(q->duration_ns, p->duration_ns);
    CHECK_EQ(q->period, p->period);
    CHECK_EQ(q->comment_count, 2);
    CHECK_STR(hone_profile_text(q, q->comments[0]), "engine: fixture");
    CHECK_EQ(q->mappings.count, 3);
    CHECK_STR(hone_profile_text(q, q->mappings.at[1].file), "/usr/bin/sorter");
    struct hone_profile_span frames = hone_profile_frames_of(q, q->samples.stack[0]);
    CHECK_EQ(frames.count, 3); // an inlined one has become a frame of its own
    struct hone_profile_line_span leaf = hone_profile_lines_of(q, frames.at[0]);
    CHECK_STR(hone_profile_text(q, q->functions.name[leaf.at[0].function]), "compare");
    CHECK_STR(hone_profile_text(q, q->functions.file[leaf.at[0].function]), "src/sorter.c");
    CHECK_EQ(leaf.at[0].number, 4);
    CHECK_EQ(q->functions.start_line[leaf.at[0].function], 19);
    struct hone_profile_label_span labels = hone_profile_labels_of(q, q->samples.label_set[0]);
    CHECK_EQ(labels.count, 2);
    CHECK_STR(hone_profile_text(q, labels.at[0].text), "sorter");
    CHECK_EQ(labels.at[1].number, 7);
    hone_profile_free(p);
    hone_profile_free(q);
}

TEST(names_with_separators_and_strange_bytes_stay_in_their_place)
{
    static const char *const names[] = {"a;b",       "quote\"d", "comma,d",  "back\\slash",
                                        "line\nend", "tab\t",    "b\x80yte", "\xe2\x82\xac",
                                        "",          " blank "};
    struct hone_profile *p = hone_profile_new();
    (void)hone_profile_add_type(p, "samples", "count");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct hone_profile_line line = {
            .function = hone_profile_add_function(
                p, &(struct hone_profile_function){.name = hone_profile_intern(p, names[i]),
                                                   .file = hone_profile_intern(p, names[i])})};
        uint32_t location = hone_profile_add_location(
            p, &(struct hone_profile_location){.lines = &line, .line_count = 1});
        struct hone_profile_label label = {.key = hone_profile_intern(p, "k,\""),
                                           .text = hone_profile_intern(p, names[i])};
        (void)hone_profile_add_sample(p, hone_profile_add_stack(p, &location, 1),
                                      (int64_t[]){(int64_t)i + 1}, &label, 1);
    }
    for (const struct hone_convert_format *at = hone_convert_formats; at->name; at++) {
        if (!at->write || !at->read)
            continue;
        struct hone_profile *q = through(p, at->name, false);
        int64_t total = 0;
        for (uint32_t i = 0; i < q->samples.count; i++)
            total += q->samples.values[0][i];
        cr_assert(total == 55, "%s: the sum is %lld", at->name, (long long)total);
        hone_profile_free(q);
    }
    hone_profile_free(p);
}

TEST(an_empty_profile_goes_through_every_format)
{
    struct hone_profile *p = hone_profile_new();
    (void)hone_profile_add_type(p, "samples", "count");
    for (const struct hone_convert_format *at = hone_convert_formats; at->name; at++) {
        struct hone_buffer out = {0};
        if (at->write)
            CHECK_EQ(hone_convert_write(p, at, false, &out, NULL), 0);
        if (at->write && at->read && out.len) {
            struct hone_profile *q = NULL;
            struct hone_error err = {0};
            int r = at->read(out.at, out.len, at->name, &q, &err);
            cr_assert(r == 0, "%s: %s", at->name, err.message);
            CHECK_EQ(q->samples.count, 0);
            hone_profile_free(q);
        }
        hone_buffer_done(&out);
    }
    hone_profile_free(p);
}

TEST(callgrind_keeps_what_each_function_took_itself)
{
    struct hone_profile *p = large();
    struct hone_profile *q = through(p, "callgrind", false);
    // A row for each function: name, what it took itself.
    for (int which = 0; which < 2; which++) {
        struct hone_profile *now = which ? q : p;
        int64_t total = 0;
        uint32_t type = type_of(now, "cpu");
        for (uint32_t i = 0; i < now->samples.count; i++)
            total += now->samples.values[type][i];
        cr_assert(total != 0);
        static int64_t first;
        if (!which)
            first = total;
        CHECK_EQ(total, first);
    }
    hone_profile_free(p);
    hone_profile_free(q);
}

// --- gecko ---------------------------------------------------------------------------------------

static struct hone_profile *read_corpus(const char *name)
{
    struct hone_profile *p = NULL;
    struct hone_error err = {0};
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/%s", CORPUS, name);
    cr_assert(hone_convert_read(path, NULL, &p, NULL, &err) == 0, "%s", err.message);
    return p;
}

// "name file:line (start) @module", leaf first.
static const char *describe(const struct hone_profile *p, uint32_t sample)
{
    static char text[1024];
    text[0] = '\0';
    struct hone_profile_span frames = hone_profile_frames_of(p, p->samples.stack[sample]);
    for (uint32_t i = 0; i < frames.count; i++) {
        struct hone_profile_line_span lines = hone_profile_lines_of(p, frames.at[i]);
        uint32_t mapping = p->locations.mapping[frames.at[i]];
        uint32_t function = lines.count ? lines.at[0].function : 0;
        size_t len = strlen(text);
        (void)snprintf(text + len, sizeof text - len, "%s%s %s:%lld (%lld) %#llx @%s",
                       i ? "\n" : "", hone_profile_text(p, p->functions.name[function]),
                       hone_profile_text(p, p->functions.file[function]),
                       lines.count ? (long long)lines.at[0].number : 0,
                       (long long)p->functions.start_line[function],
                       (unsigned long long)p->locations.address[frames.at[i]],
                       hone_profile_text(p, p->mappings.at[mapping].file));
    }
    return text;
}

TEST(a_frame_of_gecko_is_what_its_text_says)
{
    struct hone_profile *p = read_corpus("gecko-firefox");
    CHECK_EQ(p->samples.count, 9);
    CHECK_STR(describe(p, 0), "XRE_Main(int) :0 (0) 0 @/usr/lib/libxul.so\n"
                              " :0 (0) 0x100000f84 @/usr/lib/firefox");
    CHECK_STR(describe(p, 1), "frobnicate chrome://blargh/a.js:34 (30) 0 @\n"
                              " :0 (0) 0x100000f84 @/usr/lib/firefox");
    // Of a process within, which has no libraries.
    CHECK_STR(describe(p, 8), "operator()(int) const :0 (0) 0 @\n"
                              "(anonymous) https://example.org/b.js:5 (5) 0 @\n"
                              " :0 (0) 0xdead @");
    struct hone_profile_span frames = hone_profile_frames_of(p, p->samples.stack[1]);
    const struct hone_profile_mapping *firefox =
        &p->mappings.at[p->locations.mapping[frames.at[1]]];
    CHECK_STR(hone_profile_text(p, firefox->build_id), "b1f4c0de00");
    CHECK_EQ(firefox->limit, 4294977296);
    hone_profile_free(p);
}

TEST(samples_of_gecko_count_and_have_the_time_that_was_measured)
{
    struct hone_profile *p = read_corpus("gecko-firefox");
    CHECK_EQ(p->type_count, 2);
    int64_t sums[2] = {0};
    for (uint32_t i = 0; i < p->samples.count; i++)
        for (int type = 0; type < 2; type++)
            sums[type] += p->samples.values[type][i];
    CHECK_EQ(sums[0], 11);
    CHECK_EQ(sums[1], 2 * 2005000);
    CHECK_STR(hone_profile_text(p, p->types[1].unit), "nanoseconds");
    hone_profile_free(p);
    p = read_corpus("gecko-perf-script");
    CHECK_EQ(p->type_count, 1); // nobody measured
    CHECK_STR(describe(p, 0), "sort :0 (0) 0 @[kernel.kallsyms]\nmain :0 (0) 0 @/bin/sorter");
    hone_profile_free(p);
}
