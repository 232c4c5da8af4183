// Reports compare with the files under golden/; run with HONE_BLESS=1 to write them anew, then
// review the difference.
#include "view/text.h"

#include "base/base.h"
#include "base/pattern.h"
#include "check.h"
#include "profile/fixture.h"
#include "profile/profile.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static struct hone_buffer shown(hone_text_view view, const struct hone_profile *p,
                                const struct hone_text_options *options)
{
    (void)setenv("TZ", "UTC", 1);
    struct hone_buffer out = {0};
    struct hone_error err = {0};
    int r = view(p, options, &out, &err);
    CHECK_STR(err.message, "");
    CHECK_EQ(r, 0);
    hone_buffer_add(&out, "", 1); // so that it is a C string
    return out;
}

static void check_golden(const char *name, hone_text_view view,
                         const struct hone_text_options *options)
{
    struct hone_profile *p = hone_fixture_small();
    if (view == hone_text_list)
        p->time_ns = INT64_MAX; // the source is older
    struct hone_buffer out = shown(view, p, options);
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/%s.txt", GOLDEN, name);
    if (getenv("HONE_BLESS"))
        CHECK_EQ(hone_file_write(path, out.at, out.len - 1, NULL), 0);
    char *expected = NULL;
    size_t len;
    CHECK_EQ(hone_file_read(path, 1 << 20, &expected, &len, NULL), 0);
    CHECK_STR(out.at, expected);
    free(expected);
    hone_buffer_done(&out);
    hone_profile_free(p);
}

TEST(top_shows_flat_and_cum_by_function)
{
    check_golden("top", hone_text_top, NULL);
}

TEST(top_orders_by_cum_and_limits_rows)
{
    check_golden("top_cum", hone_text_top, &(struct hone_text_options){.by_cum = true, .rows = 2});
}

TEST(top_shows_another_type_by_line)
{
    check_golden("top_lines", hone_text_top,
                 &(struct hone_text_options){.type = "samples", .group = HONE_TEXT_LINES});
}

TEST(call_tree_is_indented_where_it_divides)
{
    check_golden("call_tree", hone_text_calls, &(struct hone_text_options){.all = true});
}

TEST(hot_path_follows_what_takes_most)
{
    check_golden("hot_path", hone_text_hot_path, NULL);
}

TEST(tree_shows_callers_and_callees)
{
    check_golden("tree", hone_text_tree, NULL);
}

static struct hone_pattern *pattern(const char *text)
{
    struct hone_pattern *made = NULL;
    CHECK_EQ(hone_pattern_new(text, &made, NULL), 0);
    return made;
}

#define SOURCES GOLDEN "/source"

TEST(peek_shows_callers_and_callees_of_what_matches)
{
    HONE_CLEANUP(hone_pattern_freep) struct hone_pattern *wanted = pattern("^s.rt$|libz");
    check_golden("peek", hone_text_peek, &(struct hone_text_options){.pattern = wanted});
}

TEST(list_shows_source_with_flat_and_cum)
{
    HONE_CLEANUP(hone_pattern_freep) struct hone_pattern *wanted = pattern("main|sort");
    check_golden("list", hone_text_list,
                 &(struct hone_text_options){.pattern = wanted, .source_path = SOURCES});
}

static void check_list_says(struct hone_profile *p, const struct hone_text_options *options,
                            const char *words, bool yes)
{
    struct hone_buffer out = shown(hone_text_list, p, options);
    cr_assert((strstr(out.at, words) != NULL) == yes, "'%s' in\n%s", words, out.at);
    hone_buffer_done(&out);
}

TEST(list_says_what_is_wrong_with_the_source)
{
    HONE_CLEANUP(hone_pattern_freep) struct hone_pattern *wanted = pattern("^main$");
    struct hone_text_options here = {.pattern = wanted, .source_path = SOURCES};
    struct hone_text_options by_end = {.pattern = wanted, .source_path = SOURCES "/src"};
    struct hone_text_options nowhere = {.pattern = wanted, .source_path = "/nowhere"};
    struct hone_profile *p = hone_fixture_small();
    p->time_ns = INT64_MAX;
    check_list_says(p, &here, "Note:", false);
    check_list_says(p, &by_end, " Note: the source is '" SOURCES "/src/sorter.c'\n", true);
    check_list_says(p, &nowhere,
                    " Error: 'src/sorter.c' is not there, nor under /nowhere; try --source-path "
                    "DIR\n",
                    true);
    p->time_ns = 1;
    check_list_says(p, &here, "sorter.c' was changed after this profile was taken\n", true);
    p->time_ns = 0; // unknown
    check_list_says(p, &here, "Note:", false);
    p->lines.at[p->locations.first_line[3]].number = 400;
    check_list_says(p, &here, "sorter.c' has only 23 lines, the one compiled had more\n", true);
    hone_profile_free(p);
}

