// symbol: from addresses to functions, inlined calls and source lines.
//
//     HONE_CLEANUP(hone_symbolizer_freep) struct hone_symbolizer *symbolizer = NULL;
//     int r = hone_symbolizer_new(NULL, &symbolizer, err);
//     …
//     struct hone_symbol_module *module;
//     r = hone_symbolizer_module(symbolizer, path, build_id, build_id_len, &module);
//     …
//     struct hone_symbol_frames frames;
//     r = hone_symbol_lookup(module, pc - bias, &frames);
//     if (r == HONE_SYMBOL_UNKNOWN)
//         print "module+0xoffset"
//     for (size_t i = 0; i < frames.count; i++)       // innermost first
//         print frames.at[i].function->name
//
// It promises that a name is never a guess: an address beyond the end of the nearest symbol has no
// name, and a file whose build id is not the recorded one (upgraded while it ran) is not read at
// all; hone_symbol_facts() says why. The first lookup in a compilation unit reads that unit; every
// later one is a search in sorted arrays, and an address seen before is one probe of a hash table.
// hone_symbolizer_keep() leaves an index for the next time, which then reads nothing else.
//
// Left to others: which module an address belongs to, the load bias, and one byte less for return
// addresses (the caller passes the address to look up).
//
// Owner    the symbolizer owns all that is returned: names, frames and modules live as long as it.
// Threads  one at a time for each symbolizer.
#ifndef HONE_SYMBOL_SYMBOL_H
#define HONE_SYMBOL_SYMBOL_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hone_elf;
struct hone_symbolizer;
struct hone_symbol_module;

// Options begin with their size; zero means default.
struct hone_symbolizer_options {
    size_t size;
    // Where separate debug files live, in the order of search (/usr/lib/debug). Borrowed during
    // hone_symbolizer_new() only.
    const char *const *debug_roots;
    size_t debug_root_count;
    const char *system_root; // before each module path: a container's root, a sysroot ("")
    bool symbols_only;       // no DWARF: names alone, no lines and no inlined calls
    // Where indexes are kept ($HONE_CACHE, $XDG_CACHE_HOME/hone or ~/.cache/hone); "": nowhere, as
    // when the variable is empty or the folder is not ours to write to.
    const char *cache_directory;
    uint64_t cache_bytes; // of all indexes together; the least recently used go first (1 GiB)
    // Debug files that are not here are asked of the servers in $DEBUGINFOD_URLS, one module after
    // the other. progress may be NULL; total is 0 as long as nobody knows.
    bool fetch;
    void (*progress)(void *context, const char *module, uint64_t bytes, uint64_t total);
    void *context;
    const char *kernel_root; // before /proc/kallsyms and the like ("")
};

int hone_symbolizer_new(const struct hone_symbolizer_options *options, struct hone_symbolizer **ret,
                        struct hone_error *err);
void hone_symbolizer_free(struct hone_symbolizer *symbolizer);

static inline void hone_symbolizer_freep(struct hone_symbolizer **symbolizer)
{
    hone_symbolizer_free(*symbolizer);
}

// The module that ran as path ("[vdso]" for the kernel's) with this build id (NULL and 0 when it
// has none). The same arguments give the same module. A module without any symbols is a module
// too, so this fails only when memory is out.
int hone_symbolizer_module(struct hone_symbolizer *symbolizer, const char *path,
                           const unsigned char *build_id, size_t build_id_len,
                           struct hone_symbol_module **ret);

// The running kernel and its modules: addresses are looked up as they are, without a bias. Its
// facts tell when the kernel keeps them to itself. The same module each time.
int hone_symbolizer_kernel(struct hone_symbolizer *symbolizer, struct hone_symbol_module **ret);

// The module's build id as recorded, the kernel's from its notes; NULL and 0 when there is none.
const unsigned char *hone_symbol_module_build_id(const struct hone_symbol_module *module,
                                                 size_t *ret_len);

// Why a module has less than everything. Each has a sentence: hone_symbol_reason_text().
enum hone_symbol_reason {
    HONE_SYMBOL_COMPLETE,      // functions, inlined calls and lines
    HONE_SYMBOL_NO_DEBUG_FILE, // functions from a symbol table only
    HONE_SYMBOL_EXPORTED_ONLY, // stripped: exported functions only
    HONE_SYMBOL_STRIPPED,      // no function at all
    HONE_SYMBOL_CHANGED,       // the file on disk has another build id than the recorded one
    HONE_SYMBOL_UNREADABLE,    // cannot be opened, or broken
    HONE_SYMBOL_NO_FILE,       // not a file: anonymous memory, [vsyscall], …
    HONE_SYMBOL_HIDDEN,        // the kernel does not tell where its functions are
};

