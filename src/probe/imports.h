// Import tables of all modules: what they call by them and would not reach our hooks is made to.
// That are modules that look into their own libraries first (RTLD_DEEPBIND, -Bsymbolic), whatever
// was bound before we came, and callers of an allocator that is not the first one. With these go
// dlopen() and dlclose().
//
// A lock's function is taken for what it is by its address. Where it is not bound yet, that of a
// condition variable may be an old form of it, and stays as it is.
#ifndef HONE_PROBE_IMPORTS_H
#define HONE_PROBE_IMPORTS_H

#include <stdbool.h>
#include <stdint.h>

// Whose functions are meant: those that allocate, those of locks. At start.
void hone_imports_begin(bool heap, bool locks);

// Looks at the modules that came since the last call.
//
// Threads  any, where the program itself asks the loader for something; while another thread is at
//          it, that one looks again.
// Signals  no.
void hone_imports_patch(void);

// In a forked child. Where the loader's lock may be lost (unwind/loader.h), hone_imports_patch()
// reads its list without it, and only while the child has one thread. Else it writes down what is
// not covered.
void hone_imports_after_fork(void);

// Whether a module loaded on behalf of some caller is the same whoever asks for it: no library has
// a path of its own (DT_RPATH) for what its callees need.
bool hone_imports_know_paths(void);

#endif