TEST(list_cuts_prefixes_of_recorded_paths)
{
    HONE_CLEANUP(hone_pattern_freep) struct hone_pattern *wanted = pattern("^compare$");
    struct hone_profile *p = hone_fixture_small();
    p->time_ns = 0;
    p->functions.file[3] = hone_profile_intern(p, "/build/sorter-1.2/./src//sorter.c");
    char *back = getcwd(NULL, 0);
    CHECK_EQ(chdir(SOURCES "/src"), 0); // its parent holds src/sorter.c
    struct hone_text_options options = {.pattern = wanted};
    check_list_says(p, &options, "compare in /build/sorter-1.2/src/sorter.c\n", true);
    check_list_says(p, &options, " Error: '/build/sorter-1.2/src/sorter.c' is not there", false);
    options.trim_path = "/elsewhere:/build/sorter-1.2/";
    check_list_says(p, &options, "30ms       30ms      4:    return *(const int *)left", true);
    CHECK_EQ(chdir("/"), 0);
    check_list_says(p, &options, " Error: '/build/sorter-1.2/src/sorter.c' is not there", true);
    CHECK_EQ(chdir(back), 0);
    free(back);
    hone_profile_free(p);
}

TEST(list_counts_a_stack_once_however_often_a_function_recurs)
{
    HONE_CLEANUP(hone_pattern_freep) struct hone_pattern *wanted = pattern("^main$");
    struct hone_text_options options = {.pattern = wanted, .source_path = SOURCES};
    struct hone_profile *p = hone_fixture_small();
    // One stack through line 20 (inlining sort) and one twice through line 21: 40 ms of 40.
    check_list_says(p, &options, "         0       40ms (flat, cum)   100% of Total\n", true);
    uint32_t both[] = {1, 3, 1}; // and one through both lines
    (void)hone_profile_add_sample(p, hone_profile_add_stack(p, both, 3), (int64_t[]){6, 60000000},
                                  NULL, 0);
    check_list_says(p, &options, "      100ms (flat, cum)   100% of Total\n", true);
    hone_profile_free(p);
}

static void check_no_match(hone_text_view view)
{
    HONE_CLEANUP(hone_pattern_freep) struct hone_pattern *wanted = pattern("nobody");
    struct hone_profile *p = hone_fixture_small();
    struct hone_buffer out = {0};
    struct hone_error err = {0};
    CHECK_EQ(view(p, &(struct hone_text_options){.pattern = wanted}, &out, &err), -ENOENT);
    CHECK_STR(err.message, "no function matches 'nobody'");
    hone_buffer_done(&out);
    hone_profile_free(p);
}

TEST(a_pattern_that_matches_nothing_is_an_error)
{
    check_no_match(hone_text_peek);
    check_no_match(hone_text_list);
    check_no_match(hone_text_disasm);
}

TEST(disasm_says_what_is_missing)
{
    HONE_CLEANUP(hone_pattern_freep) struct hone_pattern *wanted = pattern("compare");
    struct hone_profile *p = hone_fixture_small();
    struct hone_buffer out = {0};
    struct hone_error err = {0};
    struct hone_text_options options = {.pattern = wanted};
    CHECK_EQ(hone_text_disasm(p, &options, &out, &err), -ENOENT);
    CHECK_STR(err.message, "no machine code of 'compare': cannot open '/usr/bin/sorter': no such "
                           "file or directory");
    p->mappings.at[1].file = hone_profile_intern(p, "[kernel.kallsyms]");
    CHECK_EQ(hone_text_disasm(p, &options, &out, &err), -ENOENT);
    CHECK_STR(err.message, "no machine code of 'compare': it is the kernel's");
    p->mappings.at[1].file = 0;
    CHECK_EQ(hone_text_disasm(p, &options, &out, &err), -ENOENT);
    CHECK_STR(err.message, "no machine code of 'compare': it lies in no file");
    hone_buffer_done(&out);
    hone_profile_free(p);
}

TEST(traces_show_stacks_with_labels)
{
    check_golden("traces", hone_text_traces, NULL);
}

TEST(collapsed_has_one_line_per_stack)
{
    check_golden("collapsed", hone_text_collapsed, NULL);
}

TEST(info_tells_what_the_profile_is)
{
    check_golden("info", hone_text_info, NULL);
}

// --- terminals -----------------------------------------------------------------------------------

static uint32_t columns(const char *line, size_t len)
{
    uint32_t count = 0;
    for (size_t i = 0; i < len; i++)
        count += ((unsigned char)line[i] & 0xc0) != 0x80;
    return count;
}

