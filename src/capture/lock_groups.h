// Locks as people think of them: those of one name, kind and process together, such as one in each
// of a thousand connections.
#ifndef HONE_CAPTURE_LOCK_GROUPS_H
#define HONE_CAPTURE_LOCK_GROUPS_H

#include "capture/collect_locks.h"
#include "capture/lock_names.h"

// What one place has of a group's delay.
struct hone_lock_place {
    uint32_t stack; // plus one; 0: none is known
    double ns;
    double all_ns; // of all places
};

struct hone_lock_group {
    uint32_t lock;  // the one with most delay
    uint32_t count; // of locks
    struct hone_collected_lock sum;
    struct hone_lock_place holder, waiter; // those with most
    uint32_t beside; // group of another lock on the same line of the cache, plus one; 0: none
};

struct hone_lock_groups {
    struct hone_lock_group *at; // most delay first
    uint32_t count;
    uint32_t *of; // by lock: its group
};

// `line_bytes` of the processor's cache; 0: unknown. Returns 0 or -ENOMEM; done is needed in any
// case.
int hone_lock_groups_init(struct hone_lock_groups *groups, const struct hone_locks *locks,
                          const struct hone_lock_names *names, uint32_t line_bytes);
void hone_lock_groups_done(struct hone_lock_groups *groups);

// What those who wait for it lost: as who held it tells or, where none does, who waited.
double hone_lock_delay_ns(const struct hone_collected_lock *lock);

#endif
