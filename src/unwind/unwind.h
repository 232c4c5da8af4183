// unwind: from registers to a stack of addresses, inside a signal handler of somebody else's
// process, without frame pointers.
//
// Each frame is stepped by its module's .eh_frame rules, found on demand through .eh_frame_hdr and
// kept as 8-byte rows in a wait-free cache by address. It promises no lock, no allocation, errno
// kept, bounded time, and that no stack, register or rule, however corrupt, makes it crash: memory
// outside the stacks that the caller names is probed before it is read. It leaves names to symbol/.
//
// Found by measuring (unwind_bench, walk_step_test, rows_check; a 2-core AMD EPYC):
// - Warm, a walk costs 13 ns and 4.3 ns a frame; a row that is not cached 120 ns; a walk verified
//   against the last one 1.1 ns a frame, but 9 ns where every frame changed. glibc's backtrace()
//   takes 115 ns a frame, frame pointers 0.8.
// - All rows made ahead take 0.16 s and 13.8 MB for libLLVM alone, in each process, and save half
//   of a cold lookup: rows on demand and a cache it is.
// - Of 7.5 million stretches of rules in 591 libraries, all are read as elfutils reads them, but
//   for 8 in libgcrypt that elfutils refuses. They fit a row, but for one in a hundred of
//   libcrypto's and one in 200 of ld.so's; those are stepped by the rules themselves.
// - On aarch64, of 624 026 stretches in 38 libraries all are read as elfutils reads them, and all
// but
//   136 fit a row. There the return address is where the rule says or still in its register.
// - musl has no rules at all. Its code is followed to where it returns, once for each address: 54
//   instructions on average, some 3 us; 97.7 % of its places tell how. In glibc, which has rules,
//   99.92 % of 311 000 places that tell say the same, and most others are those whose rules are
//   wrong (ways_check). What does not return has its callers searched for on the stack.
// - Rules are wrong in places: glibc's arithmetic on long numbers pushes registers and does not say
//   so, gcc misplaces the saved rbp in two instructions of realigned frames, libgcc writes over its
//   own frame before an exception lands. The first two are put right, the last is cut short.
#ifndef HONE_UNWIND_UNWIND_H
#define HONE_UNWIND_UNWIND_H

#include "core/load.h"
#include "unwind/modules.h"

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Registers by their DWARF numbers; r[HONE_REGISTER_IP] is the instruction pointer.
struct hone_registers {
    uint64_t r[HONE_REGISTER_COUNT];
};

// What a signal interrupted; `ucontext` is the handler's third argument.
HONE_SIGSAFE void hone_registers_from_ucontext(struct hone_registers *ret, const void *ucontext);

// The caller's own, just after this call: of use while the caller has not returned. The walk's
// first address is then in the caller. Registers that calls may destroy read 0.
HONE_SIGSAFE void hone_registers_here(struct hone_registers *ret);

// Memory that is known to be a stack: bytes low to high-1 are readable.
struct hone_stack {
    uint64_t low, high;
};

enum {
    HONE_UNWIND_CACHE_BYTES = 512 << 10, // 32768 rows, see unwind_bench
    HONE_STACK_DEPTH_MAX = 1024,         // of a trail
};

struct hone_unwinder {
    struct hone_modules *modules;
    struct hone_row_slot *rows; // the cache, in sets of four
    uint64_t set_mask;
    // Code of the profiler, which is in no stack of the program: addresses of it that handlers have
    // left below the stack are not taken for callers. May be empty.
    uint64_t own_low, own_high;
    _Atomic uint32_t rows_since; // which range of generations the rows are of
};

// Prepares a walker for any number of threads at a time. `memory` (zeroed, 64-byte aligned, a power
// of two of at least 4096 bytes; more is not used) becomes the cache and stays the walker's; so do
// `modules`, which the caller refreshes.
void hone_unwind_init(struct hone_unwinder *ret, struct hone_modules *modules, void *memory,
                      size_t size_bytes);

