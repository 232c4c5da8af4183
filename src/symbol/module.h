// What the files of this room share: the symbolizer and its modules.
#ifndef HONE_SYMBOL_MODULE_H
#define HONE_SYMBOL_MODULE_H

#include "base/base.h"
#include "base/crew.h"
#include "base/file.h"
#include "elf/debugfile.h"
#include "elf/dwarf.h"
#include "elf/elf.h"
#include "elf/function.h"
#include "symbol/fetch.h"
#include "symbol/index.h"
#include "symbol/store.h"
#include "symbol/symbol.h"
#include "symbol/table.h"

struct hone_symbol_module {
    struct hone_symbol_module *next;
    struct hone_symbolizer *symbolizer;
    const char *path;
    unsigned char build_id[HONE_ELF_BUILD_ID_MAX];
    size_t build_id_len;
    int held_fd; // plus one: the file that ran, whatever has its path now; 0: nobody holds it
    bool opened;
    bool files_opened;
    bool kept; // an index was made of it, or cannot be made
    struct hone_symbol_facts facts;

    // A known module's names come from its index; its files stay closed.
    struct hone_symbol_index *index;
    struct hone_file_map index_bytes;

    struct hone_elf *elf;       // the module's own file, NULL when it is not usable
    struct hone_elf *debug;     // a separate debug file
    struct hone_elf *alternate; // shared by debug files (dwz)
    // Readers of one DWARF, for threads: each unit belongs to one of them, so that it is read once.
    struct hone_dwarf *dwarfs[HONE_CREW_MAX];
    unsigned dwarf_count;
    uint8_t *owners; // heap: by unit, number of its reader plus one; NULL: all are the first's
    struct hone_elf_functions functions;
    struct hone_elf_functions variables;
    struct hone_elf
        *variables_from; // its separate debug file, where that was opened for them alone
    bool variables_read;
    struct hone_symbol_cache cache;
    struct hone_symbol_knowns known;
};

struct hone_symbolizer {
    struct hone_arena arena;
    struct hone_elf_debug_places places;
    const char *system_root;
    bool symbols_only;
    const char *kernel_root;
    struct hone_symbol_fetcher *fetcher; // NULL: nobody asked for one
    struct hone_symbol_module *modules;
    struct hone_symbol_module *kernel; // one of them, once it was asked for
    struct hone_symbol_store store;
    struct hone_symbol_pool texts;
    struct hone_symbol_pool functions;
    struct hone_arena scratch; // demangling: emptied when it has grown
};

// Opens the module's index or files and sets its facts; once. Returns 0 or -ENOMEM.
int hone_symbol_module_open(struct hone_symbol_module *module);

// Closes the index, if there is one, and opens the files instead. Returns 0 or -ENOMEM.
int hone_symbol_module_open_files(struct hone_symbol_module *module);
void hone_symbol_module_done(struct hone_symbol_module *module);

// The build id that names the module elsewhere; its length is 0 when it has none.
const unsigned char *hone_symbol_module_id(const struct hone_symbol_module *module,
                                           size_t *ret_len);

// Makes so many readers of the DWARF, if memory allows; there is at least one when it is open.
void hone_symbol_module_readers(struct hone_symbol_module *module, unsigned count);

// The reader that owns the unit around vaddr, or the first; NULL when there is no DWARF.
struct hone_dwarf *hone_symbol_module_dwarf(struct hone_symbol_module *module, uint64_t vaddr);

// Of all readers together.
struct hone_dwarf_stats hone_symbol_module_stats(const struct hone_symbol_module *module);

// Writes the module's index into the store, if it was read from files, is whole, and took long
// enough to be worth it. Returns 0, also when nothing was written; -ENOMEM.
int hone_symbol_module_keep(struct hone_symbol_module *module);

// ---- Names (lookup.c)

struct hone_symbol_naming {
    const char *system_name;
    const char *label; // what is demangled for display
};

// The names of a function; begins is the symbol at its entry when it is an outermost one, else
// NULL. Reads only: for any thread.
struct hone_symbol_naming hone_symbol_naming(const struct hone_dwarf_function *function,
                                             const struct hone_elf_function *begins);

// The symbol that begins at entry, or NULL. As above.
const struct hone_elf_function *hone_symbol_beginning(const struct hone_symbol_module *module,
                                                      uint64_t entry);

// What a thread found in DWARF.
struct hone_symbol_answer {
    uint64_t vaddr;
    uint32_t unit;
    int outcome; // of hone_dwarf_lookup()
    struct hone_dwarf_frames frames;
    const char *const *names; // by frame: for people
};

// Keeps it for hone_symbol_lookup(). Returns 0 or -ENOMEM.
int hone_symbol_answer(struct hone_symbol_module *module, const struct hone_symbol_answer *answer);

// The same for what hone_symbol_index_lookup() gave; -EBADMSG, too.
int hone_symbol_answer_indexed(struct hone_symbol_module *module, uint64_t vaddr, int outcome,
                               const struct hone_symbol_index_frames *found);

// hone_symbol_prepare() of a module with an index (prepare_index.c).
int hone_symbol_prepare_index(struct hone_symbol_module *module, const uint64_t *vaddrs,
                              size_t count);

#endif
