// Marks from outside: finding the recording that runs and giving its present moment a name.
#ifndef HONE_CAPTURE_MARKS_H
#define HONE_CAPTURE_MARKS_H

#include "base/error.h"
#include "session/layout.h"

// What was marked.
struct hone_marked {
    uint64_t since_ns;                // from the recording's start
    uint32_t recorder;                // the pid of its 'hone record'
    char folder[HONE_SESSION_FOLDER]; // where it will be; empty: it has no name yet
};

// Marks the recording that was started last among those that run; or, where `where` is not NULL,
// the one that will be left in that folder, or whose 'hone record' has that pid.
//
// Returns  0; -ENOENT when none runs, -ENOSPC when it has no room for one more; another negative
//          errno. err is filled then.
int hone_marks_make(const char *name, const char *where, struct hone_marked *ret,
                    struct hone_error *err);

// A folder's name as the session keeps it: absolute, its parent without links. Empty where that
// cannot be said.
void hone_marks_folder(const char *directory, char ret[HONE_SESSION_FOLDER]);

#endif
