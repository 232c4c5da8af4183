// What the files of the standstill share: standstill.c looks at the threads, standstill_proc.c
// reads /proc, standstill_stack.c reads stacks and locks and gives them names.
#ifndef HONE_CAPTURE_STANDSTILL_PARTS_H
#define HONE_CAPTURE_STANDSTILL_PARTS_H

#include "capture/remote.h"
#include "capture/standstill.h"
#include "symbol/symbol.h"

// What the kernel says of a thread.
struct hone_standstill_status {
    char name[16];
    char state; // 'R', 'S', 'D', 'T', 'Z', …
    uint32_t inner;
    uint64_t switches;
    uint64_t caught;
};

// Returns 0, or -ESRCH.
int hone_standstill_status(pid_t pid, uint32_t tid, struct hone_standstill_status *ret);

// A mapping of the process.
struct hone_standstill_area {
    uint64_t start, end;
    bool shared;
    const char *path; // "" when it has none
};

struct hone_standstill_areas {
    char *text; // of /proc/PID/maps, cut into lines
    struct hone_standstill_area *at;
    uint32_t count, room;
};

int hone_standstill_areas(pid_t pid, struct hone_standstill_areas *ret);
void hone_standstill_areas_done(struct hone_standstill_areas *areas);
const struct hone_standstill_area *hone_standstill_area(const struct hone_standstill_areas *areas,
                                                        uint64_t address);

// Whether a thread with this number, of the process's own numbering, lives in another process, as
// the holder of a lock in shared memory may: that process, or 0.
pid_t hone_standstill_elsewhere(const struct hone_standstill *stand, uint32_t inner);

// Whether it never exec'ed. Returns 0, or -ESRCH.
int hone_standstill_process(pid_t pid, bool *ret_forked);

// For how long the threads that wait for a lock have not run, where the kernel tells; at least.
void hone_standstill_ages(struct hone_standstill *stand);

struct hone_standstill_reader {
    struct hone_standstill *stand;
    struct hone_remote *remote;
    struct hone_standstill_areas areas;
    struct hone_symbol_module **modules; // by the remote's number
    const char **paths;                  // the same, in the arena
    unsigned char *copy;
    uint64_t *addresses;
    int status;
};

// For struct hone_lock_sleep: reads memory of a reader's process.
bool hone_standstill_memory(void *context, uint64_t address, void *to, size_t size);

// Adds the functions at an address of the process. The list is the heap's until it is settled.
void hone_standstill_frames(struct hone_standstill_reader *reader, uint64_t address,
                            struct hone_standstill_stack *ret);
void hone_standstill_settle(struct hone_standstill_reader *reader,
                            struct hone_standstill_stack *stack);
// "accounts", "accounts+0x28"; "": it has no name.
const char *hone_standstill_variable(struct hone_standstill_reader *reader, uint64_t address);
// "on the heap", …
const char *hone_standstill_where(struct hone_standstill_reader *reader, uint64_t address);

// Where libhone.so is inside and keeps account of who holds what: where the locks were taken that
// threads wait for, and by whom, if the lock itself does not tell. Returns 0 or -ENOMEM.
int hone_standstill_held(struct hone_standstill_reader *reader);

// Stacks, locks and names of all threads that wait for one. Returns 0 or a negative errno.
int hone_standstill_stacks(struct hone_standstill *stand,
                           const struct hone_standstill_options *options, struct hone_error *err);

#endif
