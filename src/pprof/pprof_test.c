#include "pprof/arguments.h"
#include "pprof/commands.h"
#include "pprof/config.h"
#include "pprof/driver.h"
#include "pprof/symbolize.h"

#include "base/base.h"
#include "check.h"
#include "profile/fixture.h"

#include <errno.h>
#include <math.h>

static int parse(const char *line, struct hone_pprof_arguments *ret, struct hone_error *err)
{
    static char words[512];
    static char *argv[32];
    int argc = 0;
    (void)snprintf(words, sizeof words, "%s", line);
    char *rest = words;
    for (char *word; (word = strsep(&rest, " ")) != NULL;)
        argv[argc++] = word;
    return hone_pprof_parse(argc, argv, ret, err);
}

TEST(flags_are_read_as_go_reads_them)
{
    struct hone_pprof_arguments a;
    CHECK_EQ(parse("-top --cum -nodecount=0x10 -nodefraction 1e-2 -focus=a=b x.prof", &a, NULL), 0);
    CHECK_STR(a.command->name, "top");
    CHECK_STR(a.config.sort, "cum");
    CHECK_EQ(a.config.nodecount, 16);
    CHECK_NEAR(a.config.nodefraction, 0.01, 1e-12);
    CHECK_STR(a.config.focus, "a=b");
    CHECK_EQ(a.input.source_count, 1);
    CHECK_STR(a.input.sources[0], "x.prof");
    CHECK_EQ(parse("-peek f1 -lines q r -not-a-flag", &a, NULL), 0);
    CHECK_STR(a.pattern, "f1");
    CHECK_STR(a.config.granularity, "lines");
    CHECK_EQ(a.input.source_count, 3); // "q" is neither a program nor a build id
}

