// libhone.so tells a libhone.a in the same process that it is there: see twin.c.
#include "probe/probe.h"

extern const struct hone_twin hone_preloaded;

HONE_EXPORT const struct hone_twin hone_preloaded = {
    .recording = hone_own_recording,
    .heap_set_rate = hone_own_heap_set_rate,
    .mark = hone_own_mark,
    .lock_name = hone_own_lock_name,
};
