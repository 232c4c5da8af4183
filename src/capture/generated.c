#include "capture/generated.h"

#include "base/array.h"
#include "base/base.h"
#include "base/file.h"
#include "capture/pid_space.h"
#include "core/core.h"
#include "symbol/jit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    LOOKS = 8,          // for a jitdump: compilers open it when they start
    FILE_MAX = 1 << 30, // bytes of one file
    HIGHEST_FD = 511,   // that we hold: of the usual 1024, half are for following processes
    RANGE_LOOKS = 32,   // at what is mapped: compilers go on mapping
    RANGES_MAX = 4096,
};

struct hone_generated_range {
    uint64_t start, end;
};

void hone_generated_init(struct hone_generated *generated)
{
    *generated = (struct hone_generated){.tmp_fd = -1, .dump_fd = -1};
}

void hone_generated_done(struct hone_generated *generated)
{
    if (generated->tmp_fd >= 0)
        (void)close(hone_fd_take(&generated->tmp_fd));
    if (generated->dump_fd >= 0)
        (void)close(hone_fd_take(&generated->dump_fd));
    hone_jit_free(generated->names);
    generated->names = NULL;
    free(generated->ranges);
    generated->ranges = NULL;
    generated->range_count = generated->range_room = 0;
}

// ---- While it lives

static int open_regular(int directory, const char *path)
{
    return openat(directory, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
}

// A compiler maps a page of its jitdump as code, so that whoever watches mappings learns of it.
static int open_mapped_dump(uint32_t pid, int root_fd)
{
    char path[64], wanted[32], line[PATH_MAX + 128];
    (void)snprintf(path, sizeof path, "/proc/%u/maps", pid);
    (void)snprintf(wanted, sizeof wanted, "/jit-%u.dump", hone_pid_inner(pid, pid));
    HONE_CLEANUP(hone_fclosep) FILE *maps = fopen(path, "re");
    while (maps && fgets(line, sizeof line, maps)) {
        line[strcspn(line, "\n")] = '\0';
        char *file = strchr(line, '/');
        size_t len = file ? strlen(file) : 0;
        if (!file || len < strlen(wanted) || strcmp(file + len - strlen(wanted), wanted) != 0)
            continue;
        return root_fd >= 0 ? open_regular(root_fd, file + 1) : open_regular(AT_FDCWD, file);
    }
    return -1;
}

static void drop_if_many(int *fd)
{
    if (*fd > HIGHEST_FD)
        (void)close(hone_fd_take(fd));
}

static void look_for_files(struct hone_generated *generated, uint32_t pid, uint32_t inner_pid,
                           uint64_t pid_namespace)
{
    if (!generated->looked++) {
        generated->pid = inner_pid;
        generated->user = geteuid();
    }
    bool foreign = pid == 0;
    if (foreign)
        pid = hone_pid_outer(inner_pid, pid_namespace);
    generated->here = pid;
    char path[64];
    struct stat st;
    (void)snprintf(path, sizeof path, "/proc/%u", pid);
    if (pid && stat(path, &st) == 0)
        generated->user = st.st_uid;
    (void)snprintf(path, sizeof path, "/proc/%u/root", pid);
    HONE_CLEANUP(hone_fd_closep)
    int root_fd = pid ? open(path, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    // The folder itself, not the root above it: a container's mounts are taken apart with its end,
    // and only what somebody holds stays.
    if (root_fd >= 0 && generated->tmp_fd < 0)
        generated->tmp_fd = openat(root_fd, "tmp", O_PATH | O_DIRECTORY | O_CLOEXEC);
    // In our own root a file of that name belongs to another process.
    generated->foreign = foreign && generated->tmp_fd < 0;
    if (pid)
        generated->dump_fd = open_mapped_dump(pid, root_fd);
    drop_if_many(&generated->tmp_fd);
    drop_if_many(&generated->dump_fd);
}

bool hone_generated_holds(const struct hone_generated *generated, uint64_t address)
{
    for (uint32_t i = 0; i < generated->range_count; i++)
        if (address >= generated->ranges[i].start && address < generated->ranges[i].end)
            return true;
    return false;
}

// Memory of no file, or of one that was made for that and has no name any more.
static bool is_for_generated_code(const char *file)
{
    static const char *const temporary[] = {"/memfd:", "/dev/zero", "/dev/shm/", "/tmp/", "/SYSV"};
    static const char deleted[] = " (deleted)";
    size_t len = strlen(file);
    if (file[0] != '/')
        return strncmp(file, "[v", 2) != 0 && strncmp(file, "[u", 2) != 0; // vdso, uprobes
    if (len < strlen(deleted) || strcmp(file + len - strlen(deleted), deleted) != 0)
        return false;
    for (size_t i = 0; i < HONE_ARRAY_LENGTH(temporary); i++)
        if (strncmp(file, temporary[i], strlen(temporary[i])) == 0)
            return true;
    return false;
}

// Ranges that were there before stay: their code has been sampled.
static void look_at_maps(struct hone_generated *generated)
{
    char path[64], line[PATH_MAX + 128], rights[5];
    (void)snprintf(path, sizeof path, "/proc/%u/maps", generated->here);
    HONE_CLEANUP(hone_fclosep) FILE *maps = fopen(path, "re");
    while (maps && fgets(line, sizeof line, maps) && generated->range_count < RANGES_MAX) {
        struct hone_generated_range range;
        int name = 0;
        line[strcspn(line, "\n")] = '\0';
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %*s %*s %*s %n", &range.start, &range.end,
                   rights, &name) < 3 ||
            !name || rights[2] != 'x' || !is_for_generated_code(line + name) ||
            (hone_generated_holds(generated, range.start) &&
             hone_generated_holds(generated, range.end - 1)))
            continue;
        if (!hone_array_reserve(&generated->ranges, &generated->range_room,
                                (uint64_t)generated->range_count + 1, sizeof range))
            return;
        generated->ranges[generated->range_count++] = range;
    }
}

