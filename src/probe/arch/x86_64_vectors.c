// As all guest code, this changes no other registers than the general ones before they are kept.
#include "probe/heap.h"
#include "probe/others.h"

#include <cpuid.h>

enum {
    AREA_BYTES = 4096, // 2688 with AVX-512
    HEADER_AT = 512,   // of the area, and how long it is
    HEADER_BYTES = 64,
    LAST_COMPONENT = 7,
    COMPONENTS = 0xe7, // x87, SSE, AVX, AVX-512; what others there are we do not use
};

static bool has_xsave(void)
{
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_OSXSAVE) && __get_cpuid_max(0, NULL) >= 13 &&
           __get_cpuid_count(13, LAST_COMPONENT, &a, &b, &c, &d) && a + b <= AREA_BYTES;
}

HONE_HOOK void hone_keeping_vectors(void (*work)(void *), void *argument)
{
    static _Atomic int8_t known; // 1: by xsave, -1: by fxsave
    alignas(64) unsigned char area[AREA_BYTES];
    int8_t how = atomic_load_explicit(&known, memory_order_relaxed);
    if (HONE_UNLIKELY(!how)) {
        how = has_xsave() ? 1 : -1;
        atomic_store_explicit(&known, how, memory_order_relaxed);
    }
    if (HONE_UNLIKELY(how < 0)) {
        __asm__ volatile("fxsave64 %0" : "=m"(area)::"memory");
        work(argument);
        __asm__ volatile("fxrstor64 %0" ::"m"(area) : "memory");
        return;
    }
    for (int i = 0; i < HEADER_BYTES; i++)
        ((volatile unsigned char *)area)[HEADER_AT + i] = 0;
    __asm__ volatile("xsave64 %0" : "+m"(area) : "a"(COMPONENTS), "d"(0) : "memory");
    work(argument);
    __asm__ volatile("xrstor64 %0" ::"m"(area), "a"(COMPONENTS), "d"(0) : "memory");
}

// Callers in the same file as an allocator know which registers it uses, and keep values in the
// others, and how it uses the stack, which they do not align for it. So a hook must leave all
// registers as they are but the result's, and align the stack.
//
// In: the hook's address, above it the return address. What the function returns is in rax, or, by
// the second gate, nothing.
#define GATE(name, keep_result, leave_result)                                                      \
    __asm__(".pushsection hone_hooks, \"ax\", @progbits\n"                                         \
            ".globl " name "\n"                                                                    \
            ".hidden " name "\n"                                                                   \
            ".type " name ", @function\n" name ":\n"                                               \
            "    .cfi_startproc\n"                                                                 \
            "    .cfi_def_cfa_offset 16\n"                                                         \
            "    endbr64\n"                                                                        \
            "    push %rbp\n"                                                                      \
            "    .cfi_def_cfa_offset 24\n"                                                         \
            "    .cfi_offset %rbp, -24\n"                                                          \
            "    mov %rsp, %rbp\n"                                                                 \
            "    .cfi_def_cfa_register %rbp\n"                                                     \
            "    push %rcx\n"                                                                      \
            "    push %rdx\n"                                                                      \
            "    push %rsi\n"                                                                      \
            "    push %rdi\n"                                                                      \
            "    push %r8\n"                                                                       \
            "    push %r9\n"                                                                       \
            "    push %r10\n"                                                                      \
            "    push %r11\n" keep_result "    and $-16, %rsp\n"                                   \
            "    call *8(%rbp)\n" leave_result "    mov -64(%rbp), %r11\n"                         \
            "    mov -56(%rbp), %r10\n"                                                            \
            "    mov -48(%rbp), %r9\n"                                                             \
            "    mov -40(%rbp), %r8\n"                                                             \
            "    mov -32(%rbp), %rdi\n"                                                            \
            "    mov -24(%rbp), %rsi\n"                                                            \
            "    mov -16(%rbp), %rdx\n"                                                            \
            "    mov -8(%rbp), %rcx\n"                                                             \
            "    mov %rbp, %rsp\n"                                                                 \
            "    pop %rbp\n"                                                                       \
            "    .cfi_def_cfa %rsp, 16\n"                                                          \
            "    lea 8(%rsp), %rsp\n"                                                              \
            "    .cfi_def_cfa_offset 8\n"                                                          \
            "    ret\n"                                                                            \
            "    .cfi_endproc\n"                                                                   \
            ".size " name ", . - " name "\n"                                                       \
            ".globl " name "_end\n"                                                                \
            ".hidden " name "_end\n" name "_end:\n"                                                \
            ".popsection\n")

GATE("hone_gate", "", "");
GATE("hone_gate_without_result", "    push %rax\n", "    mov -72(%rbp), %rax\n");
