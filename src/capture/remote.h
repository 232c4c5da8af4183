// Unwinding another process from outside: which modules it has, and walks by their rules of a copy
// of a thread's registers and stack.
//
//     hone_remote_open(pid, &remote, &err);
//     known = 1 << HONE_REGISTER_IP | 1 << HONE_REGISTER_SP;
//     hone_remote_walk(remote, &registers, known, NULL, 0, 0, true, addresses, max, &walk);
//     hone_remote_free(remote);
//
// The process is not touched: its maps and files are read, its memory only where code lies in no
// file, and its stack only if the caller says that the thread does not run. Files are opened
// through the process (map_files, root), so that containers and files that were deleted or
// replaced meanwhile are met as the process sees them; what cannot be opened as the same file has
// no rules. Rules of a file are mapped once for all processes.
//
// Threads: one at a time, all remotes together.  Signals: not safe.
#ifndef HONE_CAPTURE_REMOTE_H
#define HONE_CAPTURE_REMOTE_H

#include "base/error.h"
#include "unwind/unwind.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define HONE_REMOTE_KNOWN_ALL ((1ull << HONE_REGISTER_COUNT) - 1)

struct hone_elf_code;
struct hone_remote;

// A process that runs: reads what it has mapped. Fails with -ESRCH when there is none and -EACCES
// when we may not look.
int hone_remote_open(pid_t pid, struct hone_remote **ret, struct hone_error *err);

// A process of which nothing is mapped yet: hone_remote_map() tells. Returns 0 or -ENOMEM.
int hone_remote_new(pid_t pid, struct hone_remote **ret);

// The child of a fork, with all that its parent has. Returns 0 or -ENOMEM.
int hone_remote_fork(const struct hone_remote *parent, pid_t pid, struct hone_remote **ret);

void hone_remote_free(struct hone_remote *remote);

// Under whose number the kernel tells of the process now, see living.h.
pid_t hone_remote_through(const struct hone_remote *remote);

// Reads the maps again: new modules are appended, those that vanished are retired. Returns 0 or
// -errno: the process is gone or refuses, and the table is as it was.
int hone_remote_refresh(struct hone_remote *remote);

// An executable mapping that the process has made, as perf events tell it.
struct hone_remote_mapping {
    uint64_t start, end, offset;
    const char *path;
    uint64_t inode;          // 0: unknown
    const uint8_t *build_id; // of build_id_bytes; 0: unknown
    uint8_t build_id_bytes;
};

// Whatever lay there before is retired. Returns 0, or -errno when the file has no rules for us.
int hone_remote_map(struct hone_remote *remote, const struct hone_remote_mapping *mapping);

// From now on callers of code without rules (musl's) are searched for on the stack, which takes
// long.
void hone_remote_search(struct hone_remote *remote);

// What it has, for hone_modules_at() and its like; numbers of slots are kept.
const struct hone_modules *hone_remote_modules(const struct hone_remote *remote);

// The file of a module, by its number. NULL: there is none.
const struct hone_elf_code *hone_remote_file_of(const struct hone_remote *remote, size_t number);

// The number of the module that holds an address; -1: none.
int hone_remote_module_of(struct hone_remote *remote, uint64_t address);

// Walks a copy of a thread's stack, stack_bytes at stack_low, as hone_unwind_walk() does. Of
// `registers` those in known_registers (a bit for each DWARF number) count; IP and SP must be among
// them. What lies outside the copy is read from the process if may_read_process: its thread is
// known not to run meanwhile. Else the walk ends there (HONE_WALK_COPY_SHORT).
size_t hone_remote_walk(struct hone_remote *remote, const struct hone_registers *registers,
                        uint64_t known_registers, const void *stack, uint64_t stack_low,
                        size_t stack_bytes, bool may_read_process, uint64_t *ret_addresses,
                        size_t max, struct hone_walk *ret);

// Has the pages there be present, up to the first that cannot be: the kernel copies the stack of
// another thread no further than to a page that nobody has used yet, as large buffers have them.
void hone_remote_touch(const struct hone_remote *remote, uint64_t from, size_t bytes);

static inline void hone_remote_freep(struct hone_remote **remote)
{
    hone_remote_free(*remote);
}

#endif
