// Threads by the stack that created them, over a whole recording: how many came, ended and were
// there at once, and how long they lived. From what processes told when their threads began and
// ended, so nothing of it is an estimate. A thread that its process's end ends was alive at the
// end, as a block is that nobody frees.
#ifndef HONE_CAPTURE_THREAD_SITES_H
#define HONE_CAPTURE_THREAD_SITES_H

#include "capture/collect.h"

// One thread that was created while it was recorded: not the first of a program.
struct hone_thread_life {
    uint32_t process;
    uint32_t creation; // stack plus one; 0: not known
    uint64_t begun_ns; // monotonic
    uint64_t ended_ns; // 0: it lives, or lived when its process ended
};

struct hone_thread_lives {
    struct hone_thread_life *at; // by process, creation and begin
    uint32_t count;
};

struct hone_thread_site {
    uint32_t process, creation;
    uint32_t created, ended;
    uint32_t most; // at once
    uint64_t most_ns;
    uint64_t lived_ns;                // those that ended, together
    uint64_t shortest_ns, longest_ns; // of them
    uint32_t first;                   // of its `created` lives
};

// Until `end_ns`, monotonic. Returns 0 or -ENOMEM.
int hone_thread_lives_new(const struct hone_collected *collected, uint64_t end_ns,
                          struct hone_thread_lives *ret);
void hone_thread_lives_done(struct hone_thread_lives *lives);

// The site whose lives begin at `first`; the next one begins at first + created. Returns 0 or
// -ENOMEM.
int hone_thread_site_sum(const struct hone_thread_lives *lives, uint32_t first,
                         struct hone_thread_site *ret);

#endif