static struct hone_profile *with_long_names(void)
{
    struct hone_profile *p = hone_fixture_small();
    hone_profile_add_comment(p, "997 of 1000 samples per second were reached; 3 were lost because "
                                "the handler interrupted itself; 0 stacks were cut short");
    struct hone_profile_line lines[2] = {{.function = 0}, {.function = 1, .number = 3}};
    lines[0].function = hone_profile_add_function(
        p, &(struct hone_profile_function){
               .name = hone_profile_intern(
                   p, "std::__detail::größte_Übersicht<std::map<std::string, std::vector<int>"
                      ">>::operator()(std::string const&) const")});
    uint32_t location = hone_profile_add_location(
        p, &(struct hone_profile_location){.lines = lines, .line_count = 2});
    uint32_t frames[] = {location, 2, location};
    (void)hone_profile_add_sample(p, hone_profile_add_stack(p, frames, 3), (int64_t[]){9, 90000000},
                                  NULL, 0);
    return p;
}

static void check_width(hone_text_view view, uint32_t width)
{
    HONE_CLEANUP(hone_pattern_freep) struct hone_pattern *all = pattern(".");
    struct hone_profile *p = with_long_names();
    struct hone_text_options options = {
        .width = width, .pattern = view == hone_text_traces ? NULL : all, .source_path = SOURCES};
    p->time_ns = 0;
    struct hone_buffer out = shown(view, p, &options);
    bool cut = false;
    for (const char *line = out.at; *line;) {
        size_t len = strcspn(line, "\n");
        cr_assert(columns(line, len) <= width, "%u columns: %.*s", columns(line, len), (int)len,
                  line);
        cut |= memmem(line, len, "…", 3) != NULL;
        line += len + (line[len] == '\n');
    }
    CHECK(cut);
    CHECK(strstr(out.at, "std::")); // both ends of a name stay
    CHECK(strstr(out.at, "const"));
    hone_buffer_done(&out);
    hone_profile_free(p);
}

TEST(reports_fit_the_terminal)
{
    check_width(hone_text_top, 80);
    check_width(hone_text_top, 100);
    check_width(hone_text_tree, 80);
    check_width(hone_text_tree, 100);
    check_width(hone_text_traces, 80);
    check_width(hone_text_peek, 80);
    check_width(hone_text_list, 80);
}

TEST(names_are_never_cut_in_pipes)
{
    struct hone_profile *p = with_long_names();
    struct hone_buffer out = shown(hone_text_top, p, NULL);
    CHECK(!strstr(out.at, "…"));
    CHECK(strstr(out.at, "std::vector<int>>>::operator()(std::string const&) const (inline)\n"));
    hone_buffer_done(&out);
    hone_profile_free(p);
}

// --- pieces --------------------------------------------------------------------------------------

// A reader that keeps what it gets, and after so many pieces says something else.
struct reader {
    struct hone_buffer text;
    unsigned pieces;
    unsigned last; // 0: takes all
    int answer;
};

static int take(void *context, struct hone_str text, struct hone_error *err)
{
    struct reader *reader = context;
    hone_buffer_add(&reader->text, text.at, text.len);
    CHECK(text.len && text.at[text.len - 1] == '\n');
    if (++reader->pieces != reader->last)
        return 0;
    return reader->answer < 0 ? hone_error_set(err, reader->answer, "cannot take it")
                              : reader->answer;
}

static int read_traces(const struct hone_profile *p, struct reader *reader, struct hone_error *err)
{
    const struct hone_text_sink sink = {.put = take, .context = reader};
    struct hone_buffer out = {0};
    int r = hone_text_traces(p, &(struct hone_text_options){.sink = &sink}, &out, err);
    hone_buffer_add(&reader->text, out.at, out.len);
    hone_buffer_done(&out);
    return r;
}

static struct hone_profile *with_many_stacks(void)
{
    return hone_fixture_large(&(struct hone_fixture_options){.seed = 3,
                                                             .samples = 6000,
                                                             .depth = 20,
                                                             .functions = 300,
                                                             .type = "cpu",
                                                             .unit = "nanoseconds"});
}

TEST(traces_come_in_pieces_and_in_order)
{
    struct hone_profile *p = with_many_stacks();
    struct hone_buffer whole = shown(hone_text_traces, p, NULL);
    for (unsigned run = 0; run < 5; run++) {
        struct reader reader = {0};
        CHECK_EQ(read_traces(p, &reader, NULL), 0);
        CHECK(reader.pieces > 5);
        CHECK_EQ(reader.text.len + 1, whole.len); // which ends with a NUL
        CHECK(memcmp(reader.text.at, whole.at, reader.text.len) == 0);
        hone_buffer_done(&reader.text);
    }
    hone_buffer_done(&whole);
    hone_profile_free(p);
}

