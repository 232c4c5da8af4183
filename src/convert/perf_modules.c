#include "convert/perf_modules.h"

#include "base/array.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

enum { MODULES_MAX = 1 << 16 };

#define KERNEL_PATH "[kernel.kallsyms]"
#define VDSO_PATH "[vdso]"

void hone_perfdata_modules_init(struct hone_perfdata_modules *modules,
                                const struct hone_perfdata_info *info, const char *cache)
{
    *modules = (struct hone_perfdata_modules){.info = info, .cache = cache, .same_machine = true};
}

void hone_perfdata_modules_done(struct hone_perfdata_modules *modules)
{
    for (uint32_t i = 0; i < modules->count; i++)
        if (modules->at[i].code && modules->at[i].code != hone_elf_code_vdso())
            hone_elf_code_unmap((struct hone_elf_code *)modules->at[i].code);
    free(modules->at);
    hone_table_done(&modules->table);
    hone_arena_done(&modules->arena);
    *modules = (struct hone_perfdata_modules){0};
}

static enum hone_perfdata_module_kind kind_of(const struct hone_perfdata_mapping *mapping)
{
    if (mapping->kernel)
        return HONE_PERFDATA_KERNEL;
    if (strcmp(mapping->path, VDSO_PATH) == 0)
        return HONE_PERFDATA_VDSO;
    // "//anon", "[heap]", "anon_inode:[perf_event]", and files that are but names of memory.
    static const char *const memory[] = {"//anon", "/dev/zero", "/memfd:", "/SYSV",
                                         "/anon_hugepage"};
    for (size_t i = 0; i < sizeof memory / sizeof memory[0]; i++)
        if (strncmp(mapping->path, memory[i], strlen(memory[i])) == 0)
            return HONE_PERFDATA_GENERATED;
    return mapping->path[0] == '/' ? HONE_PERFDATA_FILE : HONE_PERFDATA_GENERATED;
}

static bool is_like(const struct hone_perfdata_module *module,
                    const struct hone_perfdata_module *like)
{
    return module->kind == like->kind && module->pid == like->pid && module->inode == like->inode &&
           module->build_id_size == like->build_id_size &&
           memcmp(module->build_id, like->build_id, like->build_id_size) == 0 &&
           strcmp(module->path, like->path) == 0;
}

// The equal one that is there, or a new one.
static uint32_t intern(struct hone_perfdata_modules *modules,
                       const struct hone_perfdata_module *like)
{
    size_t len = strlen(like->path);
    uint64_t hash = hone_table_hash(like->path, len, modules->info->seed + like->pid);
    hash = hone_table_hash(like->build_id, like->build_id_size, hash ^ like->inode);
    struct hone_table_probe probe = hone_table_probe(&modules->table, hash);
    uint32_t at;
    while ((at = hone_table_next(&modules->table, &probe)) != HONE_TABLE_END)
        if (is_like(&modules->at[at], like))
            return at;
    if (modules->count == MODULES_MAX) {
        modules->dropped++;
        return HONE_PERFDATA_NO_MODULE;
    }
    const char *path = hone_arena_copy(&modules->arena, like->path, len + 1);
    if (!path ||
        !hone_array_reserve(&modules->at, &modules->room, (uint64_t)modules->count + 1,
                            sizeof *modules->at) ||
        hone_table_add(&modules->table, hash, modules->count))
        return HONE_PERFDATA_NO_MODULE;
    modules->at[modules->count] = *like;
    modules->at[modules->count].path = path;
    return modules->count++;
}

uint32_t hone_perfdata_module_of(struct hone_perfdata_modules *modules,
                                 const struct hone_perfdata_mapping *mapping)
{
    struct hone_perfdata_module like = {
        .kind = kind_of(mapping),
        .path = mapping->path,
        .start = mapping->start,
        .offset = mapping->offset,
        .low_offset = mapping->offset,
        .high_offset = mapping->offset + (mapping->end - mapping->start),
    };
    const struct hone_perfdata_build_id *told =
        mapping->build_id ? NULL : hone_perfdata_build_id_of(modules->info, mapping->path);
    if (like.kind == HONE_PERFDATA_GENERATED) {
        like.pid = mapping->pid;
        like.path = "";
    } else if (like.kind == HONE_PERFDATA_KERNEL) {
        return hone_perfdata_kernel_module(modules);
    } else if (mapping->build_id && mapping->build_id_size <= HONE_PERFDATA_BUILD_ID_MAX) {
        like.build_id_size = mapping->build_id_size;
        memcpy(like.build_id, mapping->build_id, mapping->build_id_size);
    } else if (told) {
        like.build_id_size = told->size;
        memcpy(like.build_id, told->bytes, told->size);
    }
    // A file that has a build id needs no inode to be known again.
    like.inode = like.build_id_size || like.kind != HONE_PERFDATA_FILE ? 0 : mapping->inode;
    if (like.kind == HONE_PERFDATA_VDSO) // it lies in no file
        like.offset = like.low_offset = 0, like.high_offset = mapping->end - mapping->start;
    uint32_t index = intern(modules, &like);
    if (index == HONE_PERFDATA_NO_MODULE)
        return index;
    struct hone_perfdata_module *module = &modules->at[index];
    if (like.low_offset < module->low_offset)
        module->low_offset = like.low_offset;
    if (like.high_offset > module->high_offset)
        module->high_offset = like.high_offset;
    return index;
}

