// Files of modules, held open while a process has them mapped: names are read at the end of a
// recording, when an upgrade may have removed or replaced what ran.
#ifndef HONE_CAPTURE_HELD_FILE_H
#define HONE_CAPTURE_HELD_FILE_H

#include "capture/collect.h"

// Holds the module's file, of a process that has it mapped. Nothing is held where nobody can prove
// that it is the one: then a name might be another file's.
void hone_held_file(struct hone_collected *collected, uint32_t module, uint32_t pid);

#endif