TEST(traces_show_each_stack_with_its_own_value)
{
    struct hone_profile *p = hone_profile_new();
    (void)hone_profile_add_type(p, "events", "count");
    for (int64_t i = 1; i <= 2000; i++) {
        uint32_t at =
            hone_profile_add_location(p, &(struct hone_profile_location){.address = (uint64_t)i});
        (void)hone_profile_add_sample(p, hone_profile_add_stack(p, &at, 1), (int64_t[]){i * 37},
                                      NULL, 0);
    }
    struct hone_buffer text = shown(hone_text_traces, p, NULL);
    const char *at = text.at;
    for (int64_t i = 1; i <= 2000; i++) {
        char line[64];
        (void)snprintf(line, sizeof line, "\n%10lld   <unknown>\n", (long long)i * 37);
        at = strstr(at, line);
        CHECK(at);
    }
    hone_buffer_done(&text);
    hone_profile_free(p);
}

TEST(a_reader_that_has_enough_gets_no_more)
{
    struct hone_profile *p = with_many_stacks();
    for (unsigned last = 1; last < 5; last++) {
        struct reader reader = {.last = last, .answer = 1};
        CHECK_EQ(read_traces(p, &reader, NULL), 0);
        CHECK_EQ(reader.pieces, last);
        hone_buffer_done(&reader.text);
        struct hone_error err = {0};
        reader = (struct reader){.last = last, .answer = -ENOSPC};
        CHECK_EQ(read_traces(p, &reader, &err), -ENOSPC);
        CHECK_EQ(reader.pieces, last);
        CHECK_STR(err.message, "cannot take it: no space left on device");
        hone_buffer_done(&reader.text);
    }
    hone_profile_free(p);
}

// --- corners -------------------------------------------------------------------------------------

TEST(empty_profile_says_why_and_what_to_do)
{
    struct hone_profile *p = hone_profile_new();
    (void)hone_profile_add_type(p, "samples", "count");
    (void)hone_profile_add_type(p, "cpu", "nanoseconds");
    struct hone_profile *silent = NULL;
    CHECK_EQ(hone_profile_merge((const struct hone_profile *[]){p}, 1, &silent, NULL), 0);
    hone_profile_add_comment(silent, "# engine: timer");
    hone_profile_add_comment(p, "0 samples: the program used 0.4 ms of CPU time");
    static const hone_text_view views[] = {hone_text_top,   hone_text_tree, hone_text_traces,
                                           hone_text_info,  hone_text_peek, hone_text_list,
                                           hone_text_disasm};
    HONE_CLEANUP(hone_pattern_freep) struct hone_pattern *all = pattern(".");
    struct hone_text_options options = {.pattern = all};
    for (size_t i = 0; i < sizeof views / sizeof views[0]; i++) {
        struct hone_buffer out = shown(views[i], p, &options);
        CHECK(strstr(out.at, "the program used 0.4 ms of CPU time"));
        CHECK(strstr(out.at, "No samples of type 'cpu'."));
        CHECK(strstr(out.at, "The lines above say what the recorder knows about it."));
        hone_buffer_done(&out);
        out = shown(views[i], silent, &options);
        CHECK(strstr(out.at, "hone record -F 10000"));
        hone_buffer_done(&out);
    }
    hone_profile_free(silent);
    struct hone_buffer out = shown(hone_text_collapsed, p, NULL);
    CHECK_STR(out.at, "");
    hone_buffer_done(&out);
    hone_profile_free(p);
}

TEST(profile_without_types_is_an_error)
{
    struct hone_profile *p = hone_profile_new();
    struct hone_buffer out = {0};
    struct hone_error err = {0};
    CHECK_EQ(hone_text_top(p, NULL, &out, &err), -EINVAL);
    CHECK_STR(err.message, "the profile has no sample types");
    hone_profile_free(p);
}

TEST(collapsed_escapes_its_separators_and_sums_what_prints_alike)
{
    struct hone_profile *p = hone_profile_new();
    (void)hone_profile_add_type(p, "samples", "count");
    static const char *const names[] = {"a;b", "a:b", "two\nlines"};
    uint32_t locations[3];
    for (uint32_t i = 0; i < 3; i++) {
        struct hone_profile_line line = {
            .function = hone_profile_add_function(
                p, &(struct hone_profile_function){.name = hone_profile_intern(p, names[i])})};
        locations[i] = hone_profile_add_location(
            p, &(struct hone_profile_location){.lines = &line, .line_count = 1});
    }
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t frames[] = {locations[2], locations[i]};
        (void)hone_profile_add_sample(p, hone_profile_add_stack(p, frames, 2), (int64_t[]){20 + i},
                                      NULL, 0);
    }
    struct hone_buffer out = shown(hone_text_collapsed, p, NULL);
    CHECK_STR(out.at, "a:b;two lines 41\n");
    hone_buffer_done(&out);
    hone_profile_free(p);
}
