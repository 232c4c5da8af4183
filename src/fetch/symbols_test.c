#include "fetch/symbols.h"

#include <stdio.h>

#include "base/starve.h"
#include "check.h"
#include "fetch/fetch.h"
#include "fetch/symbols_fuzz.h"
#include "profile/profile.h"

// --- answers -------------------------------------------------------------------------------------

static struct hone_symbols symbols;

static const char *name_of(uint64_t address)
{
    static char name[64];
    struct hone_str found = hone_symbols_find(&symbols, address);
    (void)snprintf(name, sizeof name, "%.*s", (int)found.len, found.at ? found.at : "");
    return name;
}

TEST(lines_with_an_address_and_a_name_are_read)
{
    const char *answer = "num_symbols: 1\n0x10 main.main\r\n0x20\tstd::f(int, char)\n"
                         "what 0x30  spaced name \n0x40\n0x \n0xg x\n0xfffffffffffffffff too.far\n"
                         "0x50 first\n0x50 last\n0xAB upper";
    CHECK_EQ(hone_symbols_read(answer, strlen(answer), &symbols), 0);
    CHECK_EQ(symbols.count, 5);
    CHECK_STR(name_of(0x10), "main.main");
    CHECK_STR(name_of(0x20), "std::f(int, char)");
    CHECK_STR(name_of(0x30), "spaced name");
    CHECK_STR(name_of(0x40), "");
    CHECK_STR(name_of(0x50), "last");
    CHECK_STR(name_of(0xab), "upper");
    hone_symbols_done(&symbols);
}

TEST(any_bytes_are_read)
{
    static const char *const answers[] = {"",
                                          "\n",
                                          "0",
                                          "0x",
                                          "0x1",
                                          "0x1 ",
                                          "0x1 a",
                                          "0x1\na",
                                          "0x0x1 a",
                                          "http://u:p@h:1/x?a=b#c",
                                          "h:1/%41?%",
                                          "[::1]:2",
                                          "https+insecure://\xff/\xff",
                                          "a:1/x?seconds=7&=&;&%zz"};
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        hone_symbols_check(answers[i], strlen(answers[i]));
        hone_url_check(answers[i], strlen(answers[i]));
    }
}

// --- into a profile ------------------------------------------------------------------------------

// Two stacks in a mapping: one place has a name, two have none; a third place is in no mapping.
static struct hone_profile *sample_profile(void)
{
    struct hone_profile *p = hone_profile_new();
    if (!p)
        return NULL;
    hone_profile_add_type(p, "cpu", "nanoseconds");
    hone_profile_set_default_type(p, "cpu");
    hone_profile_add_comment(p, "kept");
    hone_profile_set_period(p, "cpu", "nanoseconds", 7);
    p->time_ns = 5;
    uint32_t m = hone_profile_add_mapping(
        p, &(struct hone_profile_mapping){
               .start = 0x1000, .limit = 0x2000, .file = hone_profile_intern(p, "/bin/x")});
    uint32_t f = hone_profile_add_function(
        p, &(struct hone_profile_function){.name = hone_profile_intern(p, "known")});
    struct hone_profile_line line = {.function = f, .number = 3};
    uint32_t places[4] = {
        hone_profile_add_location(p,
                                  &(struct hone_profile_location){.mapping = m, .address = 0x1010}),
        hone_profile_add_location(p, &(struct hone_profile_location){.mapping = m,
                                                                     .address = 0x1020,
                                                                     .lines = &line,
                                                                     .line_count = 1}),
        hone_profile_add_location(p,
                                  &(struct hone_profile_location){.mapping = m, .address = 0x1030}),
        hone_profile_add_location(p, &(struct hone_profile_location){.address = 0x1010}),
    };
    struct hone_profile_label label = {.key = hone_profile_intern(p, "thread"),
                                       .text = hone_profile_intern(p, "red")};
    (void)hone_profile_add_sample(p, hone_profile_add_stack(p, places, 4), (int64_t[]){9}, &label,
                                  1);
    (void)hone_profile_add_sample(p, hone_profile_add_stack(p, places + 1, 2), (int64_t[]){2}, NULL,
                                  0);
    return p;
}

static const char *function_at(const struct hone_profile *p, uint32_t location)
{
    struct hone_profile_line_span lines = hone_profile_lines_of(p, location);
    return lines.count ? hone_profile_text(p, p->functions.name[lines.at[0].function]) : "";
}

