// What the files of this room share: the symbolizer and its modules.
#ifndef HONE_SYMBOL_MODULE_H
#define HONE_SYMBOL_MODULE_H

#include "base/base.h"
#include "elf/debugfile.h"
#include "elf/dwarf.h"
#include "elf/elf.h"
#include "elf/function.h"
#include "symbol/symbol.h"
#include "symbol/table.h"

struct hone_symbol_module {
    struct hone_symbol_module *next;
    struct hone_symbolizer *symbolizer;
    const char *path;
    unsigned char build_id[HONE_ELF_BUILD_ID_MAX];
    size_t build_id_len;
    bool opened;
    struct hone_symbol_facts facts;

    struct hone_elf *elf;       // the module's own file, NULL when it is not usable
    struct hone_elf *debug;     // a separate debug file
    struct hone_elf *alternate; // shared by debug files (dwz)
    struct hone_dwarf *dwarf;
    struct hone_elf_functions functions;
    struct hone_symbol_cache cache;
    struct hone_symbol_knowns known;
};

struct hone_symbolizer {
    struct hone_arena arena;
    struct hone_elf_debug_places places;
    const char *system_root;
    bool symbols_only;
    struct hone_symbol_module *modules;
    struct hone_symbol_pool texts;
    struct hone_symbol_pool functions;
    struct hone_arena scratch; // demangling: emptied when it has grown
};

// Opens the module's files and sets its facts; once. Returns 0 or -ENOMEM.
int hone_symbol_module_open(struct hone_symbol_module *module);
void hone_symbol_module_done(struct hone_symbol_module *module);

#endif
