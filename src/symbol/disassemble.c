#include "symbol/disassemble.h"

#include "base/base.h"

#include <capstone/capstone.h>
#include <elf.h>
#include <errno.h>

struct hone_disassembler {
    csh handle;
    cs_insn *instruction;
    uint32_t step; // bytes of what is no instruction
    char bytes[16];
};

int hone_disassembler_new(uint16_t machine, bool intel, struct hone_disassembler **ret,
                          struct hone_error *err)
{
    if (machine != EM_X86_64 && machine != EM_AARCH64)
        return hone_error_set(err, -ENOTSUP, "cannot disassemble code for machine %u", machine);
    HONE_CLEANUP(hone_disassembler_freep) struct hone_disassembler *made = calloc(1, sizeof *made);
    if (!made)
        return hone_error_set(err, -ENOMEM, "cannot disassemble");
    bool x86 = machine == EM_X86_64;
    made->step = x86 ? 1 : 4;
    cs_err failed = x86 ? cs_open(CS_ARCH_X86, CS_MODE_64, &made->handle)
                        : cs_open(CS_ARCH_ARM64, CS_MODE_ARM, &made->handle);
    if (failed)
        return hone_error_set(err, -ENOTSUP, "cannot disassemble: capstone says '%s'",
                              cs_strerror(failed));
    // Groups tell jumps and calls.
    (void)cs_option(made->handle, CS_OPT_DETAIL, CS_OPT_ON);
    if (x86 && !intel)
        (void)cs_option(made->handle, CS_OPT_SYNTAX, CS_OPT_SYNTAX_ATT);
    made->instruction = cs_malloc(made->handle);
    if (!made->instruction)
        return hone_error_set(err, -ENOMEM, "cannot disassemble");
    *ret = hone_take(made);
    return 0;
}

void hone_disassembler_free(struct hone_disassembler *disassembler)
{
    if (!disassembler)
        return;
    if (disassembler->instruction)
        cs_free(disassembler->instruction, 1);
    if (disassembler->handle)
        (void)cs_close(&disassembler->handle);
    free(disassembler);
}

void hone_disassembler_freep(struct hone_disassembler **disassembler)
{
    hone_disassembler_free(*disassembler);
}

// Where a jump or a call goes, when its operand (the last one: others are what is tested) is an
// address and no register or memory.
static bool target_of(const struct hone_disassembler *d, uint64_t *ret)
{
    if (!cs_insn_group(d->handle, d->instruction, CS_GRP_JUMP) &&
        !cs_insn_group(d->handle, d->instruction, CS_GRP_CALL) &&
        !cs_insn_group(d->handle, d->instruction, CS_GRP_BRANCH_RELATIVE))
        return false;
    const char *space = strrchr(d->instruction->op_str, ' ');
    const char *operand = space ? space + 1 : d->instruction->op_str;
    operand += operand[0] == '#';
    if (operand[0] != '0' || operand[1] != 'x')
        return false;
    char *end;
    *ret = strtoull(operand, &end, 16);
    return *end == '\0';
}

bool hone_disassemble(struct hone_disassembler *d, struct hone_elf_bytes *code,
                      struct hone_instruction *ret)
{
    if (!code->len)
        return false;
    *ret = (struct hone_instruction){.vaddr = code->vaddr};
    const uint8_t *at = code->at;
    size_t left = code->len;
    uint64_t vaddr = code->vaddr;
    if (cs_disasm_iter(d->handle, &at, &left, &vaddr, d->instruction)) {
        ret->size = d->instruction->size;
        ret->name = d->instruction->mnemonic;
        ret->operands = d->instruction->op_str;
        ret->leaves = target_of(d, &ret->target);
    } else {
        ret->size = code->len < d->step ? (uint32_t)code->len : d->step;
        size_t used = 0;
        for (uint32_t i = 0; i < ret->size; i++)
            used += (size_t)snprintf(d->bytes + used, sizeof d->bytes - used, "%s%02x",
                                     i ? " " : "", code->at[i]);
        ret->name = "(bad)";
        ret->operands = d->bytes;
    }
    *code = (struct hone_elf_bytes){code->at + ret->size, code->len - ret->size,
                                    code->vaddr + ret->size};
    return true;
}
