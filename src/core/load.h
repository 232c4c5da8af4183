// Loads from memory of unknown health, without a SIGSEGV handler: an address is probed by a system
// call that reads it and then fails in another way. rt_sigprocmask() with a `how` that does not
// exist answers EINVAL when it could read the mask and EFAULT when it could not; it changes
// nothing, costs some 100 ns, and is allowed in every seccomp filter, for signals need it.
// (process_vm_readv() is often filtered, a pipe needs descriptors, mincore() says nothing about
// permission.)
//
// Threads, Signals: safe. A page that another thread unmaps between probe and load is the one case
// that these do not cover.
#ifndef HONE_CORE_LOAD_H
#define HONE_CORE_LOAD_H

#include "core/core.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HONE_PAGE_BYTES = 4096 }; // the smallest that there is; larger pages consist of these

// Reads a word at any alignment, from memory known to be there. Stacks are read by it as the
// unwinder finds them, which is why sanitizers must not look.
struct hone_word {
    uint64_t value;
} __attribute__((packed, may_alias));

#define HONE_LOAD(address) (((const volatile struct hone_word *)(uintptr_t)(address))->value)

// The same of what nobody else changes meanwhile, as the compiler sees fit.
#define HONE_READ(address) (((const struct hone_word *)(uintptr_t)(address))->value)

// True when the 8 bytes at `address` can be read.
HONE_SIGSAFE bool hone_safe_probe(uint64_t address);

// Reads a word that may not be there; false: it is not.
HONE_SIGSAFE bool hone_safe_load(uint64_t address, uint64_t *ret);

// Whether `size` bytes at `address` are these, both in multiples of 4. The kernel compares them, so
// this also holds for memory that another thread unmaps at this moment; each word costs as much as
// a probe.
HONE_SIGSAFE bool hone_safe_equals(uint64_t address, const void *bytes, size_t size);

// Copies `size` bytes that may not be there; false: some are not, and `to` is half written.
HONE_SIGSAFE bool hone_safe_copy(void *to, uint64_t from, size_t size);

#endif
