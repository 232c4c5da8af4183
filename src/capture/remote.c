#include "capture/remote.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "capture/living.h"
#include "capture/remote_file.h"
#include "core/load.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>

enum {
    CACHE_BYTES = 128 << 10,   // 8192 rows: there may be hundreds of processes
    MAPS_BYTES_MAX = 64 << 20, // of /proc/PID/maps
};

struct hone_remote {
    pid_t pid, through; // the thread that is asked for it
    struct hone_modules *modules;
    const struct hone_elf_code **files; // by module
    struct hone_unwinder unwinder;
    bool search;
};

void hone_remote_free(struct hone_remote *remote)
{
    if (!remote)
        return;
    if (remote->unwinder.rows)
        (void)munmap(remote->unwinder.rows, CACHE_BYTES);
    if (remote->modules)
        (void)munmap(remote->modules, sizeof *remote->modules);
    free(remote->files);
    free(remote);
}

// Memory that costs nothing until it is touched: most processes have few modules.
static void *map_zeros(size_t size)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

int hone_remote_new(pid_t pid, struct hone_remote **ret)
{
    HONE_CLEANUP(hone_remote_freep) struct hone_remote *remote = calloc(1, sizeof *remote);
    if (!remote)
        return -ENOMEM;
    remote->pid = pid;
    remote->through = hone_living_thread(pid);
    remote->modules = map_zeros(sizeof *remote->modules);
    remote->files = calloc(HONE_MODULES_MAX, sizeof(struct hone_elf_code *));
    void *cache = map_zeros(CACHE_BYTES);
    if (cache)
        hone_unwind_init(&remote->unwinder, remote->modules, cache, CACHE_BYTES);
    if (!cache || !remote->modules || !remote->files)
        return -ENOMEM;
    remote->modules->foreign = true;
    *ret = hone_take(remote);
    return 0;
}

void hone_remote_search(struct hone_remote *remote)
{
    remote->search = true;
}

pid_t hone_remote_through(const struct hone_remote *remote)
{
    return remote->through;
}

const struct hone_modules *hone_remote_modules(const struct hone_remote *remote)
{
    return remote->modules;
}

const struct hone_elf_code *hone_remote_file_of(const struct hone_remote *remote, size_t number)
{
    return number < HONE_MODULES_MAX ? remote->files[number] : NULL;
}

int hone_remote_module_of(struct hone_remote *remote, uint64_t address)
{
    bool stale;
    const struct hone_module *module = hone_modules_find(remote->modules, address, &stale);
    return module ? (int)(module - remote->modules->slots) : -1;
}

// --- what is mapped ------------------------------------------------------------------------------

// Room in the table's own text, which lives as long as its modules.
static const char *keep_path(struct hone_modules *modules, const char *path)
{
    size_t size = strlen(path) + 1;
    for (size_t i = 0; i < hone_modules_count(modules); i++)
        if (strcmp(modules->slots[i].path, path) == 0)
            return modules->slots[i].path;
    if (size > HONE_MODULES_NAMES_BYTES - modules->names_used)
        return "";
    char *kept = memcpy(modules->names + modules->names_used, path, size);
    modules->names_used += (uint32_t)size;
    return kept;
}

// Where the loader put the file, given that one of its executable segments is mapped so.
static bool find_bias(const struct hone_elf_code *code, const struct hone_remote_mapping *mapping,
                      uint64_t *ret)
{
    uint64_t address;
    bool found = hone_elf_code_address(code, mapping->offset, &address);
    if (found)
        *ret = mapping->start - address;
    return found;
}

// Modules that lie where another one is now were unmapped without a word.
static void retire_overlapped(struct hone_remote *remote, uint64_t start, uint64_t end,
                              const struct hone_module *except)
{
    for (size_t i = 0; i < hone_modules_count(remote->modules); i++) {
        const struct hone_module *module = &remote->modules->slots[i];
        if (module != except && !hone_module_retired(module) && module->text_start < end &&
            start < module->text_end)
            hone_modules_remove(remote->modules, module);
    }
}

