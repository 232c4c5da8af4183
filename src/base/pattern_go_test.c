// What Go's regexp accepts and refuses, in its words; the words were taken from Go 1.19.
#include "base/pattern.h"
#include "base/pattern_go.h"

#include "check.h"

#include <errno.h>
#include <stdio.h>

TEST(what_go_accepts_is_accepted)
{
    static const char *const good[] = {
        "",
        "a|b",
        "^main$",
        "f[0-9]+",
        "[]a]",
        "[^]a]",
        "[a-]",
        "[-a]",
        "(?i)x",
        "(?i:x)",
        "(?P<n>x)",
        "\\Qa(b\\E+",
        "\\d\\W",
        "\\pN",
        "\\p{Greek}",
        "[[:alpha:]]",
        "[[:^word:]]",
        "a{2,3}?",
        "a{,3}",
        "{",
        "a{1000}",
        "\\x{10FFFF}",
        "\\x41\\012",
        "größe",
        "(a{10}){100}",
        "(?s-m:.)",
        "x*?y+?z??",
        "\\Aq\\z",
        "a||b",
        "()",
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct hone_error err = {0};
        cr_assert(hone_pattern_check_go(good[i], &err) == 0, "'%s': %s", good[i], err.message);
    }
}

TEST(what_go_refuses_is_refused_with_its_words)
{
    static const struct {
        const char *text;
        const char *words;
    } bad[] = {
        {"(", "missing closing ): `(`"},
        {"a)", "unexpected ): `a)`"},
        {"[a", "missing closing ]: `[a`"},
        {"[z-a]", "invalid character class range: `z-a`"},
        {"[[:foo:]]", "invalid character class range: `[:foo:]`"},
        {"\\p", "invalid character class range: `\\p`"},
        {"*a", "missing argument to repetition operator: `*`"},
        {"a|*", "missing argument to repetition operator: `*`"},
        {"(?i)*", "missing argument to repetition operator: `*`"},
        {"a**", "invalid nested repetition operator: `**`"},
        {"a+?*", "invalid nested repetition operator: `+?*`"},
        {"a{2}{3}", "invalid nested repetition operator: `{2}{3}`"},
        {"a{1001}", "invalid repeat count: `{1001}`"},
        {"a{3,2}", "invalid repeat count: `{3,2}`"},
        {"(a{100}){11}", "invalid repeat count: `{11}`"},
        {"(?=a)", "invalid or unsupported Perl syntax: `(?=`"},
        {"(?<=a)", "invalid or unsupported Perl syntax: `(?<`"},
        {"(?P<>a)", "invalid named capture: `(?P<>`"},
        {"(?P<n", "invalid named capture: `(?P<n`"},
        {"\\", "trailing backslash at end of expression: ``"},
        {"\\1", "invalid escape sequence: `\\1`"},
        {"\\C", "invalid escape sequence: `\\C`"},
        {"\\x{zz}", "invalid escape sequence: `\\x{z`"},
        {"[\\q]", "invalid escape sequence: `\\q`"},
        {"\xff", "invalid UTF-8: `\xff`"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct hone_error err = {0};
        char words[512];
        (void)snprintf(words, sizeof words, "error parsing regexp: %s", bad[i].words);
        CHECK_EQ(hone_pattern_check_go(bad[i].text, &err), -EINVAL);
        CHECK_STR(err.message, words);
    }
}

TEST(the_end_of_a_text_is_its_end)
{
    struct hone_pattern *pattern = NULL;
    CHECK_EQ(hone_pattern_new_go("main$", &pattern, NULL), 0);
    CHECK(hone_pattern_matches(pattern, HONE_STR("main")));
    CHECK(!hone_pattern_matches(pattern, HONE_STR("main\n")));
    hone_pattern_free(pattern);
}
