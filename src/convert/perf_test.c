#include "base/starve.h" // first: it stands in for malloc

#include "convert/perf_fixture.h"
#include "convert/perf_fuzz.h"

#include "base/cleanup.h"
#include "check.h"
#include "core/load.h"
#include "unwind/unwind.h"

#include <sys/stat.h>

static const uint64_t PROGRAM = 0x400000, LIBRARY = 0x7f0000000000, KERNEL = 0xffffffff81000000;

static struct hone_profile *read_named(const struct fixture *fixture, const char *event,
                                       bool no_names)
{
    const struct hone_perf_options options = {
        .size = sizeof options, .event = event, .cache = "", .no_names = no_names};
    struct hone_profile *profile = NULL;
    struct hone_error err = {0};
    int r = hone_perf_read(fixture->bytes.at, fixture->bytes.len, "made", &options, &profile, &err);
    cr_assert(r == 0, "%s", err.message);
    return profile;
}

static struct hone_profile *read_made(const struct fixture *fixture)
{
    return read_named(fixture, NULL, true);
}

static bool has_comment(const struct hone_profile *profile, const char *text)
{
    for (uint32_t i = 0; i < profile->comment_count; i++)
        if (strstr(hone_profile_text(profile, profile->comments[i]), text))
            return true;
    return false;
}

// "file+0xoffset;…", leaf first; "?" is no file's.
static const char *stack_text(const struct hone_profile *profile, uint32_t sample)
{
    static char text[1024];
    text[0] = '\0';
    struct hone_profile_span frames =
        hone_profile_frames_of(profile, profile->samples.stack[sample]);
    for (uint32_t i = 0; i < frames.count; i++) {
        uint32_t location = frames.at[i], mapping = profile->locations.mapping[location];
        const struct hone_profile_mapping *at = &profile->mappings.at[mapping];
        struct hone_profile_line_span lines = hone_profile_lines_of(profile, location);
        size_t len = strlen(text);
        uint64_t address = profile->locations.address[location];
        if (mapping)
            (void)snprintf(text + len, sizeof text - len, "%s%s+%#llx", i ? ";" : "",
                           hone_profile_text(profile, at->file),
                           (unsigned long long)(at->start == 1ull << 63
                                                    ? address
                                                    : address - at->start + at->offset));
        else
            (void)snprintf(text + len, sizeof text - len, "%s%s", i ? ";" : "",
                           lines.count ? hone_profile_text(
                                             profile, profile->functions.name[lines.at[0].function])
                                       : "?");
    }
    return text;
}

static const char *label_text(const struct hone_profile *profile, uint32_t sample, const char *key)
{
    struct hone_profile_label_span labels =
        hone_profile_labels_of(profile, profile->samples.label_set[sample]);
    for (uint32_t i = 0; i < labels.count; i++)
        if (strcmp(hone_profile_text(profile, labels.at[i].key), key) == 0)
            return hone_profile_text(profile, labels.at[i].text);
    return "";
}

static void begin_clock(struct fixture *fixture)
{
    const struct perf_event_attr attr = fixture_clock(FIXTURE_CHAIN);
    fixture_begin(fixture, &attr, 1);
}

// One program with a library.
static void add_program(struct fixture *fixture, uint32_t pid)
{
    fixture_name(fixture, pid, "prog", true, 1);
    fixture_map(fixture, pid, PROGRAM, 0x10000, 0x1000, 0, "/none/program", 2);
    fixture_map(fixture, pid, LIBRARY, 0x10000, 0, 0, "/none/library.so", 3);
}

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

// --- copied stacks -------------------------------------------------------------------------------

#if defined(__x86_64__)
enum { COPY_BYTES = 16 << 10, COPY_STEP = 64 };
static const uint8_t dwarf_of[] = {0, 3, 2, 1, 4, 5, 6, 7, 16, 8, 9, 10, 11, 12, 13, 14, 15};
static const uint64_t register_mask = 0xff01ff;

static struct hone_registers copied;
static uint8_t copy[COPY_BYTES];
static size_t copied_bytes;

void hone_perf_test_inner(void);
void hone_perf_test_middle(void);
void hone_perf_test_outer(void);

__attribute__((noinline, noipa, no_sanitize("address"))) void hone_perf_test_inner(void)
{
    hone_registers_here(&copied);
    // As far as the stack reaches: Criterion's tests begin near its end.
    for (copied_bytes = 0; copied_bytes < COPY_BYTES; copied_bytes += COPY_STEP)
        if (!hone_safe_copy(copy + copied_bytes, copied.r[HONE_REGISTER_SP] + copied_bytes,
                            COPY_STEP))
            break;
}

