#include <stdio.h>

#include "base/starve.h"
#include "check.h"
#include "pprof/shell_parts.h"
#include "profile/profile.h"

#include <errno.h>

static struct hone_arena arena;

// --- commands ------------------------------------------------------------------------------------

static struct hone_shell_request request;
static struct hone_error err;

static int parse(const char *line)
{
    static const char *words[HONE_SHELL_WORDS_MAX];
    bool failed;
    err = (struct hone_error){0};
    size_t count = hone_shell_split(&arena, line, words, &failed);
    CHECK(!failed);
    return hone_shell_parse(&arena, words, count, &hone_pprof_defaults, &request, &err);
}

TEST(arguments_are_numbers_expressions_order_and_a_file)
{
    CHECK_EQ(parse("top 7 main -spin --cum other -x >out"), 0);
    CHECK_STR(request.command->name, "top");
    CHECK_EQ(request.config.nodecount, 7);
    CHECK_STR(request.config.focus, "main|other");
    CHECK_STR(request.config.ignore, "spin|x");
    CHECK_STR(request.config.sort, "cum");
    CHECK_STR(request.config.output, "out");
    CHECK_EQ(parse("tree > out -5 2147483648"), 0);
    CHECK_STR(request.config.output, "out");
    CHECK_EQ(request.config.nodecount, -5);
    CHECK_STR(request.config.focus, "2147483648"); // beyond 32 bits: no number
    CHECK_EQ(parse("tags a -b"), 0);
    CHECK_STR(request.config.tagfocus, "a");
    CHECK_STR(request.config.tagignore, "b");
    CHECK_STR(request.config.focus, "");
    CHECK_EQ(parse("top -"), 0);
    CHECK_STR(request.config.ignore, "");
}

TEST(a_number_may_stand_at_the_end_of_the_command)
{
    CHECK_EQ(parse("top10"), 0);
    CHECK_EQ(request.config.nodecount, 10);
    CHECK_EQ(parse("top5 9"), 0);
    CHECK_EQ(request.config.nodecount, 9);
    CHECK_EQ(parse("tree3 main"), 0);
    CHECK_EQ(request.config.nodecount, 3);
    CHECK_EQ(parse("peek12 7"), 0);
    CHECK_STR(request.pattern, "12");
    CHECK_EQ(request.config.nodecount, 7);
    CHECK_EQ(parse("12"), -EINVAL);
    CHECK_STR(err.message, "unrecognized command: \"12\"");
}

TEST(tables_have_ten_rows_unless_told_otherwise)
{
    CHECK_EQ(parse("top"), 0);
    CHECK_EQ(request.config.nodecount, 10);
    CHECK_EQ(parse("tree"), 0);
    CHECK_EQ(request.config.nodecount, -1);
}

TEST(what_cannot_be_understood_is_told_in_the_words_of_pprof)
{
    static const char *const rows[][2] = {
        {"peek", "command peek requires an argument"},
        {"top >", "unexpected end of line after >"},
        {"focus main", "did you mean: focus=main"},
        {"focus", "did you mean: focus=<val>"},
        {"nodecount9", "did you mean: nodecount=9"},
        {"lines x", "did you mean: lines=x"},
        {"granularity x", "unrecognized command: \"granularity\""},
        {"no\"such\\1", "unrecognized command: \"no\\\"such\\\\\""},
        {"\x01", "unrecognized command: \"\\x01\""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        CHECK_EQ(parse(rows[i][0]), -EINVAL);
        CHECK_STR(err.message, rows[i][1]);
    }
}

TEST(commands_when_memory_is_out)
{
    static const char *const words[] = {"peek10", "main", "other", "-x", "-y"};
    for (long after = 0;; after++) {
        struct hone_arena small = {0};
        hone_starve_after = after;
        int r = hone_shell_parse(&small, words, 5, &hone_pprof_defaults, &request, &err);
        bool starved = hone_starve_after < 0;
        hone_starve_after = -1;
        CHECK_EQ(r, starved ? -ENOMEM : 0);
        hone_arena_done(&small);
        if (!starved)
            break;
    }
}

// --- completion ----------------------------------------------------------------------------------

static struct hone_profile *profile(void)
{
    static struct hone_profile *p;
    static const char *const functions[] = {
        "main", "main.run", "parse", "std::map<int, char>::find", "operator()", "parse"};
    if (p)
        return p;
    p = hone_profile_new();
    hone_profile_add_type(p, "samples", "count");
    hone_profile_add_type(p, "cpu", "nanoseconds");
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++)
        hone_profile_add_function(p, &(struct hone_profile_function){
                                         .name = hone_profile_intern(p, functions[i]),
                                         .file = hone_profile_intern(p, i == 5 ? "b.c" : "a.c")});
    return p;
}

