#include "check.h"

#include "cli/options.h"
#include "cli/suggest.h"
#include "cli/values.h"

#include <stddef.h>
#include <stdio.h>

enum {
    FAST = 1,
    DEEP = 2,
};

struct example_options {
    bool quiet;
    int64_t rate_hz;
    int64_t rows;
    int64_t duration_ns;
    int64_t size_bytes;
    const char *output;
    unsigned mode;
    unsigned types;
};

static const struct hone_choice modes[] = {{"fast", FAST, false}, {"deep", DEEP, false}, {0}};
static const struct hone_choice types[] = {
    {"cpu", 1, false}, {"profile", 1, true}, {"heap", 2, false}, {"memory", 2, true}, {0}};

#define AT(field) .at = offsetof(struct example_options, field)
static const struct hone_option rows[] = {
    {.name = "quiet", .letter = 'q', .kind = HONE_OPTION_FLAG, AT(quiet)},
    {.name = "frequency",
     .letter = 'F',
     .kind = HONE_OPTION_COUNT,
     .value = "HZ",
     .initial = "1000",
     .minimum = 1,
     .maximum = 100000,
     AT(rate_hz)},
    {.name = "rows", .letter = 'n', .kind = HONE_OPTION_COUNT, .value = "N", AT(rows)},
    {.name = "duration",
     .letter = 'd',
     .kind = HONE_OPTION_TIME,
     .value = "TIME",
     .minimum = 1000000,
     .maximum = INT64_MAX,
     AT(duration_ns)},
    {.name = "size", .kind = HONE_OPTION_SIZE, .value = "SIZE", AT(size_bytes)},
    {.name = "output", .letter = 'o', .kind = HONE_OPTION_TEXT, .value = "FILE", AT(output)},
    {.name = "mode",
     .kind = HONE_OPTION_CHOICE,
     .value = "MODE",
     .initial = "fast",
     .choices = modes,
     AT(mode)},
    {.name = "types",
     .kind = HONE_OPTION_SET,
     .value = "LIST",
     .initial = "cpu",
     .choices = types,
     AT(types)},
    {0},
};
static const struct hone_command view = {.name = "view",
                                         .operands = "FILE…",
                                         .options = rows,
                                         .options_size = sizeof(struct example_options)};
static const struct hone_command record = {.name = "record",
                                           .operands = "PROGRAM",
                                           .options = rows,
                                           .options_size = sizeof(struct example_options),
                                           .program = true,
                                           .operands_minimum = 1};

struct parsed {
    int result;
    char line[256];
    char *argv[32];
    struct example_options options;
    struct hone_operands operands;
    struct hone_error err;
};

// Splits line at spaces and parses it.
static void parse(struct parsed *ret, const struct hone_command *command, const char *line)
{
    memset(ret, 0, sizeof *ret);
    (void)snprintf(ret->line, sizeof ret->line, "%s", line);
    int argc = 0;
    char *save = NULL;
    for (char *word = strtok_r(ret->line, " ", &save); word; word = strtok_r(NULL, " ", &save))
        ret->argv[argc++] = word;
    ret->result =
        hone_options_parse(command, argc, ret->argv, &ret->options, &ret->operands, &ret->err);
}

TEST(initial_values_hold_without_options)
{
    struct parsed p;
    parse(&p, &view, "");
    CHECK_EQ(p.result, 0);
    CHECK_EQ(p.options.rate_hz, 1000);
    CHECK_EQ(p.options.mode, FAST);
    CHECK_EQ(p.options.types, 1);
    CHECK_EQ(p.options.quiet, false);
    CHECK(p.options.output == NULL);
    CHECK_EQ(p.operands.count, 0);
    CHECK(p.operands.at[0] == NULL);
}

TEST(every_way_of_writing_a_value_is_read)
{
    static const char *const lines[] = {
        "--frequency 99", "--frequency=99", "-frequency 99", "-frequency=99",
        "-F 99",          "-F=99",          "-F99",          "--F 99",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct parsed p;
        parse(&p, &view, lines[i]);
        cr_assert(p.result == 0 && p.options.rate_hz == 99, "%s", lines[i]);
    }
}

