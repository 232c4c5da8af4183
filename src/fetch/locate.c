// Recordings: which file is meant by a directory or by nothing.
#include "fetch/fetch.h"

#include "base/cleanup.h"
#include "convert/convert.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SESSIONS "profiles"

// What a recording is opened by: the first of these that it has; where a type of the heap or of
// locks is to be shown, the first of those.
#define FILES 7
static const char *const session_files[FILES] = {"cpu.prof",    "wall.prof",  "heap.prof",
                                                 "allocs.prof", "mutex.prof", "block.prof",
                                                 "threads.prof"};
static const char *const heap_files[FILES] = {"heap.prof",   "allocs.prof", "cpu.prof",
                                              "wall.prof",   "mutex.prof",  "block.prof",
                                              "threads.prof"};
static const char *const lock_files[FILES] = {"mutex.prof",  "block.prof", "cpu.prof",
                                              "wall.prof",   "heap.prof",  "allocs.prof",
                                              "threads.prof"};
static const char *const thread_files[FILES] = {"threads.prof", "block.prof", "cpu.prof",
                                                "wall.prof",    "heap.prof",  "allocs.prof",
                                                "mutex.prof"};

static const char *const *files_for(const char *type)
{
    if (type && strcmp(type, "threads") == 0)
        return thread_files;
    bool heap = type && (strncmp(type, "alloc_", 6) == 0 || strncmp(type, "inuse_", 6) == 0);
    bool lock = type && (strcmp(type, "contentions") == 0 || strcmp(type, "delay") == 0);
    return heap ? heap_files : lock ? lock_files : session_files;
}

static void closedirp(DIR **directory)
{
    if (*directory)
        (void)closedir(*directory);
}

static bool is_later(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec != b->tv_sec ? a->tv_sec > b->tv_sec : a->tv_nsec > b->tv_nsec;
}

static int path_of(char path[HONE_FETCH_PATH_MAX], const char *directory, const char *name,
                   const char *file, struct hone_error *err)
{
    int len = name ? snprintf(path, HONE_FETCH_PATH_MAX, "%s/%s/%s", directory, name, file)
                   : snprintf(path, HONE_FETCH_PATH_MAX, "%s/%s", directory, file);
    if (len < 0 || len >= HONE_FETCH_PATH_MAX)
        return hone_error_set(err, -ENAMETOOLONG, "cannot open '%s'", directory);
    return 0;
}

// The recording's file to open. -ENOENT: it has none.
static int file_of(char path[HONE_FETCH_PATH_MAX], const char *directory, const char *name,
                   const char *const files[FILES], struct stat *ret_status)
{
    for (size_t i = 0; i < FILES; i++)
        if (path_of(path, directory, name, files[i], NULL) == 0 && stat(path, ret_status) == 0 &&
            S_ISREG(ret_status->st_mode))
            return 0;
    return -ENOENT;
}

// The profile written last among the sessions in a directory: by its own time, and where two are
// equal by name, which holds the time of the start. path stays empty when there is none.
static int find_newest(const char *directory, const char *const files[FILES],
                       char path[HONE_FETCH_PATH_MAX], struct hone_error *err)
{
    path[0] = '\0';
    HONE_CLEANUP(closedirp) DIR *sessions = opendir(directory);
    if (!sessions)
        return errno == ENOENT ? 0 : hone_error_set(err, -errno, "cannot open '%s'", directory);

    struct timespec newest = {0};
    for (const struct dirent *entry; (entry = readdir(sessions)) != NULL;) {
        char candidate[HONE_FETCH_PATH_MAX];
        struct stat status;
        if (entry->d_name[0] == '.' ||
            file_of(candidate, directory, entry->d_name, files, &status) != 0)
            continue;
        bool equal =
            status.st_mtim.tv_sec == newest.tv_sec && status.st_mtim.tv_nsec == newest.tv_nsec;
        if (path[0] && !is_later(&status.st_mtim, &newest) &&
            !(equal && strcmp(candidate, path) > 0))
            continue;
        newest = status.st_mtim;
        memcpy(path, candidate, sizeof candidate);
    }
    return 0;
}

static int newest_session(const char *const files[FILES], char path[HONE_FETCH_PATH_MAX],
                          struct hone_error *err)
{
    int r = find_newest(SESSIONS, files, path, err);
    if (r)
        return r;
    if (!path[0]) {
        (void)hone_error_set(err, 0, "no FILE was given, and '" SESSIONS "' holds no recording");
        hone_error_hint(err, "make one: hone record PROGRAM");
        return -ENOENT;
    }
    return 0;
}

// A session, or a directory with sessions.
static int directory_profile(const char *directory, const char *const files[FILES],
                             char path[HONE_FETCH_PATH_MAX], struct hone_error *err)
{
    struct stat status;
    int r = path_of(path, directory, NULL, files[0], err);
    if (r || file_of(path, directory, NULL, files, &status) == 0)
        return r;
    r = find_newest(directory, files, path, err);
    if (r)
        return r;
    if (!path[0]) {
        (void)hone_error_set(err, 0, "'%s' holds no cpu.prof, wall.prof, heap.prof or block.prof",
                             directory);
        return -ENOENT;
    }
    return 0;
}

int hone_fetch_locate(const char *name, const char *type, char path[HONE_FETCH_PATH_MAX],
                      struct hone_error *err)
{
    struct stat status;
    const char *const *files = files_for(type);
    if (!name)
        return newest_session(files, path, err);
    if (stat(name, &status) == 0 && S_ISDIR(status.st_mode) && !hone_convert_is_directory(name))
        return directory_profile(name, files, path, err);
    int len = snprintf(path, HONE_FETCH_PATH_MAX, "%s", name);
    if (len < 0 || len >= HONE_FETCH_PATH_MAX)
        return hone_error_set(err, -ENAMETOOLONG, "cannot open '%s'", name);
    return 0;
}
