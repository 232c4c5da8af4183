#include "elf/debugfile.h"

#include "elf/cursor.h"
#include "elf/file.h"

#include <errno.h>
#include <libdeflate.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static bool same_build_id(const struct hone_elf *elf, const unsigned char *build_id, size_t len)
{
    return len && elf->facts.build_id_len == len && memcmp(elf->facts.build_id, build_id, len) == 0;
}

// A stripped program whose debug link names itself must not pass for its own debug file.
static bool has_something(struct hone_elf *elf)
{
    return hone_elf_section_named(elf, ".debug_info") || hone_elf_section_named(elf, ".symtab");
}

// Opens path if it is an ELF file with this build id.
static int try_build_id(const char *path, const unsigned char *build_id, size_t len,
                        struct hone_elf **ret)
{
    HONE_CLEANUP(hone_elf_closep) struct hone_elf *elf = NULL;
    int r = hone_elf_open(path, &elf, NULL);
    if (r)
        return r == -ENOMEM ? r : HONE_ELF_NO_DEBUG_FILE;
    if (!same_build_id(elf, build_id, len) || !has_something(elf))
        return HONE_ELF_NO_DEBUG_FILE;
    *ret = hone_take(elf);
    return 0;
}

int hone_elf_debug_by_build_id(const struct hone_elf_debug_places *places,
                               const unsigned char *build_id, size_t build_id_len,
                               struct hone_elf **ret)
{
    if (build_id_len < 2 || build_id_len > HONE_ELF_BUILD_ID_MAX)
        return HONE_ELF_NO_DEBUG_FILE;
    char hex[2 * HONE_ELF_BUILD_ID_MAX + 1];
    for (size_t i = 0; i < build_id_len; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", build_id[i]);
    for (size_t i = 0; i < places->root_count; i++) {
        char path[PATH_MAX];
        if ((size_t)snprintf(path, sizeof path, "%s/.build-id/%.2s/%s.debug", places->roots[i], hex,
                             hex + 2) >= sizeof path)
            continue;
        int r = try_build_id(path, build_id, build_id_len, ret);
        if (r <= 0)
            return r;
    }
    return HONE_ELF_NO_DEBUG_FILE;
}

// When the program has a build id, that decides; the checksum, which reads the whole file, is for
// programs without one.
static int try_link(const char *path, const struct hone_elf *elf, uint32_t checksum,
                    struct hone_elf **ret)
{
    HONE_CLEANUP(hone_elf_closep) struct hone_elf *debug = NULL;
    int r = hone_elf_open(path, &debug, NULL);
    if (r)
        return r == -ENOMEM ? r : HONE_ELF_NO_DEBUG_FILE;
    if (elf->facts.build_id_len && debug->facts.build_id_len) {
        if (!same_build_id(debug, elf->facts.build_id, elf->facts.build_id_len))
            return HONE_ELF_NO_DEBUG_FILE;
    } else if (libdeflate_crc32(0, debug->bytes, debug->len) != checksum) {
        return HONE_ELF_NO_DEBUG_FILE;
    }
    if (!has_something(debug))
        return HONE_ELF_NO_DEBUG_FILE;
    *ret = hone_take(debug);
    return 0;
}

// The directory of path, with its final slash removed; "." when it has none.
static void directory_of(const char *path, char *ret)
{
    if (!realpath(path, ret))
        (void)snprintf(ret, PATH_MAX, "%s", path);
    char *slash = strrchr(ret, '/');
    if (slash)
        *slash = '\0';
    else
        (void)snprintf(ret, PATH_MAX, ".");
}

int hone_elf_debug_by_link(const struct hone_elf_debug_places *places, struct hone_elf *elf,
                           struct hone_elf **ret)
{
    struct hone_elf_bytes link = hone_elf_section(elf, ".gnu_debuglink");
    struct hone_cursor cursor = hone_cursor(link.at, link.len);
    const char *name = hone_read_text(&cursor);
    if (!name || !name[0])
        return HONE_ELF_NO_DEBUG_FILE;
    cursor = hone_cursor_from(link.at, link.len, (strlen(name) + 4) & ~(size_t)3);
    uint32_t checksum = hone_read_u32(&cursor);
    if (cursor.failed || strchr(name, '/')) // a name, never a path
        return HONE_ELF_NO_DEBUG_FILE;

    char directory[PATH_MAX], path[2 * PATH_MAX];
    directory_of(elf->path, directory);
    // /lib may be a link to /usr/lib, while the debug file went where its package said.
    const char *short_directory = strncmp(directory, "/usr/", 5) == 0 ? directory + 4 : NULL;
    for (size_t i = 0; i < 2 + 2 * places->root_count; i++) {
        const char *root = i < 2 ? "" : places->roots[(i - 2) / 2];
        const char *below = i >= 2 && i % 2 ? short_directory : directory;
        if (!below)
            continue;
        if ((size_t)snprintf(path, sizeof path, "%s%s%s/%s", root, below, i == 1 ? "/.debug" : "",
                             name) >= sizeof path)
            continue;
        int r = try_link(path, elf, checksum, ret);
        if (r <= 0)
            return r;
    }
    return HONE_ELF_NO_DEBUG_FILE;
}

int hone_elf_debug_alternate(const struct hone_elf_debug_places *places, struct hone_elf *debug,
                             struct hone_elf **ret)
{
    struct hone_elf_bytes link = hone_elf_section(debug, ".gnu_debugaltlink");
    struct hone_cursor cursor = hone_cursor(link.at, link.len);
    const char *name = hone_read_text(&cursor);
    if (!name || !name[0])
        return HONE_ELF_NO_DEBUG_FILE;
    const unsigned char *build_id = cursor.at;
    size_t len = hone_cursor_left(&cursor);
    int r = hone_elf_debug_by_build_id(places, build_id, len, ret);
    if (r <= 0)
        return r;
    if (name[0] == '/')
        return try_build_id(name, build_id, len, ret);
    char directory[PATH_MAX], path[2 * PATH_MAX];
    directory_of(debug->path, directory);
    if ((size_t)snprintf(path, sizeof path, "%s/%s", directory, name) >= sizeof path)
        return HONE_ELF_NO_DEBUG_FILE;
    return try_build_id(path, build_id, len, ret);
}

int hone_elf_debug_find(const struct hone_elf_debug_places *places, struct hone_elf *elf,
                        struct hone_elf **ret)
{
    int r = hone_elf_debug_by_build_id(places, elf->facts.build_id, elf->facts.build_id_len, ret);
    if (r <= 0)
        return r;
    return hone_elf_debug_by_link(places, elf, ret);
}
