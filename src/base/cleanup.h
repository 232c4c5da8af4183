// Scope-end cleanup: an owner declared with HONE_CLEANUP frees itself when its scope ends, and
// hone_take() hands it on to somebody else.
//
//     HONE_CLEANUP(hone_fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
//     …
//     *ret = hone_take(object);
//
// Threads: safe.  Signals: not for guest code.
#ifndef HONE_BASE_CLEANUP_H
#define HONE_BASE_CLEANUP_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define HONE_CLEANUP(function) __attribute__((cleanup(function)))

// The value of an owning pointer, which is NULL from here on.
#define hone_take(pointer)                                                                         \
    (__extension__({                                                                               \
        __auto_type hone_taken_ = (pointer);                                                       \
        (pointer) = NULL;                                                                          \
        hone_taken_;                                                                               \
    }))

// The descriptor, which is -1 from here on.
static inline int hone_fd_take(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}

static inline void hone_fd_closep(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
}

static inline void hone_freep(void *pointer)
{
    free(*(void **)pointer);
}

static inline void hone_fclosep(FILE **file)
{
    if (*file)
        (void)fclose(*file);
}

#endif
