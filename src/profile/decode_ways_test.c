// How the decoder shares its work out must not show: blocks of any size, on any number of threads,
// from memory or a file, give the same profile or the same kind of error.
#include "profile/decode.h"

#include "base/base.h"
#include "check.h"
#include "corpus.h"
#include "profile/fixture.h"

#include <errno.h>
#include <libdeflate.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct hone_decode_ways all_ways[] = {
    {.block_bytes = 1, .threads = 1},   {.block_bytes = 1, .threads = 3},
    {.block_bytes = 13, .threads = 2},  {.block_bytes = 300, .threads = 1},
    {.block_bytes = 300, .threads = 2}, {.block_bytes = 4096, .threads = 3},
};
enum { WAYS = sizeof all_ways / sizeof all_ways[0] };

static struct hone_buffer encoded(const struct hone_profile *p)
{
    struct hone_buffer bytes = {0};
    CHECK_EQ(hone_profile_encode(p, &bytes, NULL), 0);
    return bytes;
}

static void check_equal(const struct hone_profile *p, const struct hone_profile *q)
{
    struct hone_buffer a = encoded(p);
    struct hone_buffer b = encoded(q);
    CHECK_EQ(a.len, b.len);
    CHECK(memcmp(a.at, b.at, a.len) == 0);
    CHECK_EQ(p->samples.count, q->samples.count);
    CHECK_EQ(p->stacks.count, q->stacks.count);
    CHECK_EQ(p->label_sets.count, q->label_sets.count);
    hone_buffer_done(&a);
    hone_buffer_done(&b);
}

static void check_all_ways(const void *bytes, size_t len)
{
    static const struct hone_decode_ways usual = {.threads = 1};
    struct hone_profile *expected = NULL;
    int outcome = hone_profile_decode_by(bytes, len, "test", NULL, &usual, &expected, NULL);
    for (size_t i = 0; i < WAYS; i++) {
        if (len > (1 << 12) * all_ways[i].block_bytes)
            continue; // would take long, and does not for shorter files
        struct hone_profile *p = NULL;
        struct hone_error err = {0};
        int r = hone_profile_decode_by(bytes, len, "test", NULL, &all_ways[i], &p, &err);
        CHECK_EQ(r, outcome);
        if (r) {
            CHECK(!p && err.message[0]);
            continue;
        }
        CHECK_EQ(hone_profile_validate(p, NULL), 0);
        check_equal(expected, p);
        hone_profile_free(p);
    }
    hone_profile_free(expected);
}

static void check_file(const struct corpus_file *file)
{
    check_all_ways(file->bytes, file->len);
    struct hone_profile *p = NULL;
    struct hone_profile *q = NULL;
    int r = hone_profile_decode(file->bytes, file->len, "test", NULL, &p, NULL);
    CHECK_EQ(hone_profile_read(file->path, NULL, &q, NULL), r);
    if (!r)
        check_equal(p, q);
    hone_profile_free(p);
    hone_profile_free(q);
}

TEST(corpus_decodes_alike_in_all_ways)
{
    CHECK(corpus_each(CORPUS, check_file) >= 30);
}

TEST(random_profiles_decode_alike_in_all_ways)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct hone_profile *p = hone_fixture_large(&(struct hone_fixture_options){
            .seed = seed,
            .samples = 400,
            .depth = 1 + (uint32_t)seed * 9,
            .functions = seed % 2 ? 9000 : 90, // ids of one to three bytes
            .type = "space",
            .unit = "bytes",
            .negative = true});
        struct hone_buffer plain = encoded(p);
        struct hone_buffer packed = {0};
        CHECK_EQ(hone_profile_encode_gzip(p, &packed, NULL), 0);
        check_all_ways(plain.at, plain.len);
        check_all_ways(packed.at, packed.len);
        struct hone_profile *q = NULL;
        CHECK_EQ(hone_profile_decode(packed.at, packed.len, "test", NULL, &q, NULL), 0);
        CHECK_EQ(q->samples.count, p->samples.count);
        hone_profile_free(q);
        hone_buffer_done(&plain);
        hone_buffer_done(&packed);
        hone_profile_free(p);
    }
}

// --- ids that are not our numbers ----------------------------------------------------------------

static void put(struct hone_buffer *out, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        hone_buffer_add(out, &(char){(char)(value | 0x80)}, 1);
    hone_buffer_add(out, &(char){(char)value}, 1);
}

static void put_message(struct hone_buffer *out, unsigned field, struct hone_buffer *body)
{
    put(out, field << 3 | 2);
    put(out, body->len);
    hone_buffer_add(out, body->at, body->len);
    hone_buffer_done(body);
}

