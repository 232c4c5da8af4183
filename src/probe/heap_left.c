// Handlers of the program's run while we take a sample: signals are not blocked, for that is two
// system calls. Some handlers jump away, and what they interrupted never goes on. Who was in the
// middle then has left things behind: his mark that he is inside, an area, a record that is never
// finished, a lock.
//
// He is known by his stack pointer. As long as he runs, whatever interrupts him lies further down
// on the stack of the thread, or on one of its own. So when something enters from as far up as he
// was, or from further up, he is not there any more.
#include "probe/heap.h"

#include "probe/areas.h"
#include "probe/heap_keeper.h"

bool hone_heap_was_left(uint64_t here)
{
    struct hone_heap_thread *self = &hone_heap_self;
    // An alternate stack may lie in a frame of the other one. Where another stack is not the
    // kernel's affair, as with fibers, nothing is known.
    if (hone_probe.locked_in || !hone_area_same_own_stack(self->inside, here) ||
        hone_is_on_alternate_stack())
        return false;
    hone_writer_abandon(&hone_probe.writer, here);
    hone_areas_abandon(self);
    hone_heap_live_abandon();
    if (hone_keeper_mine)
        hone_keeper_abandon(hone_keeper_mine);
    self->countdown = -1;
    self->rate = 0;
    hone_count(&hone_counters()->heap_left, 1);
    return true;
}
