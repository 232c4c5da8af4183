#include "symbol/disassemble.h"

#include "base/base.h"
#include "check.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

struct expected {
    uint64_t vaddr;
    uint32_t size;
    const char *text;
    uint64_t target; // 0: it leaves for none
};

static void check_code(uint16_t machine, bool intel, const unsigned char *bytes, size_t len,
                       const struct expected *expected)
{
    HONE_CLEANUP(hone_disassembler_freep) struct hone_disassembler *disassembler = NULL;
    CHECK_EQ(hone_disassembler_new(machine, intel, &disassembler, NULL), 0);
    struct hone_elf_bytes code = {bytes, len, 0x1000};
    struct hone_instruction at;
    for (; hone_disassemble(disassembler, &code, &at); expected++) {
        char text[256];
        (void)snprintf(text, sizeof text, "%s %s", at.name, at.operands);
        CHECK_STR(text, expected->text);
        CHECK_EQ(at.vaddr, expected->vaddr);
        CHECK_EQ(at.size, expected->size);
        CHECK_EQ(at.leaves, expected->target != 0);
        if (at.leaves)
            CHECK_EQ(at.target, expected->target);
    }
    CHECK_STR(expected->text, "");
}

static const unsigned char x86[] = {
    0xf3, 0x0f, 0x1e, 0xfa,       // endbr64
    0x48, 0x89, 0xe5,             // mov
    0xe8, 0xf4, 0xff, 0xff, 0xff, // call 0x1000
    0x74, 0x02,                   // je 0x1010
    0xff, 0xe0,                   // jmp to where a register says
    0x06,                         // no instruction
    0xe8, 0x00,                   // half of one
};

TEST(x86_code_in_both_syntaxes)
{
    check_code(EM_X86_64, false, x86, sizeof x86,
               (struct expected[]){{0x1000, 4, "endbr64 ", 0},
                                   {0x1004, 3, "movq %rsp, %rbp", 0},
                                   {0x1007, 5, "callq 0x1000", 0x1000},
                                   {0x100c, 2, "je 0x1010", 0x1010},
                                   {0x100e, 2, "jmpq *%rax", 0},
                                   {0x1010, 1, "(bad) 06", 0},
                                   {0x1011, 1, "(bad) e8", 0},
                                   {0x1012, 1, "(bad) 00", 0},
                                   {0, 0, "", 0}});
    check_code(EM_X86_64, true, x86, 7,
               (struct expected[]){
                   {0x1000, 4, "endbr64 ", 0}, {0x1004, 3, "mov rbp, rsp", 0}, {0, 0, "", 0}});
}

TEST(aarch64_code)
{
    static const unsigned char code[] = {
        0xfd, 0x7b, 0xbe, 0xa9, // stp
        0xff, 0xff, 0xff, 0x97, // bl 0x1000
        0x60, 0x00, 0x00, 0xb4, // cbz 0x1014
        0x00, 0x00, 0x00, 0x00, // no instruction
        0xc0, 0x03,             // half of one
    };
    check_code(EM_AARCH64, false, code, sizeof code,
               (struct expected[]){{0x1000, 4, "stp x29, x30, [sp, #-0x20]!", 0},
                                   {0x1004, 4, "bl #0x1000", 0x1000},
                                   {0x1008, 4, "cbz x0, #0x1014", 0x1014},
                                   {0x100c, 4, "(bad) 00 00 00 00", 0},
                                   {0x1010, 2, "(bad) c0 03", 0},
                                   {0, 0, "", 0}});
}

TEST(other_machines_are_refused)
{
    struct hone_disassembler *disassembler = NULL;
    struct hone_error err = {0};
    CHECK_EQ(hone_disassembler_new(EM_RISCV, false, &disassembler, &err), -ENOTSUP);
    CHECK(strstr(err.message, "cannot disassemble code for machine 243"));
}