__attribute__((noinline, noipa)) void hone_perf_test_middle(void)
{
    volatile char room[1000];
    room[0] = 1;
    hone_perf_test_inner();
    room[1] = room[0];
}

__attribute__((noinline, noipa)) void hone_perf_test_outer(void)
{
    hone_perf_test_middle();
    __asm__ volatile("");
}

static void add_own_maps(struct fixture *fixture, uint32_t pid)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[4096];
    while (maps && fgets(line, sizeof line, maps)) {
        unsigned long long start, end, offset, inode;
        char permissions[5], path[2048] = "";
        if (sscanf(line, "%llx-%llx %4s %llx %*s %llu %2047s", &start, &end, permissions, &offset,
                   &inode, path) >= 5 &&
            permissions[2] == 'x' && path[0])
            fixture_map(fixture, pid, start, end - start, offset, inode, path, 2);
    }
    (void)fclose(maps);
}

static void add_copy(struct fixture *fixture, uint64_t stack_bytes, uint64_t time_ns)
{
    struct hone_buffer body = {0};
    put_u64(&body, FIXTURE_FIRST_ID);
    put_u64(&body, copied.r[HONE_REGISTER_IP]);
    put_u64(&body, 7ull << 32 | 7);
    put_u64(&body, time_ns);
    put_u64(&body, 1);
    put_u64(&body, 0); // no chain
    put_u64(&body, PERF_SAMPLE_REGS_ABI_64);
    for (size_t i = 0; i < sizeof dwarf_of; i++)
        put_u64(&body, copied.r[dwarf_of[i]]);
    put_u64(&body, COPY_BYTES);
    hone_buffer_add(&body, copy, COPY_BYTES);
    put_u64(&body, stack_bytes);
    fixture_record(fixture, PERF_RECORD_SAMPLE, PERF_RECORD_MISC_USER, &body);
}

static bool has_callers(const struct hone_profile *profile, uint32_t sample,
                        const char *const *names)
{
    struct hone_profile_span frames =
        hone_profile_frames_of(profile, profile->samples.stack[sample]);
    for (uint32_t i = 0; i < frames.count && *names; i++) {
        struct hone_profile_line_span lines = hone_profile_lines_of(profile, frames.at[i]);
        for (uint32_t k = 0; k < lines.count && *names; k++)
            names +=
                strcmp(hone_profile_text(profile, profile->functions.name[lines.at[k].function]),
                       *names) == 0;
    }
    return !*names;
}

TEST(copied_stacks_are_walked_by_the_rules_in_files)
{
    struct fixture fixture = {0};
    struct perf_event_attr attr =
        fixture_clock(FIXTURE_CHAIN | PERF_SAMPLE_REGS_USER | PERF_SAMPLE_STACK_USER);
    attr.sample_regs_user = register_mask;
    fixture_begin(&fixture, &attr, 1);
    fixture_name(&fixture, 7, "prog", true, 1);
    add_own_maps(&fixture, 7);
    hone_perf_test_outer();
    add_copy(&fixture, copied_bytes, 10);
    add_copy(&fixture, 64, 11); // of which the kernel could read next to nothing
    fixture_finish(&fixture);
    struct hone_profile *profile = read_named(&fixture, NULL, false);
    static const char *const names[] = {"hone_perf_test_inner", "hone_perf_test_middle",
                                        "hone_perf_test_outer", NULL};
    CHECK_EQ(profile->samples.count, 2);
    CHECK(has_callers(profile, 0, names));
    static const char *const cut[] = {"hone_perf_test_inner", "[truncated]", NULL};
    CHECK(has_callers(profile, 1, cut));
    CHECK(!has_callers(profile, 1, names));
    CHECK(has_comment(profile, "the copy of the stack ends before it"));
    hone_profile_free(profile);
    fixture_done(&fixture);
}
#endif

// --- directories of perf record --threads
// ---------------------------------------------------------

// A file with records alone, of a fixture with the same events.
static void add_part(struct hone_buffer *files, struct fixture *fixture)
{
    uint32_t size = (uint32_t)(fixture->bytes.len - fixture->data_at);
    hone_buffer_add(files, &size, sizeof size);
    hone_buffer_add(files, fixture->bytes.at + fixture->data_at, size);
    fixture_done(fixture);
}

