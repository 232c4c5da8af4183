#include "capture/switches.h"

#include "base/array.h"
#include "base/cleanup.h"
#include "capture/draws_record.h"
#include "capture/perf_ring.h"

#include <errno.h>
#include <signal.h>
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
    uint16_t size;
    bool valid;
    struct hone_switch event;
};

struct hone_switches {
    uint32_t cpu_count;
    bool summed; // switches come from a program, the rest from events of the CPUs
    int *fds;    // of later events
    uint32_t fd_count, fd_room;
    size_t ring_bytes;
    uint32_t ring_count;
    struct ring rings[]; // of each CPU; then, of each CPU, the program's
};

static size_t page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static int open_event(pid_t tid, uint32_t cpu, bool at_exec, bool summed)
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
        .context_switch = !summed,
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
    HONE_CLEANUP(hone_fd_closep) int fd = open_event(tid, cpu, at_exec, switches->summed);
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

// The ring into which the program writes of a CPU.
static int open_program_ring(struct hone_switches *switches, struct hone_draws *draws, uint32_t cpu)
{
    struct perf_event_attr attributes = {
        .type = PERF_TYPE_SOFTWARE,
        .size = sizeof attributes,
        .config = PERF_COUNT_SW_BPF_OUTPUT,
        .sample_period = 1,
        .sample_type = PERF_SAMPLE_RAW,
        .watermark = 1, // nobody polls the descriptor
        .wakeup_watermark = RING_BYTES / 2,
    };
    struct ring *ring = &switches->rings[switches->cpu_count + cpu];
    long fd = syscall(SYS_perf_event_open, &attributes, -1, (int)cpu, -1, PERF_FLAG_FD_CLOEXEC);
    if (fd < 0)
        return -errno;
    ring->fd = (int)fd;
    int r = map_ring(switches, ring);
    return r ? r : hone_draws_tell_switches(draws, cpu, ring->fd);
}

static void close_ring(const struct hone_switches *switches, struct ring *ring)
{
    if (ring->page)
        (void)munmap(ring->page, page_bytes() + switches->ring_bytes);
    if (ring->fd >= 0)
        (void)close(ring->fd);
    *ring = (struct ring){.fd = -1};
}

// An event of a thread costs that thread some 200 ns at each switch, though it does nothing: so all
// of them are seen by those of the CPUs, which cost nothing there.
static void open_program_rings(struct hone_switches *switches, struct hone_draws *draws)
{
    int r = 0;
    switches->summed = true;
    for (uint32_t cpu = 0; !r && cpu < switches->cpu_count; cpu++) {
        r = watch_on(switches, -1, cpu, false);
        if (r == -ENODEV || r == -ENXIO) // a CPU that is off
            r = 0;
        else if (!r)
            r = open_program_ring(switches, draws, cpu);
    }
    for (uint32_t i = 0; r && i < switches->ring_count; i++)
        close_ring(switches, &switches->rings[i]);
    switches->summed = !r;
}

int hone_switches_open(struct hone_draws *draws, struct hone_switches **ret, struct hone_error *err)
{
    long cpus = sysconf(_SC_NPROCESSORS_CONF);
    if (cpus < 1)
        cpus = 1;
    struct hone_switches *switches =
        calloc(1, sizeof *switches + 2 * (size_t)cpus * sizeof switches->rings[0]);
    if (!switches)
        return hone_error_set(err, -ENOMEM, "cannot watch threads");
    switches->cpu_count = (uint32_t)cpus;
    switches->ring_count = 2 * (uint32_t)cpus;
    switches->ring_bytes = RING_BYTES;
    for (uint32_t i = 0; i < switches->ring_count; i++)
        switches->rings[i].fd = -1;
    if (draws)
        open_program_rings(switches, draws);
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
    for (uint32_t i = 0; i < switches->ring_count; i++)
        close_ring(switches, &switches->rings[i]);
    free(switches);
}

bool hone_switches_are_summed(const struct hone_switches *switches)
{
    return switches->summed;
}

uint32_t hone_switches_descriptors(const struct hone_switches *switches)
{
    uint32_t rings = switches->summed ? switches->ring_count : switches->cpu_count;
    return rings + switches->fd_count;
}

