// What a process has mapped, and which of its pages hold anything: pages that were never touched
// are zeros or bytes of a file, which point to no block. Private to the scan for leaks.
#ifndef HONE_CAPTURE_SCAN_MEMORY_H
#define HONE_CAPTURE_SCAN_MEMORY_H

#include "capture/scan_mark.h"

#include <sys/types.h>

struct hone_scan_area {
    uint64_t start, end;
    bool stack;     // of the first thread
    bool module;    // data of a program or library
    bool allocator; // of the library that malloc() is in
    bool dead;      // stack of a thread that has ended
};

struct hone_scan_process {
    pid_t pid;
    int pages_fd; // /proc/PID/pagemap
    uint64_t until_ns;
    _Atomic uint32_t *beat; // rises while we work
    uint64_t *pages;        // what was read of it, for [pages_from, pages_to) by number of page
    uint64_t pages_from, pages_to;
    struct hone_scan_area *areas; // readable private memory
    uint32_t area_count, area_room;
    uint64_t tls_bytes;             // thread-local storage of all modules, about
    struct hone_scan_memory memory; // to read it by
};

// Returns 0, -ESRCH, -EACCES, -ENOMEM.
int hone_scan_process_open(pid_t pid, uint64_t until_ns, _Atomic uint32_t *beat,
                           struct hone_scan_process *ret);
// Reads what is mapped. `allocator` is the path of the file whose malloc() it uses.
int hone_scan_process_areas(struct hone_scan_process *process, const char *allocator);
void hone_scan_process_done(struct hone_scan_process *process);

// Reads bytes; false when not all of them can be.
bool hone_scan_read(struct hone_scan_process *process, uint64_t address, void *to, size_t bytes);

// Takes [from, to) out of the areas.
int hone_scan_process_leave_out(struct hone_scan_process *process, uint64_t from, uint64_t to);

#endif
