// The door of a sandbox in a program with libhone.a inside. Here alone libc's functions are not
// left alone, for past it our system calls may be the program's end. Weak: a program's own
// functions of these names come first. Hidden: a dynamic program calls these by itself, its
// libraries do not, and it may have a libhone.so preloaded that must see the same.
#include "probe/probe.h"

#include "core/syscall.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <unistd.h>

#pragma weak dlsym // see twin.c

// Those of whoever comes next in a dynamic program. They are called unless it is this library that
// records.
static int (*next_prctl)(int option, ...);
static long (*next_syscall)(long number, ...);

__attribute__((constructor(101))) static void find_next(void)
{
    if (!dlsym || !getauxval(AT_BASE))
        return;
    *(void **)&next_prctl = dlsym(RTLD_DEFAULT, "prctl");
    *(void **)&next_syscall = dlsym(RTLD_DEFAULT, "syscall");
}

__attribute__((weak, visibility("hidden"))) int prctl(int option, ...)
{
    long words[4];
    va_list arguments;
    va_start(arguments, option);
    hone_sandbox_words(arguments, words, 4);
    va_end(arguments);
    if (next_prctl && !hone_probe.writer.header)
        return next_prctl(option, words[0], words[1], words[2], words[3]);
    return hone_sandbox_prctl(option, words);
}

__attribute__((weak, visibility("hidden"))) long syscall(long number, ...)
{
    long words[6];
    va_list arguments;
    va_start(arguments, number);
    hone_sandbox_words(arguments, words, 6);
    va_end(arguments);
    if (next_syscall && !hone_probe.writer.header)
        return next_syscall(number, words[0], words[1], words[2], words[3], words[4], words[5]);
    if (hone_sandbox_minds(number))
        return hone_sandbox_syscall(number, words);
    long r;
    HONE_SYSCALL_HERE(r, number, words[0], words[1], words[2], words[3], words[4], words[5]);
    return hone_sandbox_give(r);
}

// The same, whoever has those names.
static int our_prctl(int option, ...) __attribute__((nothrow, alias("prctl")));
static long our_syscall(long number, ...) __attribute__((nothrow, alias("syscall")));

bool hone_sandbox_door_is_ours(void)
{
    return prctl == our_prctl && syscall == our_syscall;
}
