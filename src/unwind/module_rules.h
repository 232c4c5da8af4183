// What a module's program headers say about it, and a way to read its rules that cannot fault.
#ifndef HONE_UNWIND_MODULE_RULES_H
#define HONE_UNWIND_MODULE_RULES_H

#include "unwind/modules.h"

#include <elf.h>

struct hone_module_headers {
    uint64_t bias;
    const Elf64_Phdr *at;
    size_t count;
};

// Fills in the module's ranges and build id, or a hash of what it says of its functions in place of
// that. Reads this in memory, guarded.
//
// Returns  0 or -ENOEXEC: it has no segment.
HONE_SIGSAFE int hone_module_describe(struct hone_module *module,
                                      const struct hone_module_headers *headers);

// Fills in its marks, by which hone_module_has_marks() knows it again.
HONE_SIGSAFE void hone_module_mark(struct hone_module *module,
                                   const struct hone_module_headers *headers);

// Whether what is in memory where it lay has its marks. Holds for memory that another thread takes
// away at this moment.
HONE_SIGSAFE bool hone_module_has_marks(const struct hone_module *module);

// The same as hone_module_describe() of a file, loaded by `headers->bias`: its notes are read
// there.
int hone_module_describe_file(struct hone_module *module, const struct hone_module_headers *headers,
                              int fd);

// Rules where the loader put them: for modules that are never unloaded.
HONE_SIGSAFE void hone_module_rules_in_place(struct hone_module *module,
                                             const struct hone_module_headers *headers);

// Rules in a mapping of our own of the module's file, if that is still the file that was loaded.
//
// Returns  0 or -errno.
HONE_SIGSAFE int hone_module_rules_map(struct hone_module *module,
                                       const struct hone_module_headers *headers);

// The same of an open file.
int hone_module_rules_map_file(struct hone_module *module,
                               const struct hone_module_headers *headers, int fd);

// Rules copied out of the module: it must not be unloaded meanwhile, or the copy fails.
//
// Returns  0 or -errno.
HONE_SIGSAFE int hone_module_rules_copy(struct hone_module *module,
                                        const struct hone_module_headers *headers);

#endif
