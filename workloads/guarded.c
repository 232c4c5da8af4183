// guarded KIND [ARGUMENT]: a program that notices what a profiler does inside a signal handler.
//
// calls PLUGIN  its own malloc(), free(), dlopen(), dl_iterate_phdr() and pthread_mutex_lock() end
//               it when they are called while every signal is blocked, which is so in a handler
//               that wants to be alone and nowhere else here; a library comes and goes meanwhile
// alarm         an alarm every 0.1 ms, whose handler looks where it interrupted: a handler of the
//               profiler must not be interrupted by one of the program
// errno         errno is looked at after each piece of work
//
// Right answer: `calls 0`, `inside 0`, `changed 0`, and more than nothing was done: `done some`.
#include "burn.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void __libc_free(void *block);

static const char *caught;
static bool watching = true; // from the first sample on, which comes before main()

static bool in_handler(void)
{
    uint64_t mask = 0;
    syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &mask, sizeof mask);
    return (mask >> (SIGUSR2 - 1) & 1) && (mask >> (SIGTERM - 1) & 1);
}

static void look(const char *name)
{
    if (watching && in_handler())
        caught = name;
}

void *malloc(size_t size)
{
    look("malloc");
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    look("calloc");
    return __libc_calloc(count, size);
}

void *realloc(void *block, size_t size)
{
    look("realloc");
    return __libc_realloc(block, size);
}

void free(void *block)
{
    look("free");
    __libc_free(block);
}

static void *next(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

int dl_iterate_phdr(int (*callback)(struct dl_phdr_info *, size_t, void *), void *data)
{
    look("dl_iterate_phdr");
    int (*real)(int (*)(struct dl_phdr_info *, size_t, void *), void *);
    *(void **)&real = next("dl_iterate_phdr");
    return real(callback, data);
}

int pthread_mutex_lock(pthread_mutex_t *mutex)
{
    static int (*real)(pthread_mutex_t *);
    look("pthread_mutex_lock");
    if (!real)
        *(void **)&real = next("pthread_mutex_lock");
    return real(mutex);
}

static int calls(const char *path)
{
    long long end = thread_cpu_ns() + 1200 * MS;
    while (thread_cpu_ns() < end && !caught) {
        void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        void (*plugin_work)(void) = NULL;
        if (library)
            *(void **)&plugin_work = dlsym(library, "plugin_work");
        if (!plugin_work) {
            fprintf(stderr, "guarded: %s\n", dlerror());
            return 1;
        }
        plugin_work();
        free(malloc(100));
        dlclose(library);
    }
    watching = false;
    printf("calls %s\ndone some\n", caught ? caught : "0");
    return caught ? 1 : 0;
}

// --- alarm ---------------------------------------------------------------------------------------

static struct {
    uintptr_t start, end;
} guest[8];
static int guest_count;
static volatile long inside, alarms;

// Where a preloaded profiler lies.
static int find_guest(struct dl_phdr_info *info, size_t size, void *unused)
{
    (void)size, (void)unused;
    for (int i = 0; strstr(info->dlpi_name, "libhone") && i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_LOAD && guest_count < 8) {
            uintptr_t start = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
            guest[guest_count].start = start;
            guest[guest_count++].end = start + info->dlpi_phdr[i].p_memsz;
        }
    return 0;
}

static void on_alarm(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)info;
    const ucontext_t *interrupted = context;
#if defined(__x86_64__)
    uintptr_t pc = (uintptr_t)interrupted->uc_mcontext.gregs[REG_RIP];
#else
    uintptr_t pc = interrupted->uc_mcontext.pc;
#endif
    alarms++;
    for (int i = 0; i < guest_count; i++)
        if (pc >= guest[i].start && pc < guest[i].end)
            inside++;
}

static int interrupted_inside(void)
{
    dl_iterate_phdr(find_guest, NULL);
    struct sigaction action = {.sa_sigaction = on_alarm, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigaction(SIGRTMIN, &action, NULL);
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
    timer_t timer;
    struct itimerspec every = {{0, 100000}, {0, 100000}};
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) || timer_settime(timer, 0, &every, NULL))
        return 1;
    burn_ns(1500 * MS);
    timer_delete(timer);
    printf("inside %ld\ndone %s\n", inside, alarms > 100 ? "some" : "nothing");
    return inside != 0;
}

static int errno_kept(void)
{
    long changed = 0, rounds = 0;
    long long end = thread_cpu_ns() + 800 * MS;
    do {
        errno = 12345;
        spin(SPIN_SLICE);
        __asm__ volatile("" ::: "memory"); // errno is in memory, and read again
        changed += errno != 12345;
        rounds++;
    } while (thread_cpu_ns() < end);
    printf("changed %ld\ndone %s\n", changed, rounds > 100 ? "some" : "nothing");
    return changed != 0;
}

int main(int argc, char **argv)
{
    const char *kind = argc > 1 ? argv[1] : "";
    if (!strcmp(kind, "calls") && argc > 2)
        return calls(argv[2]);
    if (!strcmp(kind, "alarm"))
        return interrupted_inside();
    if (!strcmp(kind, "errno"))
        return errno_kept();
    return misused("guarded calls PLUGIN|alarm|errno");
}
