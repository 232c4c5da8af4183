#include "capture/marks.h"

#include "base/cleanup.h"
#include "core/clock.h"
#include "session/writer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

void hone_marks_folder(const char *directory, char ret[HONE_SESSION_FOLDER])
{
    char path[PATH_MAX];
    ret[0] = '\0';
    size_t len = strlen(directory);
    while (len > 1 && directory[len - 1] == '/')
        len--;
    if (len == 0 || len >= sizeof path)
        return;
    memcpy(path, directory, len);
    path[len] = '\0';
    char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    char *parent = NULL;
    if (!slash) {
        parent = realpath(".", NULL);
    } else if (slash == path) {
        parent = strdup("");
    } else {
        *slash = '\0';
        parent = realpath(path, NULL);
    }
    if (parent &&
        (size_t)snprintf(ret, HONE_SESSION_FOLDER, "%s/%s", strcmp(parent, "/") == 0 ? "" : parent,
                         name) >= HONE_SESSION_FOLDER)
        ret[0] = '\0';
    free(parent);
}

// --- sessions that run ---------------------------------------------------------------------------

struct found {
    struct hone_session_header *header; // mapped; NULL: none
    uint32_t recorder;
};

static void found_done(struct found *found)
{
    if (found->header)
        (void)munmap(found->header, HONE_HEADER_BYTES);
}

static struct hone_session_header *map_header(int folder, const char *name)
{
    struct stat st;
    HONE_CLEANUP(hone_fd_closep) int fd = openat(folder, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size < HONE_HEADER_BYTES)
        return NULL;
    void *memory = mmap(NULL, HONE_HEADER_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    struct hone_session_header *header = memory;
    if (memory == MAP_FAILED)
        return NULL;
    if (header->magic == HONE_SESSION_MAGIC && header->version == HONE_SESSION_VERSION &&
        !atomic_load_explicit(&header->stop, memory_order_relaxed))
        return header;
    (void)munmap(memory, HONE_HEADER_BYTES);
    return NULL;
}

// The session in a folder whose owner lives and holds its lock.
static struct hone_session_header *open_folder(const char *path)
{
    HONE_CLEANUP(hone_fd_closep)
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || flock(fd, LOCK_SH | LOCK_NB) == 0 || errno != EWOULDBLOCK)
        return NULL;
    DIR *folder = opendir(path);
    struct hone_session_header *header = NULL;
    for (struct dirent *entry; folder && !header && (entry = readdir(folder));)
        if (strlen(entry->d_name) == 16) // not a copy of the library
            header = map_header(fd, entry->d_name);
    if (folder)
        (void)closedir(folder);
    return header;
}

static bool is_meant(const struct hone_session_header *header, uint32_t recorder, const char *where,
                     const char *folder)
{
    if (!where)
        return true;
    char *end;
    unsigned long pid = strtoul(where, &end, 10);
    char kept[HONE_SESSION_FOLDER];
    memcpy(kept, header->folder, sizeof kept - 1);
    kept[sizeof kept - 1] = '\0';
    return (!*end && pid == recorder) || (folder[0] && strcmp(kept, folder) == 0);
}

static void look_in(const char *root, const char *where, const char *folder, struct found *found)
{
    DIR *listing = opendir(root);
    if (!listing)
        return;
    for (struct dirent *entry; (entry = readdir(listing));) {
        unsigned recorder;
        char after, path[PATH_MAX];
        if (sscanf(entry->d_name, "hone.%u%c", &recorder, &after) != 2 || after != '.' ||
            (size_t)snprintf(path, sizeof path, "%s/%s", root, entry->d_name) >= sizeof path)
            continue;
        struct hone_session_header *header = open_folder(path);
        if (!header)
            continue;
        bool later =
            !found->header || header->started_monotonic_ns > found->header->started_monotonic_ns;
        if (later && is_meant(header, recorder, where, folder)) {
            found_done(found);
            *found = (struct found){header, recorder};
        } else {
            (void)munmap(header, HONE_HEADER_BYTES);
        }
    }
    (void)closedir(listing);
}

static int none_runs(const char *where, struct hone_error *err)
{
    if (where)
        (void)hone_error_set(err, 0, "no recording of yours runs that is meant by '%.200s'", where);
    else
        (void)hone_error_set(err, 0, "no recording of yours runs");
    hone_error_hint(err, where ? "give the folder that 'hone record -o' was given, or its pid"
                               : "start one: hone record PROGRAM; from outside none has marks");
    return -ENOENT;
}

int hone_marks_make(const char *name, const char *where, struct hone_marked *ret,
                    struct hone_error *err)
{
    HONE_CLEANUP(found_done) struct found found = {0};
    char folder[HONE_SESSION_FOLDER] = "";
    if (where)
        hone_marks_folder(where, folder);
    const char *temporary = getenv("TMPDIR");
    const char *const roots[] = {"/dev/shm", temporary && temporary[0] == '/' ? temporary : "/tmp",
                                 "/var/tmp"};
    for (size_t i = 0; i < sizeof roots / sizeof roots[0]; i++)
        look_in(roots[i], where, folder, &found);
    if (!found.header)
        return none_runs(where, err);
    uint64_t now_ns = hone_now_ns();
    if (!hone_writer_mark(found.header, (uint32_t)getpid(), now_ns, name)) {
        (void)hone_error_set(err, 0,
                             "the recording of process %u has %d marks already, and no "
                             "room for more",
                             found.recorder, HONE_MARKS_MAX);
        hone_error_hint(err, "start another one");
        return -ENOSPC;
    }
    ret->since_ns = now_ns - found.header->started_monotonic_ns;
    ret->recorder = found.recorder;
    memcpy(ret->folder, found.header->folder, sizeof ret->folder - 1);
    ret->folder[sizeof ret->folder - 1] = '\0';
    return 0;
}
