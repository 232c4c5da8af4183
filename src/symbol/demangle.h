// Names for people from names for linkers: C++ (Itanium), Rust (both schemes), D.
//
// C++ names keep template arguments and lose parameters and return type: "std::sort<int*>", not
// "void std::sort<int*>(int*, int*)". Template arguments tell apart functions that run different
// code, parameters rarely do and make tables unreadable. (`go tool pprof` drops both by default,
// and leaves a name alone when it differs from the system name, so ours is what it shows.)
//
// Copies that compilers make of a function (foo.part.0, foo.isra.0, foo.constprop.0, foo.cold,
// foo.lto_priv.0, foo.llvm.123) are the same source function and get its name, which is also what
// DWARF calls them; the system name still tells them apart.
#ifndef HONE_SYMBOL_DEMANGLE_H
#define HONE_SYMBOL_DEMANGLE_H

#include "base/arena.h"

#include <stddef.h>

enum {
    // Boost and LLVM have symbols of several thousand bytes; beyond this they stay as they are.
    HONE_DEMANGLE_INPUT_MAX = 16384,
    // Back references let a short symbol stand for an endless name.
    HONE_DEMANGLE_OUTPUT_MAX = 65536,
};

// The length of symbol without the suffixes of copies: 3 for "foo.part.0.cold".
size_t hone_symbol_base_len(const char *symbol);

// The name for people, in arena; what is not mangled, or not soundly, is given back without the
// suffixes of copies. NULL when memory is out.
const char *hone_demangle(struct hone_arena *arena, const char *symbol);

// The same with parameters and return type, the suffixes of copies left out. NULL when the symbol
// is not mangled or memory is out.
const char *hone_demangle_full(struct hone_arena *arena, const char *symbol);

#endif
