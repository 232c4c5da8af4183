// The x86-64 system call: number in rax, arguments in rdi rsi rdx r10 r8 r9; the kernel destroys
// rcx and r11.
#ifndef HONE_CORE_ARCH_SYSCALL_X86_64_H
#define HONE_CORE_ARCH_SYSCALL_X86_64_H

#define HONE_SYSCALL_HERE(result, number, a, b, c, d, e, f)                                        \
    do {                                                                                           \
        register long hone_r10 __asm__("r10") = (d);                                               \
        register long hone_r8 __asm__("r8") = (e);                                                 \
        register long hone_r9 __asm__("r9") = (f);                                                 \
        __asm__ volatile("syscall"                                                                 \
                         : "=a"(result)                                                            \
                         : "a"(number), "D"(a), "S"(b), "d"(c), "r"(hone_r10), "r"(hone_r8),       \
                           "r"(hone_r9)                                                            \
                         : "rcx", "r11", "memory");                                                \
    } while (0)

#endif
