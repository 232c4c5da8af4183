// Where the files of a profile's mappings are on this machine. Private to this room.
#ifndef HONE_PPROF_BINARIES_H
#define HONE_PPROF_BINARIES_H

#include "base/error.h"

struct hone_profile;

// Looks in the directories of $PPROF_BINARY_PATH (~/pprof/binaries) for the file of each mapping:
// by build id and name, by path and build id, by name, by path. One with another build id than the
// mapping's is refused and said so; the mapping then keeps its own. Returns 0 or -ENOMEM.
int hone_pprof_locate_binaries(struct hone_profile *profile, struct hone_error *err);

#endif
