// The kernel's own small library, which every process has mapped and no file holds.
#ifndef HONE_SYMBOL_VDSO_H
#define HONE_SYMBOL_VDSO_H

#include "elf/elf.h"

// Opens the one in this process: the same as everybody's, as its build id proves. -ENOENT: none.
int hone_symbol_vdso_open(struct hone_elf **ret, struct hone_error *err);

#endif