TEST(dashes_and_underscores_within_names_count_for_nothing)
{
    static const struct hone_option wide[] = {
        {.name = "show-from", .kind = HONE_OPTION_TEXT, .value = "REGEX", AT(output)}, {0}};
    const struct hone_command command = {
        .name = "view", .options = wide, .options_size = sizeof(struct example_options)};
    static const char *const good[] = {"--show-from=x", "-show_from=x", "-showfrom=x",
                                       "--sho-w_from=x"};
    static const char *const bad[] = {"--show-fro=x", "--show-fromm=x", "--show=x", "--=x",
                                      "--how-from=x"};
    for (size_t i = 0; i < sizeof good / sizeof good[0] + sizeof bad / sizeof bad[0]; i++) {
        bool fine = i < sizeof good / sizeof good[0];
        char word[32];
        (void)snprintf(word, sizeof word, "%s",
                       fine ? good[i] : bad[i - sizeof good / sizeof good[0]]);
        struct example_options options;
        struct hone_operands operands;
        struct hone_error err = {0};
        int r = hone_options_parse(&command, 1, (char *[]){word, NULL}, &options, &operands, &err);
        cr_assert(r == (fine ? 0 : HONE_MISUSED), "%s: %d", word, r);
        if (fine)
            CHECK_STR(options.output, "x");
    }
}

TEST(flags_may_be_given_a_truth_value)
{
    struct parsed p;
    parse(&p, &view, "-quiet");
    CHECK_EQ(p.options.quiet, true);
    parse(&p, &view, "--quiet=false");
    CHECK_EQ(p.options.quiet, false);
    parse(&p, &view, "-q=perhaps");
    CHECK_EQ(p.result, HONE_MISUSED);
}

TEST(operands_of_a_view_may_stand_among_options)
{
    struct parsed p;
    parse(&p, &view, "a.prof -n 3 b.prof - --output x -- -n c.prof");
    CHECK_EQ(p.result, 0);
    CHECK_EQ(p.options.rows, 3);
    CHECK_STR(p.options.output, "x");
    CHECK_EQ(p.operands.count, 5);
    CHECK_STR(p.operands.at[0], "a.prof");
    CHECK_STR(p.operands.at[1], "b.prof");
    CHECK_STR(p.operands.at[2], "-");
    CHECK_STR(p.operands.at[3], "-n");
    CHECK_STR(p.operands.at[4], "c.prof");
    CHECK(p.operands.at[5] == NULL);
}

TEST(a_programs_own_words_are_left_alone)
{
    struct parsed p;
    parse(&p, &record, "-F 50 ./prog -F 7 -- --help");
    CHECK_EQ(p.result, 0);
    CHECK_EQ(p.options.rate_hz, 50);
    CHECK_EQ(p.operands.count, 5);
    CHECK_STR(p.operands.at[0], "./prog");
    CHECK_STR(p.operands.at[1], "-F");
    CHECK_STR(p.operands.at[3], "--");
    CHECK_STR(p.operands.at[4], "--help");

    parse(&p, &record, "-- -odd-name -F 7");
    CHECK_EQ(p.options.rate_hz, 1000);
    CHECK_STR(p.operands.at[0], "-odd-name");
}

TEST(an_unknown_option_names_the_nearest)
{
    struct parsed p;
    parse(&p, &view, "--freqency=99");
    CHECK_EQ(p.result, HONE_MISUSED);
    CHECK_STR(p.err.message, "unknown option '--freqency' of 'hone view'; did you mean "
                             "'--frequency'?");
    parse(&p, &view, "--zebra");
    CHECK_STR(p.err.message, "unknown option '--zebra' of 'hone view'; see 'hone view --help'");
    parse(&p, &view, "-z");
    CHECK_STR(p.err.message, "unknown option '-z' of 'hone view'; see 'hone view --help'");
}

