#include "fetch/fetch.h"

#include "check.h"
#include "profile/profile.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static char scratch[64];

static struct hone_profile *profile_of(const char *file, const char *type)
{
    struct hone_profile *p = hone_profile_new();
    hone_profile_add_type(p, "samples", "count");
    hone_profile_add_type(p, type, "count");
    if (file)
        hone_profile_add_mapping(p,
                                 &(struct hone_profile_mapping){
                                     .start = 1, .limit = 2, .file = hone_profile_intern(p, file)});
    return p;
}

// The name under which it is saved; the profile is freed.
static const char *saved(struct hone_profile *p)
{
    static char path[HONE_FETCH_PATH_MAX];
    struct hone_error err = {0};
    CHECK_EQ(hone_fetch_save(p, path, &err), 0);
    struct hone_profile *again = NULL;
    CHECK_EQ(hone_profile_read(path, NULL, &again, &err), 0);
    hone_profile_free(again);
    hone_profile_free(p);
    CHECK(strncmp(path, scratch, strlen(scratch)) == 0);
    return path + strlen(scratch);
}

static void enter_scratch(void)
{
    (void)snprintf(scratch, sizeof scratch, "/tmp/hone-save-XXXXXX");
    CHECK(mkdtemp(scratch));
    (void)unsetenv("PPROF_TMPDIR");
    CHECK_EQ(setenv("HOME", scratch, 1), 0);
}

TEST(names_are_those_of_pprof_with_the_first_free_number)
{
    enter_scratch();
    CHECK_STR(saved(profile_of("/usr/bin/server", "cpu")),
              "/pprof/pprof.server.samples.cpu.001.pb.gz");
    CHECK_STR(saved(profile_of("/usr/bin/server", "cpu")),
              "/pprof/pprof.server.samples.cpu.002.pb.gz");
    CHECK_STR(saved(profile_of(NULL, "cpu")), "/pprof/pprof.samples.cpu.001.pb.gz");
}

TEST(the_environment_says_where)
{
    enter_scratch();
    char path[128];
    (void)snprintf(path, sizeof path, "%s/a/b", scratch);
    CHECK_EQ(setenv("PPROF_TMPDIR", path, 1), 0);
    CHECK_STR(saved(profile_of("x", "cpu")), "/a/b/pprof.x.samples.cpu.001.pb.gz");
    // What cannot be a directory is passed over.
    CHECK_EQ(setenv("PPROF_TMPDIR", "/dev/null/x", 1), 0);
    CHECK_STR(saved(profile_of("x", "cpu")), "/pprof/pprof.x.samples.cpu.001.pb.gz");
}

TEST(names_of_strangers_stay_in_the_directory)
{
    enter_scratch();
    CHECK_STR(saved(profile_of("/x/..", "../../../../tmp/evil\033[m\n")),
              "/pprof/pprof....samples..._.._.._.._tmp_evil_[m_.001.pb.gz");
    char long_name[5000];
    memset(long_name, 'a', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    CHECK(strlen(saved(profile_of(long_name, long_name))) < 255);
}

TEST(a_place_without_room_is_an_error)
{
    enter_scratch();
    CHECK_EQ(setenv("PPROF_TMPDIR", "/proc/self", 1), 0);
    char path[HONE_FETCH_PATH_MAX];
    struct hone_error err = {0};
    struct hone_profile *p = profile_of("x", "cpu");
    CHECK(hone_fetch_save(p, path, &err) < 0);
    CHECK(strncmp(err.message, "cannot write '/proc/self/pprof.x.", 33) == 0);
    hone_profile_free(p);
}
