#include "probe/areas.h"

#include <string.h>
#include <ucontext.h>

enum {
    RED_ZONE = 128,    // below its stack pointer a function keeps values
    STATE_BYTES = 512, // of the floating point registers without extensions
    // What the kernel says of the extensions: in bytes of that which the processor leaves free.
    EXTENSIONS_AT = 464,
    EXTENSIONS_MAGIC = 0x46505853,
    STATE_ALIGN = 64, // asked for by the instruction that restores it
};

// Shadow stacks know of each return address, so nobody may change stacks behind their back. The
// instruction does nothing where there are none.
static bool has_shadow_stack(void)
{
    uint64_t pointer = 0;
    __asm__ volatile("rdsspq %0" : "+r"(pointer));
    return pointer != 0;
}

static size_t state_bytes(const char *state)
{
    uint32_t words[2]; // a magic number, the size of all
    if (!state)
        return 0;
    memcpy(words, state + EXTENSIONS_AT, sizeof words);
    return words[0] == EXTENSIONS_MAGIC ? words[1] : STATE_BYTES;
}

// The frame, upwards: where the handler returns to, the ucontext, the siginfo; somewhere above it
// the floating point state, to which the ucontext points.
void hone_handler_enter_below(int signal, siginfo_t *info, void *ucontext,
                              void (*handler)(int, siginfo_t *, void *))
{
    ucontext_t *context = ucontext;
    uint64_t sp = (uint64_t)context->uc_mcontext.gregs[REG_RSP];
    if (!hone_came_to_alternate(context, sp) || has_shadow_stack())
        return;
    char *from = (char *)ucontext - sizeof(void *);
    size_t bytes = (size_t)((char *)(info + 1) - from);
    void *state = context->uc_mcontext.fpregs;
    size_t more = state_bytes(state);
    uint64_t state_at = (sp - RED_ZONE - more) & ~(uint64_t)(STATE_ALIGN - 1);
    uint64_t at = ((state_at - bytes) & ~(uint64_t)15) - sizeof(void *);
    char *frame = (char *)at;
    memcpy((char *)state_at, state, more);
    memcpy(frame, from, bytes);
    ucontext_t *copied = (ucontext_t *)(frame + sizeof(void *));
    if (state)
        copied->uc_mcontext.fpregs = (void *)state_at;
    register void (*r8)(int, siginfo_t *, void *) __asm__("r8") = handler;
    // As the kernel enters it: the frame pointer is still that of who was interrupted.
    __asm__ volatile("mov %[frame], %%rsp\n\t"
                     "mov %[fp], %%rbp\n\t"
                     "jmp *%[handler]"
                     :
                     : "D"((long)signal), "S"(frame + ((char *)info - from)), "d"(copied),
                       "a"(0L), [frame] "c"(frame), [fp] "b"(context->uc_mcontext.gregs[REG_RBP]),
                       [handler] "r"(r8)
                     : "memory");
    __builtin_unreachable();
}
