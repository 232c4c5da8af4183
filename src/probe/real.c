#include "probe/real.h"

#include "probe/heap.h"

#include <dlfcn.h>
#include <stdatomic.h>

static struct hone_real real;
static _Atomic int resolved;

// Several threads may do this at once: each writes the same addresses.
static void resolve(void)
{
    static const struct {
        const char *name;
        void **at;
    } functions[] = {
        {"sigaction", (void **)&real.sigaction},
        {"signal", (void **)&real.signal},
        {"bsd_signal", (void **)&real.bsd_signal},
        {"ssignal", (void **)&real.ssignal},
        {"sysv_signal", (void **)&real.sysv_signal},
        {"__sysv_signal", (void **)&real.own_sysv_signal},
        {"siginterrupt", (void **)&real.siginterrupt},
        {"sigset", (void **)&real.sigset},
        {"sigignore", (void **)&real.sigignore},
        {"sighold", (void **)&real.sighold},
        {"sigrelse", (void **)&real.sigrelse},
        {"sigaltstack", (void **)&real.sigaltstack},
        {"raise", (void **)&real.raise},
        {"sigprocmask", (void **)&real.sigprocmask},
        {"pthread_sigmask", (void **)&real.pthread_sigmask},
        {"sigpending", (void **)&real.sigpending},
        {"sigtimedwait", (void **)&real.sigtimedwait},
        {"signalfd", (void **)&real.signalfd},
        {"ptrace", (void **)&real.ptrace},
        {"sigsuspend", (void **)&real.sigsuspend},
        {"ppoll", (void **)&real.ppoll},
        {"pselect", (void **)&real.pselect},
        {"epoll_pwait", (void **)&real.epoll_pwait},
        {"pthread_create", (void **)&real.pthread_create},
        {"pthread_attr_getsigmask_np", (void **)&real.pthread_attr_getsigmask_np},
        {"thrd_create", (void **)&real.thrd_create},
        {"timer_create", (void **)&real.timer_create},
        {"mq_notify", (void **)&real.mq_notify},
        {"dlopen", (void **)&real.dlopen},
        {"dlclose", (void **)&real.dlclose},
        {"close", (void **)&real.close},
        {"dup2", (void **)&real.dup2},
        {"dup3", (void **)&real.dup3},
        {"closefrom", (void **)&real.closefrom},
        {"__register_atfork", (void **)&real.register_atfork},
        {"pthread_atfork", (void **)&real.pthread_atfork},
        {"clone", (void **)&real.clone},
        {"execve", (void **)&real.execve},
        {"execvpe", (void **)&real.execvpe},
        {"fexecve", (void **)&real.fexecve},
        {"execveat", (void **)&real.execveat},
        {"posix_spawn", (void **)&real.posix_spawn},
        {"posix_spawnp", (void **)&real.posix_spawnp},
    };
    hone_heap_self.own++; // dlsym() allocates what it says of functions that are not there
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++)
        *functions[i].at = dlsym(RTLD_NEXT, functions[i].name);
    hone_heap_self.own--;
    atomic_store_explicit(&resolved, 1, memory_order_release);
}

void hone_at_fork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    if (hone_real()->register_atfork) // without a library to belong to: we are never unloaded
        (void)real.register_atfork(prepare, parent, child, NULL);
    else if (real.pthread_atfork)
        (void)real.pthread_atfork(prepare, parent, child);
}

const struct hone_real *hone_real(void)
{
    if (!atomic_load_explicit(&resolved, memory_order_acquire))
        resolve();
    return &real;
}

struct hone_real *hone_real_to_change(void)
{
    (void)hone_real();
    return &real;
}

bool hone_real_is_glibc(void)
{
    return hone_real()->register_atfork != NULL;
}
