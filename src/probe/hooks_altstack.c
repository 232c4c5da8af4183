// Alternate stacks that have no room for our signal. A signal that comes while a handler runs on
// one is put below that handler's frame, and where that does not fit the kernel ends the program.
// So once a thread has a small one, ours waits until handlers that run on such stacks are through.
#include "probe/areas.h"
#include "probe/heap.h"
#include "probe/probe.h"
#include "probe/real.h"

#include "core/syscall.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/auxv.h>

// One frame for the program's signal, one for ours, and a third for what its handler needs itself;
// ours goes on elsewhere (x86_64_frame.c).
enum { FRAMES = 3, MORE = 1024, FRAME_USUAL = 4096 };

#define DISARMS (1u << 31) // the kernel's SS_AUTODISARM, which not every C library has

static _Atomic bool some_are_small;

static size_t size_needed(void)
{
    size_t frame = getauxval(AT_MINSIGSTKSZ); // with the vector registers of this machine
    return FRAMES * (frame ? frame : FRAME_USUAL) + MORE;
}

bool hone_altstack_keeps_out(const struct sigaction *action)
{
    return atomic_load_explicit(&some_are_small, memory_order_relaxed) &&
           action->sa_flags & SA_ONSTACK && action->sa_handler != SIG_DFL &&
           action->sa_handler != SIG_IGN;
}

bool hone_altstack_lets_in(void)
{
    stack_t stack;
    if (!atomic_load_explicit(&some_are_small, memory_order_relaxed) || hone_probe.locked_in ||
        hone_syscall2(SYS_sigaltstack, NULL, &stack) < 0)
        return false;
    size_t room = (uintptr_t)__builtin_frame_address(0) - (uintptr_t)stack.ss_sp;
    return !(stack.ss_flags & SS_ONSTACK) || room > size_needed() / FRAMES + MORE;
}

// Handlers that are there already.
void hone_altstack_keep_out(void)
{
    int ours = hone_probe.locked_in ? 0 : hone_signal_ours(); // a sandbox may forbid to ask
    int saved = errno;
    struct sigaction action, again;
    if (!atomic_load_explicit(&some_are_small, memory_order_relaxed))
        return;
    for (int number = 1; ours && number < NSIG; number++) {
        if (number == ours || hone_real()->sigaction(number, NULL, &action) ||
            !hone_altstack_keeps_out(&action) || sigismember(&action.sa_mask, ours) == 1)
            continue;
        // Another thread may set one just now, by our hook, which sees to it.
        if (hone_real()->sigaction(number, NULL, &again) ||
            again.sa_sigaction != action.sa_sigaction)
            continue;
        (void)sigaddset(&action.sa_mask, ours);
        (void)hone_real()->sigaction(number, &action, NULL);
    }
    errno = saved;
}

// A stack that is armed no more while a handler is on it can be told by its place only. What such
// a handler sets is undone when it returns.
static void remember_disarming(const stack_t *stack)
{
    struct hone_heap_thread *self = &hone_heap_self;
    const uint64_t here = (uintptr_t)__builtin_frame_address(0);
    if (here - self->disarmed_low < self->disarmed_bytes)
        return;
    const bool disarms = (unsigned)stack->ss_flags & DISARMS && !(stack->ss_flags & SS_DISABLE) &&
                         hone_area_may_be_own_stack((uintptr_t)stack->ss_sp);
    self->disarmed_bytes = 0; // a handler may come at any moment
    atomic_signal_fence(memory_order_seq_cst);
    self->disarmed_low = (uintptr_t)stack->ss_sp;
    atomic_signal_fence(memory_order_seq_cst);
    self->disarmed_bytes = !disarms                      ? 0
                           : stack->ss_size < UINT32_MAX ? (uint32_t)stack->ss_size
                                                         : UINT32_MAX;
}

HONE_EXPORT int sigaltstack(const stack_t *stack, stack_t *before)
{
    if (stack)
        remember_disarming(stack);
    // For good: where the stack pointer is does not tell then which of both a handler is on.
    if (stack && !(stack->ss_flags & SS_DISABLE) &&
        hone_area_may_be_own_stack((uintptr_t)stack->ss_sp))
        hone_heap_self.asks = 1;
    // A vfork child has handlers of its own, and our memory.
    if (stack && !(stack->ss_flags & SS_DISABLE) && stack->ss_size < size_needed() &&
        hone_is_our_process() && !atomic_exchange(&some_are_small, true))
        hone_altstack_keep_out();
    return hone_real()->sigaltstack(stack, before);
}
