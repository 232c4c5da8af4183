#include "probe/probe.h"

// function in x0, argument in x1, end of the stack in x2. The old stack pointer waits in x29, which
// calls keep; so whoever unwinds through here finds the way back.
__asm__(".text\n"
        ".globl hone_call_on_stack\n"
        ".hidden hone_call_on_stack\n"
        ".type hone_call_on_stack, %function\n"
        "hone_call_on_stack:\n"
        "    .cfi_startproc\n"
        "    hint 34\n" // bti c
        "    stp x29, x30, [sp, -16]!\n"
        "    .cfi_def_cfa_offset 16\n"
        "    .cfi_offset 29, -16\n"
        "    .cfi_offset 30, -8\n"
        "    mov x29, sp\n"
        "    .cfi_def_cfa_register 29\n"
        "    mov sp, x2\n"
        "    mov x3, x0\n"
        "    mov x0, x1\n"
        "    blr x3\n"
        "    mov sp, x29\n"
        "    .cfi_def_cfa_register 31\n"
        "    ldp x29, x30, [sp], 16\n"
        "    .cfi_def_cfa_offset 0\n"
        "    .cfi_restore 29\n"
        "    .cfi_restore 30\n"
        "    ret\n"
        "    .cfi_endproc\n"
        ".size hone_call_on_stack, . - hone_call_on_stack\n");

// Four rotations that add up to 128 bits. Valgrind knows the sequence, takes the request from the
// array in x4 (0x1001: are you there?) and leaves its answer in x3.
bool hone_under_valgrind(void)
{
    const volatile uint64_t request[6] = {0x1001};
    register uint64_t answer __asm__("x3") = 0;
    register const volatile uint64_t *array __asm__("x4") = request;
    __asm__ volatile("ror x12, x12, #3\n\t"
                     "ror x12, x12, #13\n\t"
                     "ror x12, x12, #51\n\t"
                     "ror x12, x12, #61\n\t"
                     "orr x10, x10, x10"
                     : "+r"(answer)
                     : "r"(array)
                     : "x12", "cc", "memory");
    return answer != 0;
}
