// The threads of a profile by its labels, for formats that have one track for each. Private to this
// room.
#ifndef HONE_CONVERT_THREADS_H
#define HONE_CONVERT_THREADS_H

#include "profile/profile.h"

struct hone_thread_track {
    uint32_t process; // strings; 0 unknown
    uint32_t thread;
    int64_t pid; // 0 unknown
    int64_t tid;
    int64_t track; // tid, or where that is unknown a number that no other thread has
};

struct hone_threads {
    uint32_t count;
    struct hone_thread_track *at; // in the order of their first sample
    uint32_t room;
    uint32_t *of_set; // by label set: place in at, UINT32_MAX for those without a sample
};

// Returns 0 or -ENOMEM; done is due in both cases.
int hone_threads_init(struct hone_threads *threads, const struct hone_profile *profile);
void hone_threads_done(struct hone_threads *threads);

#endif