TEST(what_does_not_fit_together_is_refused_in_pprofs_words)
{
    static const struct {
        const char *line;
        const char *words;
    } rows[] = {
        {"-top -tree x", "must set at most one output format"},
        {"-cum -flat x", "conflicting options set: [cum flat]"},
        {"-lines -files -top x", "conflicting options set: [files lines]"},
        {"-top -normalize x", "must have base profile to normalize by"},
        {"-base a -diff_base b x", "-base and -diff_base flags cannot both be specified"},
        {"-top -http=: x", "-http is not compatible with an output format on the command line"},
        {"-no_browser x", "-no_browser only makes sense with -http"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct hone_pprof_arguments a;
        struct hone_error err = {0};
        CHECK_EQ(parse(rows[i].line, &a, &err), -EINVAL);
        CHECK_STR(err.message, rows[i].words);
    }
}

TEST(every_option_has_help_a_value_and_a_way_to_set_it)
{
    struct hone_arena arena = {0};
    for (const struct hone_pprof_option *at = hone_pprof_options; at->name; at++) {
        struct hone_pprof_config config = hone_pprof_defaults;
        const char *value = hone_pprof_option_print(&config, at, &arena);
        CHECK(value);
        CHECK_EQ(hone_pprof_config_set(&config, at->name, value, NULL), 0);
        CHECK(hone_pprof_option_find(at->name, NULL) == at);
        for (const struct hone_pprof_choice *c = at->choices; c && c->name; c++) {
            CHECK(hone_pprof_option_is_bool(c->name));
            CHECK(hone_pprof_option_help(c->name));
            CHECK_EQ(hone_pprof_config_set(&config, c->name, "true", NULL), 0);
            CHECK_STR(hone_pprof_option_print(&config, at, &arena), c->name);
        }
        CHECK(at->choices || hone_pprof_option_help(at->name));
    }
    hone_arena_done(&arena);
}

TEST(values_that_are_none_leave_the_configuration_as_it_was)
{
    struct hone_pprof_config config = hone_pprof_defaults;
    static const char *const rows[][3] = {
        {"nodecount", "x", "strconv.Atoi: parsing \"x\": invalid syntax"},
        {"nodecount", "99999999999999999999",
         "strconv.Atoi: parsing \"99999999999999999999\": value out of range"},
        {"nodefraction", "1e", "strconv.ParseFloat: parsing \"1e\": invalid syntax"},
        {"trim", "maybe", "illegal value \"maybe\" for bool variable"},
        {"sort", "size", "invalid \"sort\" value \"size\""},
        {"cum", "false", "unknown config field \"cum\""},
        {"colour", "red", "unknown config field \"colour\""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct hone_error err = {0};
        CHECK_EQ(hone_pprof_config_set(&config, rows[i][0], rows[i][1], &err), -EINVAL);
        CHECK_STR(err.message, rows[i][2]);
    }
    CHECK(memcmp(&config, &hone_pprof_defaults, sizeof config) == 0);
}

TEST(numbers_are_written_as_go_writes_them)
{
    static const struct {
        double number;
        const char *text;
    } rows[] = {
        {1, "1"},          {0.005, "0.005"}, {1e-5, "1e-05"}, {1e20, "100000000000000000000"},
        {1e21, "1e+21"},   {-2.5, "-2.5"},   {0, "0"},        {1.0 / 3, "0.3333333333333333"},
        {INFINITY, "+Inf"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        CHECK_STR(hone_pprof_print_float(rows[i].number).text, rows[i].text);
}

TEST(whole_numbers_of_any_base_are_read)
{
    int64_t value;
    CHECK_EQ(hone_pprof_parse_int("0b101", true, &value), 0);
    CHECK_EQ(value, 5);
    CHECK_EQ(hone_pprof_parse_int("-0o17", true, &value), 0);
    CHECK_EQ(value, -15);
    CHECK_EQ(hone_pprof_parse_int("1_000", true, &value), 0);
    CHECK_EQ(value, 1000);
    CHECK_EQ(hone_pprof_parse_int("-9223372036854775808", true, &value), 0);
    CHECK_EQ(value, INT64_MIN);
    static const char *const none[] = {"", "-", "0x", "1__0", "_1", "1_", "08", "0x1", " 1"};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        CHECK_EQ(hone_pprof_parse_int(none[i], strcmp(none[i], "0x1") != 0, &value), -EINVAL);
    CHECK_EQ(hone_pprof_parse_int("9223372036854775808", true, &value), -ERANGE);
}

static const char *demangled(const char *symbol, enum hone_pprof_demangling how)
{
    static char text[256];
    HONE_CLEANUP(hone_profile_freep) struct hone_profile *p = hone_profile_new();
    uint32_t function = hone_profile_add_function(
        p, &(struct hone_profile_function){.name = hone_profile_intern(p, symbol)});
    CHECK_EQ(hone_pprof_demangle(p, how, false, NULL), 0);
    (void)snprintf(text, sizeof text, "%s", hone_profile_text(p, p->functions.name[function]));
    return text;
}

TEST(names_are_demangled_as_far_as_asked_for)
{
    static const char symbol[] = "_ZNSt6vectorIiSaIiEE9push_backERKi";
    CHECK_STR(demangled(symbol, HONE_PPROF_SHORT), "std::vector::push_back");
    CHECK_STR(demangled(symbol, HONE_PPROF_TEMPLATES),
              "std::vector<int, std::allocator<int> >::push_back");
    CHECK_STR(demangled(symbol, HONE_PPROF_FULL),
              "std::vector<int, std::allocator<int> >::push_back(int const&)");
    CHECK_STR(demangled("std::map<int, x>::at(int)", HONE_PPROF_SHORT), "std::map::at");
    CHECK_STR(demangled("main.(*T[...]).Method", HONE_PPROF_SHORT), "main.(*T[...]).Method");
    CHECK_STR(demangled("a>b<c", HONE_PPROF_SHORT), "a>b<c");
    CHECK_STR(demangled("plain.part.0", HONE_PPROF_SHORT), "plain.part.0");
}

TEST(a_report_is_made_of_a_copy_and_can_be_made_again)
{
    HONE_CLEANUP(hone_profile_freep) struct hone_profile *p = hone_fixture_small();
    struct hone_pprof_config config = hone_pprof_defaults;
    config.focus = "compare";
    for (int i = 0; i < 2; i++) {
        HONE_CLEANUP(hone_profile_freep) struct hone_profile *copy = hone_profile_clone(p);
        HONE_CLEANUP(hone_buffer_done) struct hone_buffer out = {0};
        CHECK_EQ(hone_pprof_report(copy, hone_pprof_command_find("top"), NULL, &config, &out, NULL),
                 0);
        hone_buffer_add(&out, "", 1);
        CHECK(strstr(out.at, "30ms 75.00% 75.00%       30ms 75.00%  compare"));
    }
    CHECK_EQ(p->samples.count, 2);
}
