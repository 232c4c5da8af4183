// Walks of copied stacks by the rules of the modules that their process had mapped.
#ifndef HONE_CONVERT_PERF_WALKER_H
#define HONE_CONVERT_PERF_WALKER_H

#include "convert/perf_processes.h"
#include "convert/perf_sample.h"
#include "unwind/unwind.h"

struct hone_perfdata_walker;

// Brings the process's walker up to its mappings; makes one if it has none. Returns 0 or -ENOMEM.
// Nobody may be walking.
int hone_perfdata_walker_prepare(struct hone_perfdata_process *process,
                                 struct hone_perfdata_modules *modules);
void hone_perfdata_walker_free(struct hone_perfdata_walker *walker);

// Walks the sample's stack, as hone_unwind_walk_foreign() does. Any number of threads at a time.
size_t hone_perfdata_walk(const struct hone_perfdata_process *process,
                          const struct hone_perfdata_modules *modules,
                          const struct hone_perfdata_event *event,
                          const struct hone_perfdata_sample *sample, uint64_t *ret_addresses,
                          size_t max, struct hone_walk *ret);

#endif
