// Looks for leaks: at its end a process that counts its blocks waits until its memory was read from
// here, and goes on. A thread of our own listens for that, so that nobody waits for the session to
// be read.
//
//     hone_scanner_start(header, &scanner);
//     …
//     hone_scan_take(scanner, pid, started_ns, &result)   when the process has ended
//     hone_scan_result_free(result);
//     hone_scanner_stop(scanner);
//
// Nothing of ours runs in the process. Its threads are stopped while it is read, for at most
// HONE_SCAN_SECONDS, and go on should we die.
#ifndef HONE_CAPTURE_SCAN_H
#define HONE_CAPTURE_SCAN_H

#include "capture/scan_mark.h"
#include "session/layout.h"

#include <sys/types.h>

enum {
    HONE_SCAN_SECONDS = 30,
    HONE_SCAN_BLOCKS_MAX = 16 << 20, // some 500 MB here
};

struct hone_scanner;

// Blocks of one stack and one reach; of sampled ones, one block.
struct hone_scan_row {
    uint32_t stack; // its id in the process; 0: see `block`
    enum hone_reach reach;
    uint64_t block; // number in the process
    uint64_t objects, bytes;
};

struct hone_scan_result {
    struct hone_scan_result *next;
    uint32_t pid;
    uint64_t started_ns;
    char reason[160]; // why it was not looked through to the end; empty: it was
    bool exact;       // every block, not only the sampled ones
    struct hone_scan_row *rows;
    uint32_t row_count, row_room;
    uint64_t blocks, bytes_read, time_ns;
    uint32_t threads, threads_left; // of which the registers were not read
};

// Returns 0 or a negative errno.
int hone_scanner_start(struct hone_session_header *header, struct hone_scanner **ret);
// Ends the thread. NULL is fine.
void hone_scanner_stop(struct hone_scanner *scanner);

// What was found in that process; NULL: it did not ask. The caller frees it.
struct hone_scan_result *hone_scan_take(struct hone_scanner *scanner, uint32_t pid,
                                        uint64_t started_ns);
void hone_scan_result_free(struct hone_scan_result *result);

// --- scan_process.c ------------------------------------------------------------------------------

// The session's chunks, as they were before any program could write to its header.
struct hone_scan_chunks {
    const struct hone_session_header *header;
    const unsigned char *at;
    uint32_t count;
};

// NULL: there is none of that number.
static inline const unsigned char *hone_scan_chunk(const struct hone_scan_chunks *chunks,
                                                   uint64_t number)
{
    if (number >= chunks->count ||
        number >= atomic_load_explicit(&chunks->header->backed_chunks, memory_order_acquire))
        return NULL;
    return chunks->at + number * HONE_CHUNK_BYTES;
}

// What the session says of the process that asks, checked.
struct hone_scan_target {
    struct hone_scan_chunks chunks;
    _Atomic uint32_t *beat;
    pid_t pid;
    uint64_t started_ns;
    uint64_t places;     // address
    bool some_uncounted; // the rate was changed: blocks may live of which nobody knows
    char allocator[HONE_PROCESS_ALLOCATOR];
};

// Looks through a process that waits. Fills the result's reason when that could not be done.
void hone_scan_run(const struct hone_scan_target *target, struct hone_scan_result *result);

// The tables of blocks, see scan_blocks.c.
struct hone_scan_process;
struct hone_scan_found {
    struct hone_scan_places places;
    struct hone_scan_block *blocks; // by rising address; `what` is a site, or a number
    uint32_t count, room;
    struct hone_scan_run {
        uint64_t from, to;
    } * heap; // pages in which blocks have begun, rising
    uint32_t heap_count, heap_room;
};

// A block that is a forked process's parent's.
#define HONE_SCAN_PARENTS ((uint64_t)1 << 63)

// Returns 0; -EBADMSG: there are no such tables at target->places; -E2BIG: too many blocks; -ETIME;
// -ENOMEM. Takes our own memory out of the process's areas.
int hone_scan_find_blocks(struct hone_scan_process *process, const struct hone_scan_target *target,
                          struct hone_scan_found *ret);
void hone_scan_found_done(struct hone_scan_found *found);

#endif