// All that may stand at the end of the line, with blanks between.
static const char *ways(const char *line)
{
    static char text[4096];
    struct hone_shell_matches matches = hone_shell_complete(&arena, profile(), line, strlen(line));
    size_t used = 0;
    for (size_t i = 0; i < matches.count; i++)
        used +=
            (size_t)snprintf(text + used, sizeof text - used, "%s%s", i ? " " : "", matches.at[i]);
    text[used] = '\0';
    return text;
}

TEST(the_first_word_is_a_command_an_option_or_a_sample_type)
{
    CHECK_STR(ways("pee"), "peek");
    CHECK_STR(ways("tag"), "tagfocus taghide tagignore tagleaf tagroot tags tagshow");
    CHECK_STR(ways("mean"), "mean mean_cpu mean_samples");
    CHECK_STR(ways("sam"), "sample_index samples");
    CHECK_STR(ways("  hel"), "help");
    CHECK_STR(ways("zzz"), "");
    CHECK(strstr(ways(""), "callgrind comments "));
    struct hone_shell_matches matches = hone_shell_complete(&arena, profile(), " gran", 5);
    CHECK(matches.after == '=' && matches.from == 1 && matches.count == 1);
    matches = hone_shell_complete(&arena, profile(), "weblis", 6);
    CHECK(matches.after == ' ' && matches.count == 1);
}

TEST(commands_take_functions_and_tags_do_not)
{
    CHECK_STR(ways("peek main"), "main main.run");
    CHECK_STR(ways("top10 -cum pa"), "parse");
    CHECK_STR(ways("top -pa"), "parse");
    CHECK_STR(ways("peek arse"), "parse"); // holds it
    CHECK_STR(ways("tags pa"), "");
    CHECK_STR(ways("top >pa"), "");
    CHECK_STR(ways("nothing pa"), "");
}

TEST(names_become_one_word_that_is_an_expression_for_them)
{
    CHECK_STR(ways("list std"), "std::map<int,.char>::find");
    CHECK_STR(ways("list op"), "operator\\(\\)");
    CHECK_STR(ways("list operator\\("), "operator\\(\\)");
}

TEST(assignments_take_what_the_option_may_be)
{
    CHECK_STR(ways("granularity="), "addresses filefunctions files functions lines");
    CHECK_STR(ways("granularity = li"), "lines");
    CHECK_STR(ways("sample_index="), "cpu samples");
    CHECK_STR(ways("trim=t"), "true");
    CHECK_STR(ways("focus=main|pa"), "parse");
    CHECK_STR(ways("unit="), "");
    CHECK_STR(ways("nothing="), "");
}

TEST(help_is_about_commands_and_options)
{
    CHECK_STR(ways("help to"), "top topproto");
    CHECK_STR(ways("help cu"), "cum");
    CHECK_STR(ways("help sort"), "");
}

TEST(completion_when_memory_is_out)
{
    (void)profile();
    for (long after = 0;; after++) {
        struct hone_arena small = {0};
        long blocks = hone_starve_blocks;
        hone_starve_after = after;
        (void)hone_shell_complete(&small, profile(), "peek ", 5);
        bool starved = hone_starve_after < 0;
        hone_starve_after = -1;
        hone_arena_done(&small);
        CHECK_EQ(hone_starve_blocks, blocks);
        if (!starved)
            break;
    }
}
