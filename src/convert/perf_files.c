// Where a perf.data comes from: a file, a pipe, or the directory that `perf record --threads`
// makes:
//
//     perf.data/data       as a perf.data that is a file: events, features, what was there before
//     perf.data/data.N     records of one buffer, of a CPU mostly, and nothing else
//     perf.data/kcore_dir  the kernel's code, with --kcore; not read
#include "convert/perf_parts.h"

#include "base/array.h"
#include "base/cleanup.h"
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum {
    STREAM_BYTES_MAX = 1 << 30, // of standard input, which is kept in memory
    PARTS_MAX = 1 << 14,        // CPUs that Linux can have, twice
    MAGIC_BYTES = 16,
};

#define MAIN_FILE "data"

static uint64_t time_of(const struct stat *st)
{
    return (uint64_t)st->st_mtim.tv_sec * 1000000000u + (uint64_t)st->st_mtim.tv_nsec;
}

static int map_file(const char *path, struct hone_file_map *ret, struct hone_error *err)
{
    int r = hone_file_map(path, ret, err);
    if (!r && ret->len)
        (void)madvise((void *)ret->at, ret->len, MADV_SEQUENTIAL);
    return r;
}

// --- directories ---------------------------------------------------------------------------------

struct directory {
    const char *path;
    struct hone_file_map main;
    struct hone_perfdata_part *parts;
    uint32_t count, room;
};

static void directory_done(struct directory *directory)
{
    hone_file_unmap(&directory->main);
    for (uint32_t i = 0; i < directory->count; i++) {
        struct hone_file_map map = {directory->parts[i].bytes, directory->parts[i].len};
        hone_file_unmap(&map);
    }
    free(directory->parts);
}

static void closedirp(DIR **stream)
{
    if (*stream)
        (void)closedir(*stream);
}

static bool path_in(char *path, const char *directory, const char *name)
{
    int len = snprintf(path, HONE_PERFDATA_PATH_MAX, "%s/%s", directory, name);
    return len > 0 && len < HONE_PERFDATA_PATH_MAX;
}

bool hone_perf_is_directory(const char *path)
{
    char main[HONE_PERFDATA_PATH_MAX];
    char magic[MAGIC_BYTES];
    struct stat st;
    if (!path_in(main, path, MAIN_FILE) || stat(main, &st) || !S_ISREG(st.st_mode))
        return false;
    HONE_CLEANUP(hone_fd_closep) int fd = open(main, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, magic, sizeof magic) : -1;
    return got > 0 && hone_perf_detect(magic, (size_t)got);
}

// N of "data.N", in digits as perf writes them.
static bool number_of(const char *name, uint32_t *ret)
{
    static const char before[] = MAIN_FILE ".";
    if (strncmp(name, before, sizeof before - 1) != 0)
        return false;
    const char *digits = name + sizeof before - 1;
    size_t len = strspn(digits, "0123456789");
    if (!len || len > 6 || digits[len] || (len > 1 && digits[0] == '0'))
        return false;
    *ret = (uint32_t)strtoul(digits, NULL, 10);
    return true;
}

static int add_part(struct directory *directory, const char *name, uint32_t number,
                    struct hone_error *err)
{
    char path[HONE_PERFDATA_PATH_MAX];
    struct hone_file_map map;
    if (directory->count == PARTS_MAX)
        return hone_error_set(err, -EBADMSG, "'%s' has more than %d files", directory->path,
                              PARTS_MAX);
    if (!path_in(path, directory->path, name))
        return hone_error_set(err, -ENAMETOOLONG, "cannot open '%s'", directory->path);
    if (!hone_array_reserve(&directory->parts, &directory->room, (uint64_t)directory->count + 1,
                            sizeof *directory->parts))
        return hone_error_set(err, -ENOMEM, "cannot read '%s'", directory->path);
    int r = map_file(path, &map, err);
    if (!r)
        directory->parts[directory->count++] =
            (struct hone_perfdata_part){.bytes = map.at, .len = map.len, .number = number};
    return r;
}

static int compare_parts(const void *left, const void *right)
{
    const struct hone_perfdata_part *a = left;
    const struct hone_perfdata_part *b = right;
    return a->number < b->number ? -1 : a->number > b->number;
}

static int add_parts(struct directory *directory, struct hone_error *err)
{
    HONE_CLEANUP(closedirp) DIR *stream = opendir(directory->path);
    if (!stream)
        return hone_error_set(err, -errno, "cannot open '%s'", directory->path);
    int r = 0;
    for (const struct dirent *entry; !r && (entry = readdir(stream)) != NULL;) {
        uint32_t number;
        if (number_of(entry->d_name, &number))
            r = add_part(directory, entry->d_name, number, err);
    }
    if (directory->count)
        qsort(directory->parts, directory->count, sizeof *directory->parts, compare_parts);
    return r;
}

static int read_directory(const char *path, const struct hone_perf_options *options,
                          struct hone_profile **ret, struct hone_error *err)
{
    HONE_CLEANUP(directory_done) struct directory directory = {.path = path};
    char main[HONE_PERFDATA_PATH_MAX];
    struct stat st;
    if (!path_in(main, path, MAIN_FILE))
        return hone_error_set(err, -ENAMETOOLONG, "cannot open '%s'", path);
    if (stat(main, &st)) {
        (void)hone_error_set(err, -EBADMSG, "'%s' is a directory without a file '" MAIN_FILE "'",
                             path);
        hone_error_hint(err, "'perf record --threads' makes directories, with that file");
        return -EBADMSG;
    }
    int r = map_file(main, &directory.main, err);
    if (!r)
        r = add_parts(&directory, err);
    if (r)
        return r;
    const struct hone_perfdata_input input = {
        .bytes = directory.main.at,
        .len = directory.main.len,
        .name = path,
        .is_mapped = true,
        .written_ns = time_of(&st),
        .parts = directory.parts,
        .part_count = directory.count,
    };
    return hone_perfdata_read_input(&input, options, ret, err);
}

// --- files ---------------------------------------------------------------------------------------

static int read_stream(const char *path, const char *name, const struct hone_perf_options *options,
                       struct hone_profile **ret, struct hone_error *err)
{
    struct hone_perfdata_input input = {.name = name};
    HONE_CLEANUP(hone_freep) char *bytes = NULL;
    int r = hone_file_read(path, STREAM_BYTES_MAX, &bytes, &input.len, err);
    input.bytes = bytes;
    return r ? r : hone_perfdata_read_input(&input, options, ret, err);
}

int hone_perf_read_file(const char *path, const struct hone_perf_options *options,
                        struct hone_profile **ret, struct hone_error *err)
{
    struct stat st;
    if (strcmp(path, "-") == 0)
        return read_stream("/dev/stdin", "standard input", options, ret, err);
    if (stat(path, &st))
        return hone_error_set(err, -errno, "cannot open '%s'", path);
    if (S_ISDIR(st.st_mode))
        return read_directory(path, options, ret, err);
    if (!S_ISREG(st.st_mode))
        return read_stream(path, path, options, ret, err);
    struct hone_file_map map;
    int r = map_file(path, &map, err);
    if (r)
        return r;
    const struct hone_perfdata_input input = {.bytes = map.at,
                                              .len = map.len,
                                              .name = path,
                                              .is_mapped = true,
                                              .written_ns = time_of(&st)};
    r = hone_perfdata_read_input(&input, options, ret, err);
    hone_file_unmap(&map);
    return r;
}
