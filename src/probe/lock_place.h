// Where a lock lies that is in no file's data: in which block of the heap, as far as that is being
// recorded.
#ifndef HONE_PROBE_LOCK_PLACE_H
#define HONE_PROBE_LOCK_PLACE_H

#include "core/core.h"
#include "session/layout.h"

#include <stdint.h>

// Tells the session of the block that the lock lies in, if that is known, and when that is another
// one than was told last. For who is about to wait for it: its block is there then, and stays.
// Called by those whose stack is recorded, before they wait.
//
// Threads: all.  Signals: safe.
HONE_SIGSAFE void hone_lock_tell_place(uint64_t lock, enum hone_lock_kind kind);

#endif
