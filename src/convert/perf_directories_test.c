// Directories of perf record --threads: a file with the header, and one for each CPU.
#include "convert/perf_made.h"

#include "check.h"
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
