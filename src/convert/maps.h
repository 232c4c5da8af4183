// The lines of /proc/PID/maps, with which profiles of addresses end: which file an address lies in.
// Private to this room.
#ifndef HONE_CONVERT_MAPS_H
#define HONE_CONVERT_MAPS_H

#include "base/str.h"
#include "profile/profile.h"

#include <stdbool.h>

struct hone_maps {
    struct hone_maps_range {
        uint64_t start;
        uint64_t limit;
        uint64_t offset;
        struct hone_str file;
        uint32_t mapping; // 0: not in the profile yet
    } * at;
    uint32_t count;
    uint32_t room;
};

// Takes a line if it is one of executable memory in a file. False: memory is out.
bool hone_maps_add(struct hone_maps *maps, struct hone_str line);

// The profile's mapping of an address; 0 when none holds it. In the order of hone_maps_add(): of
// ranges that overlap the first.
uint32_t hone_maps_find(struct hone_maps *maps, struct hone_profile *profile, uint64_t address);

// Puts all of them into the profile in their order, so that the main program is the first.
void hone_maps_put(struct hone_maps *maps, struct hone_profile *profile);
void hone_maps_done(struct hone_maps *maps);

#endif