TEST(names_come_to_places_without_any_and_nothing_else_changes)
{
    struct hone_profile *p = sample_profile();
    const char *answer = "0x5010 from.server\n0x5020 not.asked\n0x1030 elsewhere\n";
    struct hone_symbols_answer answers[2] = {{.higher = 0}, {.higher = 0x4000, .asked = true}};
    CHECK_EQ(hone_symbols_read(answer, strlen(answer), &answers[1].symbols), 0);
    CHECK_EQ(hone_symbols_apply(p, answers), 0);
    CHECK_EQ(p->locations.count, 5);
    CHECK_STR(function_at(p, 1), "from.server");
    CHECK_STR(function_at(p, 2), "known");
    CHECK_STR(function_at(p, 3), "");
    CHECK_STR(function_at(p, 4), "");
    CHECK_EQ(p->mappings.at[1].flags, HONE_PROFILE_HAS_FUNCTIONS);
    CHECK_EQ(p->samples.count, 2);
    CHECK_EQ(hone_profile_frames_of(p, p->samples.stack[0]).count, 4);
    hone_symbols_done(&answers[1].symbols);
    struct hone_buffer bytes = {0};
    struct hone_profile *again = NULL;
    CHECK_EQ(hone_profile_encode(p, &bytes, NULL), 0);
    CHECK_EQ(hone_profile_decode(bytes.at, bytes.len, "again", NULL, &again, NULL), 0);
    CHECK_STR(function_at(again, 1), "from.server");
    hone_buffer_done(&bytes);
    hone_profile_free(again);
    hone_profile_free(p);
}

TEST(no_answer_gives_the_same_bytes)
{
    struct hone_profile *p = sample_profile();
    struct hone_buffer before = {0};
    struct hone_buffer after = {0};
    const struct hone_symbols_answer answers[2] = {{.higher = 0}, {.higher = 0}};
    CHECK_EQ(hone_profile_encode(p, &before, NULL), 0);
    CHECK_EQ(hone_symbols_apply(p, answers), 0);
    CHECK_EQ(hone_profile_encode(p, &after, NULL), 0);
    CHECK(before.len == after.len && memcmp(before.at, after.at, after.len) == 0);
    hone_buffer_done(&before);
    hone_buffer_done(&after);
    hone_profile_free(p);
}

static int starved_work(struct hone_profile *p)
{
    const char *answer = "0x1010 a\n0x1030 b\n";
    struct hone_symbols_answer answers[2] = {{.higher = 0}, {.asked = true}};
    int r = hone_symbols_read(answer, strlen(answer), &answers[1].symbols);
    if (!r)
        r = hone_symbols_apply(p, answers);
    hone_symbols_done(&answers[1].symbols);
    return r;
}

TEST(when_memory_is_out_that_is_said_and_nothing_is_lost)
{
    for (long after = 0;; after++) {
        long blocks = hone_starve_blocks;
        struct hone_profile *p = sample_profile();
        hone_starve_after = after;
        int r = starved_work(p);
        bool starved = hone_starve_after < 0;
        hone_starve_after = -1;
        hone_profile_free(p);
        CHECK_EQ(hone_starve_blocks, blocks);
        CHECK_EQ(r, starved ? -ENOMEM : 0);
        if (!starved)
            break;
    }
}

TEST(mappings_without_file_are_known_by_their_server)
{
    struct hone_profile *p = sample_profile();
    p->mappings.at[1].file = 0;
    struct hone_fetch_source source = {.profile = p, .url = (char *)"http://h/x"};
    struct hone_fetch_origins *origins = NULL;
    CHECK_EQ(hone_fetch_origins_new(&source, 1, &origins, NULL), 0);
    CHECK_STR(hone_profile_text(p, p->mappings.at[1].file), "http://h/x");
    CHECK_EQ(hone_fetch_origins_find(origins, "http://h/x")->start, 0x1000);
    CHECK(!hone_fetch_origins_find(origins, "http://h/"));
    hone_fetch_origins_free(origins);
    hone_profile_free(p);
}

TEST(urls_when_memory_is_out)
{
    for (long after = 0;; after++) {
        struct hone_arena arena = {0};
        struct hone_url url;
        hone_starve_after = after;
        int r = hone_url_of_source(&arena, "u:p@h:1/x y?b=1&a=2#z", 5, 0, &url);
        if (!r)
            r = hone_url_of_symbols(&arena, url.text, &url);
        bool starved = hone_starve_after < 0;
        hone_starve_after = -1;
        hone_arena_done(&arena);
        CHECK_EQ(r, starved ? -ENOMEM : 0);
        if (!starved)
            break;
    }
}