TEST(misuse_is_told_in_one_line)
{
    static const struct {
        const char *line;
        const char *message;
    } cases[] = {
        {"--frequency", "'--frequency' needs a value: HZ"},
        {"-F x", "--frequency takes a whole number, not 'x'"},
        {"-F 0", "--frequency cannot be '0'; it goes from 1 to 100000"},
        {"-F 99999999999999999999", "--frequency takes a whole number, not '99999999999999999999'"},
        {"-d 1us", "--duration cannot be '1us'; it goes from 1ms to 9223372036854775807ns"},
        {"-d soon", "'soon' is not a time; times are written 100ms, 30s, 5m, 1h or 7d"},
        {"--size 5XB", "'5XB' is not a size; sizes are written 4096, 512KiB or 10MB"},
        {"--mode slow", "--mode does not know 'slow'; it knows fast, deep"},
        {"--types cpu,,heap", "--types does not know ''; it knows cpu, heap, all"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct parsed p;
        parse(&p, &view, cases[i].line);
        CHECK_EQ(p.result, HONE_MISUSED);
        CHECK_STR(p.err.message, cases[i].message);
    }
}

TEST(types_are_a_set_and_know_synonyms)
{
    struct parsed p;
    parse(&p, &view, "--types memory");
    CHECK_EQ(p.options.types, 2);
    parse(&p, &view, "--types profile,heap");
    CHECK_EQ(p.options.types, 3);
    parse(&p, &view, "--types all");
    CHECK_EQ(p.options.types, 3);
}

TEST(help_is_found_in_every_spelling)
{
    struct parsed p;
    parse(&p, &view, "--help");
    CHECK_EQ(p.result, HONE_OPTIONS_HELP);
    parse(&p, &view, "-help");
    CHECK_EQ(p.result, HONE_OPTIONS_HELP);
    parse(&p, &record, "-h ./prog");
    CHECK_EQ(p.result, HONE_OPTIONS_HELP);
    parse(&p, &record, "./prog -h");
    CHECK_EQ(p.result, 0);
}

TEST(too_few_operands_are_misuse)
{
    struct parsed p;
    parse(&p, &record, "-F 9");
    CHECK_EQ(p.result, HONE_MISUSED);
    CHECK_STR(p.err.message, "'hone record' needs PROGRAM; see 'hone record --help'");
}

TEST(times_are_exact_and_bounded)
{
    static const struct {
        const char *text;
        int64_t ns;
    } good[] = {
        {"100ms", 100000000},
        {"30s", 30000000000},
        {"30", 30000000000},
        {"1.5s", 1500000000},
        {"0.000000001s", 1},
        {"5m", 300000000000},
        {"1h30m", 5400000000000},
        {"7d", 604800000000000},
        {"0", 0},
        {"9223372036854775807ns", INT64_MAX},
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        int64_t ns = -1;
        cr_assert(hone_value_time(good[i].text, &ns), "%s", good[i].text);
        CHECK_EQ(ns, good[i].ns);
    }
    static const char *const bad[] = {"",
                                      "s",
                                      "-1s",
                                      "1 s",
                                      "1.s",
                                      ".5s",
                                      "1x",
                                      "1ss",
                                      "1.2.3s",
                                      "106752d",
                                      "9223372036854775808ns"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int64_t ns = -1;
        cr_assert(!hone_value_time(bad[i], &ns), "%s", bad[i]);
        CHECK_EQ(ns, -1);
    }
}

TEST(sizes_know_both_kinds_of_thousand)
{
    int64_t bytes;
    CHECK(hone_value_size("512KiB", &bytes));
    CHECK_EQ(bytes, 524288);
    CHECK(hone_value_size("10MB", &bytes));
    CHECK_EQ(bytes, 10000000);
    CHECK(hone_value_size("1.5K", &bytes));
    CHECK_EQ(bytes, 1536);
    CHECK(!hone_value_size("1KiB1", &bytes));
    CHECK(!hone_value_size("9000000TiB", &bytes));
}

TEST(values_are_printed_in_the_largest_exact_unit)
{
    char text[32];
    hone_value_print_time(90000000000, text, sizeof text);
    CHECK_STR(text, "90s");
    hone_value_print_time(INT64_C(86400) * 1000000000 * 7, text, sizeof text);
    CHECK_STR(text, "7d");
    hone_value_print_time(0, text, sizeof text);
    CHECK_STR(text, "0ns");
    hone_value_print_size(524288, text, sizeof text);
    CHECK_STR(text, "512K");
}

TEST(suggestions_follow_the_finger)
{
    static const struct {
        const char *typed;
        const char *meant; // NULL: nothing is near
    } cases[] = {{"tpo", "top"},       {"topp", "top"},  {"fl", "flame"},
                 {"recrod", "record"}, {"tre", "tree"},  {"collapse", "collapsed"},
                 {"x", NULL},          {"server", NULL}, {"", NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct hone_suggest suggest = {.typed = cases[i].typed,
                                       .typed_len = strlen(cases[i].typed)};
        static const char *const names[] = {"record", "top", "tree", "collapsed", "flame"};
        for (size_t k = 0; k < sizeof names / sizeof names[0]; k++)
            hone_suggest(&suggest, names[k]);
        if (cases[i].meant)
            CHECK_STR(suggest.best ? suggest.best : "nothing", cases[i].meant);
        else
            cr_assert(suggest.best == NULL, "'%s' gave '%s'", cases[i].typed, suggest.best);
    }
}
