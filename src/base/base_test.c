#include "base/base.h"

#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

TEST(error_says_what_where_and_why_in_lower_case)
{
    struct hone_error err = {0};
    CHECK_EQ(hone_error_set(&err, -ENOENT, "cannot open '%s'", "x"), -ENOENT);
    CHECK_STR(err.message, "cannot open 'x': no such file or directory");
}

TEST(an_error_about_a_long_name_still_says_why)
{
    char name[4000];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    struct hone_error err = {0};
    CHECK_EQ(hone_error_set(&err, -ENOENT, "cannot open '%s'", name), -ENOENT);
    CHECK(strncmp(err.message, "cannot open 'nnn", 16) == 0);
    CHECK(strstr(err.message, "n…n"));
    CHECK(strstr(err.message, "n': no such file or directory"));
    hone_error_hint(&err, "rename '%s'", name);
    CHECK(strncmp(err.hint, "rename 'n", 9) == 0 && err.hint[strlen(err.hint) - 1] == '\'');
}

TEST(who_cannot_write_for_want_of_room_is_told_what_to_do)
{
    struct hone_error err = {0};
    CHECK_EQ(hone_file_write("/dev/full", "abc", 3, &err), -ENOSPC);
    CHECK_STR(err.message, "cannot write '/dev/full': no space left on device");
    CHECK_STR(err.hint, "make room there, or give another place with -o");
}

TEST(what_is_mapped_is_a_file_and_no_pipe_that_nobody_writes_to)
{
    char pipe[] = "/tmp/hone-pipe-XXXXXX";
    struct hone_error err = {0};
    struct hone_file_map map;
    CHECK(mkdtemp(pipe));
    CHECK_EQ(rmdir(pipe), 0);
    CHECK_EQ(mkfifo(pipe, 0600), 0);
    CHECK_EQ(hone_file_map(pipe, &map, &err), -EINVAL);
    CHECK(strstr(err.message, "is not a regular file"));
    CHECK_EQ(unlink(pipe), 0);
}

TEST(error_without_a_taker_is_only_a_code)
{
    CHECK_EQ(hone_error_set(NULL, -EIO, "lost"), -EIO);
}

TEST(arena_keeps_every_piece_apart_and_aligned)
{
    struct hone_arena arena = {0};
    char *pieces[200];
    for (int i = 0; i < 200; i++) {
        pieces[i] = hone_arena_alloc(&arena, (size_t)i * 37 + 1);
        CHECK_EQ((uintptr_t)pieces[i] % 16, 0);
        memset(pieces[i], i, (size_t)i * 37 + 1);
    }
    for (int i = 0; i < 200; i++)
        CHECK_EQ((unsigned char)pieces[i][i * 37], i);
    hone_arena_done(&arena);
}

TEST(arena_refuses_sizes_that_overflow)
{
    struct hone_arena arena = {0};
    CHECK(hone_arena_zalloc(&arena, SIZE_MAX / 2, 4) == NULL);
    CHECK(hone_arena_alloc(&arena, SIZE_MAX - 8) == NULL);
    hone_arena_done(&arena);
}

TEST(buffer_grows_and_formats)
{
    struct hone_buffer out = {0};
    for (int i = 0; i < 1000; i++)
        hone_buffer_format(&out, "%d,", i);
    CHECK(!out.failed);
    CHECK_EQ(out.len, 10 * 2 + 90 * 3 + 900 * 4);
    hone_buffer_done(&out);
}

TEST(what_is_no_file_is_written_to_and_stays)
{
    char directory[] = "/tmp/hone-base-XXXXXX";
    char fifo[64], link[64], file[64];
    struct stat st;
    CHECK(mkdtemp(directory));
    (void)snprintf(fifo, sizeof fifo, "%s/fifo", directory);
    (void)snprintf(link, sizeof link, "%s/link", directory);
    (void)snprintf(file, sizeof file, "%s/file", directory);
    CHECK_EQ(mkfifo(fifo, 0600), 0);
    int fd = open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    CHECK(fd >= 0);
    CHECK_EQ(hone_file_write(fifo, "abc", 3, NULL), 0);
    char got[8] = "";
    CHECK_EQ(read(fd, got, sizeof got - 1), 3);
    CHECK_STR(got, "abc");
    CHECK(stat(fifo, &st) == 0 && S_ISFIFO(st.st_mode));
    (void)close(fd);

    CHECK_EQ(hone_file_write(file, "old", 3, NULL), 0);
    CHECK_EQ(symlink("file", link), 0);
    CHECK_EQ(hone_file_write(link, "newer", 5, NULL), 0);
    CHECK(lstat(link, &st) == 0 && S_ISLNK(st.st_mode));
    CHECK(stat(file, &st) == 0 && st.st_size == 5);
    (void)unlink(fifo);
    (void)unlink(link);
    (void)unlink(file);
    (void)rmdir(directory);
}

TEST(file_written_is_read_back_and_limit_is_kept)
{
    char path[] = "/tmp/hone-base-test-XXXXXX";
    CHECK_EQ(close(mkstemp(path)), 0);
    CHECK_EQ(hone_file_write(path, "hello", 5, NULL), 0);
    char *bytes = NULL;
    size_t len = 0;
    CHECK_EQ(hone_file_read(path, 100, &bytes, &len, NULL), 0);
    CHECK_STR(bytes, "hello");
    free(bytes);
    CHECK_EQ(hone_file_read(path, 4, &bytes, &len, NULL), -EFBIG);
    CHECK_EQ(unlink(path), 0);
}
