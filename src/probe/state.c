#include "probe/probe.h"

struct hone_probe hone_probe;
struct hone_modules hone_probe_modules;

static __thread struct hone_thread this_thread;

struct hone_thread *hone_thread_self(void)
{
    return &this_thread;
}

// Where a process counts that found no room in the session: nobody reads it.
static struct hone_process nobody;

struct hone_process_counters *hone_counters(void)
{
    struct hone_process *process = hone_probe.writer.process;
    return process ? &process->counters : &nobody.counters;
}

void hone_count(_Atomic uint64_t *counter, uint64_t amount)
{
    atomic_fetch_add_explicit(counter, amount, memory_order_relaxed);
}
