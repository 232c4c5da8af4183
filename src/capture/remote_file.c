#include "capture/remote_file.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { FILES_MAX = 16384 }; // mappings of a process are limited too, to 65530 mostly

struct hone_remote_file {
    uint64_t device, inode, changed_ns;
    struct hone_elf_code code;
};

// For the life of our process: a file whose rules are in use may not go away.
static struct hone_remote_file **files;
static size_t file_count;

static struct hone_remote_file *add(const struct hone_remote_file *like)
{
    if (file_count == FILES_MAX)
        return NULL;
    struct hone_remote_file **more =
        realloc(files, (file_count + 1) * sizeof(struct hone_remote_file *));
    struct hone_remote_file *file = malloc(sizeof *file);
    if (more)
        files = more;
    if (!more || !file) {
        free(file);
        return NULL;
    }
    *file = *like;
    return files[file_count++] = file;
}

// Where numbers of files differ (overlay file systems have two), their bytes tell.
static bool same_in_process(pid_t pid, const struct hone_remote_file *file,
                            const struct hone_remote_mapping *mapping)
{
    char bytes[1024];
    struct iovec ours = {bytes, sizeof bytes};
    // NOLINTNEXTLINE(performance-no-int-to-ptr)
    struct iovec theirs = {(void *)(uintptr_t)mapping->start, sizeof bytes};
    return file->code.bytes && mapping->offset <= file->code.size &&
           file->code.size - mapping->offset >= sizeof bytes &&
           process_vm_readv(pid, &ours, 1, &theirs, 1, 0) == (ssize_t)sizeof bytes &&
           memcmp(bytes, file->code.bytes + mapping->offset, sizeof bytes) == 0;
}

// One that is not what was mapped is an upgraded one, or another root's.
static bool is_mapped_one(pid_t pid, const struct hone_remote_file *file,
                          const struct hone_remote_mapping *mapping)
{
    if (mapping->build_id_bytes)
        return file->code.module.build_id_size >= mapping->build_id_bytes &&
               memcmp(file->code.module.build_id, mapping->build_id, mapping->build_id_bytes) == 0;
    return !mapping->inode || file->inode == mapping->inode || same_in_process(pid, file, mapping);
}

static const struct hone_remote_file *of_descriptor(int fd)
{
    struct stat st;
    if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size <= 0)
        return NULL;
    struct hone_remote_file like = {
        .device = st.st_dev,
        .inode = st.st_ino,
        .code.size = (uint64_t)st.st_size,
        .changed_ns = (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec,
    };
    for (size_t i = 0; i < file_count; i++)
        if (files[i]->device == like.device && files[i]->inode == like.inode &&
            files[i]->code.size == like.code.size && files[i]->changed_ns == like.changed_ns)
            return files[i];
    // One that cannot be mapped is remembered as a file without code.
    (void)hone_elf_code_map(fd, like.code.size, &like.code);
    return add(&like);
}

const struct hone_elf_code *hone_remote_file(pid_t pid, const struct hone_remote_mapping *mapping)
{
    if (mapping->path[0] != '/')
        return NULL;
    static const char deleted[] = " (deleted)";
    size_t len = strlen(mapping->path);
    bool is_deleted =
        len >= sizeof deleted && strcmp(mapping->path + len - (sizeof deleted - 1), deleted) == 0;
    char path[PATH_MAX + 64];
    // The first needs a privilege and is the file itself, whatever has its name now.
    for (int way = 0; way < (is_deleted ? 1 : 3); way++) {
        if (way == 0)
            (void)snprintf(path, sizeof path, "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, pid,
                           mapping->start, mapping->end);
        else
            (void)snprintf(path, sizeof path, "/proc/%d/root%s", pid, mapping->path);
        const char *name = way == 2 ? mapping->path : path;
        HONE_CLEANUP(hone_fd_closep)
        int fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        const struct hone_remote_file *file = fd < 0 ? NULL : of_descriptor(fd);
        if (file && (way == 0 || is_mapped_one(pid, file, mapping)))
            return file->code.segment_count ? &file->code : NULL;
    }
    return NULL;
}
