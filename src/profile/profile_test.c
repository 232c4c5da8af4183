#include "profile/profile.h"

#include "base/base.h"
#include "check.h"
#include "profile/fixture.h"

#include <errno.h>
#include <stdlib.h>

static struct hone_buffer encoded(const struct hone_profile *p)
{
    struct hone_buffer bytes = {0};
    struct hone_error err = {0};
    int r = hone_profile_encode(p, &bytes, &err);
    CHECK_STR(err.message, "");
    CHECK_EQ(r, 0);
    return bytes;
}

static struct hone_profile *decoded(const void *bytes, size_t len)
{
    struct hone_profile *p = NULL;
    struct hone_error err = {0};
    int r = hone_profile_decode(bytes, len, "test", NULL, &p, &err);
    CHECK_STR(err.message, "");
    CHECK_EQ(r, 0);
    return p;
}

static bool same_bytes(const struct hone_buffer *a, const struct hone_buffer *b)
{
    return a->len == b->len && memcmp(a->at, b->at, a->len) == 0;
}

// --- building ------------------------------------------------------------------------------------

TEST(equal_things_get_equal_numbers)
{
    struct hone_profile *p = hone_fixture_small();
    uint32_t functions = p->functions.count;
    uint32_t main_function = 1;
    CHECK_EQ(hone_profile_intern(p, "main"), p->functions.name[main_function]);
    CHECK_EQ(hone_profile_add_function(
                 p, &(struct hone_profile_function){.name = hone_profile_intern(p, "main"),
                                                    .file = hone_profile_intern(p, "src/sorter.c"),
                                                    .start_line = 1}),
             main_function);
    CHECK_EQ(p->functions.count, functions);
    CHECK_EQ(hone_profile_add_stack(p, hone_profile_frames_of(p, 2).at, 3), 2);
    struct hone_profile_location location = {.mapping = 2, .address = 0x7f0010};
    CHECK_EQ(hone_profile_add_location(p, &location), 4);
    location.folded = true;
    CHECK_EQ(hone_profile_add_location(p, &location), 5);
    CHECK_EQ(hone_profile_status(p), 0);
    hone_profile_free(p);
}

TEST(samples_of_one_stack_and_labels_are_summed)
{
    struct hone_profile *p = hone_fixture_small();
    uint32_t count = p->samples.count;
    CHECK_EQ(hone_profile_add_sample(p, 2, (int64_t[]){4, 500}, NULL, 0), 1);
    CHECK_EQ(p->samples.count, count);
    CHECK_EQ(p->samples.values[0][1], 5);
    CHECK_EQ(p->samples.values[1][1], 10000500);
    struct hone_profile_label label = {.key = hone_profile_intern(p, "thread"), .number = 8};
    CHECK_EQ(hone_profile_add_sample(p, 2, (int64_t[]){4, 500}, &label, 1), 2);
    CHECK_EQ(hone_profile_add_sample(p, 2, (int64_t[]){0, INT64_MAX}, &label, 1), 2);
    CHECK_EQ(p->samples.values[1][2], INT64_MAX); // not wrapped around
    hone_profile_free(p);
}

TEST(order_of_labels_does_not_matter)
{
    struct hone_profile *p = hone_profile_new();
    struct hone_profile_label a = {.key = hone_profile_intern(p, "b"), .number = 1};
    struct hone_profile_label b = {.key = hone_profile_intern(p, "a"), .number = 2};
    struct hone_profile_label c = {.key = hone_profile_intern(p, "z"),
                                   .text = hone_profile_intern(p, "t")};
    uint32_t set = hone_profile_add_label_set(p, (struct hone_profile_label[]){a, b, c}, 3);
    CHECK_EQ(set, 1);
    CHECK_EQ(hone_profile_add_label_set(p, (struct hone_profile_label[]){c, b, a}, 3), set);
    CHECK_EQ(hone_profile_add_label_set(p, (struct hone_profile_label[]){c, b}, 2), set + 1);
    CHECK_EQ(hone_profile_labels_of(p, set).at[0].key, c.key); // texts come first
    CHECK_EQ(hone_profile_labels_of(p, set).at[1].key, b.key); // then by name
    hone_profile_free(p);
}

