// dlmany MILLISECONDS PATH:FUNCTION…: four threads load the libraries in turn, call the function,
// and unload them, without pause, so that one library often lies where another has just been.
//
// Right answer: `FUNCTION NANOSECONDS` for each, and `loads N`; each function has its own time even
// though they share their addresses.
#include "burn.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>

enum { THREADS = 4, LIBRARIES = 8, BLOCKS = 200 };

static struct {
    char *path, *function;
    atomic_llong used_ns;
} libraries[LIBRARIES];
static int count;
static long long work_ns;
static atomic_long loads;

OWN_NAME static void *load_and_go(void *number)
{
    uint64_t state = (uint64_t)(uintptr_t)number * 0x9e3779b97f4a7c15ULL + 1;
    long long end = thread_cpu_ns() + work_ns;
    while (thread_cpu_ns() < end) {
        state = state * 6364136223846793005ULL + 1442695040888963407ULL;
        int i = (int)((state >> 33) % (unsigned)count);
        void *library = dlopen(libraries[i].path, RTLD_NOW | RTLD_LOCAL);
        void (*work)(void) = NULL;
        if (library)
            *(void **)&work = dlsym(library, libraries[i].function);
        if (!work) {
            fprintf(stderr, "dlmany: %s\n", dlerror());
            exit(1);
        }
        long long before = thread_cpu_ns();
        work();
        atomic_fetch_add(&libraries[i].used_ns, thread_cpu_ns() - before);
        // What the program allocates while others are inside the loader, which allocates, too.
        for (size_t size = 1; size <= BLOCKS; size++) {
            void *volatile block = malloc(size);
            free(block);
        }
        dlclose(library);
        atomic_fetch_add(&loads, 1);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    work_ns = argument(argc, argv, 1, 1000) * MS;
    for (int i = 2; i < argc && count < LIBRARIES; i++) {
        char *colon = strrchr(argv[i], ':');
        if (!colon)
            return misused("dlmany MILLISECONDS PATH:FUNCTION…");
        *colon = '\0';
        libraries[count].path = argv[i];
        libraries[count++].function = colon + 1;
    }
    if (!count)
        return misused("dlmany MILLISECONDS PATH:FUNCTION…");
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, load_and_go, (void *)i))
            return 1;
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < count; i++)
        printf("%s %lld\n", libraries[i].function, (long long)libraries[i].used_ns);
    printf("loads %ld\n", (long)loads);
    return 0;
}
