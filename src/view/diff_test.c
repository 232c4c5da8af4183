// The table compares with golden/diff.txt, JSON with golden/diff.json; HONE_BLESS=1 writes them.
#include "view/diff.h"

#include "analyse/compare.h"
#include "base/base.h"
#include "base/pattern.h"
#include "base/starve.h"
#include "check.h"
#include "profile/profile.h"
#include "view/flame.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>

// --- two sides -----------------------------------------------------------------------------------

static uint32_t place(struct hone_profile *p, const char *name, const char *file, bool inlined)
{
    struct hone_profile_line lines[2] = {
        {.function = hone_profile_add_function(
             p, &(struct hone_profile_function){.name = hone_profile_intern(p, name),
                                                .file = hone_profile_intern(p, file)})},
        {.function = hone_profile_add_function(
             p, &(struct hone_profile_function){.name = hone_profile_intern(p, "main"),
                                                .file = hone_profile_intern(p, "main.c")})},
    };
    return hone_profile_add_location(
        p, &(struct hone_profile_location){
               .mapping = 1, .lines = lines, .line_count = inlined ? 2 : 1});
}

static void add(struct hone_profile *p, const char *name, const char *file, bool inlined,
                int64_t samples)
{
    uint32_t frames[] = {place(p, name, file, inlined), place(p, "main", "main.c", false)};
    (void)hone_profile_add_sample(p, hone_profile_add_stack(p, frames, 2),
                                  (int64_t[]){samples, samples * 1000000}, NULL, 0);
}

static struct hone_profile *side(bool new)
{
    struct hone_profile *p = hone_profile_new();
    (void)hone_profile_add_type(p, "samples", "count");
    (void)hone_profile_add_type(p, "cpu", "nanoseconds");
    p->duration_ns = 10000000000;
    (void)hone_profile_add_mapping(
        p, &(struct hone_profile_mapping){
               .start = 4096, .limit = 1 << 20, .file = hone_profile_intern(p, "/bin/program")});
    add(p, "parse", "parse.c", false, new ? 1500 : 1000);
    add(p, "render", new ? "draw.c" : "render.c", false, 3000);
    add(p, "hash", "hash.c", new, 500);
    add(p, new ? "sum.isra.0" : "sum", "sum.c", false, new ? 420 : 400);
    add(p, new ? "fresh" : "old", "x.c", false, new ? 60 : 150);
    add(p, "tiny<\x01&>", "x.c", false, 1);
    return p;
}

struct sides {
    struct hone_profile *base;
    struct hone_profile *new;
    struct hone_compare_input inputs[2];
    struct hone_compare *compare;
};

static void open_sides(struct sides *s)
{
    *s = (struct sides){.base = side(false), .new = side(true)};
    s->inputs[0] = (struct hone_compare_input){(const struct hone_profile *const *)&s->base, 1};
    s->inputs[1] = (struct hone_compare_input){(const struct hone_profile *const *)&s->new, 1};
    CHECK_EQ(hone_compare_new(s->inputs, NULL, &s->compare, NULL), 0);
}

static void close_sides(struct sides *s)
{
    hone_compare_free(s->compare);
    hone_profile_free(s->base);
    hone_profile_free(s->new);
}

typedef int (*writer)(const struct hone_compare *, const struct hone_diff_options *,
                      struct hone_buffer *, struct hone_error *);

static struct hone_buffer written(writer write, const struct hone_diff_options *options)
{
    struct sides s;
    open_sides(&s);
    struct hone_buffer out = {0};
    CHECK_EQ(write(s.compare, options, &out, NULL), 0);
    hone_buffer_add(&out, "", 1);
    close_sides(&s);
    return out;
}

static void check_golden(const char *name, writer write, const struct hone_diff_options *options)
{
    struct hone_buffer out = written(write, options);
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/%s", GOLDEN, name);
    if (getenv("HONE_BLESS"))
        CHECK_EQ(hone_file_write(path, out.at, out.len - 1, NULL), 0);
    char *expected = NULL;
    size_t len;
    CHECK_EQ(hone_file_read(path, 1 << 20, &expected, &len, NULL), 0);
    CHECK_STR(out.at, expected);
    free(expected);
    hone_buffer_done(&out);
}

// --- what is written -----------------------------------------------------------------------------

TEST(the_table_shows_sides_limits_verdicts_and_what_became_of_functions)
{
    double limit = 0.05;
    check_golden("diff.txt", hone_text_diff, &(struct hone_diff_options){.limit = &limit});
}

