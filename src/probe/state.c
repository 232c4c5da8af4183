#include "probe/probe.h"

struct hone_probe hone_probe;
struct hone_modules hone_probe_modules;

static __thread struct hone_thread this_thread;

struct hone_thread *hone_thread_self(void)
{
    return &this_thread;
}

struct hone_process_counters *hone_counters(void)
{
    return &hone_probe.writer.process->counters;
}

void hone_count(_Atomic uint64_t *counter, uint64_t amount)
{
    atomic_fetch_add_explicit(counter, amount, memory_order_relaxed);
}
