// Machine code as text, one instruction after the other (capstone).
//
//     HONE_CLEANUP(hone_disassembler_freep) struct hone_disassembler *disassembler = NULL;
//     int r = hone_disassembler_new(facts->machine, false, &disassembler, err);
//     …
//     struct hone_instruction instruction;
//     while (hone_disassemble(disassembler, &code, &instruction))
//         …
//
// Bytes that are no instruction are given as such, one step at a time, so that all are shown.
//
// Threads  one at a time.
#ifndef HONE_SYMBOL_DISASSEMBLE_H
#define HONE_SYMBOL_DISASSEMBLE_H

#include "base/error.h"
#include "elf/elf.h"

struct hone_disassembler;

// machine is EM_X86_64 or EM_AARCH64; intel: Intel's syntax instead of AT&T's, on x86.
// Returns 0; -ENOTSUP for other machines; -ENOMEM.
int hone_disassembler_new(uint16_t machine, bool intel, struct hone_disassembler **ret,
                          struct hone_error *err);
void hone_disassembler_free(struct hone_disassembler *disassembler);
void hone_disassembler_freep(struct hone_disassembler **disassembler); // for HONE_CLEANUP

struct hone_instruction {
    uint64_t vaddr;
    uint32_t size;
    const char *name;     // "mov"; valid until the next one
    const char *operands; // "%rax, (%rdi)", may be empty
    bool leaves;          // a jump or a call to target
    uint64_t target;      // known only when the instruction itself says it
};

// The instruction at the start of code, which is moved behind it; false at its end.
bool hone_disassemble(struct hone_disassembler *disassembler, struct hone_elf_bytes *code,
                      struct hone_instruction *ret);

#endif
