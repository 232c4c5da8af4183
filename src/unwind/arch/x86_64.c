#include "unwind/arch/arch.h"
#include "unwind/unwind.h"

#include <stddef.h>
#include <ucontext.h>

// Where the kernel keeps each register, in DWARF's order.
static const uint8_t places[HONE_REGISTER_COUNT] = {
    REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI, REG_RBP, REG_RSP, REG_R8,
    REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15, REG_RIP,
};

void hone_registers_from_ucontext(struct hone_registers *ret, const void *ucontext)
{
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

// Follows "jmp *distance(ip)", as stubs have it, behind what marks a branch's target; `code` is at
// `address`.
static uint64_t jump_reaches(struct hone_memory *memory, const uint8_t *code, size_t size,
                             uint64_t address)
{
    size_t at = 0;
    if (code[0] == 0xf3 && code[1] == 0x0f && code[2] == 0x1e && code[3] == 0xfa)
        at = 4;             // endbr64
    at += code[at] == 0xf2; // bnd
    if (at + 6 > size || code[at] != 0xff || code[at + 1] != 0x25)
        return 0;
    int32_t distance;
    __builtin_memcpy(&distance, code + at + 2, sizeof distance);
    uint64_t target;
    uint64_t from = address + at + 6 + (uint64_t)(int64_t)distance;
    return hone_memory_code(memory, &target, from, sizeof target) ? target : 0;
}

uint64_t hone_arch_call_reaches(struct hone_memory *memory, uint64_t address)
{
    uint8_t code[12];
    uint64_t target = hone_arch_call_target(memory, address);
    if (target) {
        uint64_t beyond = hone_memory_code(memory, code, target, sizeof code)
                              ? jump_reaches(memory, code, sizeof code, target)
                              : 0;
        return beyond ? beyond : target;
    }
    if (!hone_memory_code(memory, code, address - 6, 6) || code[0] != 0xff || code[1] != 0x15)
        return 0;
    code[1] = 0x25; // call *distance(ip)
    return jump_reaches(memory, code, 6, address - 6);
}

uint64_t hone_arch_jumps_on(struct hone_memory *memory, uint64_t address)
{
    enum { LOOKED_AT = 24, JUMP_BYTES = 5 };
    uint8_t code[LOOKED_AT];
    if (!hone_memory_code(memory, code, address, sizeof code))
        return 0;
    for (unsigned at = 0; at + JUMP_BYTES <= LOOKED_AT; at++) {
        int32_t distance;
        __builtin_memcpy(&distance, code + at + 1, sizeof distance);
        if (code[at] == 0xe9)
            return address + at + JUMP_BYTES + (uint64_t)(int64_t)distance;
    }
    return 0;
}

// glibc's and the vDSO's rules describe the frame of a signal. musl's code to return by has none:
// mov $15,%rax (or %eax) and syscall. There sp points to the ucontext.
bool hone_arch_signal_frame(struct hone_memory *memory, uint64_t address, uint64_t sp,
                            uint64_t *ret_registers)
{
    static const uint8_t wide[] = {0x48, 0xc7, 0xc0, 15, 0, 0, 0, 0x0f, 0x05};
    static const uint8_t narrow[] = {0xb8, 15, 0, 0, 0, 0x0f, 0x05};
    uint8_t code[sizeof wide];
    if (!hone_memory_code(memory, code, address, sizeof code) ||
        (__builtin_memcmp(code, wide, sizeof wide) != 0 &&
         __builtin_memcmp(code, narrow, sizeof narrow) != 0))
        return false;
    for (unsigned i = 0; i < HONE_REGISTER_COUNT; i++) {
        uint64_t at = sp + offsetof(ucontext_t, uc_mcontext.gregs) + 8u * places[i];
        if (!hone_memory_load(memory, at, &ret_registers[i]))
            return false;
    }
    return true;
}

// Linkers write rules for their stubs.
uint64_t hone_arch_stub_pushed(struct hone_memory *memory, uint64_t address)
{
    (void)memory;
    (void)address;
    return 0;
}

const uint8_t hone_arch_fp_at_fp[3] = {2, 0x76, 0}; // DW_OP_breg6 0
