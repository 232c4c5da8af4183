// base: what our own processes share: errors with words for the user, scope-end cleanup, arenas,
// text, growing buffers, files. It promises no hidden state and no output of its own (only
// hone_error_print() writes, and only main calls it). It leaves to core/ whatever must also run in
// somebody else's process; guest code never includes it.
#ifndef HONE_BASE_BASE_H
#define HONE_BASE_BASE_H

#include "base/arena.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"

#endif
