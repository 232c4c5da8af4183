#include "profile/profile.h"

#include "base/base.h"
#include "base/starve.h"
#include "check.h"
#include "profile/fixture.h"
#include "profile/index.h"
#include "profile/merge.h"

#include <errno.h>
#include <stdlib.h>

static bool same_bytes(const struct hone_profile *p, const struct hone_profile *q)
{
    struct hone_buffer a = {0};
    struct hone_buffer b = {0};
    CHECK_EQ(hone_profile_encode(p, &a, NULL), 0);
    CHECK_EQ(hone_profile_encode(q, &b, NULL), 0);
    bool same = a.len == b.len && memcmp(a.at, b.at, a.len) == 0;
    hone_buffer_done(&a);
    hone_buffer_done(&b);
    return same;
}

static struct hone_profile *merged(const struct hone_profile *a, const struct hone_profile *b)
{
    struct hone_profile *m = NULL;
    struct hone_error err = {0};
    int r = hone_profile_merge((const struct hone_profile *[]){a, b}, 2, &m, &err);
    CHECK_STR(err.message, "");
    CHECK_EQ(r, 0);
    CHECK_EQ(hone_profile_validate(m, NULL), 0);
    return m;
}

TEST(merge_with_itself_doubles_the_values)
{
    struct hone_profile *p = hone_fixture_small();
    struct hone_profile *m = NULL;
    CHECK_EQ(hone_profile_merge((const struct hone_profile *[]){p, p}, 2, &m, NULL), 0);
    CHECK_EQ(m->samples.count, p->samples.count);
    CHECK_EQ(m->stacks.count, p->stacks.count);
    CHECK_EQ(m->locations.count, p->locations.count);
    CHECK_EQ(m->comment_count, 2);
    for (uint32_t i = 0; i < m->samples.count; i++)
        CHECK_EQ(m->samples.values[1][i], 2 * p->samples.values[1][i]);
    CHECK_EQ(m->duration_ns, 2 * p->duration_ns);
    CHECK_EQ(m->time_ns, p->time_ns);
    hone_profile_free(m);
    hone_profile_free(p);
}

TEST(merge_of_one_is_a_copy)
{
    struct hone_profile *p = hone_fixture_small();
    struct hone_profile *m = NULL;
    CHECK_EQ(hone_profile_merge((const struct hone_profile *[]){p}, 1, &m, NULL), 0);
    struct hone_profile *again = NULL;
    CHECK_EQ(hone_profile_compact(m, &again, NULL), 0);
    CHECK_EQ(m->samples.count, p->samples.count);
    CHECK_EQ(m->locations.count, p->locations.count);
    CHECK(same_bytes(m, again));
    hone_profile_free(again);
    hone_profile_free(m);
    hone_profile_free(p);
}

static struct hone_profile *program_at(uint64_t start, const char *build_id)
{
    struct hone_profile *p = hone_profile_new();
    (void)hone_profile_add_type(p, "samples", "count");
    uint32_t mapping = hone_profile_add_mapping(
        p, &(struct hone_profile_mapping){.start = start,
                                          .limit = start + 0x2000,
                                          .offset = 0x1000,
                                          .file = hone_profile_intern(p, "/bin/moved"),
                                          .build_id = hone_profile_intern(p, build_id)});
    uint32_t location = hone_profile_add_location(
        p, &(struct hone_profile_location){.mapping = mapping, .address = start + 0x123});
    (void)hone_profile_add_sample(p, hone_profile_add_stack(p, &location, 1), (int64_t[]){1}, NULL,
                                  0);
    return p;
}

TEST(merge_meets_the_same_code_at_another_address)
{
    struct hone_profile *a = program_at(0x10000, "aa");
    struct hone_profile *b = program_at(0x7f0000, "aa");
    struct hone_profile *c = program_at(0x7f0000, "cc"); // built anew
    struct hone_profile *m = NULL;
    CHECK_EQ(hone_profile_merge((const struct hone_profile *[]){a, b, c}, 3, &m, NULL), 0);
    CHECK_EQ(m->mappings.count - 1, 2);
    CHECK_EQ(m->samples.count, 2);
    CHECK_EQ(m->samples.values[0][0], 2);
    CHECK_EQ(m->locations.address[1], 0x10123);
    hone_profile_free(a);
    hone_profile_free(b);
    hone_profile_free(c);
    hone_profile_free(m);
}

