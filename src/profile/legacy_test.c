// Files of pprof's older formats: what each kind says, the corpus of the fuzzer as an ordinary test
// and once more with every allocation failing in turn. tests/legacy_test.py compares the corpus
// with `go tool pprof`.
#include <stdio.h>

#include "profile/decode_fuzz.h"
#include "profile/legacy.h"

#include "base/base.h"
#include "base/starve.h"
#include "check.h"
#include "corpus.h"

static void check_outcome(const struct corpus_file *input)
{
    bool bad = strncmp(input->name, "bad_", 4) == 0;
    cr_assert(hone_legacy_detect((const unsigned char *)input->bytes, input->len),
              "%s: not recognised", input->name);
    int r = hone_decode_check(input->bytes, input->len, false);
    cr_assert(r == (bad ? -EBADMSG : 0), "%s: decoding returned %d", input->name, r);
}

TEST(corpus_is_recognised_and_read_unless_its_name_says_bad)
{
    CHECK(corpus_each(CORPUS, check_outcome) >= 60);
}

static int read_checked(const struct corpus_file *input)
{
    return hone_decode_check(input->bytes, input->len, true);
}

static void check_short_of_memory(const struct corpus_file *input)
{
    corpus_starve(input, strncmp(input->name, "bad_", 4) == 0, read_checked);
}

TEST(running_out_of_memory_anywhere_is_an_error_and_nothing_leaks)
{
    CHECK(corpus_each(CORPUS, check_short_of_memory) >= 60);
}

// --- what becomes of one file --------------------------------------------------------------------

static struct hone_profile *decode(const char *text, size_t len)
{
    struct hone_profile *p = NULL;
    struct hone_error err = {0};
    int r = hone_profile_decode(text, len, "test", NULL, &p, &err);
    cr_assert(r == 0, "%s", err.message);
    return p;
}

static struct hone_profile *decode_text(const char *text)
{
    return decode(text, strlen(text));
}

static const char *message_of(const char *text)
{
    static struct hone_error err;
    struct hone_profile *p = NULL;
    err.message[0] = '\0';
    CHECK_EQ(hone_profile_decode(text, strlen(text), "test", NULL, &p, &err), -EBADMSG);
    return err.message;
}

static uint64_t address_of(const struct hone_profile *p, uint32_t sample, uint32_t frame)
{
    struct hone_profile_span frames = hone_profile_frames_of(p, p->samples.stack[sample]);
    CHECK(frame < frames.count);
    return p->locations.address[frames.at[frame]];
}

static const char *type_of(const struct hone_profile *p, uint32_t type)
{
    return hone_profile_text(p, p->types[type].type);
}

TEST(heap_samples_are_return_addresses_with_the_size_of_their_blocks)
{
    struct hone_profile *p = decode_text("heap profile: 1: 2 [ 3: 4] @ heapprofile\n"
                                         " 2: 200 [ 3: 400] @ 0x401001 0x402001\n"
                                         "MAPPED_LIBRARIES:\n"
                                         "400000-410000 r-xp 00001000 08:01 7 /bin/x\n");
    CHECK_EQ(p->type_count, 4);
    CHECK_STR(type_of(p, 0), "alloc_objects");
    CHECK_STR(type_of(p, 3), "inuse_space");
    CHECK_EQ(p->samples.count, 1);
    CHECK_EQ(p->samples.values[0][0], 3);
    CHECK_EQ(p->samples.values[3][0], 200);
    CHECK_EQ(address_of(p, 0, 0), 0x401000);
    struct hone_profile_label_span labels = hone_profile_labels_of(p, p->samples.label_set[0]);
    CHECK_EQ(labels.count, 1);
    CHECK_STR(hone_profile_text(p, labels.at[0].key), "bytes");
    CHECK_EQ(labels.at[0].number, 100);
    CHECK_EQ(p->mappings.count, 2);
    CHECK_STR(hone_profile_text(p, p->mappings.at[1].file), "/bin/x");
    CHECK(p->keep_frames && p->drop_frames);
    hone_profile_free(p);
}

TEST(sampled_heap_is_estimated_by_the_chance_of_a_block_to_be_sampled)
{
    struct hone_profile *p = decode_text("heap profile: 1: 2 [ 1: 2] @ heap_v2/524288\n"
                                         "1: 1024 [ 1: 1024] @ 0x1\n"
                                         "1: 100000000 [ 1: 100000000] @ 0x2\n");
    CHECK_EQ(p->period, 524288);
    CHECK_EQ(p->samples.values[0][0], 512); // 1 / (1 - exp(-1024 / 524288)) = 512.5
    CHECK_EQ(p->samples.values[1][0], 524800);
    CHECK_EQ(p->samples.values[1][1], 100000000);
    hone_profile_free(p);
}

