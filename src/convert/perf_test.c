#include "base/starve.h" // first: it stands in for malloc

#include "convert/perf_made.h"

#include "base/cleanup.h"
#include "check.h"

#include <sys/stat.h>

// --- what it is ----------------------------------------------------------------------------------

static void check_refused(const void *bytes, size_t len, const char *why)
{
    struct hone_profile *profile = NULL;
    struct hone_error err = {0};
    CHECK_EQ(hone_perf_read(bytes, len, "made", NULL, &profile, &err), -EBADMSG);
    cr_assert(strstr(err.message, why), "'%s' does not say '%s'", err.message, why);
}

TEST(what_cannot_be_read_is_refused_in_one_line)
{
    CHECK(!hone_perf_detect("PERF", 4));
    CHECK(!hone_perf_detect("\x1f\x8b_______", 9));
    CHECK(hone_perf_detect("PERFILE2", 8));
    CHECK(hone_perf_detect("2ELIFREP", 8));
    check_refused("", 0, "no perf.data");
    check_refused("2ELIFREP\0\0\0\0\0\0\0\x68", 16, "the other byte order");
    check_refused("PERFFILE\x68\0\0\0\0\0\0\0", 16, "first version");
    check_refused("PERFILE2\x68\0\0\0\0\0\0\0", 16, "within the header");
    check_refused("PERFILE2\x77\0\0\0\0\0\0\0", 16, "does not go on");
}

TEST(a_stream_without_events_is_refused)
{
    check_refused("PERFILE2\x10\0\0\0\0\0\0\0", 16, "no event");
}

// --- samples -------------------------------------------------------------------------------------

TEST(chains_become_stacks_with_callers_in_their_calls)
{
    struct fixture fixture = {0};
    begin_clock(&fixture);
    add_program(&fixture, 7);
    fixture_chain(&fixture, 0, 7, 10,
                  (uint64_t[]){PERF_CONTEXT_KERNEL, KERNEL, KERNEL + 0x100, PERF_CONTEXT_USER,
                               PROGRAM + 0x10, LIBRARY + 0x20, PROGRAM + 0x30, 0});
    fixture_chain(&fixture, 0, 7, 12, (uint64_t[]){PERF_CONTEXT_USER, PROGRAM + 0x10, 0});
    fixture_chain(&fixture, 0, 7, 11, (uint64_t[]){PERF_CONTEXT_USER, PROGRAM + 0x10, 0});
    fixture_finish(&fixture);
    struct hone_profile *profile = read_made(&fixture);
    CHECK_EQ(profile->samples.count, 2);
    CHECK_STR(stack_text(profile, 0),
              "[kernel.kallsyms]+0xffffffff81000000;[kernel.kallsyms]+0xffffffff810000ff;"
              "/none/program+0x1010;/none/library.so+0x1f;/none/program+0x102f");
    CHECK_STR(stack_text(profile, 1), "/none/program+0x1010");
    CHECK_EQ(profile->type_count, 2);
    CHECK_STR(hone_profile_text(profile, profile->types[1].type), "cpu");
    CHECK_STR(hone_profile_text(profile, profile->types[1].unit), "nanoseconds");
    CHECK_EQ(profile->samples.values[0][1], 2);
    CHECK_EQ(profile->samples.values[1][1], 2000000);
    CHECK_EQ(profile->period, 1000000);
    CHECK_EQ(profile->duration_ns, 2);
    CHECK_STR(label_text(profile, 0, "process"), "program");
    CHECK_STR(label_text(profile, 0, "thread"), "prog");
    CHECK(has_comment(profile, "samples lost: 0"));
    hone_profile_free(profile);
    fixture_done(&fixture);
}

