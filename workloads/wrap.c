// A library to be preloaded that stands in front of functions of libc, as others' tools do, and
// hands each call on. At the end it says how many it saw: `wrapped some` or `wrapped nothing`.
//
// With -DAUDIT also a library for LD_AUDIT, which the loader asks before anything else runs.
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

static int seen;

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*routine)(void *),
                   void *argument)
{
    int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    *(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
    seen++;
    return real(thread, attributes, routine, argument);
}

int sigaction(int signal, const struct sigaction *action, struct sigaction *before)
{
    int (*real)(int, const struct sigaction *, struct sigaction *);
    *(void **)&real = dlsym(RTLD_NEXT, "sigaction");
    seen++;
    return real(signal, action, before);
}

unsigned la_version(unsigned version);

unsigned la_version(unsigned version)
{
    return version;
}

__attribute__((destructor)) static void say(void)
{
    static const char some[] = "wrapped some\n", nothing[] = "wrapped nothing\n";
    if (seen ? write(STDERR_FILENO, some, sizeof some - 1) < 0
             : write(STDERR_FILENO, nothing, sizeof nothing - 1) < 0)
        seen = 0;
}