TEST(line_without_function_is_left_out)
{
    struct hone_profile *p = hone_fixture_small();
    struct hone_profile_line lines[] = {{.number = 3}, {.function = 1, .number = 5}};
    uint32_t location = hone_profile_add_location(
        p, &(struct hone_profile_location){.address = 1, .lines = lines, .line_count = 2});
    CHECK_EQ(hone_profile_lines_of(p, location).count, 1);
    CHECK_EQ(hone_profile_lines_of(p, location).at[0].number, 5);
    hone_profile_free(p);
}

TEST(stack_too_deep_fails_the_profile_and_encoding_refuses_it)
{
    struct hone_profile *p = hone_fixture_small();
    static uint32_t frames[HONE_PROFILE_DEPTH_MAX + 1];
    for (size_t i = 0; i <= HONE_PROFILE_DEPTH_MAX; i++)
        frames[i] = 1;
    CHECK_EQ(hone_profile_add_stack(p, frames, HONE_PROFILE_DEPTH_MAX), p->stacks.count - 1);
    CHECK_EQ(hone_profile_status(p), 0);
    CHECK_EQ(hone_profile_add_stack(p, frames, HONE_PROFILE_DEPTH_MAX + 1), 0);
    CHECK_EQ(hone_profile_status(p), -EOVERFLOW);
    CHECK_EQ(hone_profile_intern(p, "new"), 0); // stays failed
    struct hone_buffer bytes = {0};
    CHECK_EQ(hone_profile_encode(p, &bytes, NULL), -EOVERFLOW);
    hone_profile_free(p);
}

TEST(type_is_selected_by_name_place_or_default)
{
    struct hone_profile *p = hone_fixture_small();
    uint32_t type = 9;
    CHECK_EQ(hone_profile_select_type(p, NULL, &type, NULL), 0);
    CHECK_EQ(type, 1); // the last
    CHECK_EQ(hone_profile_select_type(p, "samples", &type, NULL), 0);
    CHECK_EQ(type, 0);
    CHECK_EQ(hone_profile_select_type(p, "1", &type, NULL), 0);
    CHECK_EQ(type, 1);
    hone_profile_set_default_type(p, "samples");
    CHECK_EQ(hone_profile_select_type(p, "", &type, NULL), 0);
    CHECK_EQ(type, 0);
    struct hone_error err = {0};
    CHECK_EQ(hone_profile_select_type(p, "2", &type, &err), -EINVAL);
    CHECK_EQ(hone_profile_select_type(p, "wall", &type, &err), -EINVAL);
    CHECK_STR(err.message, "the profile has no sample type 'wall'");
    CHECK_STR(err.hint, "it has samples, cpu");
    hone_profile_free(p);
}

// --- encoding and decoding -----------------------------------------------------------------------