TEST(a_chain_that_leaves_all_code_is_truncated_there)
{
    struct fixture fixture = {0};
    begin_clock(&fixture);
    add_program(&fixture, 7);
    fixture_chain(&fixture, 0, 7, 10,
                  (uint64_t[]){PERF_CONTEXT_USER, PROGRAM + 0x10, LIBRARY + 0x20, 0x1234567, 1, 0});
    fixture_finish(&fixture);
    struct hone_profile *profile = read_made(&fixture);
    CHECK_STR(stack_text(profile, 0), "/none/program+0x1010;/none/library.so+0x1f;[truncated]");
    CHECK(has_comment(profile, "stacks: 1 by frame pointers led to where no code is"));
    hone_profile_free(profile);
    fixture_done(&fixture);
}

// Two CPUs' buffers are written one after the other.
TEST(records_are_taken_in_the_order_of_time)
{
    struct fixture fixture = {0};
    begin_clock(&fixture);
    fixture_name(&fixture, 7, "prog", true, 1);
    fixture_chain(&fixture, 0, 7, 30, (uint64_t[]){PERF_CONTEXT_USER, PROGRAM + 0x10, 0});
    fixture_chain(&fixture, 0, 7, 50, (uint64_t[]){PERF_CONTEXT_USER, PROGRAM + 0x10, 0});
    fixture_round(&fixture);
    fixture_map(&fixture, 7, PROGRAM, 0x1000, 0, 0, "/none/first", 20);
    fixture_map(&fixture, 7, PROGRAM, 0x1000, 0, 0, "/none/second", 40);
    fixture_round(&fixture);
    fixture_chain(&fixture, 0, 7, 60, (uint64_t[]){PERF_CONTEXT_USER, PROGRAM + 0x10, 0});
    fixture_round(&fixture);
    fixture_finish(&fixture);
    struct hone_profile *profile = read_made(&fixture);
    CHECK_EQ(profile->samples.count, 2);
    CHECK_STR(stack_text(profile, 0), "/none/first+0x10");
    CHECK_EQ(profile->samples.values[0][0], 1);
    CHECK_STR(stack_text(profile, 1), "/none/second+0x10");
    CHECK_EQ(profile->samples.values[0][1], 2);
    hone_profile_free(profile);
    fixture_done(&fixture);
}

TEST(programs_end_with_exec_and_children_have_what_their_parents_had)
{
    struct fixture fixture = {0};
    const uint64_t at[] = {PERF_CONTEXT_USER, PROGRAM + 0x10, 0};
    begin_clock(&fixture);
    add_program(&fixture, 7);
    fixture_fork(&fixture, 8, 7, 10);
    fixture_chain(&fixture, 0, 8, 11, at);
    fixture_name(&fixture, 8, "next", true, 12);
    fixture_chain(&fixture, 0, 8, 13, at);
    fixture_map(&fixture, 8, PROGRAM, 0x1000, 0, 0, "/none/other", 14);
    fixture_chain(&fixture, 0, 8, 15, at);
    // Another library takes the middle of one.
    fixture_map(&fixture, 7, LIBRARY + 0x4000, 0x1000, 0, 0, "/none/late.so", 16);
    fixture_chain(
        &fixture, 0, 7, 17,
        (uint64_t[]){PERF_CONTEXT_USER, LIBRARY + 0x3fff, LIBRARY + 0x4001, LIBRARY + 0x5001, 0});
    fixture_finish(&fixture);
    struct hone_profile *profile = read_made(&fixture);
    CHECK_EQ(profile->samples.count, 4);
    CHECK_STR(stack_text(profile, 0), "/none/program+0x1010");
    CHECK_STR(label_text(profile, 0, "process"), "program");
    CHECK_STR(stack_text(profile, 1), "[unknown code]");
    CHECK_STR(stack_text(profile, 2), "/none/other+0x10");
    CHECK_STR(label_text(profile, 2, "process"), "other");
    CHECK_STR(label_text(profile, 2, "thread"), "next");
    CHECK_STR(stack_text(profile, 3),
              "/none/library.so+0x3fff;/none/late.so+0;/none/library.so+0x5000");
    hone_profile_free(profile);
    fixture_done(&fixture);
}