TEST(merge_refuses_other_types_with_the_reason)
{
    struct hone_profile *a = hone_fixture_small();
    struct hone_profile *b = program_at(0, "");
    struct hone_profile *c = hone_fixture_small();
    c->types[1].unit = hone_profile_intern(c, "milliseconds");
    struct hone_profile *d = hone_fixture_small();
    d->period_type.type = hone_profile_intern(d, "wall");
    struct hone_profile *m = NULL;
    struct hone_error err = {0};
    CHECK_EQ(hone_profile_merge((const struct hone_profile *[]){a, b}, 2, &m, &err), -EINVAL);
    CHECK_STR(err.message, "cannot merge: profile 1 has 2 sample types, profile 2 has 1");
    CHECK_EQ(hone_profile_merge((const struct hone_profile *[]){a, c}, 2, &m, &err), -EINVAL);
    CHECK_STR(err.message, "cannot merge: type 1 is cpu/nanoseconds in profile 1, but "
                           "cpu/milliseconds in profile 2");
    CHECK_EQ(hone_profile_merge((const struct hone_profile *[]){a, d}, 2, &m, &err), -EINVAL);
    CHECK_STR(err.message, "cannot merge: profile 1 was sampled by cpu, profile 2 by wall");
    CHECK(!m);
    hone_profile_free(a);
    hone_profile_free(b);
    hone_profile_free(c);
    hone_profile_free(d);
}

// As pprof numbers them: so its reports and ours list them in the same order.
TEST(merge_numbers_things_as_samples_name_them_first)
{
    struct hone_profile *p = hone_profile_new();
    (void)hone_profile_add_type(p, "samples", "count");
    uint32_t main_program = hone_profile_add_mapping(
        p, &(struct hone_profile_mapping){.limit = 0x1000,
                                          .file = hone_profile_intern(p, "/bin/main")});
    uint32_t library = hone_profile_add_mapping(
        p, &(struct hone_profile_mapping){
               .start = 0x1000, .limit = 0x2000, .file = hone_profile_intern(p, "/lib/one")});
    (void)hone_profile_add_mapping(
        p, &(struct hone_profile_mapping){
               .start = 0x3000, .limit = 0x4000, .file = hone_profile_intern(p, "/lib/unused")});
    uint32_t stacks[3];
    static const char *const names[] = {"first", "second", "third"};
    for (uint32_t i = 0; i < 3; i++) {
        struct hone_profile_line line = {
            .function = hone_profile_add_function(
                p, &(struct hone_profile_function){.name = hone_profile_intern(p, names[i])})};
        uint32_t location = hone_profile_add_location(
            p, &(struct hone_profile_location){.mapping = i == 2 ? library : main_program,
                                               .address = 0x10 + 0x1000 * (i == 2),
                                               .lines = &line,
                                               .line_count = 1});
        stacks[i] = hone_profile_add_stack(p, &location, 1);
    }
    (void)hone_profile_add_sample(p, stacks[2], (int64_t[]){1}, NULL, 0);
    (void)hone_profile_add_sample(p, stacks[1], (int64_t[]){0}, NULL, 0); // says nothing
    (void)hone_profile_add_sample(p, stacks[0], (int64_t[]){1}, NULL, 0);
    struct hone_profile *m = NULL;
    CHECK_EQ(hone_profile_compact(p, &m, NULL), 0);
    CHECK_EQ(m->samples.count, 2);
    CHECK_EQ(m->functions.count - 1, 2);
    CHECK_STR(hone_profile_text(m, m->functions.name[1]), "third");
    CHECK_STR(hone_profile_text(m, m->functions.name[2]), "first");
    CHECK_EQ(m->mappings.count - 1, 2);
    CHECK_STR(hone_profile_text(m, m->mappings.at[1].file), "/bin/main"); // stays in front
    CHECK_STR(hone_profile_text(m, m->mappings.at[2].file), "/lib/one");
    hone_profile_free(m);
    hone_profile_free(p);
}

TEST(merge_leaves_out_what_sums_to_nothing)
{
    struct hone_profile *a = hone_fixture_small();
    struct hone_profile *b = hone_fixture_small();
    CHECK_EQ(hone_profile_scale(b, -1), 0);
    b->samples.values[1][0] += 5;
    struct hone_profile *m = merged(a, b);
    CHECK_EQ(m->samples.count, 1);
    CHECK_EQ(m->samples.values[0][0], 0);
    CHECK_EQ(m->samples.values[1][0], 5);
    CHECK_EQ(m->locations.count - 1, 2); // the other stack's are gone
    CHECK_EQ(m->stacks.count - 1, 1);
    hone_profile_free(a);
    hone_profile_free(b);
    hone_profile_free(m);
}

