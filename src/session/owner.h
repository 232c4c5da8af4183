// Making a session: the file, its header, and the memory behind its chunks. For the one process
// that reads it.
//
//     hone_session_create(path, 4096, &config, &session);
//     … start programs that map path; every now and then:
//     hone_session_back(&session, HONE_SESSION_AHEAD);
//     hone_session_close(&session);
//
// Threads: one at a time.  Signals: not safe.
#ifndef HONE_SESSION_OWNER_H
#define HONE_SESSION_OWNER_H

#include "session/layout.h"

#include <stdbool.h>
#include <stddef.h>

// Chunks kept free ahead of the writers: 4 MiB, a second of the fastest sampling on eight cores.
enum { HONE_SESSION_AHEAD = 64 };

struct hone_session {
    struct hone_session_header *header; // the mapping
    size_t bytes;
    int fd;
    bool guarded;   // hone_session_guard() was called
    int back_error; // negative errno of the last failure to get memory; 0 when there was none
};

// Creates the file (mode 0666, for programs that change their user; keep it in a folder that
// others cannot list), sized for chunk_count chunks, with memory behind the first ones.
// Returns 0 or a negative errno: -ENOSPC when not even the first chunks have room; then no file is
// left behind.
int hone_session_create(const char *path, uint32_t chunk_count,
                        const struct hone_session_config *config, struct hone_session *ret);

// Puts memory behind chunks until `ahead` are free or the file has its full size. Returns 0, or the
// negative errno for which it could not; writers then drop and count.
int hone_session_back(struct hone_session *session, uint32_t ahead);

// From here on an access of ours to memory that the file has lost (somebody made it shorter) reads
// zeros instead of ending us by SIGBUS. One session at a time.
void hone_session_guard(struct hone_session *session);

// Whether the file has become shorter: then nothing in the memory can be believed any more.
bool hone_session_taken(const struct hone_session *session);

// Unmaps and closes. The file is the caller's to unlink.
void hone_session_close(struct hone_session *session);

#endif
