// The machine code of the functions that somebody asked for, with what each instruction took.
// Addresses of the profile become addresses in the files that ran; each one that is wanted leads to
// the function that holds it, as the file's symbols have it: a routine. Then every address of the
// profile within a routine counts for the instruction that it lies in. Private to this room.
//
//     HONE_CLEANUP(hone_code_done) struct hone_code code = {0};
//     int r = hone_report_init(&code.report, …);
//     r = hone_code_find(&code, &any);
//     for (uint32_t i = 0; i < code.routine_count; i++) {
//         HONE_CLEANUP(hone_code_reader_done) struct hone_code_reader reader = {0};
//         r = hone_code_reader_init(&reader, &code, i, err);
//         while (hone_code_next(&reader, &instruction, &flat, &cum))
//             …
//     }
#ifndef HONE_VIEW_CODE_H
#define HONE_VIEW_CODE_H

#include "analyse/tally.h"
#include "symbol/disassemble.h"
#include "symbol/symbol.h"
#include "view/text_report.h"

struct hone_code_routine {
    struct hone_symbol_module *module;
    uint64_t start;
    uint64_t end;
    struct hone_str name;
};

// A location of the profile within a routine.
struct hone_code_place {
    uint32_t routine;
    uint64_t vaddr;
    uint32_t location;
};

struct hone_code {
    struct hone_report report; // what is wanted: its pattern
    bool by_file;              // the pattern may match names of files, too
    struct hone_symbolizer *symbolizer;
    struct hone_symbol_module **modules; // by mapping; NULL until it was asked for
    int64_t *weights;                    // by stack
    struct hone_code_routine *routines;  // by module and start, in the end by name
    uint32_t routine_count;
    struct hone_code_place *places; // by routine and address
    uint32_t place_count;
    bool *used;                 // by location: a sample of this type has it on its stack
    bool *wanted_elsewhere;     // by location: wanted, but there is no code
    struct hone_tally each;     // by location
    struct hone_tally together; // by routine + 1
    bool *told;                 // by mapping: why it has no code
    struct hone_buffer errors;  // to be printed behind the code
};

void hone_code_done(struct hone_code *code);

// Finds the routines; *ret_any: whether anything is wanted at all. Returns 0 or -ENOMEM.
int hone_code_find(struct hone_code *code, bool *ret_any);

// An instruction as it is printed: calls and jumps to other functions by name. Lives as long as
// scratch stays as it is.
struct hone_str hone_code_text(const struct hone_code_routine *routine,
                               const struct hone_instruction *instruction,
                               struct hone_buffer *scratch);

// The instructions of a routine, one after the other.
struct hone_code_reader {
    const struct hone_code *code;
    struct hone_disassembler *disassembler;
    struct hone_elf_bytes bytes;
    uint32_t routine;
    uint32_t next; // place
};

// Returns 0; -ENOTSUP for machines that cannot be read; -ENOMEM.
int hone_code_reader_init(struct hone_code_reader *reader, const struct hone_code *code,
                          uint32_t routine, struct hone_error *err);
void hone_code_reader_done(struct hone_code_reader *reader);

// False at the end. What ret points to is valid until the next one.
bool hone_code_next(struct hone_code_reader *reader, struct hone_instruction *ret,
                    int64_t *ret_flat, int64_t *ret_cum);

#endif
