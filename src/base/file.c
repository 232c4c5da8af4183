#include "base/file.h"

#include "base/buffer.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int hone_file_map(const char *path, struct hone_file_map *ret, struct hone_error *err)
{
    // A pipe may stand there now, whose open would wait for a writer.
    HONE_CLEANUP(hone_fd_closep)
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st;
    if (fd < 0 || fstat(fd, &st))
        return hone_error_set(err, -errno, "cannot open '%s'", path);
    if (!S_ISREG(st.st_mode))
        return hone_error_set(err, -EINVAL, "'%s' is not a regular file", path);
    if (st.st_size == 0) {
        *ret = (struct hone_file_map){(const unsigned char *)"", 0};
        return 0;
    }
    void *at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (at == MAP_FAILED)
        return hone_error_set(err, -errno, "cannot map '%s'", path);
    *ret = (struct hone_file_map){at, (size_t)st.st_size};
    return 0;
}

void hone_file_unmap(struct hone_file_map *map)
{
    if (map->at && map->len)
        (void)munmap((void *)map->at, map->len);
    *map = (struct hone_file_map){0};
}

int hone_file_read(const char *path, size_t limit, char **ret, size_t *ret_len,
                   struct hone_error *err)
{
    HONE_CLEANUP(hone_fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return hone_error_set(err, -errno, "cannot open '%s'", path);
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer bytes = {0};
    for (;;) {
        char chunk[65536];
        ssize_t got = read(fd, chunk, sizeof chunk);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return hone_error_set(err, -errno, "cannot read '%s'", path);
        if (got == 0)
            break;
        if ((size_t)got > limit - bytes.len)
            return hone_error_set(err, -EFBIG, "'%s' is larger than %zu bytes", path, limit);
        hone_buffer_add(&bytes, chunk, (size_t)got);
    }
    hone_buffer_add(&bytes, "", 1);
    if (bytes.failed)
        return hone_error_set(err, -ENOMEM, "cannot read '%s'", path);
    *ret_len = bytes.len - 1;
    *ret = hone_take(bytes.at);
    return 0;
}

static int write_all(int fd, const char *at, size_t len)
{
    while (len) {
        ssize_t put = write(fd, at, len);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -errno;
        at += put;
        len -= (size_t)put;
    }
    return 0;
}

static bool is_device(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
}

static int write_through(const char *path, const void *bytes, size_t len)
{
    HONE_CLEANUP(hone_fd_closep) int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = write_all(fd, bytes, len);
    return !r && close(hone_fd_take(&fd)) ? -errno : r;
}

static int write_beside(const char *path, const void *bytes, size_t len)
{
    char temporary[PATH_MAX];
    if ((size_t)snprintf(temporary, sizeof temporary, "%s.part", path) >= sizeof temporary)
        return -ENAMETOOLONG;
    HONE_CLEANUP(hone_fd_closep)
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return -errno;
    int r = write_all(fd, bytes, len);
    if (!r && close(hone_fd_take(&fd)))
        r = -errno;
    if (!r && rename(temporary, path))
        r = -errno;
    if (r)
        (void)unlink(temporary);
    return r;
}

int hone_file_write(const char *path, const void *bytes, size_t len, struct hone_error *err)
{
    char target[PATH_MAX]; // where a link leads: the link stays
    int r = is_device(path)          ? write_through(path, bytes, len)
            : realpath(path, target) ? write_beside(target, bytes, len)
                                     : write_beside(path, bytes, len);
    if (!r)
        return 0;
    (void)hone_error_set(err, r, "cannot write '%s'", path);
    if (r == -ENOSPC || r == -EDQUOT)
        hone_error_hint(err, "make room there, or give another place with -o");
    return r;
}
