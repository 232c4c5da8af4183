#include "cli/runs.h"

#include "base/cleanup.h"
#include "profile/profile.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int add(struct hone_runs *runs, uint32_t side, const char *path, struct hone_error *err)
{
    uint32_t count = runs->count[0] + runs->count[1];
    // NOLINTNEXTLINE(bugprone-sizeof-expression): pointers are what it holds
    struct hone_profile **profiles = reallocarray(runs->profiles, count + 1, sizeof *profiles);
    if (!profiles)
        return hone_error_set(err, -ENOMEM, "cannot read '%s'", path);
    runs->profiles = profiles;
    struct hone_operands one = {.at = (char *[]){(char *)path, NULL}, .count = 1};
    int r = hone_input_read(&one, runs->input, &runs->profiles[count], err);
    if (!r)
        runs->count[side]++;
    return r;
}

static bool is_file(const char *directory, const char *name, const char *file)
{
    char path[HONE_INPUT_PATH_MAX];
    struct stat status;
    int len = snprintf(path, sizeof path, "%s/%s/%s", directory, name, file);
    return len > 0 && len < (int)sizeof path && stat(path, &status) == 0 && S_ISREG(status.st_mode);
}

static bool is_recording(const char *directory, const char *name)
{
    return is_file(directory, name, "cpu.prof") || is_file(directory, name, "wall.prof") ||
           is_file(directory, name, "heap.prof") || is_file(directory, name, "block.prof");
}

struct listing {
    struct dirent **at;
    int count;
};

static void listing_done(struct listing *listing)
{
    for (int i = 0; i < listing->count; i++)
        free(listing->at[i]);
    free(listing->at);
}

static int visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

// Bytes, not the language of whoever runs it: the same order everywhere.
static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int add_directory(struct hone_runs *runs, uint32_t side, const char *directory,
                         struct hone_error *err)
{
    if (is_recording(directory, "."))
        return add(runs, side, directory, err);
    HONE_CLEANUP(listing_done) struct listing listing = {0};
    int count = scandir(directory, &listing.at, visible, by_name);
    if (count < 0)
        return hone_error_set(err, -errno, "cannot open '%s'", directory);
    listing.count = count;
    uint32_t before = runs->count[side];
    for (int i = 0; i < count; i++) {
        char path[HONE_INPUT_PATH_MAX];
        if (!is_recording(directory, listing.at[i]->d_name))
            continue;
        (void)snprintf(path, sizeof path, "%s/%s", directory, listing.at[i]->d_name);
        int r = add(runs, side, path, err);
        if (r)
            return r;
    }
    if (runs->count[side] != before)
        return 0;
    (void)hone_error_set(err, 0, "'%s' holds no cpu.prof, wall.prof, heap.prof or block.prof",
                         directory);
    return -ENOENT;
}

static int add_operand(struct hone_runs *runs, uint32_t side, const char *operand,
                       struct hone_error *err)
{
    struct stat status;
    bool directory = stat(operand, &status) == 0 && S_ISDIR(status.st_mode);
    return directory ? add_directory(runs, side, operand, err) : add(runs, side, operand, err);
}

int hone_runs_read(const struct hone_operands *operands, struct hone_runs *runs,
                   struct hone_error *err)
{
    int parted = -1;
    for (int i = 0; i < operands->count; i++)
        if (strcmp(operands->at[i], "vs") == 0) {
            if (parted >= 0)
                return hone_misused(err, "'vs' parts two sides and stands once");
            parted = i;
        }
    if (parted < 0 && operands->count > 2) {
        (void)hone_misused(err, "which of the %d are the new side is not said", operands->count);
        hone_error_hint(err, "put the word vs between the sides: hone diff A1 A2 vs B1 B2");
        return HONE_MISUSED;
    }
    int end = parted >= 0 ? parted : 1;
    int next = parted >= 0 ? parted + 1 : 1;
    if (end == 0 || next == operands->count)
        return hone_misused(err, "'hone diff' needs recordings on both sides of 'vs'");
    for (int i = 0; i < end; i++) {
        int r = add_operand(runs, 0, operands->at[i], err);
        if (r)
            return r;
    }
    for (int i = next; i < operands->count; i++) {
        int r = add_operand(runs, 1, operands->at[i], err);
        if (r)
            return r;
    }
    return 0;
}

void hone_runs_done(struct hone_runs *runs)
{
    for (uint32_t i = 0; i < runs->count[0] + runs->count[1]; i++)
        hone_profile_free(runs->profiles[i]);
    free(runs->profiles);
}
