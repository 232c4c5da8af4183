// The heap of our own programs, before work that takes much of it.
#ifndef HONE_BASE_HEAP_H
#define HONE_BASE_HEAP_H

#include <stddef.h>

// Says that about so many bytes will be allocated: they lie in large pages then, one heap for all
// threads, and what is freed is used again instead of given back. Little is not worth it and
// changes nothing. For programs only, as it changes malloc() for all of the process; before threads
// are started.
void hone_heap_expect(size_t bytes);

#endif
