// Files of modules, held open while a process has them mapped: names are read at the end of a
// recording, when an upgrade may have removed or replaced what ran.
#ifndef HONE_CAPTURE_HELD_FILE_H
#define HONE_CAPTURE_HELD_FILE_H

#include "capture/collect.h"

// Holds the module's file, of a process that has it mapped. Nothing is held where nobody can prove
// that it is the one: then a name might be another file's.
void hone_held_file(struct hone_collected *collected, uint32_t module, uint32_t pid);

// Whether an open file is what was met as this module, of which there is a hash of its contents.
// Returns 0 or a negative errno: it cannot be read, or is no program's code.
int hone_held_file_compare(const struct hone_collected_module *module, int fd, bool *ret_same);

#endif
