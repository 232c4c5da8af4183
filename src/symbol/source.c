#include "symbol/source.h"

#include "base/base.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

// Source files are written by people; what is larger was not.
enum { SOURCE_BYTES_MAX = 64 << 20 };

struct hone_source {
    struct hone_arena arena;
    const char *search_path; // of the user; "" when there is none
    const char *trim_path;
    const char *current; // directory; "" when it cannot be told
    bool strict;
    struct hone_source_file *files;
};

int hone_source_new(const char *search_path, const char *trim_path, bool strict,
                    struct hone_source **ret)
{
    struct hone_source *source = calloc(1, sizeof *source);
    if (!source)
        return -ENOMEM;
    source->strict = strict;
    char current[PATH_MAX];
    if (!getcwd(current, sizeof current))
        current[0] = '\0';
    source->search_path = hone_arena_format(&source->arena, "%s", search_path ? search_path : "");
    source->trim_path = hone_arena_format(&source->arena, "%s", trim_path ? trim_path : "");
    source->current = hone_arena_format(&source->arena, "%s", current);
    if (!source->search_path || !source->trim_path || !source->current) {
        hone_source_free(source);
        return -ENOMEM;
    }
    *ret = source;
    return 0;
}

void hone_source_free(struct hone_source *source)
{
    if (!source)
        return;
    hone_arena_done(&source->arena);
    free(source);
}

void hone_source_freep(struct hone_source **source)
{
    hone_source_free(*source);
}

const char *hone_source_places(const struct hone_source *source)
{
    return source->search_path[0] ? source->search_path : source->current;
}

// --- finding -------------------------------------------------------------------------------------

// Opens dir/path when it is an ordinary file; found gets its name. pprof takes a directory, too, in
// which it finds no line.
static int try_open(const struct hone_source *source, const char *dir, size_t dir_len,
                    const char *path, char found[PATH_MAX])
{
    int len = dir_len ? snprintf(found, PATH_MAX, "%.*s/%s", (int)dir_len, dir, path)
                      : snprintf(found, PATH_MAX, "%s", path);
    if (len < 0 || len >= PATH_MAX)
        return -1;
    HONE_CLEANUP(hone_fd_closep) int fd = open(found, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0)
        return -1;
    if (S_ISREG(status.st_mode) || (source->strict && S_ISDIR(status.st_mode)))
        return hone_fd_take(&fd);
    errno = EINVAL;
    return -1;
}

// A relative path in a directory or one above it.
static int try_upwards(const struct hone_source *source, const char *dir, size_t dir_len,
                       const char *path, char found[PATH_MAX])
{
    bool absolute = dir_len && dir[0] == '/';
    int fd = -1;
    while (fd < 0 && dir_len) {
        fd = try_open(source, dir, dir_len, path, found);
        while (dir_len && dir[--dir_len] != '/') {
        }
    }
    return fd < 0 && absolute ? try_open(source, "/", 1, path, found) : fd;
}

// What follows "/NAME/" in the path, NAME being the directory's own; NULL when it is not there.
static const char *behind_name_of(const char *dir, size_t dir_len, const char *path)
{
    while (dir_len > 1 && dir[dir_len - 1] == '/')
        dir_len--;
    size_t from = dir_len;
    while (from && dir[from - 1] != '/')
        from--;
    size_t len = dir_len - from;
    if (!len)
        return NULL;
    for (const char *at = path; (at = memmem(at, strlen(at), dir + from, len)) != NULL; at++)
        if (at > path && at[-1] == '/' && at[len] == '/')
            return at + len + 1;
    return NULL;
}

static int try_ends(const struct hone_source *source, const char *dir, size_t dir_len,
                    const char *path, char found[PATH_MAX], bool *ret_by_end)
{
    int fd = try_open(source, dir, dir_len, path + (path[0] == '/'), found);
    for (const char *end = path + (path[0] != 0); fd < 0 && (end = strchr(end, '/')) != NULL;
         end++) {
        fd = try_open(source, dir, dir_len, end + 1, found);
        *ret_by_end = fd >= 0;
    }
    return fd;
}

// The path without the first of the user's prefixes that it begins with.
static const char *trimmed(const struct hone_source *source, const char *path)
{
    for (const char *at = source->trim_path; *at;) {
        size_t len = strcspn(at, ":");
        size_t bare = len;
        while (bare && at[bare - 1] == '/')
            bare--;
        if (len && strncmp(path, at, bare) == 0 && path[bare] == '/')
            return path + bare + 1;
        at += len + (at[len] == ':');
    }
    return path;
}

