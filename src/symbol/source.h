// Source files: from the path that a profile recorded to the lines of the file here.
//
// The recorded path counts first. Where it leads nowhere, sources are looked for in the current
// directory (a relative path there and in its parents, and what follows the directory's name in the
// recorded path: "/build/app/src/x.c" is src/x.c within a directory app); or, if the user named
// directories, in those before anything else and there by ever shorter ends of the path. No other
// file is taken for the one that was compiled.
//
// Owner    the source owns all that is returned.
// Threads  one at a time.
#ifndef HONE_SYMBOL_SOURCE_H
#define HONE_SYMBOL_SOURCE_H

#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct hone_source;

struct hone_source_file {
    const char *recorded;
    const char *found;     // where it was read, NULL when it was not
    bool by_end;           // only an end of the recorded path led there
    int64_t changed_ns;    // when it was last written, since 1970
    const char *error;     // the same in go tool pprof's words
    struct hone_str *text; // lines without their ends; number 1 is text[0]
    uint32_t count;
    struct hone_source_file *next;
};

// Directories with ':' between; NULL and "" is none. search_path: where sources are; trim_path:
// what is cut from the front of recorded paths, which are then looked for like relative ones. With
// strict, files are looked for where `go tool pprof` does, and nowhere else. Returns 0 or -ENOMEM.
int hone_source_new(const char *search_path, const char *trim_path, bool strict,
                    struct hone_source **ret);
void hone_source_free(struct hone_source *source);
void hone_source_freep(struct hone_source **source); // for HONE_CLEANUP

// The file of a recorded path, read once; NULL when memory is out.
const struct hone_source_file *hone_source_file(struct hone_source *source, struct hone_str path);

// Where files are looked for, in words: "nor under /home/me/app".
const char *hone_source_places(const struct hone_source *source);

#endif
