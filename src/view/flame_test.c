#include "profile/profile.h"
#include "view/flame.h"
#include "view/flame_parts.h"

#include "base/starve.h"
#include "check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

// --- profiles ------------------------------------------------------------------------------------

struct maker {
    struct hone_profile *profile;
    uint32_t mapping;
};

static struct maker make(void)
{
    struct maker maker = {.profile = hone_profile_new()};
    hone_profile_add_type(maker.profile, "samples", "count");
    hone_profile_add_type(maker.profile, "cpu", "nanoseconds");
    maker.mapping = hone_profile_add_mapping(
        maker.profile,
        &(struct hone_profile_mapping){.start = 4096,
                                       .limit = 1 << 30,
                                       .file = hone_profile_intern(maker.profile, "/bin/program")});
    return maker;
}

// One frame of this name; equal names are one location.
static uint32_t location(struct maker *maker, struct hone_str name)
{
    struct hone_profile_function function = {.name = hone_profile_intern_str(maker->profile, name)};
    struct hone_profile_line line = {.function =
                                         hone_profile_add_function(maker->profile, &function)};
    return hone_profile_add_location(
        maker->profile,
        &(struct hone_profile_location){
            .mapping = maker->mapping, .address = 4096, .lines = &line, .line_count = 1});
}

static void sample(struct maker *maker, const uint32_t *leaf_first, size_t count, int64_t value)
{
    uint32_t stack = hone_profile_add_stack(maker->profile, leaf_first, count);
    hone_profile_add_sample(maker->profile, stack, (int64_t[]){1, value}, NULL, 0);
}

static void named(struct maker *maker, const char *leaf, const char *caller, int64_t value)
{
    uint32_t frames[] = {location(maker, hone_str_of(leaf)), location(maker, hone_str_of(caller))};
    sample(maker, frames, 2, value);
}

static struct hone_buffer draw(const struct hone_profile *profile,
                               const struct hone_flame_options *options)
{
    struct hone_buffer out = {0};
    CHECK_EQ(hone_view_flame(profile, options, &out, NULL), 0);
    hone_buffer_add(&out, "", 1);
    CHECK(!out.failed);
    out.len--;
    return out;
}

// --- a judge of XML: elements nest, attributes are quoted, references are known, text is legal
// -----

static bool starts(const char *at, const char *what)
{
    return strncmp(at, what, strlen(what)) == 0;
}

