// The writing side of a session: guest code, used in signal handlers.
//
//     hone_writer_attach(&writer, memory, bytes);
//     hone_writer_begin(&writer, pid, …);
//     struct hone_record_cpu *sample = hone_writer_claim(&writer, HONE_RECORD_CPU, sizeof *sample);
//     if (sample) { …; hone_writer_commit(&writer, sample, HONE_RECORD_CPU); }
//
// Threads: all may claim and commit at once; attach and begin belong to start-up and to the only
// thread of a forked child.  Signals: safe; a claim may interrupt another claim of its thread.
#ifndef HONE_SESSION_WRITER_H
#define HONE_SESSION_WRITER_H

#include "core/core.h"
#include "session/layout.h"
#include "session/windows.h"

#include <stdbool.h>
#include <stddef.h>

struct hone_writer {
    struct hone_session_header *header;
    uint32_t process_chunk;       // index
    struct hone_process *process; // NULL: not begun, nothing may be claimed
    bool silent;                  // makes no system call
    struct hone_windows windows;  // last: few of its pages are touched
};

// Checks the header and remembers the memory: the session, or its beginning up to the end of its
// first window. The others are mapped as they are needed; where that is refused, the session is
// full. Returns 0, or -EPROTO when it is no session of this version, -EINVAL when its sizes do not
// fit the memory.
HONE_SIGSAFE int hone_writer_attach(struct hone_writer *writer, void *memory, size_t bytes);

// Claims the first chunk of this process. In a forked child: a new one, the parent keeps its own.
// Returns 0, or -ENOSPC, counted in the header.
HONE_SIGSAFE int hone_writer_begin(struct hone_writer *writer, uint32_t pid, uint32_t parent_pid,
                                   uint64_t now_ns);

// Room for a record of bytes (rounded up to 8, at most HONE_RECORD_BYTES_MAX), zeroed but for its
// head. Returns NULL when there is none; the caller counts what it drops. A claim that returned a
// record must be committed.
HONE_SIGSAFE void *hone_writer_claim(struct hone_writer *writer, size_t bytes);

// Makes the record visible to the reader.
HONE_SIGSAFE void hone_writer_commit(struct hone_writer *writer, void *record,
                                     enum hone_record_kind kind);

// What the calling thread has claimed further down its stack than `sp` will not be committed any
// more: whoever did was left by a jump. Its records are passed over by the reader.
HONE_SIGSAFE void hone_writer_abandon(struct hone_writer *writer, uint64_t sp);

// A chunk of this process's that holds no records but an array of sites, for as long as the process
// lives. The number of its first site; false when there is none.
HONE_SIGSAFE bool hone_writer_take_sites(struct hone_writer *writer, uint32_t *ret);

// Makes a mark, in any session that is mapped. False when there is no room for one more, counted.
HONE_SIGSAFE bool hone_writer_mark(struct hone_session_header *header, uint32_t pid,
                                   uint64_t time_ns, const char *name);

#endif
