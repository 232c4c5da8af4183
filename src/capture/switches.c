#include "capture/switches.h"

#include "base/array.h"
#include "base/cleanup.h"
#include "capture/perf_ring.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    // 20 000 records: at 100 reads a second, two million switches a second and CPU. With the page
    // before it just what perf_event_mlock_kb (516) lets everybody have.
    RING_BYTES = 512 << 10,
    RECORD_MAX = 256,
    TAIL_BYTES = 16,
};

struct ring {
    int fd; // the event that owns the memory; later events of this CPU write into it too
    struct perf_event_mmap_page *page;
    uint64_t end; // of what is read in this turn
    // The next record of that.
    uint64_t at;
    struct hone_switch event;
    uint16_t size;
    bool valid;
};

struct hone_switches {
    uint32_t cpu_count;
    int *fds; // of later events
    uint32_t fd_count, fd_room;
    size_t ring_bytes;
    struct ring rings[];
};

static size_t page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

int hone_switches_open(struct hone_switches **ret, struct hone_error *err)
{
    long cpus = sysconf(_SC_NPROCESSORS_CONF);
    if (cpus < 1)
        cpus = 1;
    struct hone_switches *switches =
        calloc(1, sizeof *switches + (size_t)cpus * sizeof switches->rings[0]);
    if (!switches)
        return hone_error_set(err, -ENOMEM, "cannot watch threads");
    switches->cpu_count = (uint32_t)cpus;
    switches->ring_bytes = RING_BYTES;
    for (uint32_t cpu = 0; cpu < switches->cpu_count; cpu++)
        switches->rings[cpu].fd = -1;
    *ret = switches;
    return 0;
}

void hone_switches_close(struct hone_switches *switches)
{
    if (!switches)
        return;
    for (uint32_t i = 0; i < switches->fd_count; i++)
        (void)close(switches->fds[i]);
    free(switches->fds);
    for (uint32_t cpu = 0; cpu < switches->cpu_count; cpu++) {
        struct ring *ring = &switches->rings[cpu];
        if (ring->page)
            (void)munmap(ring->page, page_bytes() + switches->ring_bytes);
        if (ring->fd >= 0)
            (void)close(ring->fd);
    }
    free(switches);
}

uint32_t hone_switches_descriptors(const struct hone_switches *switches)
{
    return switches->cpu_count + switches->fd_count;
}

static int open_event(pid_t tid, uint32_t cpu, bool at_exec)
{
    struct perf_event_attr attributes = {
        .type = PERF_TYPE_SOFTWARE,
        .size = sizeof attributes,
        .config = PERF_COUNT_SW_DUMMY,
        .sample_type = PERF_SAMPLE_TID | PERF_SAMPLE_TIME,
        .disabled = at_exec,
        .enable_on_exec = at_exec,
        .inherit = 1,
        .exclude_kernel = 1, // or it would be a matter of privilege; records come all the same
        .exclude_hv = 1,
        .task = 1,
        .comm = 1,
        .comm_exec = 1,
        .mmap = 1, // of code: without mmap_data
        .sample_id_all = 1,
        .context_switch = 1,
        .use_clockid = 1,
        .clockid = CLOCK_MONOTONIC,
        .watermark = 1, // nobody polls the descriptor
        .wakeup_watermark = RING_BYTES / 2,
    };
    long fd = syscall(SYS_perf_event_open, &attributes, tid, (int)cpu, -1, PERF_FLAG_FD_CLOEXEC);
    return fd < 0 ? -errno : (int)fd;
}

// Room for the ring, less where a limit of locked memory asks for it.
static int map_ring(struct hone_switches *switches, struct ring *ring)
{
    for (;;) {
        void *at = mmap(NULL, page_bytes() + switches->ring_bytes, PROT_READ | PROT_WRITE,
                        MAP_SHARED, ring->fd, 0);
        if (at != MAP_FAILED) {
            ring->page = at;
            return 0;
        }
        // All rings are of one size: the first finds it.
        if ((errno != EPERM && errno != ENOMEM) || ring != switches->rings ||
            switches->ring_bytes <= 64u << 10)
            return -errno;
        switches->ring_bytes /= 2;
    }
}