static int find(const struct hone_source *source, const char *recorded, char found[PATH_MAX],
                bool *ret_by_end)
{
    const char *path = trimmed(source, recorded);
    int fd = -1;
    for (const char *dir = source->search_path; fd < 0 && *dir;) {
        size_t len = strcspn(dir, ":");
        if (len)
            fd = try_ends(source, dir, len, path, found, ret_by_end);
        dir += len + (dir[len] == ':');
    }
    if (fd < 0 && path[0] == '/')
        fd = try_open(source, "", 0, path, found);
    size_t current_len = strlen(source->current);
    if (fd < 0 && path[0] != '/')
        fd = try_upwards(source, source->current, current_len, path, found);
    const char *behind = behind_name_of(source->current, current_len, path);
    if (fd < 0 && behind)
        fd = try_upwards(source, source->current, current_len, behind, found);
    return fd;
}

// --- finding as go tool pprof does ---------------------------------------------------------------

// Without prefixes to cut, everything up to a search directory's own name goes, so that a tree of
// sources is found wherever it was compiled.
static const char *trimmed_strictly(const struct hone_source *source, const char *places,
                                    const char *path)
{
    for (const char *dir = places; !*source->trim_path && *dir;) {
        size_t len = strcspn(dir, ":");
        const char *behind = behind_name_of(dir, len, path);
        if (behind)
            return behind;
        dir += len + (dir[len] == ':');
    }
    const char *bare = trimmed(source, path);
    if (bare != path)
        return bare;
    static const char *const prefixes[] = {"/proc/self/cwd/./", "/proc/self/cwd/"};
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++)
        if (strncmp(path, prefixes[i], strlen(prefixes[i])) == 0)
            return path + strlen(prefixes[i]);
    return path;
}

static int find_strictly(struct hone_source *source, struct hone_source_file *file,
                         char found[PATH_MAX])
{
    const char *places = *source->search_path ? source->search_path : source->current;
    const char *path = trimmed_strictly(source, places, file->recorded);
    if (path[0] == '/') {
        int fd = try_open(source, "", 0, path, found);
        char reason[128];
        const char *text = strerror_r(errno, reason, sizeof reason);
        file->error = hone_arena_format(&source->arena, "open %s: %c%s", path,
                                        tolower((unsigned char)text[0]), text + 1);
        return fd;
    }
    for (const char *dir = places; *dir;) {
        size_t len = strcspn(dir, ":");
        int fd = try_upwards(source, dir, len, path, found);
        if (fd >= 0)
            return fd;
        dir += len + (dir[len] == ':');
    }
    file->error =
        hone_arena_format(&source->arena, "could not find file %s on path %s", path, places);
    return -1;
}

// --- reading -------------------------------------------------------------------------------------

static int split(struct hone_source *source, struct hone_source_file *file, const char *at,
                 size_t len)
{
    uint32_t count = len && at[len - 1] != '\n';
    for (size_t i = 0; i < len; i++)
        count += at[i] == '\n';
    file->text = hone_arena_zalloc(&source->arena, (size_t)count + 1, sizeof *file->text);
    if (!file->text)
        return -ENOMEM;
    for (const char *end = at + len; at < end;) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t line = newline ? (size_t)(newline - at) : (size_t)(end - at);
        size_t bare = line && at[line - 1] == '\r' ? line - 1 : line;
        file->text[file->count++] = (struct hone_str){at, bare};
        at += line + 1;
    }
    return 0;
}

static int read_file(struct hone_source *source, struct hone_source_file *file)
{
    char found[PATH_MAX];
    HONE_CLEANUP(hone_fd_closep)
    int fd = source->strict ? find_strictly(source, file, found)
                            : find(source, file->recorded, found, &file->by_end);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0 || status.st_size > SOURCE_BYTES_MAX)
        return 0;
    size_t size = (size_t)status.st_size;
    char *bytes = hone_arena_alloc(&source->arena, size + 1);
    if (!bytes)
        return -ENOMEM;
    size_t len = 0;
    for (ssize_t got; len < size && (got = read(fd, bytes + len, size - len)) > 0;)
        len += (size_t)got;
    file->changed_ns = status.st_mtim.tv_sec * INT64_C(1000000000) + status.st_mtim.tv_nsec;
    file->found = hone_arena_format(&source->arena, "%s", found);
    return file->found ? split(source, file, bytes, len) : -ENOMEM;
}

const struct hone_source_file *hone_source_file(struct hone_source *source, struct hone_str path)
{
    for (const struct hone_source_file *file = source->files; file; file = file->next)
        if (hone_str_equal(hone_str_of(file->recorded), path))
            return file;
    struct hone_source_file *file = hone_arena_new(&source->arena, struct hone_source_file);
    if (!file)
        return NULL;
    file->recorded = hone_arena_format(&source->arena, "%.*s", (int)path.len, path.at);
    if (!file->recorded || read_file(source, file))
        return NULL;
    file->next = source->files;
    source->files = file;
    return file;
}
