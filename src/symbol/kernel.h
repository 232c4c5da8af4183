// The kernel's functions: /proc/kallsyms, which names a start and a kind, and no end.
//
// A function ends where the next symbol of any kind begins; the last one of a module where the
// module does (/proc/modules). A kernel that hides its addresses (kptr_restrict) lists them as
// zeros, and then there is no name at all.
#ifndef HONE_SYMBOL_KERNEL_H
#define HONE_SYMBOL_KERNEL_H

#include "elf/function.h"

enum { HONE_KERNEL_HIDDEN = 1 };

// Reads the text of the two files; modules may be empty. Functions of modules are called
// "name [module]". Their names live in the arena, and kallsyms in between may go.
//
// Returns 0, also when there is no function; HONE_KERNEL_HIDDEN; -ENOMEM.
int hone_kernel_read(struct hone_arena *arena, const char *kallsyms, size_t kallsyms_len,
                     const char *modules, size_t modules_len, struct hone_elf_functions *ret);

// The build id in the kernel's notes (/sys/kernel/notes), at most HONE_ELF_BUILD_ID_MAX bytes.
// Returns its length, 0 when there is none.
size_t hone_kernel_build_id(const void *notes, size_t len,
                            unsigned char ret[HONE_ELF_BUILD_ID_MAX]);

#endif