static void begin_two_events(struct fixture *fixture)
{
    struct perf_event_attr attrs[3] = {fixture_clock(FIXTURE_CHAIN), fixture_clock(FIXTURE_CHAIN),
                                       fixture_clock(FIXTURE_CHAIN)};
    attrs[0].config = PERF_COUNT_SW_DUMMY;
    attrs[1].type = PERF_TYPE_HARDWARE;
    attrs[1].config = PERF_COUNT_HW_CPU_CYCLES;
    fixture_begin(fixture, attrs, 3);
    add_program(fixture, 7);
    fixture_chain(fixture, 1, 7, 10, (uint64_t[]){PERF_CONTEXT_USER, PROGRAM + 0x10, 0});
    fixture_chain(fixture, 2, 7, 11, (uint64_t[]){PERF_CONTEXT_USER, PROGRAM + 0x20, 0});
    fixture_chain(fixture, 2, 7, 12, (uint64_t[]){PERF_CONTEXT_USER, PROGRAM + 0x20, 0});
    fixture_chain(fixture, 9, 7, 13, (uint64_t[]){PERF_CONTEXT_USER, PROGRAM + 0x20, 0});
    fixture_finish(fixture);
}

TEST(one_event_is_taken_and_the_others_are_told)
{
    struct fixture fixture = {0};
    begin_two_events(&fixture);
    struct hone_profile *profile = read_made(&fixture);
    CHECK_EQ(profile->samples.count, 1);
    CHECK_STR(stack_text(profile, 0), "/none/program+0x1010");
    CHECK_STR(hone_profile_text(profile, profile->types[1].type), "cycles");
    CHECK_STR(hone_profile_text(profile, profile->types[1].unit), "count");
    CHECK(has_comment(profile, "not in it: cpu-clock (2 samples); choose with --event"));
    CHECK(has_comment(profile, "lost: 1 samples of events that the file does not describe"));
    hone_profile_free(profile);
    profile = read_named(&fixture, "cpu-clock", true);
    CHECK_EQ(profile->samples.values[0][0], 2);
    CHECK_STR(hone_profile_text(profile, profile->types[1].type), "cpu");
    hone_profile_free(profile);
    const struct hone_perf_options options = {.size = sizeof options, .event = "page-faults"};
    struct hone_error err = {0};
    CHECK_EQ(hone_perf_read(fixture.bytes.at, fixture.bytes.len, "made", &options, &profile, &err),
             -EINVAL);
    CHECK_STR(err.message, "'made' has no event 'page-faults'");
    CHECK_STR(err.hint, "it has cycles, cpu-clock");
    fixture_done(&fixture);
}

TEST(calls_that_the_processor_noted_are_callers)
{
    struct fixture fixture = {0};
    struct perf_event_attr attr = fixture_clock(FIXTURE_CHAIN | PERF_SAMPLE_BRANCH_STACK);
    attr.branch_sample_type = PERF_SAMPLE_BRANCH_USER | PERF_SAMPLE_BRANCH_CALL_STACK;
    fixture_begin(&fixture, &attr, 1);
    add_program(&fixture, 7);
    struct hone_buffer body = {0};
    put_u64(&body, FIXTURE_FIRST_ID);
    put_u64(&body, PROGRAM + 0x10);
    put_u64(&body, 7ull << 32 | 7);
    put_u64(&body, 10);
    put_u64(&body, 1);
    put_u64(&body, 2);
    put_u64(&body, PERF_CONTEXT_USER);
    put_u64(&body, PROGRAM + 0x10);
    put_u64(&body, 2);
    const uint64_t branches[] = {LIBRARY + 0x20, PROGRAM, 0, PROGRAM + 0x30, LIBRARY + 0x8, 0};
    hone_buffer_add(&body, branches, sizeof branches);
    fixture_record(&fixture, PERF_RECORD_SAMPLE, PERF_RECORD_MISC_USER, &body);
    fixture_finish(&fixture);
    struct hone_profile *profile = read_made(&fixture);
    CHECK_STR(stack_text(profile, 0),
              "/none/program+0x1010;/none/library.so+0x20;/none/program+0x1030");
    hone_profile_free(profile);
    fixture_done(&fixture);
}

