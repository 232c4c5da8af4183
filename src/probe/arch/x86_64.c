#include "probe/probe.h"

// function in rdi, argument in rsi, end of the stack in rdx. The old stack pointer waits in rbp,
// which calls keep; so whoever unwinds through here finds the way back.
__asm__(".text\n"
        ".globl hone_call_on_stack\n"
        ".hidden hone_call_on_stack\n"
        ".type hone_call_on_stack, @function\n"
        "hone_call_on_stack:\n"
        "    .cfi_startproc\n"
        "    endbr64\n"
        "    push %rbp\n"
        "    .cfi_def_cfa_offset 16\n"
        "    .cfi_offset %rbp, -16\n"
        "    mov %rsp, %rbp\n"
        "    .cfi_def_cfa_register %rbp\n"
        "    mov %rdx, %rsp\n"
        "    mov %rdi, %rax\n"
        "    mov %rsi, %rdi\n"
        "    call *%rax\n"
        "    mov %rbp, %rsp\n"
        "    pop %rbp\n"
        "    .cfi_def_cfa %rsp, 8\n"
        "    ret\n"
        "    .cfi_endproc\n"
        ".size hone_call_on_stack, . - hone_call_on_stack\n");

// The four rotations add up to 128 bits. Valgrind knows the sequence, takes the request from the
// array in rax (0x1001: are you there?) and leaves its answer in rdx.
bool hone_under_valgrind(void)
{
    const volatile uint64_t request[6] = {0x1001};
    uint64_t answer = 0;
    __asm__ volatile("rolq $3, %%rdi; rolq $13, %%rdi\n\t"
                     "rolq $61, %%rdi; rolq $51, %%rdi\n\t"
                     "xchgq %%rbx, %%rbx"
                     : "=d"(answer)
                     : "a"(request), "0"(answer)
                     : "cc", "memory");
    return answer != 0;
}