void hone_generated_see(struct hone_generated *generated, uint32_t pid, uint32_t inner_pid,
                        uint64_t pid_namespace, uint64_t address)
{
    if (generated->looked < LOOKS && generated->dump_fd < 0)
        look_for_files(generated, pid, inner_pid, pid_namespace);
    if (!address || !generated->here || generated->ranges_looked >= RANGE_LOOKS ||
        hone_generated_holds(generated, address))
        return;
    generated->ranges_looked++;
    look_at_maps(generated);
}

bool hone_generated_timed(const struct hone_generated *generated)
{
    return generated->dump_fd >= 0;
}

// ---- When it has ended

// Whoever may write to /tmp may leave a file there: only what the program's user or root wrote is
// believed.
static char *read_file(const struct hone_generated *generated, int fd, size_t *ret_len)
{
    struct stat st;
    if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode) ||
        (st.st_uid != generated->user && st.st_uid != 0) || st.st_size <= 0 ||
        st.st_size > FILE_MAX)
        return NULL;
    // Read, not mapped: its program may still be writing, or cut it short.
    char *bytes = malloc((size_t)st.st_size);
    size_t len = 0;
    while (bytes && len < (size_t)st.st_size) {
        ssize_t got = pread(fd, bytes + len, (size_t)st.st_size - len, (off_t)len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        len += (size_t)got;
    }
    *ret_len = len;
    return bytes;
}

static void read_names(struct hone_generated *generated, int fd,
                       int (*decode)(struct hone_jit *jit, const void *bytes, size_t len))
{
    size_t len;
    HONE_CLEANUP(hone_freep) char *bytes = read_file(generated, fd, &len);
    if (bytes)
        (void)decode(generated->names, bytes, len);
}

static void read_named(struct hone_generated *generated, const char *format,
                       int (*decode)(struct hone_jit *jit, const void *bytes, size_t len))
{
    char path[64];
    (void)snprintf(path, sizeof path, format, generated->pid);
    int tmp_fd = generated->tmp_fd;
    HONE_CLEANUP(hone_fd_closep)
    int fd =
        tmp_fd >= 0 ? open_regular(tmp_fd, path + strlen("/tmp/")) : open_regular(AT_FDCWD, path);
    read_names(generated, fd, decode);
}

struct hone_jit *hone_generated_names(struct hone_generated *generated)
{
    if (generated->read || generated->foreign || !generated->looked)
        return generated->names;
    generated->read = true;
    if (hone_jit_new(&generated->names))
        return NULL;
    read_named(generated, "/tmp/perf-%u.map", hone_jit_read_map);
    if (generated->dump_fd >= 0)
        read_names(generated, generated->dump_fd, hone_jit_read_dump);
    else
        read_named(generated, "/tmp/jit-%u.dump", hone_jit_read_dump);
    if (!hone_jit_count(generated->names)) {
        hone_jit_free(generated->names);
        generated->names = NULL;
    }
    return generated->names;
}
