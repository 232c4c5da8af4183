// A library whose constructor starts a thread: it runs before the constructor of a preloaded
// library, so the thread is there before any profiler.
#include "burn.h"

#include <pthread.h>

long long early_bird_ns;
long long early_bird_work_ns = 500 * MS;
static pthread_t thread;

OWN_NAME static void *early_bird(void *unused)
{
    (void)unused;
    burn_ns(early_bird_work_ns);
    early_bird_ns = thread_cpu_ns();
    return NULL;
}

void early_bird_join(void);

void early_bird_join(void)
{
    pthread_join(thread, NULL);
}

__attribute__((constructor)) static void start(void)
{
    pthread_create(&thread, NULL, early_bird, NULL);
}