TEST(cpu_leaves_are_exact_and_the_callers_are_return_addresses)
{
    const uint32_t words[] = {0,      3, 0, 10000,  0,      5, 2, 0x1000,
                              0x2000, 4, 2, 0x3000, 0x4000, 0, 1, 0};
    struct hone_profile *p = decode((const char *)words, sizeof words);
    CHECK_EQ(p->period, 10000000);
    CHECK_EQ(p->samples.count, 2);
    CHECK_EQ(p->samples.values[0][0], 5);
    CHECK_EQ(p->samples.values[1][0], 50000000);
    CHECK_EQ(address_of(p, 0, 0), 0x1000);
    CHECK_EQ(address_of(p, 0, 1), 0x1fff);
    hone_profile_free(p);
}

TEST(contention_is_cycles_and_becomes_time)
{
    struct hone_profile *p = decode_text("--- contentionz 1 ---\n"
                                         "cycles/second = 2000000000\n"
                                         "sampling period = 100\n"
                                         "ms since reset = 5\n"
                                         "4000 3 @ 0x401001\n");
    CHECK_EQ(p->period, 100);
    CHECK_EQ(p->duration_ns, 5000000);
    CHECK_EQ(p->samples.values[0][0], 300);
    CHECK_EQ(p->samples.values[1][0], 200000);
    hone_profile_free(p);
}

TEST(threads_with_the_same_stack_count_together)
{
    struct hone_profile *p = decode_text("--- threadz 1 ---\n\n"
                                         "--- Thread 7f (name: a/1) stack: ---\n PC: 0x10 0x21\n"
                                         "--- Thread 80 (name: b/2) stack: ---\n"
                                         "  [same as previous thread]\n"
                                         "--- Memory map: ---\n");
    CHECK_EQ(p->samples.count, 1);
    CHECK_EQ(p->samples.values[0][0], 2);
    CHECK_EQ(address_of(p, 0, 0), 0x10);
    CHECK_EQ(address_of(p, 0, 1), 0x20);
    hone_profile_free(p);
}

TEST(go_counts_are_of_the_type_their_first_line_names)
{
    struct hone_profile *p = decode_text("threadcreate profile: total 4\n3 @\n#\t0x0\n1 @ 0x11\n");
    CHECK_STR(type_of(p, 0), "threadcreate");
    CHECK_EQ(p->samples.count, 2);
    CHECK_EQ(p->samples.values[0][0], 3);
    CHECK_EQ(p->samples.stack[0], 0);
    CHECK_EQ(address_of(p, 1, 0), 0x10);
    hone_profile_free(p);
}

TEST(java_frames_get_the_names_at_the_end)
{
    struct hone_profile *p = decode_text("--- heapz 1 ---\nformat = java\nresolution = bytes\n"
                                         "700000000 1 @ 0x3 0x4\n"
                                         "0x3 a.B.run (B.java:24)\n0x4 GC\n");
    struct hone_profile_span frames = hone_profile_frames_of(p, p->samples.stack[0]);
    CHECK_EQ(frames.count, 2);
    struct hone_profile_line_span lines = hone_profile_lines_of(p, frames.at[0]);
    CHECK_EQ(lines.count, 1);
    CHECK_EQ(lines.at[0].number, 24);
    CHECK_STR(hone_profile_text(p, p->functions.name[lines.at[0].function]), "a.B.run");
    CHECK_STR(hone_profile_text(p, p->functions.file[lines.at[0].function]), "B.java");
    CHECK_EQ(p->locations.address[frames.at[0]], 0);
    hone_profile_free(p);
}

TEST(errors_tell_what_is_wrong_and_where)
{
    CHECK_STR(message_of("heap profile: 1: 2 [3: 4] @ heapprofile\n\nrubbish\n"),
              "cannot read 'test': neither a sample nor the list of mappings in line 3");
    CHECK_STR(message_of("--- contentionz 1 ---\nspeed = 9\n"),
              "cannot read 'test': unknown attribute in line 2");
    CHECK_STR(message_of("--- threadz 1 ---\n--- Thread 7f (name: a/1) stack: ---\n 0x1\n"),
              "cannot read 'test': neither a thread nor the memory map at the end in line 3");
    CHECK_STR(message_of("goroutine profile: total 1\n1 @ 0x11112222333344445\n"),
              "cannot read 'test': address of more than 64 bits in line 2");
}

TEST(words_that_double_each_other_are_refused_before_memory_is_gone)
{
    char text[4096] = "heap profile: 1: 2 [3: 4] @ heapprofile\nMAPPED_LIBRARIES:\nza=xxxxxxxx\n";
    for (char c = 'a'; c < 'z'; c++)
        (void)snprintf(text + strlen(text), sizeof text - strlen(text), "z%c=$z%c$z%c$z%c\n", c + 1,
                       c, c, c);
    const char *message = message_of(text);
    CHECK(strstr(message, "after replacement") || strstr(message, "assignments"));
}

TEST(other_files_are_not_taken_for_old_ones)
{
    static const char *const others[] = {
        "",
        "\n",
        "heap profile",
        "heap profile: 1: 2 [3: 4] @ pages\n",
        "goroutine profile: total\n",
        "\n\n\x12\x04",
        "--- heapz 2 ---\n",
        "# only a comment",
        "main;f 12\n",
    };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        CHECK(!hone_legacy_detect((const unsigned char *)others[i], strlen(others[i])));
    CHECK(!hone_legacy_detect((const unsigned char[64]){0}, 64));
}
