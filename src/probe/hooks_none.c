// libhone.a: no hooks, so the program keeps libc's own functions, but for hooks_none_sandbox.c.
#include "probe/allocator.h"
#include "probe/entries_libc.h"
#include "probe/heap.h"
#include "probe/imports.h"
#include "probe/lock.h"
#include "probe/probe.h"

#include <errno.h>
#include <pthread.h>

const bool hone_has_hooks = false;

static struct sigaction before;

__thread uint64_t hone_thread_stack_bytes;

void hone_threads_after_fork(void)
{
}

void hone_thread_tells_its_end(void)
{
}

void hone_thread_ends(void)
{
}

bool hone_signal_by_syscall(long number, const long words[4], long *ret)
{
    (void)number;
    (void)words;
    (void)ret;
    return false;
}

void hone_signal_cleared(void)
{
}

struct hone_allocator hone_allocator;

void hone_allocator_find(void)
{
}

bool hone_allocator_is_early(const void *block)
{
    (void)block;
    return false;
}

bool hone_allocator_is_libc(const void *base)
{
    (void)base;
    return false;
}

bool hone_allocator_is_at(const void *base)
{
    (void)base;
    return false;
}

void hone_maps_find(void)
{
}

void hone_maps_after_fork(void)
{
}

void hone_locks_find(void)
{
}

void hone_locks_begin(bool allowed)
{
    (void)allowed;
}

void hone_locks_shared(void)
{
}

void hone_locks_end(void)
{
}

bool hone_locks_are_wanted(void)
{
    return false;
}

void hone_locks_after_fork(void)
{
}

void hone_locks_process_leave(void)
{
}

void hone_locks_thread_leave(void)
{
}

void hone_libc_entries_patch(void)
{
}

void hone_imports_begin(bool heap, bool locks)
{
    (void)heap;
    (void)locks;
}

void hone_imports_patch(void)
{
}

void hone_imports_after_fork(void)
{
}

void hone_maps_tell(struct hone_scan_range *ret)
{
    (void)ret;
}

void hone_leave_out_of_cores(void)
{
}

const char *hone_allocator_path(void)
{
    return NULL;
}

void hone_new_find(void)
{
}

void hone_at_fork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    (void)pthread_atfork(prepare, parent, child);
}

int hone_signal_install(int signal, void (*handler)(int, siginfo_t *, void *))
{
    struct sigaction ours = {.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK}, found;
    ours.sa_sigaction = handler;
    (void)sigfillset(&ours.sa_mask);
    if (sigaction(signal, &ours, &found))
        return -errno;
    if (!(found.sa_flags & SA_SIGINFO) || found.sa_sigaction != handler)
        before = found;
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, signal);
    (void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    return 0;
}

void hone_signal_pass_on(int signal, siginfo_t *info, void *ucontext)
{
    if (before.sa_handler == SIG_IGN)
        return;
    if (before.sa_handler != SIG_DFL) {
        if (!(before.sa_flags & SA_ONSTACK))
            hone_handler_enter_below(signal, info, ucontext, before.sa_sigaction);
        if (before.sa_flags & SA_SIGINFO)
            before.sa_sigaction(signal, info, ucontext);
        else
            before.sa_handler(signal);
        return;
    }
    if (signal != SIGTRAP)
        return;
    (void)sigaction(signal, &before, NULL);
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, signal);
    (void)raise(signal);
    (void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

// Says in a program's file that this library is inside, for a static program shows it in no other
// way: an ELF note of the name "Hone".
__attribute__((section(".note.hone"), used, aligned(4))) static const struct {
    uint32_t name_bytes, content_bytes, type;
    char name[8];
    uint32_t version;
} note = {5, 4, 1, "Hone", HONE_SESSION_VERSION};
