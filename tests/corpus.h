// What tests do with the inputs that a fuzzer began with or has found.
//
//     static void check(const struct corpus_file *file) { … }
//     CHECK(corpus_each(CORPUS, check) >= 30);
//
// With base/starve.h included before, corpus_starve() has every allocation fail in turn.
#ifndef HONE_TESTS_CORPUS_H
#define HONE_TESTS_CORPUS_H

#include "check.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

struct corpus_file {
    char name[256];
    char path[4096];
    char *bytes; // a block of exact size, so that a read past the end is caught
    size_t len;
};

static inline void corpus_read(const char *directory, const char *name, struct corpus_file *ret)
{
    (void)snprintf(ret->name, sizeof ret->name, "%s", name);
    (void)snprintf(ret->path, sizeof ret->path, "%s/%s", directory, name);
    FILE *file = fopen(ret->path, "rb");
    cr_assert(file && fseek(file, 0, SEEK_END) == 0, "cannot open '%s'", ret->path);
    ret->len = (size_t)ftell(file);
    rewind(file);
    ret->bytes = malloc(ret->len ? ret->len : 1);
    CHECK(ret->bytes && fread(ret->bytes, 1, ret->len, file) == ret->len);
    (void)fclose(file);
}

static inline int corpus_is_file(const struct dirent *entry)
{
    return entry->d_name[0] != '.' && entry->d_type != DT_DIR;
}

// Calls check for each file of the directory, in the order of names; returns how many there are.
static inline int corpus_each(const char *directory, void (*check)(const struct corpus_file *file))
{
    struct dirent **entries;
    int count = scandir(directory, &entries, corpus_is_file, alphasort);
    cr_assert(count >= 0, "cannot open '%s'", directory);
    for (int i = 0; i < count; i++) {
        struct corpus_file file;
        corpus_read(directory, entries[i]->d_name, &file);
        check(&file);
        free(file.bytes);
        free(entries[i]);
    }
    free(entries);
    return count;
}

#ifdef HONE_BASE_STARVE_H
// Reads the file again and again, each time with another allocation that fails: that is an error,
// and nothing leaks. bad: it is refused also with all the memory that it wants.
static inline void corpus_starve(const struct corpus_file *file, bool bad,
                                 int (*read)(const struct corpus_file *file))
{
    for (long after = 0;; after++) {
        hone_starve_after = after;
        long before = hone_starve_blocks;
        int r = read(file);
        bool ran_out = hone_starve_after < 0;
        hone_starve_after = -1;
        cr_assert(hone_starve_blocks == before, "%s: %ld blocks leak when allocation %ld fails",
                  file->name, hone_starve_blocks - before, after);
        cr_assert(r == 0 || r == -ENOMEM || (bad && r == -EBADMSG),
                  "%s: %d when allocation %ld fails", file->name, r, after);
        if (!ran_out)
            return; // nothing was left to fail
    }
}
#endif

#endif
