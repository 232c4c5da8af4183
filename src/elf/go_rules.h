// Unwinding rules for programs that Go's own compiler made. They have no .eh_frame, but a table of
// their own, .gopclntab, that tells for each address how far the stack pointer has moved since the
// function's entry: as good as rules, and there in stripped programs too. It is turned into
// .eh_frame's form once for each file.
#ifndef HONE_ELF_GO_RULES_H
#define HONE_ELF_GO_RULES_H

#include "unwind/cfi.h"

#include <stddef.h>
#include <stdint.h>

// Reads the table of Go 1.18 and later. `text` is where .text begins, `at` a free address of the
// file's, where the rules shall be. They live until the end of our process.
//
// Returns 0; -ENOTSUP: another version's; -EBADMSG: broken; -ENOMEM.
int hone_elf_go_rules(const uint8_t *table, size_t size, uint64_t text, uint64_t at,
                      struct hone_cfi *ret);

#endif
