// A mark from inside: a name for this moment, which profiles over time are cut at.
#include "probe/probe.h"

#include "core/clock.h"
#include "hone/hone.h"

HONE_EXPORT int hone_mark(const char *name)
{
    if (hone_twin.mark)
        return hone_twin.mark(name);
    struct hone_session_header *header = hone_probe.writer.header;
    if (!name || !name[0] || !header || hone_probe.locked_in ||
        atomic_load_explicit(&header->stop, memory_order_relaxed))
        return 0;
    return hone_writer_mark(header, hone_probe.pid, hone_now_ns(), name);
}

HONE_OWN(hone_mark) int hone_own_mark(const char *name);
