// The call frame information of a module (.eh_frame and its index .eh_frame_hdr, as the Linux
// Standard Base and DWARF 4 section 6.4 define them): which entry covers an address, and by which
// rules the caller's registers are recovered there.
//
// All addresses here are the file's own (p_vaddr). The bytes may be anything: what makes no sense
// is HONE_CFI_BAD, and time is bounded by the size of one entry.
#ifndef HONE_UNWIND_CFI_H
#define HONE_UNWIND_CFI_H

#include "core/core.h"

#include "unwind/arch/machine.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// A part of a module's file as we can read it: the byte of file address `address` is at `at`.
struct hone_view {
    const uint8_t *at;
    uint64_t address;
    uint64_t size;
};

struct hone_cfi {
    struct hone_view hdr;    // from .eh_frame_hdr on; size 0: there is none
    struct hone_view frames; // what holds .eh_frame, perhaps more
    uint64_t eh_frame;       // its address; 0: the module has no rules
    uint64_t relocated_by;   // what the loader added to absolute addresses in these bytes
};

enum {
    HONE_CFI_NONE = 1, // no entry covers the address
    HONE_CFI_BAD = 2,  // broken, or beyond our limits
};

// One entry (FDE) with what it takes from its CIE.
struct hone_fde {
    uint64_t start, end;
    uint64_t code_align;
    int64_t data_align;
    const uint8_t *cie_code, *cie_code_end;
    const uint8_t *code, *code_end;
    uint8_t pointer_encoding;
    uint8_t return_column; // where it keeps its return address: nearly always HONE_REGISTER_RETURN
    bool signal_frame;
};

enum hone_rule_kind {
    HONE_RULE_SAME = 0,       // not saved
    HONE_RULE_UNDEFINED,      // lost; of the return address: this is the outermost frame
    HONE_RULE_OFFSET,         // saved at CFA + value
    HONE_RULE_VAL_OFFSET,     // is CFA + value
    HONE_RULE_REGISTER,       // is in register `value`
    HONE_RULE_EXPRESSION,     // saved where the expression at frames.at + value says
    HONE_RULE_VAL_EXPRESSION, // is what the expression says
};

// Kind in the low three bits, value above: small, for several of these live on a signal stack.
typedef int64_t hone_rule;

static inline hone_rule hone_rule_make(enum hone_rule_kind kind, int64_t value)
{
    return (int64_t)((uint64_t)value << 3 | (uint64_t)kind);
}

static inline enum hone_rule_kind hone_rule_kind(hone_rule rule)
{
    return (enum hone_rule_kind)(rule & 7);
}

static inline int64_t hone_rule_value(hone_rule rule)
{
    return rule >> 3;
}

// Everything about one address.
struct hone_rules {
    bool cfa_is_expression;
    uint8_t cfa_register;
    int64_t cfa_offset;     // from the register
    int64_t cfa_expression; // or where in `frames` the expression begins
    hone_rule registers[HONE_REGISTER_COUNT];
};

// Where .eh_frame begins, as its header says; 0: the header makes no sense.
HONE_SIGSAFE uint64_t hone_cfi_eh_frame(const struct hone_view *hdr);

// Finds the entry that covers `pc`.
//
// Returns  0, HONE_CFI_NONE or HONE_CFI_BAD.
HONE_SIGSAFE int hone_cfi_find(const struct hone_cfi *cfi, uint64_t pc, struct hone_fde *ret);

// Reads the entry at file address `address`; *ret_next is where the one after it begins (0: end).
//
// Returns  0, HONE_CFI_NONE when it is no FDE but a CIE or the end, or HONE_CFI_BAD.
HONE_SIGSAFE int hone_cfi_read(const struct hone_cfi *cfi, uint64_t address, struct hone_fde *ret,
                               uint64_t *ret_next);

// The rules at `pc` of an entry that covers it, and the addresses up to which they hold.
//
// Returns  0 or HONE_CFI_BAD.
HONE_SIGSAFE int hone_cfi_rules(const struct hone_cfi *cfi, const struct hone_fde *fde, uint64_t pc,
                                struct hone_rules *ret, uint64_t *ret_until);

// The same for every stretch of an entry in turn.
typedef void hone_cfi_each(void *context, uint64_t from, uint64_t until,
                           const struct hone_rules *rules);
int hone_cfi_each_row(const struct hone_cfi *cfi, const struct hone_fde *fde, hone_cfi_each *each,
                      void *context);

#endif