uint32_t hone_perfdata_kernel_module(struct hone_perfdata_modules *modules)
{
    struct hone_perfdata_module like = {.kind = HONE_PERFDATA_KERNEL, .path = KERNEL_PATH};
    const struct hone_perfdata_build_id *told =
        hone_perfdata_build_id_of(modules->info, KERNEL_PATH);
    if (told) {
        like.build_id_size = told->size;
        memcpy(like.build_id, told->bytes, told->size);
    }
    return intern(modules, &like);
}

// --- where they are now --------------------------------------------------------------------------

static bool has_build_id(const struct hone_perfdata_module *module,
                         const struct hone_elf_code *code)
{
    return code->module.build_id_size >= module->build_id_size &&
           memcmp(code->module.build_id, module->build_id, module->build_id_size) == 0;
}

// What changed since the recording is not what ran.
static bool is_old_enough(const struct hone_perfdata_modules *modules, const struct stat *st)
{
    uint64_t changed_ns =
        (uint64_t)st->st_ctim.tv_sec * 1000000000u + (uint64_t)st->st_ctim.tv_nsec;
    return modules->recorded_ns && changed_ns <= modules->recorded_ns;
}

static bool open_file(struct hone_perfdata_modules *modules, struct hone_perfdata_module *module,
                      const char *path)
{
    HONE_CLEANUP(hone_fd_closep)
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size <= 0)
        return false;
    struct hone_elf_code *code = hone_arena_new(&modules->arena, struct hone_elf_code);
    if (!code || hone_elf_code_map(fd, (uint64_t)st.st_size, code))
        return false;
    bool proven = module->build_id_size ? has_build_id(module, code)
                                        : module->inode && st.st_ino == module->inode;
    module->by_age = !proven && !module->build_id_size && is_old_enough(modules, &st);
    if (!proven && !module->by_age) {
        hone_elf_code_unmap(code);
        module->changed = true;
        return false;
    }
    module->code = code;
    module->found = hone_arena_copy(&modules->arena, path, strlen(path) + 1);
    module->changed = false;
    return true;
}

// perf keeps what it met under its build id: in a folder of that name, formerly as a file.
static void look_into_cache(struct hone_perfdata_modules *modules,
                            struct hone_perfdata_module *module)
{
    char hex[2 * HONE_PERFDATA_BUILD_ID_MAX + 1] = "", path[PATH_MAX];
    if (!module->build_id_size || !modules->cache[0])
        return;
    for (size_t i = 0; i < module->build_id_size; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", module->build_id[i]);
    static const char *const names[] = {"/elf", "/vdso", "", "/debug"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)snprintf(path, sizeof path, "%s/.build-id/%.2s/%s%s", modules->cache, hex, hex + 2,
                       names[i]);
        if (open_file(modules, module, path))
            return;
    }
}

static void look_for_vdso(struct hone_perfdata_modules *modules,
                          struct hone_perfdata_module *module)
{
    const struct hone_elf_code *ours = hone_elf_code_vdso();
    struct utsname kernel;
    bool same =
        ours && (module->build_id_size
                     ? has_build_id(module, ours)
                     : uname(&kernel) == 0 && strcmp(kernel.release, modules->info->release) == 0);
    if (!same) {
        look_into_cache(modules, module);
        return;
    }
    module->code = ours;
    module->found = VDSO_PATH;
}

static void look_for_file(struct hone_perfdata_modules *modules,
                          struct hone_perfdata_module *module)
{
    static const char deleted[] = " (deleted)";
    size_t len = strlen(module->path), cut = sizeof deleted - 1;
    bool is_deleted = len > cut && strcmp(module->path + len - cut, deleted) == 0;
    char path[PATH_MAX];
    if (len >= sizeof path)
        return;
    (void)snprintf(path, sizeof path, "%.*s", (int)(is_deleted ? len - cut : len), module->path);
    // What has the name of a deleted file is another one, unless its build id proves it.
    if ((!is_deleted || module->build_id_size) && open_file(modules, module, path))
        return;
    look_into_cache(modules, module);
}

const struct hone_elf_code *hone_perfdata_module_code(struct hone_perfdata_modules *modules,
                                                      uint32_t index)
{
    struct hone_perfdata_module *module = &modules->at[index];
    if (module->looked_for)
        return module->code;
    module->looked_for = true;
    if (!modules->same_machine)
        return NULL;
    if (module->kind == HONE_PERFDATA_FILE)
        look_for_file(modules, module);
    else if (module->kind == HONE_PERFDATA_VDSO)
        look_for_vdso(modules, module);
    return module->code;
}