enum hone_walk_end {
    HONE_WALK_COMPLETE,         // reached the start of the program or thread
    HONE_WALK_TOO_DEEP,         // more than `max` frames
    HONE_WALK_NO_RULE,          // code without rules, and no frame pointer to follow
    HONE_WALK_UNREADABLE,       // a frame points into memory that is not there
    HONE_WALK_BAD_FRAME,        // the next frame would not lie above this one
    HONE_WALK_BAD_RULE,         // rules that are broken or beyond our limits
    HONE_WALK_STALE,            // code in a module that is not in our table yet
    HONE_WALK_COPY_SHORT,       // the copy of another process's stack ends before the stack does
    HONE_WALK_UNKNOWN_REGISTER, // a rule needs a register that was not told
    HONE_WALK_END_COUNT,
};

// A word for each, as `session.json` and reports print it: "complete", "too deep", …
const char *hone_walk_end_name(enum hone_walk_end end);

struct hone_walk {
    uint32_t count; // addresses written
    enum hone_walk_end end;
    bool frame_pointers; // some frame had no rules: stepped by its frame pointer
    bool guessed;        // the first frame is a call into the void; its caller was taken from *sp
    bool slow;           // some frame needed the general rules (signal frames, odd CFA)
    bool stale;          // some frame is in a module that is not in our table yet
    bool by_rule;        // complete, for the outermost frame's rule says that it has no caller
    uint32_t misses;     // rows that were not in the cache
    uint32_t reused;     // frames verified against the trail instead of walked
    uint32_t same;       // outermost frames that are those of the trail's last walk
    // Of another process: where the walk ended, also when that address was left out.
    uint64_t end_address, end_sp;
    bool end_fp_unknown; // and nobody had told the frame pointer
};

// Walks the stack that `registers` are the innermost frame of, at most `max` frames.
//
// Writes addresses to look up, innermost first: the exact one where a thread was interrupted (the
// first, and each below a signal frame), and one less than the return address in each caller, which
// is inside its call instruction. `stacks` (of this thread: its own, its alternate one; may be
// none) are read plainly, anything else is probed at some 100 ns a page.
//
// Returns  ret->count, also on stacks cut short: ret->end says why.
// Threads, Signals: safe.
HONE_SIGSAFE size_t hone_unwind_walk(struct hone_unwinder *unwinder,
                                     const struct hone_registers *registers,
                                     const struct hone_stack *stacks, size_t stack_count,
                                     uint64_t *ret_addresses, size_t max, struct hone_walk *ret);

// A thread of another process: a copy of the top of its stack, and ways to read the rest.
struct hone_foreign {
    const void *copy; // of size_bytes at low; may be none
    uint64_t low;
    size_t size_bytes;
    uint64_t known; // registers that were told, a bit for each; IP and SP must be
    // Reads code. Returns false when some of it is not there.
    bool (*code)(void *context, uint64_t address, void *to, size_t size);
    // Reads what is not in the copy, of a thread that does not run meanwhile; NULL: it may run.
    bool (*stack)(void *context, uint64_t address, void *to, size_t size);
    void *context;
    bool search; // callers of code without rules are searched for, as inside, though it takes long
};

// As hone_unwind_walk(), for a thread of the process whose modules are those of `unwinder`. What
// would need a register that is not known, or the stack above the copy where that may not be read,
// ends the walk and is told apart: nothing is guessed.
size_t hone_unwind_walk_foreign(struct hone_unwinder *unwinder,
                                const struct hone_registers *registers,
                                const struct hone_foreign *foreign, uint64_t *ret_addresses,
                                size_t max, struct hone_walk *ret);

// The frames of one thread's last walk, outermost last: what lets the next walk stop early.
struct hone_trail_frame {
    uint64_t ip; // address looked up
    uint64_t sp, fp;
    uint64_t saved; // private to the walks: what was read to get to the caller
};

struct hone_trail {
    uint32_t first;      // frames[first] to frames[HONE_STACK_DEPTH_MAX - 1] are valid; 0: none
    uint32_t generation; // of the module table then
    struct hone_trail_frame frames[HONE_STACK_DEPTH_MAX];
};

