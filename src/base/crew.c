#include "base/crew.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

// Demanglers recurse as deep as names are nested.
enum { STACK_BYTES = 16 << 20 };

struct member {
    pthread_t thread;
    bool started;
    unsigned number;
    void (*work)(void *context, unsigned number);
    void *context;
};

unsigned hone_crew_size(void)
{
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
    return count > HONE_CREW_MAX ? HONE_CREW_MAX : (unsigned)count;
}

static void *run_member(void *argument)
{
    const struct member *member = argument;
    member->work(member->context, member->number);
    return NULL;
}

// Signals are the calling thread's: the new ones take none.
static void start(struct member *member)
{
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes))
        return;
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_attr_setstacksize(&attributes, STACK_BYTES);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    member->started = pthread_create(&member->thread, &attributes, run_member, member) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attributes);
}

void hone_crew_run(unsigned count, void (*work)(void *context, unsigned number),
                          void *context)
{
    struct member members[HONE_CREW_MAX] = {0};
    if (count > HONE_CREW_MAX)
        count = HONE_CREW_MAX;
    for (unsigned i = 1; i < count; i++) {
        members[i] = (struct member){.number = i, .work = work, .context = context};
        start(&members[i]);
    }
    work(context, 0);
    for (unsigned i = 1; i < count; i++)
        if (members[i].started)
            (void)pthread_join(members[i].thread, NULL);
}