static const struct hone_module *find_like(struct hone_remote *remote,
                                           const struct hone_module *like)
{
    for (size_t i = 0; i < hone_modules_count(remote->modules); i++) {
        const struct hone_module *module = &remote->modules->slots[i];
        if (!hone_module_retired(module) && module->start == like->start &&
            module->end == like->end && module->bias == like->bias)
            return module;
    }
    return NULL;
}

// Adds the module that a mapping belongs to. NULL: none that we know how to read.
static const struct hone_module *add_mapping(struct hone_remote *remote,
                                             const struct hone_remote_mapping *mapping)
{
    bool is_vdso = strcmp(mapping->path, "[vdso]") == 0;
    const struct hone_elf_code *file =
        is_vdso ? hone_elf_code_vdso() : hone_remote_file(remote->through, mapping);
    uint64_t bias = mapping->start;
    if (!file || (!is_vdso && !find_bias(file, mapping, &bias)))
        return NULL;
    struct hone_module like = file->module;
    like.bias += bias;
    like.start += bias;
    like.end += bias;
    like.text_start += bias;
    like.text_end += bias;
    // The same file again: it has two executable segments, or one was split.
    const struct hone_module *module = find_like(remote, &like);
    if (module && remote->files[module - remote->modules->slots] == file)
        return module;
    static const char deleted[] = " (deleted)";
    char path[PATH_MAX];
    size_t len = strlen(mapping->path), cut = sizeof deleted - 1;
    if (len > cut && strcmp(mapping->path + len - cut, deleted) == 0)
        len -= cut;
    (void)snprintf(path, sizeof path, "%.*s", (int)len, mapping->path);
    like.path = keep_path(remote->modules, path);
    retire_overlapped(remote, like.text_start, like.text_end, NULL);
    module = hone_modules_add(remote->modules, &like);
    if (module)
        remote->files[module - remote->modules->slots] = file;
    return module;
}

int hone_remote_map(struct hone_remote *remote, const struct hone_remote_mapping *mapping)
{
    const struct hone_module *module = add_mapping(remote, mapping);
    retire_overlapped(remote, mapping->start, mapping->end, module);
    return module ? 0 : -ENOENT;
}

int hone_remote_fork(const struct hone_remote *parent, pid_t pid, struct hone_remote **ret)
{
    HONE_CLEANUP(hone_remote_freep) struct hone_remote *remote = NULL;
    int r = hone_remote_new(pid, &remote);
    if (r)
        return r;
    for (size_t i = 0; i < hone_modules_count(parent->modules); i++) {
        const struct hone_module *theirs = &parent->modules->slots[i];
        if (hone_module_retired(theirs))
            continue;
        struct hone_module like = *theirs;
        like.path = keep_path(remote->modules, theirs->path);
        const struct hone_module *ours = hone_modules_add(remote->modules, &like);
        if (ours)
            remote->files[ours - remote->modules->slots] = parent->files[i];
    }
    *ret = hone_take(remote);
    return 0;
}

// One line of /proc/PID/maps: "start-end rwxp offset dev inode   path".
static bool parse_line(char *line, struct hone_remote_mapping *ret)
{
    char permissions[5];
    int path_at = 0;
    *ret = (struct hone_remote_mapping){0};
    if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %*s %" SCNu64 " %n", &ret->start,
               &ret->end, permissions, &ret->offset, &ret->inode, &path_at) != 5 ||
        !path_at || permissions[2] != 'x')
        return false;
    ret->path = line + path_at;
    return ret->path[0] != '\0';
}

static int read_maps(pid_t pid, char **ret)
{
    char path[64];
    size_t len = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    int r = hone_file_read(path, MAPS_BYTES_MAX, ret, &len, NULL);
    return r == -ENOENT || (!r && !len) ? -ESRCH : r; // a zombie has none
}