// A caller that is known: where the call of it lies (one less than the return address), and its
// stack and frame pointers then.
struct hone_caller {
    uint64_t address, sp, fp;
    uint32_t frames; // between `registers` and it
};

// As hone_unwind_walk(), and as exact, but where a frame equals one of this thread's last walk the
// rest is not walked but verified: one compare for each return address and saved register that was
// read then; the first difference resumes the walk there.
//
// Owner    `trail` is the caller's, zero before its first use, one for each thread (and for each
//          depth of handlers that may interrupt one another).
HONE_SIGSAFE size_t hone_unwind_rewalk(struct hone_unwinder *unwinder, struct hone_trail *trail,
                                       const struct hone_registers *registers,
                                       const struct hone_stack *stacks, size_t stack_count,
                                       uint64_t *ret_addresses, size_t max, struct hone_walk *ret);

// The same from `caller` on (NULL: from the beginning): the frames below it are counted, and their
// addresses not written.
HONE_SIGSAFE size_t hone_unwind_rewalk_from(struct hone_unwinder *unwinder,
                                            struct hone_trail *trail,
                                            const struct hone_registers *registers,
                                            const struct hone_caller *caller,
                                            const struct hone_stack *stacks, size_t stack_count,
                                            uint64_t *ret_addresses, size_t max,
                                            struct hone_walk *ret);

// All that a complete walk from a caller has read of the stack: while that and the module table are
// the same, it finds the same frames, and need not be made.
// Words are compared some at a time, the last one again where there are fewer.
enum { HONE_IMPRINT_MAX = 96, HONE_IMPRINT_STEP = 4 };

struct hone_imprint {
    uint64_t address, sp, fp; // where the walk began
    bool fp_matters;
    uint32_t count; // words read, innermost first
    uint64_t bytes; // from sp to the end of the last
    uint64_t words[HONE_IMPRINT_MAX];
    uint64_t at[HONE_IMPRINT_MAX / 2]; // where they were, from sp: two in one, the first lower
};

// Of the walk that has just left this trail, by hone_unwind_rewalk_from() this caller. False: it
// has read more than has room, or what cannot be told so.
HONE_SIGSAFE bool hone_imprint_take(struct hone_imprint *ret, const struct hone_trail *trail,
                                    const struct hone_caller *caller, const struct hone_walk *walk);

// HONE_IMPRINT_STEP words of the stack that begins at sp: zero where they are the same.
__attribute__((no_sanitize("address"))) static inline uint64_t
hone_imprint_differs(uint64_t sp, const uint64_t *at, const uint64_t *words)
{
    return (HONE_READ(sp + (uint32_t)at[0]) ^ words[0]) |
           (HONE_READ(sp + (at[0] >> 32)) ^ words[1]) |
           (HONE_READ(sp + (uint32_t)at[1]) ^ words[2]) |
           (HONE_READ(sp + (at[1] >> 32)) ^ words[3]);
}

// Whether the same walk would be made from a caller, whose stack can be read from its sp up to
// `high`.
__attribute__((no_sanitize("address"))) static inline bool
hone_imprint_holds(const struct hone_imprint *imprint, const struct hone_caller *caller,
                   uint64_t high)
{
    const uint64_t sp = imprint->sp;
    if (sp != caller->sp || imprint->address != caller->address ||
        (imprint->fp_matters && imprint->fp != caller->fp) || high - sp < imprint->bytes)
        return false;
    // Where two stacks part, most do so near their innermost frames; after these it costs less to
    // ask once, at the end.
    const uint64_t *at = imprint->at;
    const uint64_t *words = imprint->words, *end = words + imprint->count;
    if (HONE_UNLIKELY(hone_imprint_differs(sp, at, words)))
        return false;
    uint64_t differ = 0;
    for (words += HONE_IMPRINT_STEP, at += HONE_IMPRINT_STEP / 2; words < end;
         words += HONE_IMPRINT_STEP, at += HONE_IMPRINT_STEP / 2)
        differ |= hone_imprint_differs(sp, at, words);
    return !differ;
}

#endif
