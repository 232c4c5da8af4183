// Threads by the stack that created them, over a whole recording: from threads-time.prof. A site
// whose living threads keep growing leaks them; the verdict is growth.h's, which is slow to accuse:
// a pool that fills and then stays does not grow.
#ifndef HONE_ANALYSE_THREAD_LEAKS_H
#define HONE_ANALYSE_THREAD_LEAKS_H

#include "analyse/growth.h"

// Leaks of memory have their limits in bytes; these are threads per second.
#define HONE_THREADS_FAST 1.0
#define HONE_THREADS_SLOW (1.0 / 60)

enum { HONE_THREADS_MANY = 500 }; // that one site has alive at the end

struct hone_thread_origin {
    uint32_t stack;
    uint32_t processes; // in which it created threads; what follows are sums over them
    int64_t created, ended, most, alive;
    int64_t lived_ns; // by those that ended, together
    struct hone_growth is;
};

struct hone_thread_leaks {
    struct hone_thread_origin *origins; // those that grow first, then the most alive, most created
    uint32_t count;
    uint32_t growing;
    int64_t created, ended, alive;
    struct hone_growth all; // of the threads of all sites together
};

// Returns 0; -EINVAL with err filled: it is no such profile; -ENOMEM.
int hone_thread_leaks_new(const struct hone_profile *profile, struct hone_thread_leaks *ret,
                          struct hone_error *err);
void hone_thread_leaks_done(struct hone_thread_leaks *leaks);

#endif