int hone_switches_watch(struct hone_switches *switches, pid_t tid, bool at_exec,
                        struct hone_error *err)
{
    uint32_t watched = 0;
    int r = 0;
    if (switches->summed)
        return tid == -1 || !kill(tid, 0) || errno != ESRCH
                   ? 0
                   : hone_error_set(err, -ESRCH, "cannot watch thread %d: it is gone", (int)tid);
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

// A sample of the program's: the size of what follows, a struct hone_draws_switch.
static bool decode_program(const struct record *record, struct hone_switch *ret)
{
    enum { DATA_AT = 12 };
    static const enum hone_switch_kind kinds[] = {
        [HONE_DRAWS_COMES] = HONE_SWITCH_IN,       [HONE_DRAWS_GOES] = HONE_SWITCH_PREEMPTED,
        [HONE_DRAWS_BLOCKS] = HONE_SWITCH_BLOCKED, [HONE_DRAWS_WAITED] = HONE_SWITCH_WAITED,
        [HONE_DRAWS_CLOSES] = HONE_SWITCH_RUNS,
    };
    struct hone_draws_switch told;
    if (record->size < DATA_AT + sizeof told)
        return false;
    memcpy(&told, record->bytes + DATA_AT, sizeof told);
    *ret = (struct hone_switch){
        .kind = kinds[told.what],
        .pid = told.pid,
        .tid = told.tid,
        .time_ns = told.time_ns,
        .leaving = told.leaving,
        .summed = true,
        .sums = told.sums,
    };
    return true;
}

// False: nothing that we want to know.
static bool decode(const struct record *record, struct hone_switch *ret)
{
    size_t size = record->size;
    unsigned misc = record->header.misc;
    if (record->header.type == PERF_RECORD_SAMPLE)
        return decode_program(record, ret);
    if (size < sizeof record->header + TAIL_BYTES)
        return false;
    *ret = (struct hone_switch){.pid = word(record, 8), .tid = word(record, 12)};
    memcpy(&ret->time_ns, record->bytes + size - 8, sizeof ret->time_ns);
    switch (record->header.type) {
    case PERF_RECORD_SWITCH: // nothing but the tail
    case PERF_RECORD_SWITCH_CPU_WIDE:
        ret->pid = word(record, size - 16);
        ret->tid = word(record, size - 12);
        ret->kind = HONE_SWITCH_IN;
        if (misc & PERF_RECORD_MISC_SWITCH_OUT)
            ret->kind = misc & PERF_RECORD_MISC_SWITCH_OUT_PREEMPT ? HONE_SWITCH_PREEMPTED
                                                                   : HONE_SWITCH_BLOCKED;
        return ret->tid != 0; // 0: the CPU is idle
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

// Finds the next record of the ring that tells something; counts losses on the way.
static void find_next(const struct hone_switches *switches, struct ring *ring, uint64_t *lost)
{
    for (ring->valid = false; ring->at < ring->end; ring->at += ring->size) {
        struct record record;
        if (!copy_record(switches, ring, ring->at, ring->end, &record)) {
            ++*lost; // begin anew behind it
            ring->at = ring->end;
            return;
        }
        *lost += record.header.type == PERF_RECORD_LOST;
        ring->size = record.header.size;
        ring->valid = decode(&record, &ring->event);
        if (ring->valid)
            return;
    }
}

static struct ring *first_of(struct hone_switches *switches)
{
    struct ring *first = NULL;
    for (uint32_t i = 0; i < switches->ring_count; i++) {
        struct ring *ring = &switches->rings[i];
        if (ring->valid && (!first || ring->event.time_ns < first->event.time_ns))
            first = ring;
    }
    return first;
}

uint64_t hone_switches_read(struct hone_switches *switches, uint64_t until_ns,
                            void (*tell)(void *context, const struct hone_switch *event),
                            void *context)
{
    uint64_t lost = 0;
    for (uint32_t i = 0; i < switches->ring_count; i++) {
        struct ring *ring = &switches->rings[i];
        if (!ring->page)
            continue;
        // Acquire: the records come before the head that tells of them.
        ring->end = __atomic_load_n(&ring->page->data_head, __ATOMIC_ACQUIRE);
        ring->at = ring->page->data_tail;
        find_next(switches, ring, &lost);
    }
    struct ring *ring;
    while ((ring = first_of(switches)) && ring->event.time_ns <= until_ns) {
        tell(context, &ring->event);
        ring->at += ring->size;
        find_next(switches, ring, &lost);
    }
    for (uint32_t i = 0; i < switches->ring_count; i++)
        if (switches->rings[i].page) // Release: what was read may be written over
            __atomic_store_n(&switches->rings[i].page->data_tail, switches->rings[i].at,
                             __ATOMIC_RELEASE);
    return lost;
}
