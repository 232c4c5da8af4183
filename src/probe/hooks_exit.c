// The ends of a process. exit() calls us last, when all destructors have run; _exit(), which forked
// children often take, runs none. In a vfork child, which borrows its parent's memory, nothing of
// ours ends.
#include "probe/heap.h"

#include "core/syscall.h"

#include <stdlib.h>
#include <unistd.h>

HONE_EXPORT __attribute__((noreturn)) void _exit(int status)
{
    hone_process_end();
    for (;;)
        (void)hone_syscall1(SYS_exit_group, status);
}

HONE_EXPORT __attribute__((noreturn)) void _Exit(int status)
{
    _exit(status);
}

// Of the C++ ABI: functions that exit() calls, the last one first. What belongs to no library is
// not called earlier, with a library's own.
int __cxa_atexit(void (*function)(void *), void *argument, void *library);

static void at_exit(void *unused)
{
    (void)unused;
    if (hone_is_our_process())
        hone_heap_scan();
}

__attribute__((constructor)) static void watch_exit(void)
{
    if (!secure_getenv("HONE_SESSION"))
        return;
    hone_heap_self.own++; // it may allocate, where many libraries came before us
    (void)__cxa_atexit(at_exit, NULL, NULL);
    hone_heap_self.own--;
}
