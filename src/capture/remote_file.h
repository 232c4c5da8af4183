// Files with code, each mapped once for all processes that run it.
#ifndef HONE_CAPTURE_REMOTE_FILE_H
#define HONE_CAPTURE_REMOTE_FILE_H

#include "capture/remote.h"
#include "elf/code.h"

// The file of a mapping of the process, known or opened now. NULL: it cannot be opened, is not the
// one that was mapped, or holds no code of this machine.
const struct hone_elf_code *hone_remote_file(pid_t pid, const struct hone_remote_mapping *mapping);

#endif
