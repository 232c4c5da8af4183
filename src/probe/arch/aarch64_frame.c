#include "probe/areas.h"

#include <string.h>
#include <ucontext.h>

// Where the handler returns to: the system call that ends it. Unwinders know a signal's frame by
// these two instructions, and look for a description from the one before.
void hone_handler_return(void) __attribute__((visibility("hidden")));
__asm__(".text\n"
        "    nop\n"
        ".globl hone_handler_return\n"
        ".hidden hone_handler_return\n"
        ".type hone_handler_return, %function\n"
        "hone_handler_return:\n"
        "    mov x8, 139\n"
        "    svc 0\n"
        ".size hone_handler_return, . - hone_handler_return\n");

// What was saved for which the ucontext has no room follows it.
struct extra {
    uint32_t magic, bytes; // of this record
    uint64_t at;
    uint32_t size;
};

enum { HAS_EXTRA = 0x45585401, RECORDS = 32 };

static struct extra *find_extra(ucontext_t *context)
{
    char *record = (char *)context->uc_mcontext.__reserved, *end = (char *)(context + 1);
    for (int i = 0; i < RECORDS && record + sizeof(struct extra) <= end; i++) {
        struct extra *found = (struct extra *)record;
        if (found->magic == HAS_EXTRA)
            return found;
        if (!found->magic || found->bytes < 8)
            return NULL;
        record += found->bytes;
    }
    return NULL;
}

// The frame, upwards: the siginfo, the ucontext, what did not fit into it, and a record as
// functions leave them for who follows frame pointers.
void hone_handler_enter_below(int signal, siginfo_t *info, void *ucontext,
                              void (*handler)(int, siginfo_t *, void *))
{
    ucontext_t *context = ucontext;
    uint64_t sp = context->uc_mcontext.sp;
    if (!hone_came_to_alternate(context, sp))
        return;
    const char *from = (const char *)info, *end = (const char *)(context + 1);
    struct extra *extra = find_extra(context);
    if (extra)
        end = (const char *)(extra->at + extra->size);
    size_t bytes = (size_t)(end - from);
    uint64_t record_at = (sp & ~(uint64_t)15) - 2 * sizeof(uint64_t);
    uint64_t *record = (uint64_t *)record_at;
    char *frame = (char *)((record_at - bytes) & ~(uint64_t)15);
    record[0] = context->uc_mcontext.regs[29];
    record[1] = context->uc_mcontext.regs[30];
    memcpy(frame, from, bytes);
    ucontext_t *copied = (ucontext_t *)(frame + ((const char *)ucontext - from));
    if (extra)
        find_extra(copied)->at += (uint64_t)(frame - from);
    register long x0 __asm__("x0") = signal;
    register void *x1 __asm__("x1") = frame;
    register void *x2 __asm__("x2") = copied;
    register void *x3 __asm__("x3") = frame;
    register void *x4 __asm__("x4") = record;
    register void (*x5)(void) __asm__("x5") = hone_handler_return;
    // A branch by this register may land where a call may.
    register void (*x16)(int, siginfo_t *, void *) __asm__("x16") = handler;
    __asm__ volatile(
        "mov sp, %[frame]\n\t"
        "mov x29, %[record]\n\t"
        "mov x30, %[back]\n\t"
        "br %[handler]"
        :
        : "r"(x0), "r"(x1),
          "r"(x2), [frame] "r"(x3), [record] "r"(x4), [back] "r"(x5), [handler] "r"(x16)
        : "memory");
    __builtin_unreachable();
}
