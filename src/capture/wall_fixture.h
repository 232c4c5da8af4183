// A wall clock without perf events, to which tests tell what happens, and stacks to see: of one
// frame each, numbered from 0 on.
#ifndef HONE_CAPTURE_WALL_FIXTURE_H
#define HONE_CAPTURE_WALL_FIXTURE_H

#include "capture/wall_parts.h"

// NULL where there is none: tests check that.
static inline struct hone_wall *wall_fixture(struct hone_collected *collected)
{
    enum { STACKS = 3 };
    const struct hone_wall_options options = {
        .hz = 100, .stack_max = 64, .engine = HONE_WALL_BY_POLLING};
    struct hone_wall *wall = NULL;
    if (hone_collect_init(collected) || hone_wall_open(collected, &options, &wall, NULL))
        return NULL;
    for (uint64_t number = 0; number < STACKS; number++) {
        uint32_t place = hone_collect_place(
            collected, (struct hone_collected_place){.address = 0x1000 + number});
        if (hone_collect_stack(collected, &place, 1, HONE_STACK_COMPLETE) != number)
            return NULL;
    }
    return wall;
}

#endif