// --- features, streams, packed records -----------------------------------------------------------

static void add_some(struct fixture *fixture)
{
    add_program(fixture, 7);
    for (uint64_t i = 0; i < 500; i++) {
        fixture_chain(fixture, 0, 7, 10 + i,
                      (uint64_t[]){PERF_CONTEXT_USER, PROGRAM + i % 9, LIBRARY + i % 5 + 1, 0});
        if (i % 100 == 99)
            fixture_round(fixture);
    }
}

static void add_features(struct fixture *fixture)
{
    struct hone_buffer *host = fixture_feature(fixture, 3);
    put_u32(host, 8);
    hone_buffer_add(host, "desk\0\0\0", 8);
    struct hone_buffer *command = fixture_feature(fixture, 11);
    put_u32(command, 2);
    put_u32(command, 8);
    hone_buffer_add(command, "perf\0\0\0", 8);
    put_u32(command, 8);
    hone_buffer_add(command, "record\0", 8);
    struct hone_buffer *ids = fixture_feature(fixture, 2);
    const char path[] = "/none/program";
    const struct perf_event_header header = {0, 2 | 1 << 15, (uint16_t)(8 + 4 + 24 + 16)};
    hone_buffer_add(ids, &header, sizeof header);
    put_u32(ids, 7);
    uint8_t id[24] = {0xab, 0xcd, 0xef, [20] = 20};
    hone_buffer_add(ids, id, sizeof id);
    hone_buffer_add(ids, path, sizeof path);
    hone_buffer_add(ids, "\0", 2);
}

TEST(features_become_comments_and_build_ids)
{
    struct fixture fixture = {0};
    begin_clock(&fixture);
    add_some(&fixture);
    add_features(&fixture);
    fixture_finish(&fixture);
    struct hone_profile *profile = read_made(&fixture);
    CHECK(has_comment(profile, "recorded by perf on desk"));
    CHECK(has_comment(profile, "command: perf record"));
    CHECK_STR(hone_profile_text(profile, profile->mappings.at[1].file), "/none/program");
    CHECK_STR(hone_profile_text(profile, profile->mappings.at[1].build_id),
              "abcdef0000000000000000000000000000000000");
    hone_profile_free(profile);
    fixture_done(&fixture);
}

static void check_same(struct hone_profile *one, struct hone_profile *other)
{
    struct hone_buffer a = {0}, b = {0};
    CHECK_EQ(hone_profile_encode(one, &a, NULL), 0);
    CHECK_EQ(hone_profile_encode(other, &b, NULL), 0);
    CHECK_EQ(a.len, b.len);
    CHECK(memcmp(a.at, b.at, a.len) == 0);
    hone_buffer_done(&a);
    hone_buffer_done(&b);
    hone_profile_free(one);
    hone_profile_free(other);
}

TEST(packed_records_are_those_that_were_packed)
{
    // Records begin and end anywhere in the packed pieces.
    const size_t pieces[] = {1, 7, 100, 4096, 60000};
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        struct fixture plain = {0}, packed = {0};
        begin_clock(&plain);
        add_some(&plain);
        fixture_finish(&plain);
        begin_clock(&packed);
        add_some(&packed);
        fixture_pack(&packed, pieces[i]);
        fixture_finish(&packed);
        CHECK(packed.bytes.len < plain.bytes.len || i == 0);
        check_same(read_made(&plain), read_made(&packed));
        fixture_done(&plain);
        fixture_done(&packed);
    }
}

