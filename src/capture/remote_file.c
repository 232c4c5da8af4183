#include "capture/remote_file.h"
#include "core/load.h"
#include "elf/elf.h"

#include "base/cleanup.h"
#include "capture/remote_go.h"
#include "unwind/module_rules.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    HEADERS_MAX = 64,
    FILES_MAX = 16384, // mappings of a process are limited too, to 65530 mostly
};

#if defined(__x86_64__)
enum { THIS_MACHINE = EM_X86_64 };
#else
enum { THIS_MACHINE = EM_AARCH64 };
#endif

// For the life of our process: a file whose rules are in use may not go away.
static struct hone_remote_file **files;
static size_t file_count;

static bool read_headers(const void *bytes, size_t size, struct hone_module_headers *ret)
{
    const Elf64_Ehdr *elf = bytes;
    if (size < sizeof *elf || memcmp(elf->e_ident, ELFMAG, SELFMAG) != 0 ||
        elf->e_ident[EI_CLASS] != ELFCLASS64 || elf->e_machine != THIS_MACHINE ||
        elf->e_phentsize != sizeof(Elf64_Phdr) || elf->e_phnum > HEADERS_MAX ||
        elf->e_phoff % sizeof(uint64_t) || elf->e_phoff > size ||
        elf->e_phnum * sizeof(Elf64_Phdr) > size - elf->e_phoff)
        return false;
    *ret = (struct hone_module_headers){
        .at = (const Elf64_Phdr *)((const char *)bytes + elf->e_phoff), .count = elf->e_phnum};
    return true;
}

static void find_segments(struct hone_remote_file *file, const struct hone_module_headers *headers)
{
    for (size_t i = 0; i < headers->count; i++) {
        const Elf64_Phdr *header = &headers->at[i];
        if (header->p_type != PT_LOAD || !(header->p_flags & PF_X) ||
            file->segment_count == HONE_REMOTE_SEGMENTS || header->p_offset > file->size ||
            header->p_filesz > file->size - header->p_offset)
            continue;
        file->segments[file->segment_count++] =
            (struct hone_remote_segment){header->p_vaddr, header->p_offset, header->p_filesz};
    }
}

// Go's programs have rules in a form of their own.
static void find_go_rules(struct hone_remote_file *file)
{
    HONE_CLEANUP(hone_elf_closep) struct hone_elf *elf = NULL;
    if (hone_elf_open_memory(file->bytes, file->size, "", &elf, NULL))
        return;
    struct hone_elf_bytes table = hone_elf_section(elf, ".gopclntab");
    if (!table.at)
        table = hone_elf_section(elf, ".data.rel.ro.gopclntab");
    uint64_t free_address = (file->module.end + HONE_PAGE_BYTES) & ~(uint64_t)(HONE_PAGE_BYTES - 1);
    if (table.at)
        (void)hone_remote_go_rules(table.at, table.len, hone_elf_section(elf, ".text").vaddr,
                                   free_address, &file->module.cfi);
}

// Reads what there is to know of a file. Rules that it does not have are no error.
static int read_file(struct hone_remote_file *file, int fd)
{
    void *bytes = mmap(NULL, file->size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED)
        return -errno;
    struct hone_module_headers headers;
    if (!read_headers(bytes, file->size, &headers) ||
        hone_module_describe_file(&file->module, &headers, fd)) {
        (void)munmap(bytes, file->size);
        return -ENOEXEC;
    }
    file->bytes = bytes;
    find_segments(file, &headers);
    (void)hone_module_rules_map_file(&file->module, &headers, fd);
    if (!file->module.cfi.eh_frame)
        find_go_rules(file);
    return 0;
}

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
    return file->bytes && mapping->offset <= file->size &&
           file->size - mapping->offset >= sizeof bytes &&
           process_vm_readv(pid, &ours, 1, &theirs, 1, 0) == (ssize_t)sizeof bytes &&
           memcmp(bytes, file->bytes + mapping->offset, sizeof bytes) == 0;
}

// One that is not what was mapped is an upgraded one, or another root's.
static bool is_mapped_one(pid_t pid, const struct hone_remote_file *file,
                          const struct hone_remote_mapping *mapping)
{
    if (mapping->build_id_bytes)
        return file->module.build_id_size >= mapping->build_id_bytes &&
               memcmp(file->module.build_id, mapping->build_id, mapping->build_id_bytes) == 0;
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
        .size = (uint64_t)st.st_size,
        .changed_ns = (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec,
    };
    for (size_t i = 0; i < file_count; i++)
        if (files[i]->device == like.device && files[i]->inode == like.inode &&
            files[i]->size == like.size && files[i]->changed_ns == like.changed_ns)
            return files[i];
    if (read_file(&like, fd)) // remembered as a file without code
        like.segment_count = 0;
    return add(&like);
}

const struct hone_remote_file *hone_remote_file(pid_t pid,
                                                const struct hone_remote_mapping *mapping)
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
            return file->segment_count ? file : NULL;
    }
    return NULL;
}

const struct hone_remote_file *hone_remote_file_vdso(void)
{
    static struct hone_remote_file vdso;
    uint64_t start = getauxval(AT_SYSINFO_EHDR);
    if (vdso.bytes || !start)
        return vdso.segment_count ? &vdso : NULL;
    vdso.bytes = (const uint8_t *)(uintptr_t)start; // NOLINT(performance-no-int-to-ptr)
    struct hone_module_headers headers;
    if (!read_headers(vdso.bytes, HONE_PAGE_BYTES, &headers))
        return NULL;
    for (size_t i = 0; i < headers.count; i++)
        if (headers.at[i].p_type == PT_LOAD)
            vdso.size = headers.at[i].p_offset + headers.at[i].p_filesz;
    headers.bias = start;
    if (hone_module_describe(&vdso.module, &headers))
        return NULL;
    hone_module_rules_in_place(&vdso.module, &headers);
    // In ours it lies at `start`; others get it where they have it.
    vdso.module.start -= start;
    vdso.module.end -= start;
    vdso.module.text_start -= start;
    vdso.module.text_end -= start;
    vdso.module.bias = 0;
    find_segments(&vdso, &headers);
    return vdso.segment_count ? &vdso : NULL;
}
