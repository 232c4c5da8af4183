// Files with code, each mapped once for all processes that run it.
#ifndef HONE_CAPTURE_REMOTE_FILE_H
#define HONE_CAPTURE_REMOTE_FILE_H

#include "capture/remote.h"
#include "unwind/modules.h"

struct hone_remote_segment {
    uint64_t address, offset, size; // executable; address and offset in the file
};

enum { HONE_REMOTE_SEGMENTS = 8 };

struct hone_remote_file {
    uint64_t device, inode, size, changed_ns;
    struct hone_module module; // as if it were loaded at its own addresses; its path is not set
    struct hone_remote_segment segments[HONE_REMOTE_SEGMENTS];
    uint32_t segment_count;
    const uint8_t *bytes; // of the whole file
};

// The file of a mapping of the process, known or opened now. NULL: it cannot be opened, is not the
// one that was mapped, or holds no code of this machine.
const struct hone_remote_file *hone_remote_file(pid_t pid,
                                                const struct hone_remote_mapping *mapping);

// The kernel's own little library, the same in all processes. NULL: there is none.
const struct hone_remote_file *hone_remote_file_vdso(void);

#endif
