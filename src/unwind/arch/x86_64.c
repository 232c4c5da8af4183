#include "unwind/arch/arch.h"
#include "unwind/unwind.h"

#include <ucontext.h>

void hone_registers_from_ucontext(struct hone_registers *ret, const void *ucontext)
{
    // Where the kernel keeps each, in DWARF's order.
    static const uint8_t places[HONE_REGISTER_COUNT] = {
        REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI, REG_RBP, REG_RSP, REG_R8,
        REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15, REG_RIP,
    };
    const ucontext_t *context = ucontext;
    for (unsigned i = 0; i < HONE_REGISTER_COUNT; i++)
        ret->r[i] = (uint64_t)context->uc_mcontext.gregs[places[i]];
}

__attribute__((naked)) void hone_registers_here(__attribute__((unused)) struct hone_registers *ret)
{
    __asm__("xor %eax, %eax\n\t"
            "mov %rax, 0(%rdi)\n\t"  // rax
            "mov %rax, 8(%rdi)\n\t"  // rdx
            "mov %rax, 16(%rdi)\n\t" // rcx
            "mov %rbx, 24(%rdi)\n\t"
            "mov %rax, 32(%rdi)\n\t" // rsi
            "mov %rax, 40(%rdi)\n\t" // rdi
            "mov %rbp, 48(%rdi)\n\t"
            "lea 8(%rsp), %rdx\n\t" // as it is after the return
            "mov %rdx, 56(%rdi)\n\t"
            "mov %rax, 64(%rdi)\n\t" // r8 to r11
            "mov %rax, 72(%rdi)\n\t"
            "mov %rax, 80(%rdi)\n\t"
            "mov %rax, 88(%rdi)\n\t"
            "mov %r12, 96(%rdi)\n\t"
            "mov %r13, 104(%rdi)\n\t"
            "mov %r14, 112(%rdi)\n\t"
            "mov %r15, 120(%rdi)\n\t"
            "mov (%rsp), %rdx\n\t"
            "mov %rdx, 128(%rdi)\n\t"
            "ret");
}

// call rel32 is e8 and 4 bytes; call through register or memory is ff /2 with a ModRM byte, perhaps
// a SIB byte and a displacement: 2, 3, 4, 6 or 7 bytes.
bool hone_arch_follows_call(struct hone_memory *memory, uint64_t address)
{
    uint8_t code[8] = {0}; // code[8 - n] is n bytes before the address
    if (!hone_memory_code(memory, code, address - sizeof code, sizeof code)) {
        // Generated code may begin just before, at the start of a mapping.
        uint64_t on_page = address % HONE_PAGE_BYTES;
        if (on_page == 0 || on_page >= sizeof code ||
            !hone_memory_code(memory, code + sizeof code - on_page, address - on_page, on_page))
            return false;
        __builtin_memset(code, 0, sizeof code - on_page);
    }
    if (code[3] == 0xe8)
        return true;
    for (unsigned size = 2; size <= 7; size++) {
        if (code[8 - size] != 0xff)
            continue;
        uint8_t modrm = code[8 - size + 1];
        if ((modrm >> 3 & 7) != 2)
            continue;
        unsigned mode = modrm >> 6, rm = modrm & 7;
        unsigned expected = 2;
        if (mode != 3) {
            bool sib = rm == 4;
            unsigned base = sib && size > 2 ? code[8 - size + 2] & 7 : rm;
            expected += sib;
            if (mode == 1)
                expected += 1;
            else if (mode == 2 || base == 5)
                expected += 4;
        }
        if (expected == size)
            return true;
    }
    return false;
}

uint64_t hone_arch_call_target(struct hone_memory *memory, uint64_t address)
{
    uint8_t code[5];
    if (!hone_memory_code(memory, code, address - sizeof code, sizeof code) || code[0] != 0xe8)
        return 0;
    int32_t distance;
    __builtin_memcpy(&distance, code + 1, sizeof distance);
    return address + (uint64_t)(int64_t)distance;
}

const uint8_t hone_arch_fp_at_fp[3] = {2, 0x76, 0}; // DW_OP_breg6 0