// Two types with one value each, samples of the stack {ids[i], ids[i + 1]}, then the locations,
// where those that share an address are equal.
static struct hone_buffer file_of(const uint64_t *ids, const uint64_t *addresses, size_t count,
                                  size_t locations)
{
    struct hone_buffer out = {0};
    struct hone_buffer body = {0};
    put_message(&out, 1, &body);
    for (size_t i = 0; i + 1 < count; i++) {
        struct hone_buffer frames = {0};
        put(&frames, ids[i]);
        put(&frames, ids[i + 1]);
        put_message(&body, 1, &frames);
        put(&body, 2 << 3);
        put(&body, i + 1);
        put_message(&out, 2, &body);
    }
    for (size_t i = 0; i < locations; i++) {
        put(&body, 1 << 3);
        put(&body, ids[i]);
        put(&body, 3 << 3);
        put(&body, addresses[i]);
        put_message(&out, 4, &body);
    }
    put_message(&out, 6, &body);
    return out;
}

static struct hone_profile *decoded(const struct hone_buffer *bytes, struct hone_error *err)
{
    check_all_ways(bytes->at, bytes->len);
    struct hone_profile *p = NULL;
    (void)hone_profile_decode(bytes->at, bytes->len, "x", NULL, &p, err);
    return p;
}

static void check_found(const uint64_t ids[6])
{
    static const uint64_t addresses[] = {10, 20, 30, 40, 50, 60};
    struct hone_buffer bytes = file_of(ids, addresses, 6, 6);
    struct hone_profile *p = decoded(&bytes, NULL);
    CHECK(p);
    CHECK_EQ(p->samples.count, 5);
    for (uint32_t i = 0; i < 5; i++) {
        struct hone_profile_span frames = hone_profile_frames_of(p, p->samples.stack[i]);
        CHECK_EQ(frames.count, 2);
        CHECK_EQ(p->locations.address[frames.at[0]], 10 * (i + 1));
        CHECK_EQ(p->locations.address[frames.at[1]], 10 * (i + 2));
    }
    hone_profile_free(p);
    hone_buffer_done(&bytes);
}

TEST(ids_of_any_size_and_order_are_found)
{
    check_found((uint64_t[]){UINT64_MAX, 5, UINT64_C(1) << 31, 1, UINT64_C(1) << 63, 300});
    check_found((uint64_t[]){3, 1, 2, 6, 5, 4});
}

static void put_label(struct hone_buffer *sample, uint64_t key, uint64_t text)
{
    struct hone_buffer label = {0};
    put(&label, 1 << 3);
    put(&label, key);
    put(&label, 2 << 3);
    put(&label, text);
    put_message(sample, 3, &label);
}

TEST(labels_in_another_order_are_the_same_labels)
{
    struct hone_buffer out = {0};
    struct hone_buffer body = {0};
    put_message(&out, 1, &body);
    for (uint64_t i = 0; i < 3; i++) { // a: x b: y, then b: y a: x, then b: y
        put(&body, 2 << 3);
        put(&body, i + 1);
        if (i == 0)
            put_label(&body, 1, 3);
        put_label(&body, 2, 4);
        if (i == 1)
            put_label(&body, 1, 3);
        put_message(&out, 2, &body);
    }
    put_message(&out, 6, &body);
    for (const char *text = "abxy"; *text; text++) {
        hone_buffer_add(&body, text, 1);
        put_message(&out, 6, &body);
    }
    struct hone_profile *p = decoded(&out, NULL);
    CHECK(p);
    CHECK_EQ(p->samples.count, 2);
    CHECK_EQ(p->samples.values[0][0], 1 + 2);
    CHECK_EQ(p->samples.values[0][1], 3);
    CHECK_EQ(hone_profile_labels_of(p, p->samples.label_set[0]).count, 2);
    CHECK_EQ(hone_profile_labels_of(p, p->samples.label_set[1]).count, 1);
    CHECK_EQ(hone_profile_validate(p, NULL), 0);
    hone_profile_free(p);
    hone_buffer_done(&out);
}

// Stacks that only the file's numbers told apart become one, and their samples are summed.
TEST(locations_that_turn_out_equal_make_equal_stacks)
{
    static const uint64_t ids[] = {1, 2, 3, 4, 5, 6};
    static const uint64_t addresses[] = {7, 8, 7, 8, 7, 9};
    struct hone_buffer bytes = file_of(ids, addresses, 6, 6);
    struct hone_profile *p = decoded(&bytes, NULL);
    CHECK(p);
    CHECK_EQ(p->locations.count - 1, 3);
    CHECK_EQ(p->stacks.count - 1, 3); // 7 8, 8 7, 7 9
    CHECK_EQ(p->samples.count, 3);
    CHECK_EQ(p->samples.values[0][0], 1 + 3);
    CHECK_EQ(p->samples.values[0][1], 2 + 4);
    CHECK_EQ(p->samples.values[0][2], 5);
    uint32_t again = hone_profile_add_stack(p, hone_profile_frames_of(p, 2).at, 2);
    CHECK_EQ(again, 2);
    CHECK_EQ(hone_profile_add_sample(p, 2, (int64_t[]){1}, NULL, 0), 1);
    hone_profile_free(p);
    hone_buffer_done(&bytes);
}