TEST(a_stream_gives_what_a_file_does)
{
    struct fixture file = {0}, stream = {0};
    const struct perf_event_attr attr = fixture_clock(FIXTURE_CHAIN);
    begin_clock(&file);
    add_some(&file);
    fixture_finish(&file);
    fixture_begin_pipe(&stream, &attr);
    struct hone_buffer body = {0};
    put_u32(&body, 12); // a record whose data follow it, filled up to 16 bytes
    fixture_record(&stream, 66, 0, &body);
    hone_buffer_add(&stream.bytes, "0123456789abcdef", 16);
    add_some(&stream);
    check_same(read_made(&file), read_made(&stream));
    fixture_done(&file);
    fixture_done(&stream);
}

TEST(processor_traces_are_skipped_and_told)
{
    struct fixture fixture = {0};
    begin_clock(&fixture);
    add_program(&fixture, 7);
    struct hone_buffer body = {0};
    put_u64(&body, 24);
    for (int i = 0; i < 4; i++)
        put_u64(&body, 0);
    fixture_record(&fixture, 71, 0, &body);
    hone_buffer_add(&fixture.bytes, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12);
    hone_buffer_add(&fixture.bytes, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12);
    fixture_chain(&fixture, 0, 7, 10, (uint64_t[]){PERF_CONTEXT_USER, PROGRAM + 0x10, 0});
    fixture_finish(&fixture);
    struct hone_profile *profile = read_made(&fixture);
    CHECK_EQ(profile->samples.count, 1);
    CHECK(has_comment(profile, "not read: 24 bytes of a processor trace"));
    hone_profile_free(profile);
    fixture_done(&fixture);
}

// --- damage --------------------------------------------------------------------------------------

TEST(what_is_whole_in_a_damaged_file_is_read_and_the_rest_told)
{
    struct fixture fixture = {0};
    begin_clock(&fixture);
    add_program(&fixture, 7);
    fixture_chain(&fixture, 0, 7, 10, (uint64_t[]){PERF_CONTEXT_USER, PROGRAM + 0x10, 0});
    size_t second = fixture.bytes.len;
    fixture_chain(&fixture, 0, 7, 11, (uint64_t[]){PERF_CONTEXT_USER, PROGRAM + 0x20, 0});
    char text[100];

    // perf was killed: the header does not know how long it is.
    struct hone_profile *profile = read_made(&fixture);
    CHECK_EQ(profile->samples.count, 2);
    CHECK(has_comment(profile, "perf ended before it could finish it"));
    hone_profile_free(profile);

    fixture_finish(&fixture);
    fixture.bytes.len = second + 20;
    profile = read_made(&fixture);
    CHECK_EQ(profile->samples.count, 1);
    CHECK(has_comment(profile, "shorter than its header says"));
    (void)snprintf(text, sizeof text, "ends within the record at byte %zu", second);
    CHECK(has_comment(profile, text));
    hone_profile_free(profile);

    fixture.bytes.len = second + 72;
    memset(fixture.bytes.at + second, 0, 8);
    profile = read_made(&fixture);
    CHECK_EQ(profile->samples.count, 1);
    (void)snprintf(text, sizeof text, "no record begins at byte %zu", second);
    CHECK(has_comment(profile, text));
    hone_profile_free(profile);
    fixture_done(&fixture);
}

TEST(broken_packed_data_ends_the_reading)
{
    struct fixture fixture = {0};
    begin_clock(&fixture);
    add_some(&fixture);
    fixture_pack(&fixture, 100);
    struct hone_buffer body = {0};
    put_text(&body, "no zstd at all");
    fixture_record(&fixture, 81, 0, &body);
    fixture_chain(&fixture, 0, 7, 9999, (uint64_t[]){PERF_CONTEXT_USER, PROGRAM + 0xff, 0});
    fixture_finish(&fixture);
    struct hone_profile *profile = read_made(&fixture);
    CHECK_EQ(profile->samples.count, 45);
    CHECK(has_comment(profile, "compressed data is broken at byte"));
    hone_profile_free(profile);
    fixture_done(&fixture);
}

