#include "analyse/leaks.h"

#include "base/starve.h"
#include "profile/profile.h"

#include "check.h"

#include <errno.h>

TEST(patterns_match_as_leak_sanitizer_reads_them)
{
    static const struct {
        const char *pattern, *text;
        bool matches;
    } rows[] = {
        {"alloc", "my_alloc_page", true},
        {"^alloc", "my_alloc_page", false},
        {"^my_", "my_alloc_page", true},
        {"page$", "my_alloc_page", true},
        {"alloc$", "my_alloc_page", false},
        {"^my_alloc_page$", "my_alloc_page", true},
        {"^my*page$", "my_alloc_page", true},
        {"^my*pages$", "my_alloc_page", false},
        {"my*al*pa", "my_alloc_page", true},
        {"pa*al", "my_alloc_page", false},
        {"*", "anything", true},
        {"*", "", true},
        {"a*a$", "a", false},
        {"a*a$", "aa", true},
        {"libfoo.so$", "/usr/lib/libfoo.so", true},
        {"^a*b*c$", "abbc", true},
        {"^a*b*c$", "abbcd", false},
        {"^$", "", true},
        {"^$", "a", false},
        {"x", "", false},
        {"aab", "aaab", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        cr_assert(hone_suppression_matches(rows[i].pattern, rows[i].text) == rows[i].matches,
                  "%s and %s", rows[i].pattern, rows[i].text);
}

TEST(lists_have_comments_and_are_refused_by_line)
{
    static const char good[] = "# known\n\n  leak:one \r\nleak:^two$";
    static const char bad[] = "leak:one\nrace:two\n";
    struct hone_suppressions *list;
    struct hone_error err = {0};
    CHECK_EQ(hone_suppressions_parse(good, sizeof good - 1, "known.txt", &list, &err), 0);
    CHECK_EQ(hone_suppressions_count(list), 2);
    CHECK_STR(hone_suppressions_pattern(list, 0), "one");
    CHECK_STR(hone_suppressions_pattern(list, 1), "^two$");
    hone_suppressions_free(list);
    CHECK_EQ(hone_suppressions_parse(bad, sizeof bad - 1, "known.txt", &list, &err), -EINVAL);
    CHECK_STR(err.message, "known.txt:2: 'race:two' is no suppression");
    CHECK_EQ(hone_suppressions_parse("leak:a\0b", 8, "known.txt", &list, &err), -EINVAL);
    CHECK_EQ(hone_suppressions_parse("leak:", 5, "known.txt", &list, &err), -EINVAL);
    CHECK_EQ(hone_suppressions_parse("", 0, "known.txt", &list, &err), 0);
    CHECK_EQ(hone_suppressions_count(list), 0);
    hone_suppressions_free(list);
}

// --- rows ----------------------------------------------------------------------------------------

static struct hone_profile *profile;

static void new_profile(void)
{
    profile = hone_profile_new();
    hone_profile_add_type(profile, "leaked_objects", "count");
    hone_profile_add_type(profile, "leaked_space", "bytes");
    hone_profile_add_type(profile, "reachable_objects", "count");
    hone_profile_add_type(profile, "reachable_space", "bytes");
}

static uint32_t stack_at(const char *name, uint64_t address)
{
    uint32_t function = hone_profile_add_function(
        profile, &(struct hone_profile_function){.name = hone_profile_intern(profile, name)});
    struct hone_profile_line line = {.function = function};
    uint32_t location = hone_profile_add_location(
        profile,
        &(struct hone_profile_location){.address = address, .lines = &line, .line_count = 1});
    return hone_profile_add_stack(profile, &location, 1);
}

static uint32_t stack_of(const char *name)
{
    return stack_at(name, 0);
}

static void add(uint32_t stack, const char *reach, int64_t objects, int64_t bytes)
{
    bool lost = reach[0] == 'u' || reach[0] == 'i';
    const struct hone_profile_label label = {.key = hone_profile_intern(profile, "reach"),
                                             .text = hone_profile_intern(profile, reach)};
    (void)hone_profile_add_sample(
        profile, stack,
        (int64_t[]){lost ? objects : 0, lost ? bytes : 0, lost ? 0 : objects, lost ? 0 : bytes},
        &label, 1);
}

TEST(rows_are_by_stack_and_the_worst_comes_first)
{
    new_profile();
    uint32_t small = stack_of("small"), large = stack_of("large"), kept = stack_of("kept");
    add(small, "unreachable", 3, 30);
    add(large, "unreachable", 1, 1000);
    add(large, "indirect", 2, 50);
    add(large, "reachable", 7, 7000);
    add(kept, "mapped", 1, 9);
    struct hone_leaks leaks;
    CHECK_EQ(hone_leaks_new(profile, NULL, &leaks, NULL), 0);
    CHECK_EQ(leaks.count, 2);
    CHECK_EQ(leaks.rows[0].stack, large);
    CHECK_EQ(leaks.rows[0].bytes, 1000);
    CHECK_EQ(leaks.rows[0].indirect, 2);
    CHECK_EQ(leaks.rows[1].stack, small);
    CHECK_EQ(leaks.bytes, 1080);
    CHECK_EQ(leaks.objects, 6);
    CHECK_EQ(leaks.reachable_bytes, 7009);
    CHECK_EQ(leaks.mapped, 1);
    hone_leaks_done(&leaks);
    hone_profile_free(profile);
}

TEST(stacks_that_read_alike_are_one_row)
{
    new_profile();
    add(stack_at("one", 16), "unreachable", 3, 30);
    add(stack_at("other", 48), "unreachable", 1, 45);
    add(stack_at("one", 32), "indirect", 2, 20);
    uint32_t nameless[] = {
        hone_profile_add_location(profile, &(struct hone_profile_location){.address = 64}),
        hone_profile_add_location(profile, &(struct hone_profile_location){.address = 80})};
    for (int i = 0; i < 2; i++)
        add(hone_profile_add_stack(profile, &nameless[i], 1), "unreachable", 1, 1);
    struct hone_leaks leaks;
    CHECK_EQ(hone_leaks_new(profile, NULL, &leaks, NULL), 0);
    CHECK_EQ(leaks.count, 4);
    CHECK_EQ(leaks.rows[0].objects, 3);
    CHECK_EQ(leaks.rows[0].indirect_bytes, 20);
    CHECK_EQ(leaks.rows[1].bytes, 45);
    CHECK_EQ(leaks.bytes, 97);

    hone_leaks_leave_small(&leaks, 46);
    CHECK_EQ(leaks.count, 1);
    CHECK_EQ(leaks.small_count, 3);
    CHECK_EQ(leaks.small_bytes, 47);
    CHECK_EQ(leaks.bytes, 97);
    hone_leaks_done(&leaks);
    hone_profile_free(profile);
}

TEST(suppressed_stacks_are_told_apart)
{
    new_profile();
    add(stack_of("known_one"), "unreachable", 3, 30);
    add(stack_of("other"), "unreachable", 1, 1000);
    struct hone_suppressions *list;
    static const char text[] = "leak:absent\nleak:^known_\n";
    CHECK_EQ(hone_suppressions_parse(text, sizeof text - 1, "x", &list, NULL), 0);
    struct hone_leaks leaks;
    CHECK_EQ(hone_leaks_new(profile, list, &leaks, NULL), 0);
    CHECK_EQ(leaks.count, 1);
    CHECK_EQ(leaks.bytes, 1000);
    CHECK_EQ(leaks.hidden_bytes, 30);
    CHECK_EQ(leaks.suppressed_count, 1);
    CHECK_STR(leaks.suppressed[0].pattern, "^known_");
    CHECK_EQ(leaks.suppressed[0].objects, 3);
    hone_leaks_done(&leaks);
    hone_suppressions_free(list);
    hone_profile_free(profile);
}

TEST(other_profiles_are_refused)
{
    profile = hone_profile_new();
    hone_profile_add_type(profile, "cpu", "nanoseconds");
    struct hone_leaks leaks;
    struct hone_error err = {0};
    CHECK_EQ(hone_leaks_new(profile, NULL, &leaks, &err), -EINVAL);
    CHECK_STR(err.message, "it is no profile of leaks: it has no type leaked_space");
    hone_profile_free(profile);
}

static int work(void)
{
    struct hone_suppressions *list;
    struct hone_leaks leaks;
    static const char text[] = "leak:^known_\n";
    int r = hone_suppressions_parse(text, sizeof text - 1, "x", &list, NULL);
    if (r)
        return r;
    r = hone_leaks_new(profile, list, &leaks, NULL);
    if (!r)
        hone_leaks_done(&leaks);
    hone_suppressions_free(list);
    return r;
}

TEST(memory_that_is_out_is_told)
{
    new_profile();
    add(stack_of("known_one"), "unreachable", 3, 30);
    add(stack_of("other"), "unreachable", 1, 1000);
    for (long after = 0;; after++) {
        long before = hone_starve_blocks;
        hone_starve_after = after;
        int r = work();
        bool starved = hone_starve_after < 0;
        hone_starve_after = -1;
        CHECK_EQ(hone_starve_blocks, before);
        CHECK_EQ(r, starved ? -ENOMEM : 0);
        if (!starved)
            break;
    }
    hone_profile_free(profile);
}