int hone_remote_refresh(struct hone_remote *remote)
{
    HONE_CLEANUP(hone_freep) char *text = NULL;
    int r = read_maps(remote->through, &text);
    if (r == -ESRCH) {
        remote->through = hone_living_thread(remote->pid);
        hone_freep(&text);
        text = NULL;
        r = read_maps(remote->through, &text);
    }
    if (r)
        return r;
    HONE_CLEANUP(hone_freep) bool *seen = calloc(HONE_MODULES_MAX, sizeof *seen);
    if (!seen)
        return -ENOMEM;
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n"));) {
        struct hone_remote_mapping mapping;
        if (!parse_line(line, &mapping))
            continue;
        const struct hone_module *module = add_mapping(remote, &mapping);
        if (module)
            seen[module - remote->modules->slots] = true;
    }
    for (size_t i = 0; i < hone_modules_count(remote->modules); i++)
        if (!seen[i] && !hone_module_retired(&remote->modules->slots[i]))
            hone_modules_remove(remote->modules, &remote->modules->slots[i]);
    return 0;
}

int hone_remote_open(pid_t pid, struct hone_remote **ret, struct hone_error *err)
{
    HONE_CLEANUP(hone_remote_freep) struct hone_remote *remote = NULL;
    int r = hone_remote_new(pid, &remote);
    if (!r)
        r = hone_remote_refresh(remote);
    if (r)
        return hone_error_set(err, r, "cannot read the maps of process %d", (int)pid);
    *ret = hone_take(remote);
    return 0;
}

// --- walking -------------------------------------------------------------------------------------

static bool read_process(void *context, uint64_t address, void *to, size_t size)
{
    const struct hone_remote *remote = context;
    struct iovec ours = {to, size};
    struct iovec theirs = {(void *)(uintptr_t)address, size}; // NOLINT(performance-no-int-to-ptr)
    return process_vm_readv(remote->through, &ours, 1, &theirs, 1, 0) == (ssize_t)size;
}

void hone_remote_touch(const struct hone_remote *remote, uint64_t from, size_t bytes)
{
    enum { PAGE = 4096, PAGES = 17 };
    char unused[PAGES];
    struct iovec ours = {unused, 0}, theirs[PAGES];
    for (uint64_t at = from; at < from + bytes && ours.iov_len < PAGES;
         at = (at & ~(uint64_t)(PAGE - 1)) + PAGE)
        theirs[ours.iov_len++] =
            (struct iovec){(void *)(uintptr_t)at, 1}; // NOLINT(performance-no-int-to-ptr)
    (void)process_vm_readv(remote->through, &ours, 1, theirs, ours.iov_len, 0);
}

// Code as its file has it: the process may be gone. Generated code is in the process only.
static bool read_code(void *context, uint64_t address, void *to, size_t size)
{
    struct hone_remote *remote = context;
    int index = hone_remote_module_of(remote, address);
    const struct hone_elf_code *file = index >= 0 ? remote->files[index] : NULL;
    for (uint32_t i = 0; file && i < file->segment_count; i++) {
        const struct hone_elf_code_segment *segment = &file->segments[i];
        uint64_t at =
            address - remote->modules->slots[index].bias - segment->address + file->module.bias;
        if (at >= segment->size || size > segment->size - at)
            continue;
        memcpy(to, file->bytes + segment->offset + at, size);
        return true;
    }
    return read_process(context, address, to, size);
}

size_t hone_remote_walk(struct hone_remote *remote, const struct hone_registers *registers,
                        uint64_t known_registers, const void *stack, uint64_t stack_low,
                        size_t stack_bytes, bool may_read_process, uint64_t *ret_addresses,
                        size_t max, struct hone_walk *ret)
{
    const struct hone_foreign foreign = {
        .copy = stack,
        .low = stack_low,
        .size_bytes = stack_bytes,
        .known = known_registers,
        .code = read_code,
        .stack = may_read_process ? read_process : NULL,
        .context = remote,
        .search = remote->search,
    };
    return hone_unwind_walk_foreign(&remote->unwinder, registers, &foreign, ret_addresses, max,
                                    ret);
}
