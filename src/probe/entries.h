// Functions that are called by no import table: of an allocator that is linked into the program, or
// of a library that binds its own. Their first instructions give way to a jump to a hook, which
// calls them by a copy of those instructions.
//
// That is done at start, while the program has one thread, and where all of this holds; else the
// function stays as it is, and the reason is told:
//   - its first instructions are of a known kind, mean the same at another place (with their
//     distances changed), and are no calls;
//   - nothing jumps to between them: no branch in the function, in what the compiler has split off
//     from it, or, where that is not known, in all of the module, and no computed jump in it;
//   - it is at least as long as the jump.
#ifndef HONE_PROBE_ENTRIES_H
#define HONE_PROBE_ENTRIES_H

#include "core/core.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Looks for such functions and changes them. Returns whether there were any in the program itself;
// writes what stays as it is and why, "" for nothing.
bool hone_entries_patch(char *ret_reason, size_t reason_size);

// Some functions of a library that shall lead to hooks of ours, each by itself: what cannot be
// changed stays as it is.
struct hone_image;
struct hone_entry_lead {
    uint64_t address, size, hook;
    void **copies[2]; // where the copy that calls the function itself is written; may be NULL
};
void hone_entries_lead(const struct hone_image *image, const struct hone_entry_lead *leads,
                       size_t count);

// Whether this is the process's only thread. Where nobody can tell, it is not.
bool hone_is_alone(void);

bool hone_entry_is_patched(uint64_t function);

// How many bytes a block has that such a copy returned; NULL: nobody knows.
size_t (*hone_entry_usable(uint64_t copy))(void *);

// Registers of a thread that was interrupted in such a copy become those that it would have in the
// function itself, whose rules say how to unwind it; others stay what they are.
struct hone_registers;
HONE_SIGSAFE void hone_entry_look_through(struct hone_registers *registers);

// --- arch/ ---------------------------------------------------------------------------------------

enum {
    HONE_ENTRY_COPY_MAX = 64, // bytes of a copy
    HONE_ENTRY_ISLAND = 64,   // of a jump to anywhere,
    HONE_ENTRY_PUSHED = 6,    // whose first instruction, so long, pushes a word
};

struct hone_entry_plan {
    uint32_t at;     // where in the function the jump is written
    uint32_t length; // bytes of it that are overwritten
    uint32_t copied; // bytes of it that the copy begins with, which are as long there
};

// Writes to `copy` what is to run at `copy_at`: the function's first instructions, and a jump to
// the rest. False: not to be done, or not on this machine.
bool hone_arch_entry_plan(const uint8_t *code, uint64_t address, uint64_t size, uint8_t *copy,
                          uint64_t copy_at, struct hone_entry_plan *ret);
// Whether code may jump to the bytes that are overwritten: the function itself or a part of it that
// lies elsewhere.
enum hone_entry_code { HONE_ENTRY_ITSELF, HONE_ENTRY_PART };
bool hone_arch_entry_is_entered(const uint8_t *code, uint64_t address, uint64_t size,
                                uint64_t function, const struct hone_entry_plan *plan,
                                enum hone_entry_code what);
// Of each function, whether some of that code may jump between the instructions of its first
// `bytes` bytes; the function itself may be called and jumped to. Sets what is `entered`. Branches
// whose distance begins before `from` were looked at already; of the code before that, so much
// should be there that instructions are told from what only looks like them.
enum { HONE_ENTRY_CODE_BEFORE = 112 };
struct hone_entry_target {
    uint64_t function, bytes;
    bool entered;
};
void hone_arch_code_find_entered(const uint8_t *code, uint64_t address, uint64_t size,
                                 uint64_t from, struct hone_entry_target *targets, size_t count);
// Whether it calls that function, or goes on there.
bool hone_arch_entry_calls(const uint8_t *code, uint64_t address, uint64_t size, uint64_t function);
// A jump to a gate, which calls the hook; and, in plan->length bytes for `at`, one to `to` nearby.
void hone_arch_entry_island(uint8_t *island, uint64_t gate, uint64_t hook);
// One to anywhere, as if the function itself began there.
void hone_arch_entry_lead(uint8_t *island, uint64_t to);
bool hone_arch_entry_jump(uint8_t *code, uint64_t at, uint64_t to);

#endif
