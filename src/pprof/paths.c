#include "pprof/paths.h"

#include "base/cleanup.h"
#include "base/path.h"
#include "profile/profile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// The last part of a path: "b" of "/a/b/", "." of nothing.
static struct hone_str last_part(struct hone_str path)
{
    if (!path.len)
        return HONE_STR(".");
    while (path.len > 1 && path.at[path.len - 1] == '/')
        path.len--;
    size_t at = path.len;
    while (at && path.at[at - 1] != '/')
        at--;
    return at == path.len ? path : (struct hone_str){path.at + at, path.len - at};
}

// What follows "/NAME/" in a path, NAME being the last part of one of the directories: whoever
// says where the sources are now says where they were, too.
static const char *after_directory(struct hone_arena *arena, const char *path,
                                   const char *directories)
{
    while (*directories) {
        size_t len = strcspn(directories, ":");
        struct hone_str part = last_part((struct hone_str){directories, len});
        const char *wanted = hone_arena_format(arena, "/%.*s/", (int)part.len, part.at);
        const char *found = wanted ? strstr(path, wanted) : NULL;
        if (found)
            return found + strlen(wanted);
        directories += len + (directories[len] == ':');
    }
    return NULL;
}

static const char *without_prefix(const char *path, struct hone_str prefix)
{
    if (strncmp(path, prefix.at, prefix.len) != 0)
        return NULL;
    if (prefix.len && prefix.at[prefix.len - 1] == '/')
        return path + prefix.len;
    return path[prefix.len] == '/' ? path + prefix.len + 1 : NULL;
}

static const char *trim(struct hone_arena *arena, const char *path,
                        const struct hone_pprof_config *config)
{
    const char *rest =
        *config->trim_path ? NULL : after_directory(arena, path, config->source_path);
    if (rest)
        return rest;
    for (const char *at = config->trim_path; *at;) {
        size_t len = strcspn(at, ":");
        rest = without_prefix(path, (struct hone_str){at, len});
        if (rest)
            return rest;
        at += len + (at[len] == ':');
    }
    rest = without_prefix(path, HONE_STR("/proc/self/cwd/./"));
    rest = rest ? rest : without_prefix(path, HONE_STR("/proc/self/cwd/"));
    return rest ? rest : path;
}

int hone_pprof_clean_files(struct hone_profile *p, enum hone_pprof_report report,
                           const struct hone_pprof_config *config, struct hone_error *err)
{
    bool trims = report != HONE_PPROF_TRACES;
    switch (report) {
    case HONE_PPROF_CALLGRIND:
    case HONE_PPROF_DOT:
    case HONE_PPROF_LIST:
    case HONE_PPROF_TOP:
    case HONE_PPROF_TOPPROTO:
    case HONE_PPROF_TRACES:
    case HONE_PPROF_TREE:
        break;
    default: // look for sources themselves, or show paths as they are
        return 0;
    }
    struct hone_arena arena = {0};
    HONE_CLEANUP(hone_freep) uint32_t *known = calloc(p->strings.count, sizeof *known);
    uint32_t known_count = p->strings.count; // cleaning adds some
    int r = known ? 0 : -ENOMEM;
    for (uint32_t i = 1; !r && i < p->functions.count; i++) {
        uint32_t file = p->functions.file[i];
        if (!file || file >= known_count)
            continue;
        if (!known[file]) {
            const char *path = hone_profile_text(p, file);
            const char *trimmed = trims ? trim(&arena, path, config) : path;
            struct hone_str clean = hone_path_clean(&arena, hone_str_of(trimmed));
            if (!clean.at)
                r = -ENOMEM;
            else
                known[file] = 1 + (*trimmed ? hone_profile_intern_str(p, clean) : 0);
        }
        if (!r)
            p->functions.file[i] = known[file] - 1;
    }
    r = r ? r : hone_profile_status(p);
    hone_arena_done(&arena);
    return r ? hone_error_set(err, r, "cannot make the report") : 0;
}