static void close_those_over(struct hone_switches *switches)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < switches->fd_count; i++) {
        if (hone_perf_is_over(switches->fds[i]))
            (void)close(switches->fds[i]);
        else
            switches->fds[kept++] = switches->fds[i];
    }
    switches->fd_count = kept;
}

static int watch_on(struct hone_switches *switches, pid_t tid, uint32_t cpu, bool at_exec)
{
    HONE_CLEANUP(hone_fd_closep) int fd = open_event(tid, cpu, at_exec);
    if (fd < 0)
        return fd;
    struct ring *ring = &switches->rings[cpu];
    if (!ring->page) {
        int first = ring->fd;
        ring->fd = fd;
        int r = map_ring(switches, ring);
        if (r) {
            ring->fd = first;
            return r;
        }
        (void)hone_fd_take(&fd);
        return 0;
    }
    if (ioctl(fd, PERF_EVENT_IOC_SET_OUTPUT, ring->fd))
        return -errno;
    if (switches->fd_count == switches->fd_room)
        close_those_over(switches);
    if (!hone_array_reserve(&switches->fds, &switches->fd_room, switches->fd_count + 1ull,
                            sizeof *switches->fds))
        return -ENOMEM;
    switches->fds[switches->fd_count++] = hone_fd_take(&fd);
    return 0;
}

int hone_switches_watch(struct hone_switches *switches, pid_t tid, bool at_exec,
                        struct hone_error *err)
{
    uint32_t watched = 0;
    int r = 0;
    for (uint32_t cpu = 0; cpu < switches->cpu_count; cpu++) {
        r = watch_on(switches, tid, cpu, at_exec);
        if (r == -ENODEV || r == -ENXIO) // a CPU that is off: nobody runs there
            continue;
        if (r)
            break;
        watched++;
    }
    if (watched && (!r || r == -ENODEV || r == -ENXIO))
        return 0;
    return hone_error_set(err, r ? r : -ENODEV, "cannot watch thread %d by perf events", (int)tid);
}

// --- records -------------------------------------------------------------------------------------

// Each record ends with pid, tid and time, as sample_id_all promises.
struct record {
    struct perf_event_header header;
    size_t size; // of bytes
    unsigned char bytes[RECORD_MAX];
};

static void copy(const struct hone_switches *switches, const struct ring *ring, uint64_t at,
                 unsigned char *to, uint64_t size)
{
    const unsigned char *data = (const unsigned char *)ring->page + page_bytes();
    uint64_t place = at & (switches->ring_bytes - 1);
    uint64_t first = switches->ring_bytes - place;
    if (first > size)
        first = size;
    memcpy(to, data + place, first);
    memcpy(to + first, data, size - first);
}

// Copies a record out of the ring, where it may go around the end; of a long one (a path) the
// middle is left out. False: what the kernel does not write.
static bool copy_record(const struct hone_switches *switches, const struct ring *ring, uint64_t at,
                        uint64_t end, struct record *ret)
{
    copy(switches, ring, at, (unsigned char *)&ret->header, sizeof ret->header);
    uint16_t size = ret->header.size;
    if (size < sizeof ret->header || size > end - at)
        return false;
    ret->size = size < RECORD_MAX ? size : RECORD_MAX;
    copy(switches, ring, at, ret->bytes, ret->size);
    if (size > RECORD_MAX)
        copy(switches, ring, at + size - TAIL_BYTES, ret->bytes + RECORD_MAX - TAIL_BYTES,
             TAIL_BYTES);
    return true;
}

static uint32_t word(const struct record *record, size_t at)
{
    uint32_t value;
    memcpy(&value, record->bytes + at, sizeof value);
    return value;
}

