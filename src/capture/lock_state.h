// What a sleeping thread waits for and who has it: from the futex that it sleeps on, the names of
// the functions that called, and the words of the C library's own objects, read from outside.
//
//     struct hone_lock_call call;
//     if (hone_lock_call_find(names, count, &call))
//         hone_lock_state_read(&call, &sleep, &state);
//
// The futex word lies inside the object, at a place that the C library and the function tell; from
// there the object's own address follows, which is what people know it by.
//
//              slept on                      who has it
//     glibc    mutex + 0                     + 8 owner; robust, inheriting: the word at 0 itself
//              rwlock + 0, + 8, + 12         + 24 writer; readers are counted only
//              condition + 32 … + 44         nobody: anyone may signal
//              semaphore + 0, barrier + 4    nobody
//              join: a word of the thread    that thread: the word holds its id
//     musl     mutex + 4                     the word itself; not of a plain mutex
//              rwlock + 0                    not told
//              join: a word of the thread    the word 8 bytes before holds its id
//     Rust     the word                      not told
#ifndef HONE_CAPTURE_LOCK_STATE_H
#define HONE_CAPTURE_LOCK_STATE_H

#include "session/layout.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum hone_lock_library {
    HONE_LOCK_LIBRARY_UNKNOWN,
    HONE_LOCK_LIBRARY_GLIBC,
    HONE_LOCK_LIBRARY_MUSL,
    HONE_LOCK_LIBRARY_RUST,
};

// A frame, for finding the call: its function, "" when it has no name, and the file it lies in.
struct hone_lock_frame {
    const char *function;
    const char *module;
};

// The call of a lock function that a stack ends in.
struct hone_lock_call {
    enum hone_lock_kind kind;
    enum hone_lock_library library;
    bool internal;  // a lock of the C library itself: of the allocator, of a stream
    uint32_t first; // the innermost frame of who called it
};

// Looks for it in a stack, innermost first. False: there is none among the innermost frames; then
// kind is HONE_LOCK_UNKNOWN and first is 0.
bool hone_lock_call_find(const struct hone_lock_frame *frames, uint32_t count,
                         struct hone_lock_call *ret);

// Where a thread sleeps.
struct hone_lock_sleep {
    uint64_t futex;
    uint32_t operation;    // FUTEX_WAIT, …, without flags
    uint32_t expected;     // the word's value when it went to sleep
    const uint64_t *words; // of its stack, from its stack pointer up
    size_t word_count;
    bool (*read)(void *context, uint64_t address, void *to, size_t size); // the process's memory
    void *context;
};

enum hone_holder {
    HONE_HOLDER_UNKNOWN, // nothing tells, or nobody in particular
    HONE_HOLDER_NONE,    // it is free, or on its way from one to another
    HONE_HOLDER_THREAD,  // owner
    HONE_HOLDER_READERS, // so many, who are not known
};

struct hone_lock_state {
    enum hone_lock_kind kind;
    uint64_t address; // of the object; where that is not known, of the word that is slept on
    bool exact;       // it is the object's
    uint64_t mutex;   // of a condition variable: the mutex that goes with it; 0: not known
    enum hone_holder holder;
    uint32_t owner; // as the process itself numbers its threads; of a join: the thread waited for
    uint32_t readers;
    bool recursive, robust, inherits; // of a mutex
    bool shared;                      // it was made for several processes
    bool owner_died;                  // the kernel says so, of a robust one
};

void hone_lock_state_read(const struct hone_lock_call *call, const struct hone_lock_sleep *sleep,
                          struct hone_lock_state *ret);

#endif
