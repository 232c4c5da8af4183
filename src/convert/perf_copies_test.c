// Copied stacks of perf record --call-graph dwarf: one of our own, walked by the rules in files.
#include "convert/perf_made.h"

#include "check.h"
#include "core/load.h"
#include "unwind/unwind.h"

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