TEST(merge_of_many_is_the_merge_of_merges)
{
    struct hone_profile *parts[100];
    struct hone_profile *step = NULL;
    for (uint32_t i = 0; i < 100; i++) {
        parts[i] = hone_fixture_large(&(struct hone_fixture_options){.seed = 1 + i % 7,
                                                                     .samples = 40,
                                                                     .depth = 8,
                                                                     .functions = 20 + i % 3,
                                                                     .type = "cpu",
                                                                     .unit = "nanoseconds",
                                                                     .negative = true});
        struct hone_profile *before = step;
        if (before)
            step = merged(before, parts[i]);
        else
            CHECK_EQ(hone_profile_compact(parts[i], &step, NULL), 0);
        hone_profile_free(before);
    }
    struct hone_profile *all = NULL;
    CHECK_EQ(hone_profile_merge((const struct hone_profile *const *)parts, 100, &all, NULL), 0);
    CHECK(all->samples.count > 200);
    CHECK_EQ(all->samples.count, step->samples.count);
    CHECK_EQ(all->stacks.count, step->stacks.count);
    int64_t sums[2] = {0};
    for (uint32_t i = 0; i < all->samples.count; i++) {
        sums[0] += all->samples.values[1][i];
        sums[1] += step->samples.values[1][i];
    }
    CHECK_EQ(sums[0], sums[1]);
    for (uint32_t i = 0; i < 100; i++)
        hone_profile_free(parts[i]);
    hone_profile_free(all);
    hone_profile_free(step);
}

TEST(merge_keeps_each_comment_once_and_the_earliest_time)
{
    struct hone_profile *a = hone_fixture_small();
    struct hone_profile *b = hone_fixture_small();
    hone_profile_add_comment(b, "another");
    hone_profile_add_comment(b, "another");
    a->time_ns = 0; // unknown
    b->period *= 2;
    struct hone_profile *m = merged(a, b);
    CHECK_EQ(m->comment_count, 3);
    CHECK_STR(hone_profile_text(m, m->comments[2]), "another");
    CHECK_EQ(m->time_ns, b->time_ns);
    CHECK_EQ(m->period, b->period);
    CHECK_EQ(m->duration_ns, 100000000);
    hone_profile_free(a);
    hone_profile_free(b);
    hone_profile_free(m);
}

// --- of what is not needed any more --------------------------------------------------------------

// As a file of a profile that was merged is read: everything in the order in which samples name it.
static struct hone_profile *in_order(uint64_t seed, uint32_t samples)
{
    struct hone_profile *p = hone_fixture_large(&(struct hone_fixture_options){.seed = seed,
                                                                               .samples = samples,
                                                                               .depth = 12,
                                                                               .functions = 30,
                                                                               .type = "cpu",
                                                                               .unit = "ns"});
    struct hone_profile *made = NULL;
    CHECK_EQ(hone_profile_compact(p, &made, NULL), 0);
    hone_profile_free(p);
    return made;
}

// Merges both in either way, and takes the second one. Whether the first became the result.
static bool is_taken(struct hone_profile *first, uint64_t seed)
{
    struct hone_profile *parts[] = {first, in_order(seed, 300)};
    struct hone_profile *expected = merged(parts[0], parts[1]);
    struct hone_profile *all = NULL;
    CHECK_EQ(hone_profile_merge_taken(parts, 2, &all, NULL), 0);
    CHECK(!parts[0] && !parts[1]);
    CHECK_EQ(hone_profile_validate(all, NULL), 0);
    CHECK(same_bytes(all, expected));
    bool taken = all == first;
    hone_profile_free(all);
    hone_profile_free(expected);
    return taken;
}

TEST(merging_takes_the_first_profile_as_it_is_and_adds_the_others)
{
    for (uint64_t seed = 1; seed < 20; seed++)
        CHECK(is_taken(in_order(seed, 300), seed + seed % 3));
}

TEST(merging_takes_no_profile_that_it_would_change)
{
    struct hone_profile *p = in_order(1, 50); // something that no sample names
    uint32_t name = hone_profile_intern(p, "nobody");
    (void)hone_profile_add_function(p, &(struct hone_profile_function){.name = name});
    CHECK(!is_taken(p, 2));
    p = in_order(1, 50); // … an address …
    (void)hone_profile_add_location(p, &(struct hone_profile_location){.address = 4711});
    CHECK(!is_taken(p, 2));
    p = in_order(1, 50); // … labels …
    uint32_t word = hone_profile_intern(p, "word");
    struct hone_profile_label label = {.key = word, .text = word};
    (void)hone_profile_add_label_set(p, &label, 1);
    CHECK(!is_taken(p, 2));
    p = in_order(1, 50); // nothing but zeros
    for (uint32_t i = 0; i < p->type_count; i++)
        p->samples.values[i][7] = 0;
    CHECK(!is_taken(p, 2));
    p = in_order(1, 50); // another order
    uint32_t first = p->samples.stack[0];
    p->samples.stack[0] = p->samples.stack[1];
    p->samples.stack[1] = first;
    hone_profile_samples_renumbered(p);
    CHECK(!is_taken(p, 2));
    p = in_order(1, 50); // equal things are not found any more
    hone_profile_forget(p);
    CHECK(!is_taken(p, 1));
    p = in_order(1, 50); // two mappings of the same part of the same file
    CHECK(p->mappings.count > 2);
    p->mappings.at[2] = p->mappings.at[1];
    CHECK(!is_taken(p, 2));
}

