// Names of generated code, as the JIT compilers of a process wrote them down: perf maps
// (/tmp/perf-PID.map: address, size and name) and jitdump files (jit-PID.dump: what was loaded and
// moved when, and which lines it came from).
//
//     struct hone_jit *jit;
//     r = hone_jit_new(&jit);
//     r = hone_jit_read_map(jit, bytes, len);
//     r = hone_jit_read_dump(jit, bytes, len);
//     …
//     struct hone_jit_name name;
//     if (hone_jit_lookup(jit, pc, time_ns, &name) == 0)
//         print name.name
//
// Memory of generated code is used again, so a name holds from when it was loaded until other code
// takes its place. Perf maps tell no times: there the last entry holds.
//
// Any bytes return: what a file says is bounded and checked, a line that is no entry is passed
// over, a damaged record ends its file.
//
// Threads  one at a time.
#ifndef HONE_SYMBOL_JIT_H
#define HONE_SYMBOL_JIT_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

struct hone_jit;

// Of all entries together; what is beyond is passed over.
enum { HONE_JIT_CODES_MAX = 1 << 20 };

int hone_jit_new(struct hone_jit **ret);
void hone_jit_free(struct hone_jit *jit);

static inline void hone_jit_freep(struct hone_jit **jit)
{
    hone_jit_free(*jit);
}

// Each adds what the bytes say, before the first lookup. Returns 0; -EBADMSG when they are no
// jitdump of this machine's kind; -ENOMEM.
int hone_jit_read_map(struct hone_jit *jit, const void *bytes, size_t len);
int hone_jit_read_dump(struct hone_jit *jit, const void *bytes, size_t len);

// How many names were read.
size_t hone_jit_count(const struct hone_jit *jit);

struct hone_jit_name {
    const char *name; // the texts live as long as jit
    const char *file; // "" when unknown
    uint32_t line;    // 0 when unknown
    uint64_t start;   // of the code
};

enum { HONE_JIT_UNKNOWN = 1 };

// The name of the code at address at time_ns of the monotonic clock; UINT64_MAX: at the end.
// Returns 0, HONE_JIT_UNKNOWN or -ENOMEM.
int hone_jit_lookup(struct hone_jit *jit, uint64_t address, uint64_t time_ns,
                    struct hone_jit_name *ret);

#endif
