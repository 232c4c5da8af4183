#include "analyse/leaks.h"

#include "base/array.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "profile/profile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_BYTES_MAX = 1 << 20, PATTERN_BYTES_MAX = 4096 };

struct hone_suppressions {
    char *text; // lines end in NULs
    char **patterns;
    uint32_t count, room;
};

void hone_suppressions_free(struct hone_suppressions *suppressions)
{
    if (!suppressions)
        return;
    free(suppressions->text);
    free(suppressions->patterns);
    free(suppressions);
}

uint32_t hone_suppressions_count(const struct hone_suppressions *suppressions)
{
    return suppressions ? suppressions->count : 0;
}

const char *hone_suppressions_pattern(const struct hone_suppressions *suppressions, uint32_t place)
{
    return suppressions->patterns[place];
}

// --- one pattern ---------------------------------------------------------------------------------

static const char *find_part(const char *text, const char *part, size_t len)
{
    for (; *text; text++)
        if (strncmp(text, part, len) == 0)
            return text;
    return len ? NULL : text;
}

static bool ends_with(const char *text, const char *part, size_t len)
{
    size_t all = strlen(text);
    return all >= len && memcmp(text + all - len, part, len) == 0;
}

// Parts between stars are found from left to right, each as early as it goes: if that fails, no
// other way succeeds.
bool hone_suppression_matches(const char *pattern, const char *text)
{
    bool from_start = *pattern == '^';
    pattern += from_start;
    size_t left = strlen(pattern);
    bool to_end = left && pattern[left - 1] == '$';
    left -= to_end;
    if (!left)
        return from_start && to_end && !*text;
    for (;;) {
        size_t len = strcspn(pattern, "*");
        bool last = len >= left;
        len = last ? left : len;
        if (from_start) {
            if (strncmp(text, pattern, len) != 0)
                return false;
            if (last)
                return !to_end || !text[len];
            text += len;
        } else if (last && to_end) {
            return ends_with(text, pattern, len);
        } else {
            const char *found = find_part(text, pattern, len);
            if (!found)
                return false;
            text = found + len;
        }
        if (last)
            return true;
        from_start = false;
        pattern += len + 1;
        left -= len + 1;
    }
}

// --- a list --------------------------------------------------------------------------------------

static int parse_line(struct hone_suppressions *list, char *line, const char *name, uint32_t number,
                      struct hone_error *err)
{
    static const char kind[] = "leak:";
    line += strspn(line, " \t\r");
    size_t len = strlen(line);
    while (len && strchr(" \t\r", line[len - 1]))
        line[--len] = '\0';
    if (!len || *line == '#')
        return 0;
    if (strncmp(line, kind, sizeof kind - 1) != 0 || len == sizeof kind - 1 ||
        len > PATTERN_BYTES_MAX) {
        (void)hone_error_set(err, -EINVAL, "%s:%u: '%.60s' is no suppression", name, number, line);
        hone_error_hint(err, "write lines such as leak:name_of_a_function");
        return -EINVAL;
    }
    // NOLINTNEXTLINE(bugprone-sizeof-expression): pointers are what it holds
    if (!hone_array_reserve(&list->patterns, &list->room, (uint64_t)list->count + 1,
                            sizeof *list->patterns))
        return hone_error_set(err, -ENOMEM, "cannot read '%s'", name);
    list->patterns[list->count++] = line + sizeof kind - 1;
    return 0;
}

int hone_suppressions_parse(const char *text, size_t len, const char *name,
                            struct hone_suppressions **ret, struct hone_error *err)
{
    HONE_CLEANUP(hone_suppressions_freep)
    struct hone_suppressions *list = calloc(1, sizeof *list);
    if (!list || !(list->text = malloc(len + 1)))
        return hone_error_set(err, -ENOMEM, "cannot read '%s'", name);
    memcpy(list->text, text, len);
    list->text[len] = '\0';
    if (strlen(list->text) != len)
        return hone_error_set(err, -EINVAL, "'%s' is no list of suppressions: it has a NUL in it",
                              name);
    char *rest = list->text;
    uint32_t number = 0;
    for (char *line; (line = strsep(&rest, "\n"));) {
        int r = parse_line(list, line, name, ++number, err);
        if (r)
            return r;
    }
    *ret = hone_take(list);
    return 0;
}

int hone_suppressions_read(const char *path, struct hone_suppressions **ret, struct hone_error *err)
{
    HONE_CLEANUP(hone_freep) char *text = NULL;
    size_t len = 0;
    int r = hone_file_read(path, FILE_BYTES_MAX, &text, &len, err);
    return r ? r : hone_suppressions_parse(text, len, path, ret, err);
}

static uint32_t find_text(const struct hone_suppressions *list, const char *text)
{
    for (uint32_t i = 0; i < list->count && *text; i++)
        if (hone_suppression_matches(list->patterns[i], text))
            return i;
    return UINT32_MAX;
}

uint32_t hone_suppressions_find(const struct hone_suppressions *list,
                                const struct hone_profile *profile, uint32_t stack)
{
    uint32_t found = UINT32_MAX;
    if (!list)
        return found;
    struct hone_profile_span frames = hone_profile_frames_of(profile, stack);
    for (uint32_t i = 0; i < frames.count && found == UINT32_MAX; i++) {
        uint32_t location = frames.at[i];
        uint32_t mapping = profile->locations.mapping[location];
        found = find_text(list, hone_profile_text(profile, profile->mappings.at[mapping].file));
        struct hone_profile_line_span lines = hone_profile_lines_of(profile, location);
        for (uint32_t l = 0; l < lines.count && found == UINT32_MAX; l++) {
            uint32_t function = lines.at[l].function;
            found = find_text(list, hone_profile_text(profile, profile->functions.name[function]));
            if (found == UINT32_MAX)
                found =
                    find_text(list, hone_profile_text(profile, profile->functions.file[function]));
        }
    }
    return found;
}