// False: nothing that we want to know.
static bool decode(const struct record *record, struct hone_switch *ret)
{
    size_t size = record->size;
    unsigned misc = record->header.misc;
    if (size < sizeof record->header + TAIL_BYTES)
        return false;
    *ret = (struct hone_switch){.pid = word(record, 8), .tid = word(record, 12)};
    memcpy(&ret->time_ns, record->bytes + size - 8, sizeof ret->time_ns);
    switch (record->header.type) {
    case PERF_RECORD_SWITCH: // nothing but the tail
        ret->kind = HONE_SWITCH_IN;
        if (misc & PERF_RECORD_MISC_SWITCH_OUT)
            ret->kind = misc & PERF_RECORD_MISC_SWITCH_OUT_PREEMPT ? HONE_SWITCH_PREEMPTED
                                                                   : HONE_SWITCH_BLOCKED;
        return true;
    case PERF_RECORD_FORK:
    case PERF_RECORD_EXIT:
        if (size < 40)
            return false;
        ret->kind = record->header.type == PERF_RECORD_FORK ? HONE_SWITCH_NEW : HONE_SWITCH_END;
        ret->creator_pid = word(record, 12);
        ret->tid = word(record, 16);
        ret->creator_tid = word(record, 20);
        return true;
    case PERF_RECORD_COMM:
        if (size < 40)
            return false;
        ret->kind = misc & PERF_RECORD_MISC_COMM_EXEC ? HONE_SWITCH_EXEC : HONE_SWITCH_NAME;
        memcpy(ret->name, record->bytes + 16, size - 32 < 15 ? size - 32 : 15);
        return true;
    case PERF_RECORD_MMAP:
        ret->kind = HONE_SWITCH_MAPPED;
        return size >= 40;
    default:
        return false;
    }
}

// The next record of a ring that tells something; counts losses on the way.
static bool next(const struct hone_switches *switches, const struct ring *ring, uint64_t *at,
                 struct hone_switch *ret, uint16_t *ret_size, uint64_t *lost)
{
    while (*at < ring->end) {
        struct record record;
        if (!copy_record(switches, ring, *at, ring->end, &record)) {
            ++*lost; // begin anew behind it
            *at = ring->end;
            return false;
        }
        *lost += record.header.type == PERF_RECORD_LOST;
        *ret_size = record.header.size;
        if (decode(&record, ret))
            return true;
        *at += record.header.size;
    }
    return false;
}

uint64_t hone_switches_read(struct hone_switches *switches, uint64_t until_ns,
                            void (*tell)(void *context, const struct hone_switch *event),
                            void *context)
{
    uint64_t lost = 0;
    for (uint32_t cpu = 0; cpu < switches->cpu_count; cpu++) {
        struct ring *ring = &switches->rings[cpu];
        if (!ring->page)
            continue;
        // Acquire: the records come before the head that tells of them.
        ring->end = __atomic_load_n(&ring->page->data_head, __ATOMIC_ACQUIRE);
        ring->at = ring->page->data_tail;
        ring->valid = next(switches, ring, &ring->at, &ring->event, &ring->size, &lost);
    }
    for (;;) {
        struct ring *first = NULL;
        for (uint32_t cpu = 0; cpu < switches->cpu_count; cpu++) {
            struct ring *ring = &switches->rings[cpu];
            if (ring->valid && (!first || ring->event.time_ns < first->event.time_ns))
                first = ring;
        }
        if (!first || first->event.time_ns > until_ns)
            break;
        tell(context, &first->event);
        first->at += first->size;
        first->valid = next(switches, first, &first->at, &first->event, &first->size, &lost);
    }
    for (uint32_t cpu = 0; cpu < switches->cpu_count; cpu++)
        if (switches->rings[cpu].page) // Release: what was read may be written over
            __atomic_store_n(&switches->rings[cpu].page->data_tail, switches->rings[cpu].at,
                             __ATOMIC_RELEASE);
    return lost;
}
