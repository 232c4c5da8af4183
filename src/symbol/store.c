#include "symbol/store.h"

#include "base/base.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SUFFIX ".symbols"

enum {
    ID_MAX = 64,
    LEFTOVER_SECONDS = 3600, // a file that is being written is done by then, or its writer is dead
};

static const uint64_t default_limit = (uint64_t)1 << 30;

// ---- The folder

static char *usual_directory(void)
{
    char *path = NULL;
    const char *own = getenv("HONE_CACHE"), *all = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int r = -1;
    if (own)
        r = own[0] ? asprintf(&path, "%s/symbols", own) : -1;
    else if (all && all[0] == '/')
        r = asprintf(&path, "%s/hone/symbols", all);
    else if (home && home[0] == '/')
        r = asprintf(&path, "%s/.cache/hone/symbols", home);
    return r < 0 ? NULL : path;
}

void hone_symbol_store_init(struct hone_symbol_store *store, const char *directory, uint64_t limit)
{
    *store = (struct hone_symbol_store){.limit = limit ? limit : default_limit};
    if (!directory)
        store->directory = usual_directory();
    else if (directory[0])
        store->directory = strdup(directory);
}

void hone_symbol_store_done(struct hone_symbol_store *store)
{
    free(store->directory);
    store->directory = NULL;
}

// Ours alone: what others may write to could be prepared for us, and files of root in a user's home
// would be in the user's way.
static bool is_ours(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid() &&
           !(st.st_mode & (S_IWGRP | S_IWOTH));
}

// Makes path and what is missing above it, below a folder that is ours.
static bool make_directory(char *path)
{
    if (is_ours(path))
        return true;
    struct stat st;
    if (stat(path, &st) == 0 || errno != ENOENT)
        return false;
    char *slash = strrchr(path, '/');
    if (!slash || slash == path)
        return false;
    *slash = '\0';
    // The first folder that is there already may be a common one, such as /tmp.
    bool above = (stat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid()) ||
                 make_directory(path);
    *slash = '/';
    return above && (mkdir(path, 0700) == 0 || errno == EEXIST) && is_ours(path);
}

bool hone_symbol_store_usable(struct hone_symbol_store *store)
{
    return store->directory && make_directory(store->directory) &&
           access(store->directory, W_OK) == 0;
}

static bool path_of(const struct hone_symbol_store *store, const unsigned char *build_id,
                    size_t build_id_len, char *ret, size_t size)
{
    char hex[2 * ID_MAX + 1];
    if (!store->directory || build_id_len < 4 || build_id_len > ID_MAX)
        return false;
    for (size_t i = 0; i < build_id_len; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", build_id[i]);
    return (size_t)snprintf(ret, size, "%s/%s" SUFFIX, store->directory, hex) < size;
}

// ---- Files

int hone_symbol_store_map(const struct hone_symbol_store *store, const unsigned char *build_id,
                          size_t build_id_len, struct hone_file_map *ret)
{
    char path[4096];
    if (!path_of(store, build_id, build_id_len, path, sizeof path))
        return -ENOENT;
    HONE_CLEANUP(hone_fd_closep)
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat st;
    if (fd < 0 || fstat(fd, &st))
        return -errno;
    if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || st.st_size <= 0)
        return -EPERM;
    void *at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (at == MAP_FAILED)
        return -errno;
    *ret = (struct hone_file_map){at, (size_t)st.st_size};
    // Its time of access, which mounts often do not keep, is what decides who has to go.
    (void)futimens(fd, (const struct timespec[]){{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_NOW}});
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

struct kept {
    char name[2 * ID_MAX + sizeof SUFFIX];
    struct timespec used;
    uint64_t bytes;
};

static int by_use(const void *left, const void *right)
{
    const struct kept *a = left, *b = right;
    if (a->used.tv_sec != b->used.tv_sec)
        return a->used.tv_sec < b->used.tv_sec ? -1 : 1;
    if (a->used.tv_nsec != b->used.tv_nsec)
        return a->used.tv_nsec < b->used.tv_nsec ? -1 : 1;
    return strcmp(a->name, b->name);
}

// What a writer that died has left behind.
static bool is_leftover(const char *name, const struct stat *st)
{
    return strncmp(name, ".new-", 5) == 0 && st->st_mtime < time(NULL) - LEFTOVER_SECONDS;
}

static struct kept *list_files(DIR *directory, size_t *ret_count, uint64_t *ret_bytes)
{
    struct kept *files = NULL;
    size_t count = 0, room = 0;
    uint64_t bytes = 0;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        struct stat st;
        size_t len = strlen(entry->d_name), end = strlen(SUFFIX);
        if (fstatat(dirfd(directory), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) ||
            !S_ISREG(st.st_mode))
            continue;
        if (is_leftover(entry->d_name, &st))
            (void)unlinkat(dirfd(directory), entry->d_name, 0);
        if (len < end || len >= sizeof files->name ||
            strcmp(entry->d_name + len - end, SUFFIX) != 0)
            continue;
        if (count == room) {
            room = room ? room * 2 : 64;
            struct kept *grown = reallocarray(files, room, sizeof *files);
            if (!grown)
                break;
            files = grown;
        }
        files[count] = (struct kept){.used = st.st_mtim, .bytes = (uint64_t)st.st_size};
        memcpy(files[count].name, entry->d_name, len + 1);
        bytes += files[count++].bytes;
    }
    *ret_count = count;
    *ret_bytes = bytes;
    return files;
}

static void evict(const struct hone_symbol_store *store)
{
    DIR *directory = opendir(store->directory);
    if (!directory)
        return;
    size_t count;
    uint64_t bytes;
    struct kept *files = list_files(directory, &count, &bytes);
    if (bytes > store->limit)
        qsort(files, count, sizeof *files, by_use);
    for (size_t i = 0; i < count && bytes > store->limit; i++) {
        if (unlinkat(dirfd(directory), files[i].name, 0) == 0 || errno == ENOENT)
            bytes -= files[i].bytes;
    }
    free(files);
    (void)closedir(directory);
}

int hone_symbol_store_write(struct hone_symbol_store *store, const unsigned char *build_id,
                            size_t build_id_len, const void *bytes, size_t len)
{
    char path[4096], temporary[4096];
    if (!path_of(store, build_id, build_id_len, path, sizeof path) ||
        (size_t)snprintf(temporary, sizeof temporary, "%s/.new-XXXXXX", store->directory) >=
            sizeof temporary)
        return -ENOENT;
    // Larger than all may be together: it would only push out the others.
    if (len > store->limit)
        return -EFBIG;
    HONE_CLEANUP(hone_fd_closep) int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = write_all(fd, bytes, len);
    if (!r && close(hone_fd_take(&fd)))
        r = -errno;
    if (!r && rename(temporary, path))
        r = -errno;
    if (r) {
        (void)unlink(temporary);
        return r;
    }
    evict(store);
    return 0;
}
