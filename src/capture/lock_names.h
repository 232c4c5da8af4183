// What to call a lock, and the places where it is held and waited for. A name is what somebody said
// (the program, a symbol table) or what was seen of the lock; none is guessed.
#ifndef HONE_CAPTURE_LOCK_NAMES_H
#define HONE_CAPTURE_LOCK_NAMES_H

#include "base/arena.h"
#include "capture/output.h"

struct hone_profile;
struct hone_symbolizer;

enum hone_lock_named {
    HONE_LOCK_NAMED_BY_PROGRAM, // hone_lock_name()
    HONE_LOCK_NAMED_BY_SYMBOL,  // a variable: pool+0x40
    HONE_LOCK_NAMED_BY_FILE,    // data of a file without such a symbol: data of libx.so+0x4060
    HONE_LOCK_NAMED_BY_BLOCK,   // heap of make_pool+0x40
    HONE_LOCK_NAMED_BY_MAKER,   // made in make_pool
    HONE_LOCK_NAMED_BY_WAITER,  // 0x7f3a5c000b60, first waited for in work
    HONE_LOCK_NAMED_BY_ADDRESS, // 0x7f3a5c000b60
    HONE_LOCK_NAMED_BYS
};

// As session.json spells it.
const char *hone_lock_named_name(enum hone_lock_named by);

struct hone_lock_name {
    const char *text; // one line
    enum hone_lock_named by;
};

struct hone_lock_names {
    struct hone_lock_name *at; // by number of the collected lock
    struct hone_arena arena;
};

// `stacks` is what number each collected stack has in the profile. Returns 0 or -ENOMEM; done is
// needed in any case.
int hone_lock_names_init(struct hone_lock_names *names, const struct hone_collected *collected,
                         struct hone_symbolizer *symbolizer, const struct hone_profile *profile,
                         const uint32_t *stacks);
// What something that is no lock would be called at that place of a file's data, such as a
// condition variable; NULL where no file or symbol tells. Returns 0 or -ENOMEM.
int hone_lock_names_data(struct hone_lock_names *names, const struct hone_collected *collected,
                         struct hone_symbolizer *symbolizer, uint32_t module, uint64_t vaddr,
                         const char **ret);
void hone_lock_names_done(struct hone_lock_names *names);

// The innermost function of a profile's stack that is none of those which take locks, release them
// or allocate, whatever library they come from; the innermost of all where there is no other. Empty
// for a stack without frames.
struct hone_str hone_lock_site(const struct hone_profile *profile, uint32_t stack);

#endif