TEST(what_was_built_is_decoded)
{
    struct hone_profile *p = hone_fixture_small();
    hone_profile_set_default_type(p, "samples");
    hone_profile_set_doc_url(p, "https://example.org/");
    p->drop_frames = hone_profile_intern(p, "malloc|free");
    p->keep_frames = hone_profile_intern(p, "malloc");
    struct hone_buffer bytes = encoded(p);
    struct hone_profile *q = decoded(bytes.at, bytes.len);

    CHECK_EQ(q->type_count, 2);
    CHECK_STR(hone_profile_text(q, q->types[1].type), "cpu");
    CHECK_STR(hone_profile_text(q, q->types[1].unit), "nanoseconds");
    CHECK_EQ(q->period, 10000000);
    CHECK_STR(hone_profile_text(q, q->period_type.type), "cpu");
    CHECK_EQ(q->time_ns, 1700000000123456789);
    CHECK_EQ(q->duration_ns, 50000000);
    CHECK_EQ(q->comment_count, 2);
    CHECK_STR(hone_profile_text(q, q->comments[0]), "engine: fixture");
    CHECK_STR(hone_profile_text(q, q->default_type), "samples");
    CHECK_STR(hone_profile_text(q, q->doc_url), "https://example.org/");
    CHECK_STR(hone_profile_text(q, q->drop_frames), "malloc|free");
    CHECK_STR(hone_profile_text(q, q->keep_frames), "malloc");

    CHECK_EQ(q->mappings.count, 3);
    CHECK_EQ(q->mappings.at[1].start, 0x400000);
    CHECK_EQ(q->mappings.at[1].limit, 0x402000);
    CHECK_EQ(q->mappings.at[1].offset, 0x1000);
    CHECK_EQ(q->mappings.at[1].flags, 15);
    CHECK_EQ(q->mappings.at[2].flags, 0);
    CHECK_STR(hone_profile_text(q, q->mappings.at[1].file), "/usr/bin/sorter");
    CHECK_STR(hone_profile_text(q, q->mappings.at[1].build_id), "0123abcd");

    CHECK_EQ(q->samples.count, 2);
    struct hone_profile_span frames = hone_profile_frames_of(q, q->samples.stack[0]);
    CHECK_EQ(frames.count, 2);
    struct hone_profile_line_span lines = hone_profile_lines_of(q, frames.at[1]);
    CHECK_EQ(lines.count, 2); // innermost first
    CHECK_STR(hone_profile_text(q, q->functions.name[lines.at[0].function]), "sort");
    CHECK_STR(hone_profile_text(q, q->functions.name[lines.at[1].function]), "main");
    CHECK_EQ(lines.at[1].number, 20);
    CHECK_EQ(q->functions.start_line[lines.at[0].function], 10);
    CHECK_EQ(hone_profile_lines_of(q, frames.at[0]).at[0].column, 7);
    CHECK_EQ(q->locations.address[frames.at[0]], 0x400200);
    struct hone_profile_label_span labels = hone_profile_labels_of(q, q->samples.label_set[0]);
    CHECK_EQ(labels.count, 2);
    CHECK_STR(hone_profile_text(q, labels.at[0].text), "sorter");
    CHECK_EQ(labels.at[1].number, 7);
    CHECK_EQ(q->samples.values[1][0], 30000000);
    CHECK_EQ(q->samples.label_set[1], 0);

    struct hone_buffer again = encoded(q);
    CHECK(same_bytes(&bytes, &again));
    hone_buffer_done(&bytes);
    hone_buffer_done(&again);
    hone_profile_free(p);
    hone_profile_free(q);
}

TEST(strings_that_nothing_names_are_not_written)
{
    struct hone_profile *p = hone_fixture_small();
    struct hone_buffer before = encoded(p);
    (void)hone_profile_intern(p, "nobody names this");
    struct hone_buffer after = encoded(p);
    CHECK(same_bytes(&before, &after));
    hone_buffer_done(&before);
    hone_buffer_done(&after);
    hone_profile_free(p);
}

TEST(random_profiles_survive_the_way_through_a_file)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct hone_fixture_options options = {.seed = seed,
                                               .samples = 300,
                                               .depth = 30,
                                               .functions = 1 + (uint32_t)seed * 9,
                                               .type = "space",
                                               .unit = "bytes",
                                               .negative = seed % 2};
        struct hone_profile *p = hone_fixture_large(&options);
        struct hone_buffer packed = {0};
        CHECK_EQ(hone_profile_encode_gzip(p, &packed, NULL), 0);
        struct hone_profile *q = decoded(packed.at, packed.len);
        CHECK_EQ(q->samples.count, p->samples.count);
        CHECK_EQ(q->stacks.count, p->stacks.count);
        CHECK_EQ(q->locations.count, p->locations.count);
        struct hone_buffer a = encoded(p);
        struct hone_buffer b = encoded(q);
        struct hone_profile *r = decoded(b.at, b.len);
        struct hone_buffer c = encoded(r);
        CHECK_EQ(a.len, b.len);
        CHECK(same_bytes(&b, &c));
        hone_buffer_done(&packed);
        hone_buffer_done(&a);
        hone_buffer_done(&b);
        hone_buffer_done(&c);
        hone_profile_free(p);
        hone_profile_free(q);
        hone_profile_free(r);
    }
}