TEST(json_holds_the_same)
{
    double limit = 0.05;
    check_golden("diff.json", hone_json_diff,
                 &(struct hone_diff_options){.limit = &limit, .all = true});
}

TEST(no_line_is_wider_than_the_terminal)
{
    struct hone_buffer out =
        written(hone_text_diff, &(struct hone_diff_options){.width = 80, .all = true});
    uint32_t column = 0;
    for (const char *at = out.at; *at; at++) {
        column = *at == '\n' ? 0 : column + (((unsigned char)*at & 0xc0) != 0x80);
        cr_assert(column <= 80, "%s", out.at);
    }
    hone_buffer_done(&out);
}

TEST(rows_can_be_chosen)
{
    HONE_CLEANUP(hone_pattern_freep) struct hone_pattern *pattern = NULL;
    CHECK_EQ(hone_pattern_new("^sum$", &pattern, NULL), 0);
    struct hone_buffer out =
        written(hone_text_diff, &(struct hone_diff_options){.pattern = pattern});
    CHECK(strstr(out.at, "sum.isra.0") != NULL); // by its name before
    CHECK(strstr(out.at, "parse") == NULL);
    hone_buffer_done(&out);
}

// --- the flame graph -----------------------------------------------------------------------------

TEST(the_flame_graph_says_what_became_of_each_frame)
{
    struct sides s;
    open_sides(&s);
    struct hone_buffer out = {0};
    CHECK_EQ(hone_view_flame_diff(s.compare, s.inputs, NULL, &out, NULL), 0);
    hone_buffer_add(&out, "", 1);
    CHECK(strstr(out.at, "parse\n1.50 s, ") != NULL);
    CHECK(strstr(out.at, "before 1.00 s") != NULL);
    CHECK(strstr(out.at, "gone, was 150 ms") != NULL);
    CHECK(strstr(out.at, "sum.isra.0 was sum") != NULL);
    CHECK(strchr(out.at, '\x01') == NULL);
    hone_buffer_done(&out);
    close_sides(&s);
}

TEST(a_sandwich_of_nothing_is_an_error_with_a_reason)
{
    HONE_CLEANUP(hone_pattern_freep) struct hone_pattern *pattern = NULL;
    CHECK_EQ(hone_pattern_new("nowhere", &pattern, NULL), 0);
    struct hone_profile *p = side(false);
    struct hone_flame_options options = {.size = sizeof options, .sandwich = pattern};
    struct hone_buffer out = {0};
    struct hone_error err = {0};
    CHECK_EQ(hone_view_flame(p, &options, &out, &err), -ENOENT);
    CHECK_STR(err.message, "no function matches 'nowhere'");
    hone_buffer_done(&out);
    hone_profile_free(p);
}

// --- memory --------------------------------------------------------------------------------------

static int write_all(struct sides *s, struct hone_pattern *pattern, struct hone_buffer *out)
{
    double limit = 0.05;
    struct hone_diff_options options = {.limit = &limit, .all = true};
    struct hone_flame_options flame = {.size = sizeof flame, .sandwich = pattern};
    int r = hone_text_diff(s->compare, &options, out, NULL);
    if (!r)
        r = hone_json_diff(s->compare, &options, out, NULL);
    if (!r)
        r = hone_view_flame_diff(s->compare, s->inputs, NULL, out, NULL);
    return r ? r : hone_view_flame(s->new, &flame, out, NULL);
}

TEST(running_out_of_memory_is_an_error_and_nothing_leaks)
{
    cpu_set_t one; // one processor: allocations are counted without a lock
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    CHECK_EQ(sched_setaffinity(0, sizeof one, &one), 0);
    HONE_CLEANUP(hone_pattern_freep) struct hone_pattern *pattern = NULL;
    CHECK_EQ(hone_pattern_new("parse|main", &pattern, NULL), 0);
    struct sides s;
    open_sides(&s);
    for (long after = 0;; after++) {
        long before = hone_starve_blocks;
        struct hone_buffer out = {0};
        hone_starve_after = after;
        int r = write_all(&s, pattern, &out);
        bool starved = hone_starve_after < 0;
        hone_starve_after = -1;
        hone_buffer_done(&out);
        CHECK_EQ(hone_starve_blocks, before);
        CHECK_EQ(r, starved ? -ENOMEM : 0);
        if (!starved)
            break;
    }
    close_sides(&s);
}