static const char *check_reference(const char *at)
{
    static const char *const known[] = {"&lt;", "&gt;", "&amp;", "&quot;", "&#39;"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (starts(at, known[i]))
            return at + strlen(known[i]);
    cr_assert_fail("unknown reference: %.20s", at);
    return at;
}

static const char *check_letter(const char *at)
{
    unsigned char c = (unsigned char)*at;
    CHECK(c >= 0x20 || c == '\n' || c == '\t');
    if (c < 0x80)
        return at + 1;
    CHECK(c >= 0xc2 && c < 0xf5);
    int more = c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
    for (int i = 1; i <= more; i++)
        CHECK(((unsigned char)at[i] & 0xc0) == 0x80);
    CHECK(!(c == 0xed && (unsigned char)at[1] >= 0xa0)); // surrogates
    CHECK(!(c == 0xef && (unsigned char)at[1] == 0xbf && (unsigned char)at[2] >= 0xbe));
    return at + 1 + more;
}

static void check_xml(const char *at)
{
    char open[16][16];
    int depth = 0;
    while (*at) {
        if (starts(at, "<![CDATA[")) {
            at = strstr(at, "]]>");
            CHECK(at != NULL);
            at += 3;
        } else if (starts(at, "</")) {
            CHECK(depth > 0);
            size_t len = strlen(open[--depth]);
            CHECK(strncmp(at + 2, open[depth], len) == 0 && at[2 + len] == '>');
            at += len + 3;
        } else if (*at == '<') {
            size_t len = strspn(++at, "abcdefghijklmnopqrstuvwxyz");
            CHECK(len > 0 && len < sizeof open[0] && depth < 16);
            (void)snprintf(open[depth++], sizeof open[0], "%.*s", (int)len, at);
            at += len;
            while (*at == ' ') {
                at += 1 + strspn(at + 1, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-");
                CHECK(starts(at, "=\""));
                for (at += 2; *at != '"';) {
                    CHECK(*at && *at != '<');
                    at = *at == '&' ? check_reference(at) : check_letter(at);
                }
                at++;
            }
            if (*at == '/') {
                depth--;
                at++;
            }
            CHECK_EQ(*at, '>');
            at++;
        } else {
            at = *at == '&' ? check_reference(at) : check_letter(at);
        }
    }
    CHECK_EQ(depth, 0);
}

static unsigned chance(unsigned limit)
{
    static uint32_t state = 11;
    state = state * 1664525 + 1013904223;
    return (state >> 8) % limit;
}

TEST(flame_is_well_formed_for_names_of_any_bytes)
{
    for (int round = 0; round < 20; round++) {
        struct maker maker = make();
        for (int i = 0; i < 60; i++) {
            char bytes[40];
            static const char likely[] =
                "<>&\"']]>\\\x01\x1b\xff\xc3\xe2\x80\xae\xed\xa0\xf4\xef\xbf";
            for (size_t j = 0; j < sizeof bytes; j++)
                bytes[j] = chance(2) ? (char)chance(256) : likely[chance(sizeof likely - 1)];
            uint32_t frame = location(&maker, (struct hone_str){bytes, chance(sizeof bytes)});
            sample(&maker, &frame, 1, 1 + chance(100));
            if (i < 5)
                hone_profile_add_comment(maker.profile, bytes[0] ? "<&\x07" : "]]>");
        }
        HONE_CLEANUP(hone_buffer_done)
        struct hone_buffer out = draw(
            maker.profile, &(struct hone_flame_options){.size = sizeof(struct hone_flame_options),
                                                        .title = "<\"\x01]]>\xff"});
        CHECK_EQ(strlen(out.at), out.len);
        check_xml(out.at);
        hone_profile_free(maker.profile);
    }
}

// --- what is in the file -------------------------------------------------------------------------

TEST(flame_of_the_same_profile_is_the_same_file)
{
    static const char *const pairs[][2] = {{"a", "main"}, {"b", "main"}, {"c", "x"}, {"d", "x"}};
    struct hone_buffer files[2] = {0};
    for (int turn = 0; turn < 2; turn++) {
        struct maker maker = make();
        for (int i = 0; i < 4; i++) {
            int at = turn ? 3 - i : i;
            named(&maker, pairs[at][0], pairs[at][1], 10);
        }
        files[turn] = draw(maker.profile, NULL);
        hone_profile_free(maker.profile);
    }
    CHECK_STR(files[0].at, files[1].at);
    hone_buffer_done(&files[0]);
    hone_buffer_done(&files[1]);
}

// Reads the packed tree back: the sum of all selves, and how many frames are merged.
static void unpack(const char *svg, int64_t *ret_sum, int64_t *ret_hidden, size_t *ret_nodes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = strstr(svg, "\"nodes\":\"");
    CHECK(at != NULL);
    at += strlen("\"nodes\":\"");
    size_t len = strcspn(at, "\"");
    CHECK_EQ(len % 4, 0);
    uint64_t *numbers = calloc(len + 1, sizeof *numbers);
    size_t count = 0, place = 0;
    unsigned bits = 0, held = 0, shift = 0;
    for (; place < len; place++) {
        bits = bits << 6 | (unsigned)(strchr(digits, at[place]) - digits);
        held += 6;
        if (held < 8)
            continue;
        held -= 8;
        unsigned byte = bits >> held & 0xff;
        numbers[count] |= (uint64_t)(byte & 127) << shift;
        shift += 7;
        if (!(byte & 128)) {
            count++;
            shift = 0;
        }
    }
    size_t nodes = strtoul(strstr(at, "\"count\":") + 8, NULL, 10);
    *ret_sum = (int64_t)numbers[0];
    *ret_hidden = 0;
    size_t next = 1;
    for (size_t i = 1; i < nodes; i++) {
        uint64_t frame = numbers[next + 1];
        *ret_sum += (int64_t)numbers[next + 2];
        next += 3;
        if (frame == 0)
            *ret_hidden += (int64_t)numbers[next++];
    }
    CHECK(next <= count && count - next < 3); // at most the filling of the last group is left
    *ret_nodes = nodes;
    free(numbers);
}

TEST(flame_keeps_the_total_when_it_merges_frames)
{
    struct maker maker = make();
    for (int i = 0; i < 50; i++) {
        char leaf[16], caller[16];
        (void)snprintf(leaf, sizeof leaf, "leaf%d", i);
        (void)snprintf(caller, sizeof caller, "caller%d", i % 7);
        named(&maker, leaf, caller, 10 + i);
    }
    enum { ALL = 1 + 7 + 50 };
    int64_t total = 50 * 10 + 49 * 50 / 2;
    for (uint32_t most = 1; most <= ALL; most += 3) {
        HONE_CLEANUP(hone_buffer_done)
        struct hone_buffer out =
            draw(maker.profile, &(struct hone_flame_options){
                                    .size = sizeof(struct hone_flame_options), .max_frames = most});
        int64_t sum, hidden;
        size_t nodes;
        unpack(out.at, &sum, &hidden, &nodes);
        CHECK_EQ(sum, total);
        CHECK_EQ(hidden, ALL - most);
        CHECK_EQ(strstr(out.at, "smaller frames”") != NULL, most < ALL);
    }
    hone_profile_free(maker.profile);
}

TEST(flame_of_min_fraction_drops_what_is_below)
{
    struct maker maker = make();
    named(&maker, "large", "main", 95);
    named(&maker, "small", "main", 5);
    HONE_CLEANUP(hone_buffer_done)
    struct hone_buffer out =
        draw(maker.profile, &(struct hone_flame_options){.size = sizeof(struct hone_flame_options),
                                                         .min_fraction = 0.06});
    CHECK(strstr(out.at, "\"large\"") != NULL);
    CHECK(strstr(out.at, "\"small\"") == NULL);
    CHECK(strstr(out.at, "1 of 3 frames, none above 5 ns (5.00 %)") != NULL);
    hone_profile_free(maker.profile);
}

TEST(flame_has_a_bounded_size)
{
    struct maker maker = make();
    char name[700];
    memset(name, 'x', sizeof name);
    for (int i = 0; i < 30000; i++) {
        (void)snprintf(name, 10, "%09d", i);
        uint32_t frame = location(&maker, (struct hone_str){name, sizeof name});
        sample(&maker, &frame, 1, 1 + i % 1000);
    }
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer out = draw(maker.profile, NULL);
    CHECK(out.len < 3200000);
    int64_t sum, hidden;
    size_t nodes;
    unpack(out.at, &sum, &hidden, &nodes);
    CHECK_EQ(sum, 30 * (1000 * 1001 / 2));
    CHECK(hidden > 0);
    hone_profile_free(maker.profile);
}

TEST(flame_without_samples_says_why)
{
    struct maker maker = make();
    hone_profile_add_comment(maker.profile, "the program never ran");
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer out = draw(maker.profile, NULL);
    check_xml(out.at);
    CHECK(strstr(out.at, "no samples of this type") != NULL);
    CHECK(strstr(out.at, "the program never ran") != NULL);
    hone_profile_free(maker.profile);
}

TEST(flame_refuses_a_type_that_is_not_there)
{
    struct maker maker = make();
    struct hone_buffer out = {0};
    struct hone_error err = {0};
    struct hone_flame_options options = {.size = sizeof options, .type = "rain"};
    CHECK_EQ(hone_view_flame(maker.profile, &options, &out, &err), -EINVAL);
    CHECK(strstr(err.message, "rain") != NULL);
    hone_buffer_done(&out);
    hone_profile_free(maker.profile);
}

// --- text and colours ----------------------------------------------------------------------------

static void check_clean(const char *from, const char *to, size_t limit)
{
    struct hone_arena arena = {0};
    bool failed = false;
    struct hone_str text = hone_utf8_clean(&arena, hone_str_of(from), limit, &failed);
    char got[128];
    (void)snprintf(got, sizeof got, "%.*s", (int)text.len, text.at);
    CHECK_STR(got, to);
    CHECK(!failed);
    hone_arena_done(&arena);
}

TEST(flame_text_shows_what_cannot_stand_there)
{
    check_clean("plain ünïcödé 🔥", "plain ünïcödé 🔥", 100);
    check_clean("\x1b[0m\n", "␛[0m␊", 100);
    check_clean("\xff\xc0\xaf\xed\xa0\x80", "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD", 100);
    check_clean("\u202egnp.exe", "\uFFFDgnp.exe", 100);
    check_clean("\xf4\x90\x80\x80", "\uFFFD\uFFFD\uFFFD\uFFFD", 100);
    check_clean("\xe2\x80", "\uFFFD\uFFFD", 100);
    check_clean("abcdef", "abcd…", 4);
    check_clean("äöü", "ä…", 3);
    check_clean("äö", "äö", 4);
}

TEST(flame_numbers_read_well)
{
    static const struct {
        int64_t value;
        const char *unit, *text;
    } rows[] = {
        {0, "nanoseconds", "0 ns"},
        {999, "nanoseconds", "999 ns"},
        {12340000, "nanoseconds", "12.3 ms"},
        {1230000000, "nanoseconds", "1.23 s"},
        {123456000000, "nanoseconds", "123 s"},
        {512, "bytes", "512 B"},
        {1572864, "bytes", "1.50 MiB"},
        {1234567, "count", "1\u202f234\u202f567"},
        {-1234, "count", "-1\u202f234"},
        {42, "cycles", "42 cycles"},
        {INT64_MAX, "count", "9\u202f223\u202f372\u202f036\u202f854\u202f775\u202f807"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[64];
        hone_flame_amount(text, sizeof text, rows[i].value, hone_str_of(rows[i].unit));
        CHECK_STR(text, rows[i].text);
    }
    char share[24];
    hone_flame_percent(share, sizeof share, 1, 3);
    CHECK_STR(share, "33.3 %");
    hone_flame_percent(share, sizeof share, 1, 2000);
    CHECK_STR(share, "0.050 %");
    hone_flame_percent(share, sizeof share, 1, 0);
    CHECK_STR(share, "0 %");
}

static void check_label(const char *name, double room, const char *expected)
{
    struct hone_buffer out = {0};
    hone_flame_label(&out, hone_str_of(name), room);
    hone_buffer_add(&out, "", 1);
    CHECK_STR(out.at, expected);
    hone_buffer_done(&out);
}

TEST(flame_labels_keep_the_end_of_a_name)
{
    check_label("std::vector<a::b>::push_back", 1000, "std::vector&lt;a::b&gt;::push_back");
    check_label("std::vector<a::b>::push_back", 100, "push_back");
    check_label("std::vector<a::b>::push_back", 40, "pus…");
    check_label("libz.so.1+0x81a0", 60, "+0x81a0");
    check_label("anything", 4, "");
    check_label("<T as core::fmt::Display>::fmt", 40, "fmt");
}

TEST(flame_colours_tell_kinds_of_code_apart)
{
    static const struct {
        const char *name, *module, *file;
        unsigned family;
    } rows[] = {
        {"main", "/bin/program", "", HONE_FLAME_PROGRAM},
        {"main", "", "", HONE_FLAME_PROGRAM},
        {"read", "/lib/libc.so.6", "", HONE_FLAME_LIBC},
        {"_dl_start", "/lib64/ld-linux-x86-64.so.2", "", HONE_FLAME_LIBC},
        {"std::vector<int>::at", "/bin/program", "", HONE_FLAME_CXX},
        {"f", "/usr/lib/libstdc++.so.6", "", HONE_FLAME_CXX},
        {"std::sort", "/bin/program", "/rustc/90b35a62/library/std/a.rs", HONE_FLAME_RUST},
        {"core::iter::Map::next", "/bin/program", "", HONE_FLAME_RUST},
        {"do_syscall_64", "[kernel.kallsyms]", "", HONE_FLAME_KERNEL},
        {"__vdso_clock_gettime", "[vdso]", "", HONE_FLAME_KERNEL},
        {"[libz.so.1]", "/lib/libz.so.1", "", HONE_FLAME_UNKNOWN},
        {"[truncated]", "", "", HONE_FLAME_TRUNCATED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct hone_tree_frame frame = {.name = hone_str_of(rows[i].name),
                                        .module = hone_str_of(rows[i].module),
                                        .file = hone_str_of(rows[i].file)};
        unsigned color = hone_flame_color(&frame, HONE_STR("/bin/program"));
        CHECK_EQ(color / HONE_FLAME_SHADES, rows[i].family);
        CHECK_EQ(color, hone_flame_color(&frame, HONE_STR("/bin/program")));
    }
    struct hone_tree_frame library = {.name = HONE_STR("inflate"),
                                      .module = HONE_STR("/lib/libz.so.1")};
    unsigned family = hone_flame_color(&library, HONE_STR("/bin/program")) / HONE_FLAME_SHADES;
    CHECK(family >= HONE_FLAME_LIBRARY && family < HONE_FLAME_LIBRARY_END);
}

TEST(flame_that_runs_out_of_memory_anywhere_is_an_error_and_nothing_leaks)
{
    struct maker maker = make();
    // Long texts, so that each kind of text meets a full arena at some time.
    for (int i = 0; i < 40; i++) {
        char text[400];
        memset(text, 'x', sizeof text);
        (void)snprintf(text + sizeof text - 4, 4, "%d", i);
        hone_profile_add_comment(maker.profile, text);
        if (i >= 20)
            maker.mapping = hone_profile_add_mapping(
                maker.profile,
                &(struct hone_profile_mapping){.start = 4096,
                                               .limit = 8192,
                                               .file = hone_profile_intern(maker.profile, text)});
        named(&maker, text, i % 2 ? "main" : "worker", 1 + i);
    }
    struct hone_flame_options options = {.size = sizeof options, .max_frames = 20};
    long after = 0;
    for (bool ran_out = true; ran_out; after++) {
        struct hone_buffer out = {0};
        long before = hone_starve_blocks;
        hone_starve_after = after;
        int r = hone_view_flame(maker.profile, &options, &out, NULL);
        ran_out = hone_starve_after < 0;
        hone_starve_after = -1;
        CHECK_EQ(r, ran_out ? -ENOMEM : 0);
        hone_buffer_done(&out);
        CHECK_EQ(hone_starve_blocks, before);
    }
    CHECK(after > 30);
    hone_profile_free(maker.profile);
}
