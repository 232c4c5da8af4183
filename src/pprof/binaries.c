#include "pprof/binaries.h"

#include "base/cleanup.h"
#include "base/path.h"
#include "elf/elf.h"
#include "pprof/tell.h"
#include "profile/profile.h"

#include <errno.h>
#include <glob.h>
#include <string.h>

struct search {
    struct hone_profile *profile;
    struct hone_profile_mapping *mapping;
    struct hone_arena arena;
    bool found;
};

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

// Takes the file if it is one and the right one.
static void try_file(struct search *search, const char *path)
{
    HONE_CLEANUP(hone_elf_closep) struct hone_elf *elf = NULL;
    if (search->found || !path || hone_elf_open(path, &elf, NULL))
        return;
    const struct hone_elf_facts *facts = hone_elf_facts(elf);
    char id[2 * HONE_ELF_BUILD_ID_MAX + 1] = "";
    for (size_t i = 0; i < facts->build_id_len; i++)
        (void)snprintf(id + 2 * i, 3, "%02x", facts->build_id[i]);
    const char *wanted = hone_profile_text(search->profile, search->mapping->build_id);
    if (*wanted && strcmp(wanted, id) != 0) {
        hone_pprof_tell("Ignoring local file %s: build-id mismatch (%s != %s)", path, wanted, id);
        return;
    }
    search->mapping->file = hone_profile_intern(search->profile, path);
    search->found = true;
}

static void try_path(struct search *search, const char *directory, const char *a, const char *b)
{
    const char *joined = hone_arena_format(&search->arena, "%s/%s/%s", directory, a, b);
    if (joined)
        try_file(search, hone_path_clean(&search->arena, hone_str_of(joined)).at);
}

static void try_all_of(struct search *search, const char *directory, const char *build_id)
{
    const char *pattern = hone_arena_format(&search->arena, "%s/%s/*", directory, build_id);
    glob_t matches;
    if (!pattern || glob(pattern, 0, NULL, &matches))
        return;
    for (size_t i = 0; i < matches.gl_pathc; i++)
        try_file(search, matches.gl_pathv[i]);
    globfree(&matches);
}

static void try_directory(struct search *search, const char *directory)
{
    const char *build_id = hone_profile_text(search->profile, search->mapping->build_id);
    const char *file = hone_profile_text(search->profile, search->mapping->file);
    if (*build_id) {
        try_path(search, directory, build_id, base_name(file));
        try_all_of(search, directory, build_id);
        try_path(search, directory, file, build_id);
    }
    if (*file) {
        try_path(search, directory, "", base_name(file));
        try_path(search, directory, "", file);
    }
}

static char *search_path(struct hone_arena *arena)
{
    const char *given = getenv("PPROF_BINARY_PATH");
    if (given && *given)
        return hone_arena_format(arena, "%s", given);
    const char *home = getenv("HOME");
    return hone_arena_format(arena, "%s/pprof/binaries", home ? home : "");
}

static void search_mapping(struct search *search, const char *path)
{
    char *directories = hone_arena_format(&search->arena, "%s", path);
    search->found = false;
    for (const char *directory; (directory = strsep(&directories, ":")) != NULL;)
        if (!search->found)
            try_directory(search, directory);
}

int hone_pprof_locate_binaries(struct hone_profile *profile, struct hone_error *err)
{
    struct search search = {.profile = profile};
    const char *path = search_path(&search.arena);
    int r = path ? 0 : -ENOMEM;
    for (uint32_t i = 1; !r && i < profile->mappings.count; i++) {
        search.mapping = &profile->mappings.at[i];
        search_mapping(&search, path);
        r = hone_profile_status(profile);
    }
    hone_arena_done(&search.arena);
    return r ? hone_error_set(err, r, "cannot look for files of the profile") : 0;
}
