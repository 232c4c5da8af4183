// The aarch64 system call: number in x8, arguments in x0 to x5, result in x0.
#ifndef HONE_CORE_ARCH_SYSCALL_AARCH64_H
#define HONE_CORE_ARCH_SYSCALL_AARCH64_H

#define HONE_SYSCALL_HERE(result, number, a, b, c, d, e, f)                                        \
    do {                                                                                           \
        register long hone_x8 __asm__("x8") = (number);                                            \
        register long hone_x0 __asm__("x0") = (a);                                                 \
        register long hone_x1 __asm__("x1") = (b);                                                 \
        register long hone_x2 __asm__("x2") = (c);                                                 \
        register long hone_x3 __asm__("x3") = (d);                                                 \
        register long hone_x4 __asm__("x4") = (e);                                                 \
        register long hone_x5 __asm__("x5") = (f);                                                 \
        __asm__ volatile("svc 0"                                                                   \
                         : "+r"(hone_x0)                                                           \
                         : "r"(hone_x8), "r"(hone_x1), "r"(hone_x2), "r"(hone_x3), "r"(hone_x4),   \
                           "r"(hone_x5)                                                            \
                         : "memory");                                                              \
        (result) = hone_x0;                                                                        \
    } while (0)

#endif
