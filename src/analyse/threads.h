// Threads at a moment, from threads.prof or another profile that counts threads (Go's goroutine):
// each with what is known of it, and in groups that are at the same place, in the same state, and
// were created by the same function.
#ifndef HONE_ANALYSE_THREADS_H
#define HONE_ANALYSE_THREADS_H

#include "base/error.h"

#include <stdint.h>

struct hone_profile;

// A sample. Texts are the profile's; "" where nobody told.
struct hone_thread_row {
    uint32_t stack;
    int64_t count;             // threads; 1 where each has its sample
    int64_t pid, tid, creator; // 0: not told
    int64_t waits_ns;          // -1: not told, or it does not wait
    const char *process, *thread, *state, *wait;
    const char *created_by, *created_at;
    const char *no_stack; // why
    const char *stuck;    // why it may wait for ever
};

struct hone_thread_group {
    uint32_t first, rows;
    int64_t count;
    int64_t shortest_ns, longest_ns; // of its waits; -1: none is told
};

struct hone_thread_state {
    const char *name;
    int64_t count;
};

enum { HONE_THREAD_STATES_MAX = 32 };

struct hone_thread_list {
    struct hone_thread_row *rows; // by group, then by process and id
    uint32_t count;
    struct hone_thread_group *groups; // the largest first
    uint32_t group_count;
    int64_t total;
    uint32_t processes;
    struct hone_thread_state states[HONE_THREAD_STATES_MAX]; // the most frequent first
    uint32_t state_count;
};

// Returns 0; -EINVAL with err filled: no profile of threads; -ENOMEM.
int hone_thread_list_new(const struct hone_profile *profile, struct hone_thread_list *ret,
                         struct hone_error *err);
void hone_thread_list_done(struct hone_thread_list *threads);

#endif
