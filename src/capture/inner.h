// Allocators that are part of another file, told by what they would print: where such a file has no
// symbols, nothing of the allocator can be hooked.
#ifndef HONE_CAPTURE_INNER_H
#define HONE_CAPTURE_INNER_H

// "jemalloc", "tcmalloc", "mimalloc": the allocator that a program or library has inside and does
// not let others call; NULL: none that is known, or the file cannot be read.
const char *hone_inner_allocator(const char *path);

#endif