// As `perf record --threads` leaves it: who was there before in the file with the header, samples
// of two CPUs in others. `broken` bytes of the first are none of a record.
static struct hone_buffer make_directory(bool packed, size_t broken)
{
    struct hone_buffer files = {0};
    struct fixture main = {0}, first = {0}, second = {0}, none = {0};
    begin_clock(&main);
    fixture_name(&main, 7, "prog", true, 0);
    fixture_map(&main, 7, PROGRAM, 0x10000, 0x1000, 0, "/none/program", 0);
    fixture_finish(&main);
    begin_clock(&first);
    for (uint64_t i = 0; i < 40; i++)
        fixture_chain(&first, 0, 7, 10 + i,
                      (uint64_t[]){PERF_CONTEXT_USER, (i < 20 ? PROGRAM : LIBRARY) + 1, 0});
    if (packed)
        fixture_pack(&first, 64);
    hone_buffer_add(&first.bytes, "\xff\xff\xff\xff\xff\xff\0\0", broken);
    begin_clock(&second);
    // The library comes while both run: it is there for what is later on any CPU.
    fixture_chain(&second, 0, 7, 12, (uint64_t[]){PERF_CONTEXT_USER, LIBRARY + 1, 0});
    fixture_map(&second, 7, LIBRARY, 0x10000, 0, 0, "/none/library.so", 29);
    fixture_chain(&second, 0, 7, 35, (uint64_t[]){PERF_CONTEXT_USER, PROGRAM + 2, 0});
    if (packed)
        fixture_pack(&second, 4096);
    begin_clock(&none);
    hone_buffer_text(&files, HONE_PERF_PARTS);
    uint32_t size = (uint32_t)main.bytes.len;
    hone_buffer_add(&files, &size, sizeof size);
    hone_buffer_add(&files, main.bytes.at, size);
    fixture_done(&main);
    add_part(&files, &first);
    add_part(&files, &none); // a CPU where nothing ran
    add_part(&files, &second);
    return files;
}

static struct hone_profile *read_directory(const struct hone_buffer *files)
{
    const struct hone_perf_options options = {
        .size = sizeof options, .cache = "", .no_names = true, .threads = 1};
    struct hone_profile *profile = NULL;
    struct hone_error err = {0};
    int r = hone_perf_read_checked((const unsigned char *)files->at, files->len, &options, &profile,
                                   &err);
    cr_assert(r == 0, "%s", err.message);
    return profile;
}

static int64_t samples_of(const struct hone_profile *profile, const char *stack)
{
    int64_t count = 0;
    for (uint32_t i = 0; i < profile->samples.count; i++)
        if (strcmp(stack_text(profile, i), stack) == 0)
            count += profile->samples.values[0][i];
    return count;
}

TEST(files_of_several_cpus_are_read_in_the_order_of_time)
{
    for (int packed = 0; packed < 2; packed++) {
        struct hone_buffer files = make_directory(packed, 0);
        struct hone_profile *profile = read_directory(&files);
        CHECK_EQ(samples_of(profile, "/none/program+0x1001"), 20);
        CHECK_EQ(samples_of(profile, "/none/library.so+0x1"), 20);
        CHECK_EQ(samples_of(profile, "/none/program+0x1002"), 1);
        CHECK_EQ(samples_of(profile, "[unknown code]"), 1); // before the library was there
        CHECK_STR(label_text(profile, 0, "process"), "program");
        CHECK(!has_comment(profile, "file: "));
        CHECK(!has_comment(profile, "# order: "));
        hone_profile_free(profile);
        hone_buffer_done(&files);
    }
}

TEST(damage_in_one_of_several_files_is_told_and_the_others_are_read)
{
    struct hone_buffer files = make_directory(false, 8);
    struct hone_profile *profile = read_directory(&files);
    CHECK_EQ(samples_of(profile, "/none/library.so+0x1"), 20);
    CHECK_EQ(samples_of(profile, "/none/program+0x1002"), 1);
    CHECK(has_comment(profile, "file: data.0: no record begins at byte 2880, what follows is not"));
    hone_profile_free(profile);
    hone_buffer_done(&files);
    files = make_directory(false, 4);
    profile = read_directory(&files);
    CHECK(has_comment(profile, "file: data.0: it ends within the record at byte 2880"));
    hone_profile_free(profile);
    hone_buffer_done(&files);
}

TEST(the_header_of_a_directory_alone_says_where_its_samples_are)
{
    struct fixture fixture = {0};
    begin_clock(&fixture);
    add_program(&fixture, 7);
    put_u64(fixture_feature(&fixture, 24), 1);
    fixture_finish(&fixture);
    struct hone_profile *profile = read_made(&fixture);
    CHECK(has_comment(profile, "in other files of its directory; give that"));
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