struct hone_symbol_facts {
    enum hone_symbol_reason reason;
    bool has_functions; // these four as in a pprof mapping
    bool has_filenames;
    bool has_line_numbers;
    bool has_inline_frames;
    const char *debug_path; // the file that gave the DWARF, NULL when none did
    const char *detail;    // what went wrong, in words ("cannot open 'x': no such file …"), or ""
    uint64_t broken_units; // compilation units left out because their DWARF is damaged
    uint64_t missing_split_units; // whose .dwo file could not be had: no functions of them
    bool from_index;              // its files were not read: an index of an earlier time knew all
};

// The module's own file, which the caller holds open as long as the symbolizer lives: it serves
// where another one, or none, has its path by now. Before anything is asked of the module.
void hone_symbol_module_hold(struct hone_symbol_module *module, int fd);

// Opens the module's files if nobody did before; the pointer is stable.
const struct hone_symbol_facts *hone_symbol_facts(struct hone_symbol_module *module);

// "stripped: exported functions only", … lower case, for a report.
const char *hone_symbol_reason_text(enum hone_symbol_reason reason);

// The module's own file, for its segments and kind (elf/elf.h): NULL when it could not be opened
// or has another build id than recorded.
const struct hone_elf *hone_symbol_module_elf(struct hone_symbol_module *module);

// A function. Equal ones within a symbolizer are the same pointer, so it serves as a key.
struct hone_symbol_function {
    const char *name;        // for people: "ns::Class::method<int>", no parameters, never NULL
    const char *system_name; // as the linker knows it: "_ZN2ns…", "foo.part.0"; never NULL
    const char *file;        // full path; "" when unknown
    uint32_t start_line;     // of its declaration; 0 when unknown
};

struct hone_symbol_frame {
    const struct hone_symbol_function *function;
    uint32_t line;   // 0 when unknown; in callers of inlined functions: the line of the call
    uint32_t column; // 0 when unknown
};

struct hone_symbol_frames {
    const struct hone_symbol_frame *at; // innermost (most inlined) first
    size_t count;                       // at least 1
};

enum { HONE_SYMBOL_UNKNOWN = 1 };

// Looks up many addresses at once, on all processors when that is worth it, so that each later
// hone_symbol_lookup() of them is a probe. The answers are the same without. Returns 0 or -ENOMEM.
int hone_symbol_prepare(struct hone_symbol_module *module, const uint64_t *vaddrs, size_t count);

// Keeps an index of each module that was read, by build id, so that the next symbolizer, in
// whatever process, has its names at once. Returns 0, also when there is nowhere to write; -ENOMEM.
int hone_symbolizer_keep(struct hone_symbolizer *symbolizer);

// A stretch of code: a function as symbol tables have it or, without a symbol, as the unwind table.
struct hone_symbol_extent {
    uint64_t start;
    uint64_t end;     // just past its last byte
    const char *name; // for people; "" when it has none
};

// The stretch that holds an address, for those who want all of its code. Returns as below.
int hone_symbol_extent(struct hone_symbol_module *module, uint64_t vaddr,
                       struct hone_symbol_extent *ret);

// A variable of the module, as its symbol tables have it; where a thread's own variables lie is not
// known.
struct hone_symbol_variable {
    const char *name; // for people
    uint64_t start;
    uint64_t end; // just past its last byte
};

// The variable that holds an address of the module's data. Returns as hone_symbol_lookup().
int hone_symbol_variable(struct hone_symbol_module *module, uint64_t vaddr,
                         struct hone_symbol_variable *ret);
// The one that the linker knows by this name.
int hone_symbol_variable_named(struct hone_symbol_module *module, const char *name,
                               struct hone_symbol_variable *ret);

// Looks up an address in the module's own terms (an ELF virtual address: pc minus load bias).
//
// Returns  0; HONE_SYMBOL_UNKNOWN when nothing covers it, and *ret is then untouched; -ENOMEM.
int hone_symbol_lookup(struct hone_symbol_module *module, uint64_t vaddr,
                       struct hone_symbol_frames *ret);

#endif
