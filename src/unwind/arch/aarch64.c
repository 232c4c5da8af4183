#include "unwind/arch/arch.h"
#include "unwind/unwind.h"

#include <signal.h>
#include <stddef.h>
#include <ucontext.h>

enum { LINK = HONE_REGISTER_RETURN, GENERAL_COUNT = 31 };

void hone_registers_from_ucontext(struct hone_registers *ret, const void *ucontext)
{
    const ucontext_t *context = ucontext;
    for (unsigned i = 0; i < GENERAL_COUNT; i++)
        ret->r[i] = context->uc_mcontext.regs[i];
    ret->r[HONE_REGISTER_SP] = context->uc_mcontext.sp;
    ret->r[HONE_REGISTER_IP] = context->uc_mcontext.pc;
}

// x0 points to the result. What calls may destroy, x0 to x18, reads 0; x30 is where we return to.
__asm__(".text\n"
        ".globl hone_registers_here\n"
        ".hidden hone_registers_here\n"
        ".type hone_registers_here, %function\n"
        "hone_registers_here:\n"
        "    .cfi_startproc\n"
        "    hint 34\n" // bti c
        "    stp xzr, xzr, [x0]\n"
        "    stp xzr, xzr, [x0, 16]\n"
        "    stp xzr, xzr, [x0, 32]\n"
        "    stp xzr, xzr, [x0, 48]\n"
        "    stp xzr, xzr, [x0, 64]\n"
        "    stp xzr, xzr, [x0, 80]\n"
        "    stp xzr, xzr, [x0, 96]\n"
        "    stp xzr, xzr, [x0, 112]\n"
        "    stp xzr, xzr, [x0, 128]\n"
        "    stp xzr, x19, [x0, 144]\n"
        "    stp x20, x21, [x0, 160]\n"
        "    stp x22, x23, [x0, 176]\n"
        "    stp x24, x25, [x0, 192]\n"
        "    stp x26, x27, [x0, 208]\n"
        "    stp x28, x29, [x0, 224]\n"
        "    mov x1, sp\n"
        "    stp x30, x1, [x0, 240]\n"
        "    str x30, [x0, 256]\n"
        "    ret\n"
        "    .cfi_endproc\n"
        ".size hone_registers_here, . - hone_registers_here\n");

static bool instruction_at(struct hone_memory *memory, uint64_t address, uint32_t *ret)
{
    return address % sizeof *ret == 0 && hone_memory_code(memory, ret, address, sizeof *ret);
}

static bool is_direct_call(uint32_t code)
{
    return (code & 0xfc000000) == 0x94000000; // bl
}

bool hone_arch_follows_call(struct hone_memory *memory, uint64_t address)
{
    uint32_t code;
    if (!instruction_at(memory, address - sizeof code, &code))
        return false;
    return is_direct_call(code) || (code & 0xfffffc1f) == 0xd63f0000 || // blr
           (code & 0xfefff800) == 0xd63f0800;                           // blraa and its kin
}

uint64_t hone_arch_call_target(struct hone_memory *memory, uint64_t address)
{
    uint32_t code;
    if (!instruction_at(memory, address - sizeof code, &code) || !is_direct_call(code))
        return 0;
    int64_t distance = (int32_t)(code << 6) >> 4; // in units of 4, from the call itself
    return address - sizeof code + (uint64_t)distance;
}

uint64_t hone_arch_call_reaches(struct hone_memory *memory, uint64_t address)
{
    return hone_arch_call_target(memory, address);
}

uint64_t hone_arch_jumps_on(struct hone_memory *memory, uint64_t address)
{
    (void)memory;
    (void)address;
    return 0; // no caller is searched for: it is in a register or beside a frame pointer
}

// What the kernel puts on the stack of a handler, up to the registers (arch/arm64/kernel/signal.c).
struct signal_frame {
    siginfo_t info;
    uint64_t flags, link;
    uint64_t stack[3];
    uint64_t mask[16];
    __attribute__((aligned(16))) uint64_t fault_address;
    uint64_t registers[GENERAL_COUNT], sp, pc;
};

// The kernel's code for handlers to return to has rules in some versions, but those that it had
// were wrong. It is known by its two instructions, mov x8, 139 (rt_sigreturn) and svc 0, which are
// promised to unwinders.
bool hone_arch_signal_frame(struct hone_memory *memory, uint64_t address, uint64_t sp,
                            uint64_t *ret_registers)
{
    uint32_t code[2];
    if (address % sizeof code[0] || !hone_memory_code(memory, code, address, sizeof code) ||
        code[0] != 0xd2801168 || code[1] != 0xd4000001)
        return false;
    uint64_t at = sp + offsetof(struct signal_frame, registers);
    for (unsigned i = 0; i < GENERAL_COUNT; i++)
        if (!hone_memory_load(memory, at + 8 * i, &ret_registers[i]))
            return false;
    at = sp + offsetof(struct signal_frame, sp);
    return hone_memory_load(memory, at, &ret_registers[HONE_REGISTER_SP]) &&
           hone_memory_load(memory, at + 8, &ret_registers[HONE_REGISTER_IP]);
}

// The first entry of a procedure linkage table begins with stp x16, x30, [sp, -16]! and has four
// more instructions. (A branch target instruction may stand before it.)
uint64_t hone_arch_stub_pushed(struct hone_memory *memory, uint64_t address)
{
    for (unsigned i = 1; i <= 4; i++) {
        uint32_t code;
        if (instruction_at(memory, address - i * sizeof code, &code) && code == 0xa9bf7bf0)
            return 16;
    }
    return 0;
}

// Code without rules keeps frame pointers here.
bool hone_arch_way_out(struct hone_memory *memory, uint64_t address, bool called,
                       const struct hone_code_range *range, unsigned *left,
                       struct hone_way_out *ret)
{
    (void)memory;
    (void)address;
    (void)called;
    (void)range;
    (void)left;
    (void)ret;
    return false;
}

const uint8_t hone_arch_fp_at_fp[3] = {2, 0x8d, 0}; // DW_OP_breg29 0