// Samples are looked up in batches: stacks that are there already must not leave gaps.
TEST(samples_that_share_stacks_decode_to_the_same_profile)
{
    struct hone_profile *p = hone_fixture_large(&(struct hone_fixture_options){
        .seed = 9, .samples = 7, .depth = 20, .functions = 30, .type = "cpu", .unit = "ns"});
    uint32_t thread = hone_profile_intern(p, "thread");
    for (uint32_t i = 0; i < 500; i++) {
        uint32_t stack = i % 50 == 49 ? hone_profile_add_stack(p, (uint32_t[]){1 + i / 50, 2}, 2)
                                      : 1 + i * 5 % 7;
        struct hone_profile_label label = {.key = thread, .number = 100 + i};
        (void)hone_profile_add_sample(p, stack, (int64_t[]){1, i}, &label, 1);
    }
    CHECK_EQ(p->stacks.count - 1, 17);
    struct hone_buffer before = encoded(p);
    struct hone_profile *q = decoded(before.at, before.len);
    CHECK_EQ(q->stacks.count, p->stacks.count);
    CHECK_EQ(q->frames.count, p->frames.count);
    CHECK_EQ(q->samples.count, p->samples.count);
    struct hone_buffer after = encoded(q);
    CHECK(same_bytes(&before, &after));
    hone_buffer_done(&before);
    hone_buffer_done(&after);
    hone_profile_free(p);
    hone_profile_free(q);
}

TEST(gzip_bomb_meets_the_limit)
{
    // 64 MiB of unknown fields pack to 64 KB.
    size_t len = (size_t)64 << 20;
    struct hone_profile *p = hone_profile_new();
    char *comment = malloc(len + 1);
    memset(comment, 'a', len);
    comment[len] = '\0';
    hone_profile_add_comment(p, comment);
    struct hone_buffer packed = {0};
    CHECK_EQ(hone_profile_encode_gzip(p, &packed, NULL), 0);
    CHECK(packed.len < 1 << 20);
    struct hone_error err = {0};
    struct hone_profile *q = NULL;
    struct hone_profile_limits limits = {.plain_bytes = 1 << 20};
    CHECK_EQ(hone_profile_decode(packed.at, packed.len, "bomb", &limits, &q, &err), -EFBIG);
    CHECK_STR(err.message, "'bomb' unpacks to more than 1048576 bytes: file too large");
    CHECK_EQ(hone_profile_decode(packed.at, packed.len, "bomb", NULL, &q, &err), 0);
    hone_profile_free(q);
    hone_profile_free(p);
    hone_buffer_done(&packed);
    free(comment);
}

TEST(errors_name_the_file_the_place_and_the_next_step)
{
    struct hone_error err = {0};
    struct hone_profile *p = NULL;
    CHECK_EQ(hone_profile_decode("", 0, "x.prof", NULL, &p, &err), -EBADMSG);
    CHECK_STR(err.message, "cannot read 'x.prof': it is empty");
    static const unsigned char dangling[] = {0x0a, 0, 0x12, 4, 0x08, 9, 0x10, 1};
    CHECK_EQ(hone_profile_decode(dangling, sizeof dangling, "x.prof", NULL, &p, &err), -EBADMSG);
    CHECK_STR(err.message, "cannot read 'x.prof': no location has id 9, sample 1");
    CHECK_STR(err.hint, "a profile here is pprof's profile.proto, plain or in gzip, or one of its "
                        "older formats");
    CHECK_EQ(hone_profile_read("/nonexistent/x.prof", NULL, &p, &err), -ENOENT);
    CHECK(!p);
}

// --- for readers ---------------------------------------------------------------------------------

TEST(texts_become_one_line_for_readers)
{
    struct hone_profile *p = hone_profile_new();
    (void)hone_profile_add_type(p, "cpu", "ns");
    uint32_t wild = hone_profile_intern(p, "a\tb\r\nc\v");
    uint32_t tame = hone_profile_intern(p, "größer");
    CHECK_EQ(hone_profile_one_line(p), 0);
    CHECK_STR(hone_profile_text(p, wild), "a␉b␍␊c␋");
    CHECK_EQ(hone_profile_str(p, wild).len, strlen("a␉b␍␊c␋"));
    CHECK_STR(hone_profile_text(p, tame), "größer");
    hone_profile_free(p);
}