TEST(ids_that_lead_nowhere_are_told_with_their_sample)
{
    static const uint64_t addresses[] = {7, 8, 9, 10};
    static const struct {
        uint64_t ids[4];
        const char *message;
    } cases[] = {
        {{1, 2, 3, 4}, "cannot read 'x': no location has id 4, sample 3"},
        {{1, 2, 9, 3}, "cannot read 'x': no location has id 3, sample 3"},
        {{7, 2, 3, UINT64_MAX},
         "cannot read 'x': no location has id 18446744073709551615, sample 3"},
        {{1, 2, 3, 0}, "cannot read 'x': no location has id 0 at byte 23"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct hone_buffer bytes = file_of(cases[i].ids, addresses, 4, 3);
        struct hone_error err = {0};
        CHECK(!decoded(&bytes, &err));
        CHECK_STR(err.message, cases[i].message);
        for (size_t way = 0; way < WAYS; way++) {
            struct hone_profile *p = NULL;
            (void)hone_profile_decode_by(bytes.at, bytes.len, "x", NULL, &all_ways[way], &p, &err);
            CHECK_STR(err.message, cases[i].message);
        }
        hone_buffer_done(&bytes);
    }
}

static int decode_depth(size_t depth, bool packed, struct hone_error *err)
{
    struct hone_buffer out = {0};
    struct hone_buffer body = {0};
    struct hone_buffer frames = {0};
    put_message(&out, 1, &body);
    for (size_t i = 0; i < depth; i++) {
        if (!packed)
            put(&body, 1 << 3);
        put(packed ? &frames : &body, 1);
    }
    if (packed)
        put_message(&body, 1, &frames);
    put(&body, 2 << 3);
    put(&body, 1);
    put_message(&out, 2, &body);
    put(&body, 1 << 3);
    put(&body, 1);
    put_message(&out, 4, &body);
    put_message(&out, 6, &body);
    struct hone_profile *p = NULL;
    int r = hone_profile_decode(out.at, out.len, "deep", NULL, &p, err);
    if (!r)
        CHECK_EQ(hone_profile_frames_of(p, 1).count, depth);
    hone_profile_free(p);
    hone_buffer_done(&out);
    return r;
}

TEST(stacks_have_a_largest_depth)
{
    for (int packed = 0; packed < 2; packed++) {
        struct hone_error err = {0};
        CHECK_EQ(decode_depth(HONE_PROFILE_DEPTH_MAX, packed, &err), 0);
        CHECK_EQ(decode_depth(HONE_PROFILE_DEPTH_MAX + 1, packed, &err), -EBADMSG);
        CHECK(strstr(err.message, "more than 1048576 frames in a stack"));
    }
}

// --- large files ---------------------------------------------------------------------------------

// Packed in pieces, by several.
TEST(a_large_profile_survives_the_way_through_a_file)
{
    struct hone_profile *p = hone_fixture_large(&(struct hone_fixture_options){
        .seed = 5, .samples = 90000, .depth = 64, .functions = 20000, .type = "cpu", .unit = "ns"});
    struct hone_buffer plain = encoded(p);
    struct hone_buffer packed = {0};
    struct hone_buffer again = {0};
    CHECK(plain.len > 5 << 20);
    CHECK_EQ(hone_profile_encode_gzip(p, &packed, NULL), 0);
    CHECK_EQ(hone_profile_encode_gzip(p, &again, NULL), 0);
    CHECK(packed.len == again.len && memcmp(packed.at, again.at, again.len) == 0);
    size_t len = 0; // as another program reads it: one member, and nothing behind
    struct libdeflate_decompressor *other = libdeflate_alloc_decompressor();
    char *bytes = malloc(plain.len);
    CHECK_EQ(libdeflate_gzip_decompress(other, packed.at, packed.len, bytes, plain.len, &len), 0);
    CHECK(len == plain.len && memcmp(bytes, plain.at, len) == 0);
    struct hone_profile *q = NULL;
    CHECK_EQ(hone_profile_decode(packed.at, packed.len, "test", NULL, &q, NULL), 0);
    CHECK_EQ(q->samples.count, p->samples.count);
    check_all_ways(packed.at, packed.len);
    hone_profile_free(p);
    hone_profile_free(q);
    hone_buffer_done(&plain);
    hone_buffer_done(&packed);
    hone_buffer_done(&again);
    libdeflate_free_decompressor(other);
    free(bytes);
}

// Few samples and many names: nothing to share out but the bytes.
TEST(a_large_profile_of_few_samples_survives_the_way_through_a_file)
{
    struct hone_profile *p = hone_fixture_small();
    for (uint32_t i = 0; i < 60000; i++) {
        char name[100];
        (void)snprintf(name, sizeof name, "%u %080u", i * 2654435761u, i * 40503u);
        (void)hone_profile_add_function(
            p, &(struct hone_profile_function){.name = hone_profile_intern(p, name)});
    }
    struct hone_buffer plain = encoded(p);
    struct hone_buffer packed = {0};
    CHECK(plain.len > 5 << 20);
    CHECK_EQ(hone_profile_encode_gzip(p, &packed, NULL), 0);
    size_t len = 0;
    struct libdeflate_decompressor *other = libdeflate_alloc_decompressor();
    char *bytes = malloc(plain.len);
    CHECK_EQ(libdeflate_gzip_decompress(other, packed.at, packed.len, bytes, plain.len, &len), 0);
    CHECK(len == plain.len && memcmp(bytes, plain.at, len) == 0);
    hone_profile_free(p);
    hone_buffer_done(&plain);
    hone_buffer_done(&packed);
    libdeflate_free_decompressor(other);
    free(bytes);
}

// --- where bytes come from -----------------------------------------------------------------------

// Members end anywhere in what is read at a time, seven bytes at most.
TEST(a_pipe_of_many_members_is_read)
{
    enum { MEMBERS = 400 };
    struct hone_buffer all = {0};
    for (int i = 0; i < MEMBERS; i++) { // what follows another profile's comments is a comment, too
        char text[64];
        (void)snprintf(text, sizeof text, "comment number %d", i);
        struct hone_profile *p = hone_profile_new();
        hone_profile_add_comment(p, text);
        CHECK_EQ(hone_profile_encode_gzip(p, &all, NULL), 0);
        hone_profile_free(p);
    }
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    pid_t pid = fork();
    if (!pid) {
        for (size_t i = 0; i < all.len; i += 7)
            if (write(ends[1], all.at + i, all.len - i < 7 ? all.len - i : 7) < 0)
                _exit(1);
        _exit(0);
    }
    (void)close(ends[1]);
    CHECK_EQ(dup2(ends[0], STDIN_FILENO), STDIN_FILENO);
    struct hone_profile *p = NULL;
    struct hone_error err = {0};
    (void)hone_profile_read("-", NULL, &p, &err);
    CHECK_STR(err.message, "");
    CHECK_EQ(p->comment_count, MEMBERS);
    (void)waitpid(pid, NULL, 0);
    hone_profile_free(p);
    hone_buffer_done(&all);
}

// Locations are added several at a time; which of two errors is told, and where, must not show it.
TEST(the_first_of_two_wrong_locations_is_told)
{
    static const unsigned char bytes[] = {
        0x32, 0,                               // the empty string
        0x2a, 2, 8, 1,                         // function 1
        0x22, 6, 8, 1, 0x22, 2, 8,    1,       // location 1
        0x22, 8, 8, 1, 0x18, 5, 0x22, 2, 8, 1, // location 1 once more, byte 14
        0xa2, 1, 0,                            // what nobody knows, between two pieces
        0x22, 4, 8, 2, 0x22, 0,                // a line without a function, byte 27
    };
    struct hone_profile *p = NULL;
    struct hone_error err = {0};
    CHECK_EQ(hone_profile_decode(bytes, sizeof bytes, "test", NULL, &p, &err), -EBADMSG);
    CHECK_STR(err.message, "cannot read 'test': second location with id 1 at byte 14");
    CHECK_EQ(hone_profile_decode(bytes, 24, "test", NULL, &p, &err), -EBADMSG);
    CHECK_STR(err.message, "cannot read 'test': second location with id 1 at byte 14");
    unsigned char other[sizeof bytes];
    memcpy(other, bytes, sizeof bytes);
    other[17] = 2; // no longer the same id
    other[30] = 3;
    CHECK_EQ(hone_profile_decode(other, sizeof other, "test", NULL, &p, &err), -EBADMSG);
    CHECK_STR(err.message, "cannot read 'test': line without a function at byte 31");
    check_all_ways(bytes, sizeof bytes);
    check_all_ways(other, sizeof other);
}
