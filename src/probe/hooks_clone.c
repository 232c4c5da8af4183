// Processes that a program makes by libc's clone(): libc calls nobody in such a child. One with
// memory of its own goes on as a forked one. The child's function and its argument lie on the
// caller's stack, of which the child has a copy.
//
// A child that shares memory or descriptors, and is no thread, cannot be sampled: what we know of
// its parent, and have open there, is its, too. Nor can a thread that has the thread-local storage
// of the one that made it. Both are counted.
#include "probe/heap.h"
#include "probe/probe.h"
#include "probe/real.h"

#include <sched.h>
#include <stdarg.h>
#include <stddef.h>

struct start {
    int (*function)(void *);
    void *argument;
};

// By value: with a local whose address anybody had, child() could not leave by a jump, and would be
// on each of the child's stacks.
__attribute__((noinline)) static struct start arrive(const struct start *at)
{
    struct start start = *at;
    hone_after_fork_in_child();
    return start;
}

static int child(void *argument)
{
    struct start start = arrive(argument);
    return start.function(start.argument);
}

HONE_HOOK HONE_EXPORT int clone(int (*function)(void *), void *stack, int flags, void *argument,
                                ...)
{
    va_list arguments;
    va_start(arguments, argument);
    pid_t *parent_tid = va_arg(arguments, pid_t *);
    void *tls = va_arg(arguments, void *);
    pid_t *child_tid = va_arg(arguments, pid_t *);
    va_end(arguments);
    // With thread-local storage of its own it has none of ours.
    bool apart = !(flags & (CLONE_VM | CLONE_FILES | CLONE_SETTLS));
    struct start start = {function, argument};
    bool borrows = flags & CLONE_THREAD && !(flags & CLONE_SETTLS);
    if (borrows)
        atomic_store_explicit(&hone_probe.some_borrow, true, memory_order_relaxed);
    if ((borrows || (!apart && !(flags & (CLONE_THREAD | CLONE_VFORK)))) && hone_is_our_process())
        hone_count(&hone_counters()->threads_uncovered, 1);
    if (!apart || !function)
        return hone_real()->clone(function, stack, flags, argument, parent_tid, tls, child_tid);
    return hone_real()->clone(child, stack, flags, &start, parent_tid, tls, child_tid);
}
