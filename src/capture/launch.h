// Starting a program, with libhone.so inside when there is a session: the session's file, the
// environment, the exec.
#ifndef HONE_CAPTURE_LAUNCH_H
#define HONE_CAPTURE_LAUNCH_H

#include "base/error.h"
#include "capture/keeper.h"
#include "session/owner.h"

#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

// The session's file, in a folder that only its owner can list.
struct hone_launch {
    struct hone_session session;
    char folder[PATH_MAX];
    char file[PATH_MAX];
    char library[PATH_MAX];
    void (*file_size_signal)(int); // what the program finds set for SIGXFSZ, which we ignore
    void (*pipe_signal)(int);      // for SIGPIPE, which we ignore as well
    void (*child_signal)(int);     // and for SIGCHLD, which we do not
    bool keep_library;             // a copy of it in the folder may still be needed
    // Called with the child before it becomes the program, with the signals blocked that its parent
    // has blocked; a failure is launch's.
    int (*prepare)(void *context, pid_t pid, struct hone_error *err);
    void *context;
    pid_t pid;
    int pidfd;
    int event_fd;  // keeps the kernel's perf events ready, or -1
    int folder_fd; // locked as long as we live, so that others know; or -1
    struct hone_keeper keeper;
};

#define HONE_LAUNCH_NONE                                                                           \
    (struct hone_launch)                                                                           \
    {                                                                                              \
        .session = {.fd = -1}, .pidfd = -1, .event_fd = -1, .folder_fd = -1, .keeper = {.fd = -1}, \
    }

// The path of the libhone.so that belongs to this command.
int hone_launch_library(char *ret, size_t size, struct hone_error *err);

// Makes the session where there is room: in memory (/dev/shm), else under $TMPDIR or /tmp.
int hone_launch_session(struct hone_launch *launch, uint32_t chunk_count,
                        const struct hone_session_config *config, struct hone_error *err);

// Starts argv, its signals as they were in `mask`. Returns 0; a positive outcome of target.h when
// the kernel would not run it; or a negative errno.
int hone_launch_start(struct hone_launch *launch, char *const argv[], const sigset_t *mask,
                      struct hone_error *err);

// Removes the session's file and folder. Processes that still run keep writing into memory that
// nobody reads.
void hone_launch_done(struct hone_launch *launch);

#endif