TEST(a_base_is_subtracted_as_it_is_compared)
{
    for (int label = 0; label <= 1; label++) {
        struct hone_profile *p = in_order(1, 300);
        struct hone_profile *base = in_order(1, 200);
        const struct hone_profile_diff_options options = {.label_base = label};
        uint32_t both = p->samples.count + base->samples.count;
        struct hone_profile *expected = NULL;
        CHECK_EQ(hone_profile_diff(p, base, &options, &expected, NULL), 0);
        const struct hone_profile *before = p;
        CHECK_EQ(hone_profile_subtract(&p, base, label, NULL), 0);
        CHECK(p == before || !label); // where something cancels out, what it named goes
        CHECK(same_bytes(p, expected));
        CHECK(label ? p->samples.count == both : p->samples.count < both);
        hone_profile_free(p);
        hone_profile_free(base);
        hone_profile_free(expected);
    }
}

// --- large ones ----------------------------------------------------------------------------------

// Only some of the samples, so few that they are merged in one run and on one thread.
static struct hone_profile *some_samples(const struct hone_profile *p, uint32_t from, uint32_t end)
{
    struct hone_profile *part = hone_profile_clone(p);
    CHECK(part);
    for (uint32_t i = 0; i < p->samples.count; i++)
        for (uint32_t k = 0; k < p->type_count; k++)
            part->samples.values[k][i] = i >= from && i < end ? p->samples.values[k][i] : 0;
    part->duration_ns = 0;
    return part;
}

TEST(merging_in_runs_and_on_several_threads_is_merging_sample_by_sample)
{
    enum { SAMPLES = 90000, PARTS = 6 };
    struct hone_profile *first = in_order(4, 500);
    // Shallow stacks, many of them equal to the first's; more of them than a run has.
    struct hone_profile *p = hone_fixture_large(&(struct hone_fixture_options){
        .seed = 4, .samples = SAMPLES, .depth = 12, .functions = 30, .type = "cpu", .unit = "ns"});
    CHECK(p->stacks.count > 1 << 16);
    p->duration_ns = 0;
    struct hone_profile *parts[1 + PARTS] = {first};
    for (uint32_t i = 0; i < PARTS; i++)
        parts[1 + i] =
            some_samples(p, p->samples.count / PARTS * i,
                         i + 1 < PARTS ? p->samples.count / PARTS * (i + 1) : p->samples.count);
    struct hone_profile *expected = NULL;
    CHECK_EQ(
        hone_profile_merge((const struct hone_profile *const *)parts, 1 + PARTS, &expected, NULL),
        0);
    struct hone_profile *m = merged(first, p);
    CHECK(m->stacks.count < first->stacks.count + p->stacks.count - 1);
    CHECK(same_bytes(m, expected));
    for (uint32_t i = 0; i <= PARTS; i++)
        hone_profile_free(parts[i]);
    hone_profile_free(p);
    hone_profile_free(m);
    hone_profile_free(expected);
}

TEST(merging_survives_any_allocation_that_fails)
{
    struct hone_profile *a = in_order(1, 60);
    struct hone_profile *b = in_order(2, 60);
    b->mappings.at[1].start += 0x1000;
    for (long after = 0;; after++) {
        long before = hone_starve_blocks;
        struct hone_profile *m = NULL;
        struct hone_error err = {0};
        hone_starve_after = after;
        int r = hone_profile_diff(a, b, &(struct hone_profile_diff_options){.label_base = true}, &m,
                                  &err);
        bool starved = hone_starve_after < 0;
        hone_starve_after = -1;
        CHECK(r == 0 || (r == -ENOMEM && starved));
        CHECK((r == 0) == (m != NULL));
        CHECK_EQ(m ? hone_profile_validate(m, NULL) : 0, 0);
        hone_profile_free(m);
        CHECK_EQ(hone_starve_blocks, before);
        if (!starved)
            break;
    }
    hone_profile_free(a);
    hone_profile_free(b);
}
