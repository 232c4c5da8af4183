// Asking the loader for its modules in a process that forks. Its lock is held meanwhile, and if
// another thread forks just then nobody gives it back in the child: there dlopen() and dlclose()
// would wait for it for ever. So forks wait for those of us who ask, for a short time, and those
// who come meanwhile wait for the fork.
//
// In a child whose parent had threads the loader is not asked at all: one of them may have had that
// lock on behalf of the program.
#ifndef HONE_UNWIND_LOADER_H
#define HONE_UNWIND_LOADER_H

#include <link.h>
#include <stdbool.h>
#include <stddef.h>

typedef int hone_loader_visit(struct dl_phdr_info *info, size_t size, void *context);

// dl_iterate_phdr(). False: it could not be asked.
//
// Threads  any.     Signals  no.
bool hone_loader_ask(hone_loader_visit *visit, void *context);

// Whether its lock may be held by a thread that is not in this process.
bool hone_loader_is_lost(void);

// Around fork(), in the thread that forks. Where the first was not called, or nobody can tell it,
// `had_threads` says whether the parent had other threads.
void hone_loader_before_fork(void);
void hone_loader_after_fork(void);
void hone_loader_after_fork_in_child(bool had_threads);

#endif