// --- any bytes -----------------------------------------------------------------------------------

static void make_everything(struct fixture *fixture, bool packed)
{
    struct perf_event_attr attr = fixture_clock(FIXTURE_CHAIN);
    fixture_begin(fixture, &attr, 1);
    add_program(fixture, 7);
    fixture_fork(fixture, 8, 7, 8);
    for (uint64_t i = 0; i < 6; i++)
        fixture_chain(fixture, 0, 7 + (uint32_t)i % 2, 20 - i,
                      (uint64_t[]){PERF_CONTEXT_KERNEL, KERNEL, PERF_CONTEXT_USER, PROGRAM + i,
                                   LIBRARY + 1, 0});
    fixture_round(fixture);
    if (packed)
        fixture_pack(fixture, 64);
    add_features(fixture);
    fixture_finish(fixture);
}

// Each of them packed and not: a file, and a directory.
static void make_some(struct fixture *fixture, int which)
{
    if (which < 2)
        make_everything(fixture, which);
    else
        fixture->bytes = make_directory(which & 1, 0);
}

TEST(any_bytes_give_a_profile_or_words)
{
    for (int which = 0; which < 4; which++) {
        struct fixture fixture = {0};
        make_some(&fixture, which);
        CHECK_EQ(hone_perf_check(fixture.bytes.at, fixture.bytes.len, false), 0);
        for (size_t len = 0; len < fixture.bytes.len; len += 3)
            (void)hone_perf_check(fixture.bytes.at, len, false);
        uint32_t random = 12345;
        for (int turn = 0; turn < 1000; turn++) {
            char *changed = malloc(fixture.bytes.len);
            memcpy(changed, fixture.bytes.at, fixture.bytes.len);
            for (int i = 0; i <= turn % 3; i++) {
                random = random * 1664525 + 1013904223;
                size_t at = (random >> 8) % fixture.bytes.len;
                random = random * 1664525 + 1013904223;
                changed[at] =
                    (char)(turn % 2 ? (int)(random >> 24) : changed[at] ^ 1 << (random >> 29));
            }
            (void)hone_perf_check(changed, fixture.bytes.len, false);
            free(changed);
        }
        fixture_done(&fixture);
    }
}

TEST(recordings_of_the_corpus_are_read_whole)
{
    static const char *const names[] = {"chain", "copies", "events", "packed", "stream"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[512];
        (void)snprintf(path, sizeof path, HONE_CORPUS "/perf/%s.data", names[i]);
        const struct hone_perf_options options = {
            .size = sizeof options, .cache = "", .no_names = true};
        HONE_CLEANUP(hone_profile_freep) struct hone_profile *profile = NULL;
        struct hone_error err = {0};
        cr_assert(hone_perf_read_file(path, &options, &profile, &err) == 0, "%s", err.message);
        CHECK(profile->samples.count > 0);
        CHECK(has_comment(profile, "# samples lost: 0"));
        CHECK(!has_comment(profile, "file: "));
    }
}

TEST(memory_that_is_short_is_an_error_and_leaks_nothing)
{
    for (int which = 0; which < 4; which++) {
        struct fixture fixture = {0};
        make_some(&fixture, which);
        for (long after = 0;; after++) {
            CHECK(after < 10000);
            long blocks = hone_starve_blocks;
            hone_starve_after = after;
            (void)hone_perf_check(fixture.bytes.at, fixture.bytes.len, true);
            bool starved = hone_starve_after < 0;
            hone_starve_after = -1;
            CHECK_EQ(hone_starve_blocks, blocks);
            if (!starved)
                break;
        }
        fixture_done(&fixture);
    }
}
