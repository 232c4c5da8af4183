#include "capture/held_file.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "elf/code.h"
#include "elf/elf.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    HELD_MAX = 256,       // of the usual 1024 descriptors
    MAPS_BYTES = 1 << 24, // of a list of mappings
};

static bool has_build_id(int fd, const struct hone_collected_module *module)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    HONE_CLEANUP(hone_elf_closep) struct hone_elf *elf = NULL;
    if (hone_elf_open(path, &elf, NULL))
        return false;
    const struct hone_elf_facts *facts = hone_elf_facts(elf);
    return facts->build_id_len == module->build_id_bytes &&
           memcmp(facts->build_id, module->build_id, module->build_id_bytes) == 0;
}

int hone_held_file_compare(const struct hone_collected_module *module, int fd, bool *ret_same)
{
    struct stat st;
    struct hone_elf_code code;
    if (fstat(fd, &st))
        return -errno;
    int r = hone_elf_code_map(fd, (uint64_t)st.st_size, &code);
    if (r)
        return r;
    *ret_same = code.module.contents == module->contents;
    hone_elf_code_unmap(&code);
    return 0;
}

// What lies where the module was may be the next one of its path, which has just been loaded.
static bool has_contents(int fd, const struct hone_collected_module *module)
{
    bool same = false;
    return !module->contents || (!hone_held_file_compare(module, fd, &same) && same);
}

// `mapped`: it is what the process has there now.
static bool hold(struct hone_collected_module *module, const char *path, bool mapped)
{
    HONE_CLEANUP(hone_fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 ||
        (module->build_id_bytes ? !has_build_id(fd, module) : !mapped || !has_contents(fd, module)))
        return false;
    module->held_fd = hone_fd_take(&fd) + 1;
    return true;
}

// By the mapping of its code, which needs a privilege and is the file itself.
static bool hold_mapping(struct hone_collected_module *module, uint32_t pid)
{
    char path[96];
    (void)snprintf(path, sizeof path, "/proc/%u/maps", pid);
    HONE_CLEANUP(hone_freep) char *text = NULL;
    size_t len = 0;
    if (hone_file_read(path, MAPS_BYTES, &text, &len, NULL))
        return false;
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n"));) {
        uint64_t start, end;
        if (sscanf(line, "%" SCNx64 "-%" SCNx64, &start, &end) != 2 || start > module->text_start ||
            end <= module->text_start)
            continue;
        const char *file = strchr(line, '/');
        if (!file || strncmp(file, module->path, strlen(module->path)) != 0)
            return false;
        (void)snprintf(path, sizeof path, "/proc/%u/map_files/%" PRIx64 "-%" PRIx64, pid, start,
                       end);
        return hold(module, path, true);
    }
    return false;
}

static bool is_program(const struct hone_collected_module *module, const char *exe)
{
    char target[PATH_MAX];
    ssize_t len = readlink(exe, target, sizeof target - 1);
    size_t path_len = strlen(module->path);
    target[len > 0 ? len : 0] = '\0';
    return strncmp(target, module->path, path_len) == 0 &&
           (!target[path_len] || strcmp(target + path_len, " (deleted)") == 0);
}

void hone_held_file(struct hone_collected *collected, uint32_t number, uint32_t pid)
{
    struct hone_collected_module *module = &collected->modules[number];
    if (module->path[0] != '/' || module->held_tried || collected->held_files >= HELD_MAX)
        return;
    module->held_tried = true;
    char exe[64];
    (void)snprintf(exe, sizeof exe, "/proc/%u/exe", pid);
    bool held = (module->build_id_bytes && hold(module, module->path, false)) ||
                (is_program(module, exe) && hold(module, exe, true)) || hold_mapping(module, pid);
    collected->held_files += held;
}
