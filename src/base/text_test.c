// Text of strangers: patterns, paths, what a terminal bears.
#include "base/base.h"
#include "base/path.h"
#include "base/pattern.h"
#include "base/utf8.h"
#include "check.h"

#include <errno.h>
#include <malloc.h>

static bool matches(const char *regex, const char *text)
{
    HONE_CLEANUP(hone_pattern_freep) struct hone_pattern *pattern = NULL;
    CHECK_EQ(hone_pattern_new(regex, &pattern, NULL), 0);
    CHECK_STR(hone_pattern_text(pattern), regex);
    return hone_pattern_matches(pattern, hone_str_of(text));
}

TEST(patterns_match_anywhere_unless_anchored)
{
    CHECK(matches("sort", "std::sort<int>"));
    CHECK(!matches("^sort", "std::sort<int>"));
    CHECK(matches("^main$", "main"));
    CHECK(!matches("^main$", "remain"));
    CHECK(matches("(?i)MAIN", "main"));
    CHECK(matches("\\d+|x", "f12"));
    CHECK(matches("", ""));
    CHECK(!matches(".", ""));
    CHECK(matches("^.ber$", "über")); // a character, not a byte
    CHECK(matches("b", "a\xff"
                       "b")); // not all names are UTF-8
}

TEST(a_broken_pattern_says_what_is_wrong_and_where)
{
    struct hone_pattern *pattern = NULL;
    struct hone_error err = {0};
    CHECK_EQ(hone_pattern_new("f[a", &pattern, &err), -EINVAL);
    CHECK(!pattern);
    CHECK(strstr(err.message, "'f[a' is not a regular expression: missing terminating ]"));
}

TEST(a_pattern_that_takes_ages_gives_up_and_tells)
{
    char text[200];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    HONE_CLEANUP(hone_pattern_freep) struct hone_pattern *pattern = NULL;
    CHECK_EQ(hone_pattern_new("(a+)+b|(a*)*c", &pattern, NULL), 0);
    CHECK(!hone_pattern_matches(pattern, HONE_STR("none")));
    CHECK(!hone_pattern_gave_up(pattern));
    char aged[220];
    (void)snprintf(aged, sizeof aged, "%s!bc", text);
    (void)hone_pattern_matches(pattern, hone_str_of(text));
    CHECK(!hone_pattern_matches(pattern, hone_str_of(aged)));
    CHECK(hone_pattern_gave_up(pattern));
}

TEST(paths_are_cleaned_as_text)
{
    static const char *const pairs[][2] = {
        {"", ""},
        {"/", "/"},
        {"a", "a"},
        {"/a/b.c", "/a/b.c"},
        {"./malloc/./malloc/malloc.c", "malloc/malloc/malloc.c"},
        {"a//b/", "a/b"},
        {"a/../b", "b"},
        {"a/b/../../..", ".."},
        {"../../a", "../../a"},
        {"../a/../..", "../.."},
        {"/../a", "/a"},
        {"/..", "/"},
        {"//", "/"},
        {".", "."},
        {"a/..", "."},
        {"..a/b..", "..a/b.."},
    };
    HONE_CLEANUP(hone_arena_done) struct hone_arena arena = {0};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        struct hone_str clean = hone_path_clean(&arena, hone_str_of(pairs[i][0]));
        CHECK_STR(hone_arena_format(&arena, "%.*s", (int)clean.len, clean.at), pairs[i][1]);
    }
    struct hone_str same = HONE_STR("/usr/src/x.c");
    CHECK(hone_path_clean(&arena, same).at == same.at);
}

static void check_lines(const char *text, const char *shown)
{
    HONE_CLEANUP(hone_arena_done) struct hone_arena arena = {0};
    bool failed = false;
    struct hone_str clean = hone_utf8_clean_lines(&arena, hone_str_of(text), &failed);
    CHECK(!failed);
    CHECK_STR(hone_arena_format(&arena, "%.*s", (int)clean.len, clean.at), shown);
}

TEST(a_terminal_gets_no_control_characters)
{
    check_lines("", "");
    check_lines("a\tb\nc…\n", "a\tb\nc…\n");
    check_lines("\x1b[31mred\x1b[0m\r\n", "␛[31mred␛[0m␍\n");
    check_lines("\x7f\xc2\x9b"
                "2J",
                "␡\ufffd"
                "2J"); // also those beyond ASCII
    check_lines("a\xff"
                "b\xc0\x9b",
                "a\ufffd"
                "b\ufffd\ufffd");
    check_lines("\u202eevil", "\ufffdevil");
    check_lines("\ufffd", "\ufffd"); // one that was there
    const char *plain = "nothing to do";
    bool failed = false;
    CHECK(hone_utf8_clean_lines(NULL, hone_str_of(plain), &failed).at == plain);
}

TEST(clean_text_is_ended_by_nul)
{
    (void)mallopt(M_PERTURB, 0x5a); // memory that was never used is not zero
    HONE_CLEANUP(hone_arena_done) struct hone_arena arena = {0};
    bool failed = false;
    static const char *const texts[] = {"peaked", "a\x01" "b", "", "\xff\xff", "cut here and further"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct hone_str clean = hone_utf8_clean(&arena, hone_str_of(texts[i]), 12, &failed);
        CHECK_EQ(strlen(clean.at), clean.len);
    }
    CHECK(!failed);
    (void)mallopt(M_PERTURB, 0);
}

TEST(lines_that_are_fit_stay_where_they_are)
{
    struct hone_arena arena = {0};
    bool failed = false;
    // Each byte at each place of runs that need no look, of all lengths that are looked at
    // together.
    static const size_t lengths[] = {16, 140, 270};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++)
        for (int byte = 0; byte < 256; byte++)
            for (size_t at = 0; at < lengths[i]; at++) {
                char text[270];
                for (size_t k = 0; k < lengths[i]; k++)
                    text[k] = (char)(k % 9 ? ' ' + (char)(k % 95) : '\n');
                text[at] = (char)byte;
                struct hone_str line = {text, lengths[i]};
                struct hone_str clean = hone_utf8_clean_lines(&arena, line, &failed);
                bool fit = (byte >= ' ' && byte < 0x7f) || byte == '\n' || byte == '\t';
                cr_assert((clean.at == text) == fit, "byte %d at %zu", byte, at);
                cr_assert(clean.len == lengths[i] + (fit ? 0 : 2), "byte %d at %zu", byte, at);
            }
    CHECK(!failed);
    hone_arena_done(&arena);
}

TEST(what_is_too_long_keeps_both_its_ends)
{
    char to[20];
    hone_utf8_brief(HONE_STR("nineteen characters"), to, sizeof to);
    CHECK_STR(to, "nineteen characters");
    hone_utf8_brief(HONE_STR("twenty characters are"), to, sizeof to);
    CHECK_STR(to, "twenty c…ters are");
    hone_utf8_brief(HONE_STR("ääääääääääääääää"), to, sizeof to); // characters stay whole
    CHECK_STR(to, "ääää…ääää");
    hone_utf8_brief(HONE_STR("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80"), to, 8);
    CHECK_STR(to, "…");
    hone_utf8_brief((struct hone_str){NULL, 0}, to, sizeof to);
    CHECK_STR(to, "");
}
