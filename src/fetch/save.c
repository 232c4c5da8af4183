// What servers measured is kept, for nobody can measure it again.
#include "fetch/fetch.h"

#include "base/base.h"
#include "base/cleanup.h"
#include "profile/profile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    NUMBERS = 10000,
    NAME_MAX_LEN = 200, // file systems allow 255 bytes
};

// --- where ---------------------------------------------------------------------------------------

// The directory with all above it.
static int make_directory(const char *path)
{
    char part[HONE_FETCH_PATH_MAX];
    size_t len = strlen(path);
    if (len >= sizeof part)
        return -ENAMETOOLONG;
    memcpy(part, path, len + 1);
    for (size_t i = 1; i <= len; i++) {
        if (part[i] != '/' && part[i] != '\0')
            continue;
        char end = part[i];
        part[i] = '\0';
        if (mkdir(part, 0755) != 0 && errno != EEXIST)
            return -errno;
        part[i] = end;
    }
    struct stat status;
    if (stat(path, &status) != 0)
        return -errno;
    return S_ISDIR(status.st_mode) ? 0 : -ENOTDIR;
}

static bool try_directory(const char *start, const char *end, char path[HONE_FETCH_PATH_MAX],
                          struct hone_error *err)
{
    if (!start || !start[0])
        return false;
    int len = snprintf(path, HONE_FETCH_PATH_MAX, "%s%s", start, end);
    int r = len < 0 || len >= HONE_FETCH_PATH_MAX ? -ENAMETOOLONG : make_directory(path);
    if (r)
        (void)hone_error_set(err, r, "cannot keep profiles in '%s%s'", start, end);
    return r == 0;
}

static int find_directory(char path[HONE_FETCH_PATH_MAX], struct hone_error *err)
{
    const char *temporary = getenv("TMPDIR");
    if (try_directory(getenv("PPROF_TMPDIR"), "", path, err) ||
        try_directory(getenv("HOME"), "/pprof", path, err) ||
        try_directory(temporary && temporary[0] ? temporary : "/tmp", "", path, err))
        return 0;
    return err && err->code ? err->code : -ENOENT;
}

// --- under which name ----------------------------------------------------------------------------

// A word of a stranger in the name of a file: no directories, nothing that terminals obey.
static void add_word(struct hone_buffer *name, const char *word)
{
    for (; *word && name->len < NAME_MAX_LEN; word++) {
        bool plain = (unsigned char)*word > ' ' && *word != '/' && *word != 0x7f;
        hone_buffer_add(name, plain ? word : "_", 1);
    }
    hone_buffer_text(name, ".");
}

static void add_name(struct hone_buffer *name, const struct hone_profile *profile)
{
    hone_buffer_text(name, "pprof.");
    if (profile->mappings.count > 1 && profile->mappings.at[1].file) {
        const char *file = hone_profile_text(profile, profile->mappings.at[1].file);
        const char *slash = strrchr(file, '/');
        add_word(name, slash && slash[1] ? slash + 1 : file);
    }
    for (uint32_t i = 0; i < profile->type_count; i++)
        add_word(name, hone_profile_text(profile, profile->types[i].type));
}

// Opens a file that was not there, with the first free number.
static int create(const char *directory, const char *name, char path[HONE_FETCH_PATH_MAX],
                  struct hone_error *err)
{
    for (int number = 1; number < NUMBERS; number++) {
        int len = snprintf(path, HONE_FETCH_PATH_MAX, "%s/%s%03d.pb.gz", directory, name, number);
        if (len < 0 || len >= HONE_FETCH_PATH_MAX)
            return hone_error_set(err, -ENAMETOOLONG, "cannot keep a profile in '%s'", directory);
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0)
            return fd;
        if (errno != EEXIST)
            return hone_error_set(err, -errno, "cannot write '%s'", path);
    }
    return hone_error_set(err, -EEXIST, "cannot keep a profile: %d of its name are in '%s'",
                          NUMBERS - 1, directory);
}

static int write_all(int fd, const char *at, size_t len)
{
    while (len) {
        ssize_t put = write(fd, at, len);
        if (put < 0 && errno != EINTR)
            return -errno;
        at += put > 0 ? put : 0;
        len -= put > 0 ? (size_t)put : 0;
    }
    return 0;
}

int hone_fetch_save(const struct hone_profile *profile, char path[HONE_FETCH_PATH_MAX],
                    struct hone_error *err)
{
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer bytes = {0};
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer name = {0};
    int r = hone_profile_encode_gzip(profile, &bytes, err);
    if (r)
        return r;
    add_name(&name, profile);
    hone_buffer_add(&name, "", 1);
    if (bytes.failed || name.failed)
        return hone_error_set(err, -ENOMEM, "cannot keep a profile");
    char directory[HONE_FETCH_PATH_MAX];
    r = find_directory(directory, err);
    if (r)
        return r;
    HONE_CLEANUP(hone_fd_closep) int fd = create(directory, name.at, path, err);
    if (fd < 0)
        return fd;
    r = write_all(fd, bytes.at, bytes.len);
    if (!r && close(hone_fd_take(&fd)) != 0)
        r = -errno;
    if (r) {
        (void)unlink(path);
        return hone_error_set(err, r, "cannot write '%s'", path);
    }
    return 0;
}
