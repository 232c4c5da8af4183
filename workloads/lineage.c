// lineage GENERATIONS [THREADS]: each generation starts THREADS that work, forks in the midst of
// it, and waits for its child, which does the same. The last one works alone, in `youngest`.
// No two threads of a line have the same stack, so none passes for one that an ancestor had.
//
// Right answer: `youngest NANOSECONDS`; whatever a profiler's handlers were in the middle of, in
// threads that the child does not have, must not add up over the generations.
#include "burn.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static atomic_int stop, warm;

OWN_NAME static void *busy(void *unused)
{
    (void)unused;
    burn_ns(MS);
    atomic_fetch_add(&warm, 1);
    while (!atomic_load_explicit(&stop, memory_order_relaxed))
        spin(1000);
    return NULL;
}

OWN_NAME static void youngest(void)
{
    burn_ns(400 * MS);
}

enum { STACK_BYTES = 32 << 10 };

static char *stacks; // the next one: one mapping for all, or copies of processes take long

static int start(pthread_t *ret)
{
    pthread_attr_t attributes;
    char *stack = stacks;
    stacks += STACK_BYTES;
    if (pthread_attr_init(&attributes) || pthread_attr_setstack(&attributes, stack, STACK_BYTES))
        return -1;
    return pthread_create(ret, &attributes, busy, NULL);
}

int main(int argc, char **argv)
{
    long generations = (long)argument(argc, argv, 1, 60);
    long count = (long)argument(argc, argv, 2, 3);
    pthread_t threads[16];
    stacks = mmap(NULL, (size_t)generations * (size_t)count * STACK_BYTES, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stacks == MAP_FAILED)
        return 1;
    for (long i = 0; i < generations; i++) {
        atomic_store(&stop, 0);
        atomic_store(&warm, 0);
        for (long t = 0; t < count && t < 16; t++)
            if (start(&threads[t]))
                return 1;
        burn_ns(2 * MS);
        // On a busy machine they may not have had their turn yet.
        while (atomic_load(&warm) < (count < 16 ? count : 16))
            sched_yield();
        pid_t child = fork();
        if (child < 0)
            return 1;
        if (child > 0) {
            atomic_store(&stop, 1);
            int status;
            if (waitpid(child, &status, 0) != child || status != 0)
                return 1;
            for (long t = 0; t < count && t < 16; t++)
                pthread_join(threads[t], NULL);
            return 0;
        }
    }
    long long before = thread_cpu_ns();
    youngest();
    printf("youngest %lld\n", thread_cpu_ns() - before);
    return 0;
}
