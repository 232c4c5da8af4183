#include "capture/draws.h"

#include "base/cleanup.h"
#include "capture/perf_ring.h"
#include "unwind/perf_registers.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    // Room for 250 stacks between two looks.
    RING_BYTES_MAX = 4 << 20,
    RING_BYTES_MIN = 64 << 10,
    STACK_BYTES = 16 << 10, // copied of each stack: PostgreSQL's deepest waits need 9 KiB
    RECORD_BYTES = STACK_BYTES + 1024,
    WHOLE_BYTES = 65528, // of those that need more: as much as there can be,
    WHOLE_ROOM = 16,     // should a ring have room for so many
};

#define FIRST_PID_NAMESPACE 0xeffffffcu // the inode that it always has

struct ring {
    int fd;    // -1: the CPU is off
    int whole; // writes into the same ring; -1: there is none
    struct hone_perf_ring ring;
    struct hone_perf_record record;
    struct hone_draws_record about;
    bool peeked;
};

struct hone_draws {
    struct bpf_object *object;
    struct bpf_link *links[8];
    uint32_t link_count;
    int threads, deep, settled, ended, settings, counts, list; // maps
    struct ring_buffer *calls;
    int short_events, whole_events, switch_events;
    struct hone_draws_settings now;
    bool has_whole;
    uint32_t cpu_count;
    uint32_t last; // whose record was told, plus one; 0: none
    struct ring rings[];
};

// The program, compiled by the build.
extern const char hone_draws_program[];
extern const unsigned hone_draws_program_bytes;

static int open_event(const struct hone_draws_options *options, uint32_t cpu, uint32_t stack_bytes)
{
    struct perf_event_attr attributes = {
        .size = sizeof attributes,
        .type = PERF_TYPE_SOFTWARE,
        .config = PERF_COUNT_SW_BPF_OUTPUT,
        .sample_period = 1,
        .sample_type = HONE_PERF_SAMPLE_TYPE | PERF_SAMPLE_RAW,
        .sample_regs_user = hone_perf_register_mask,
        .sample_stack_user = stack_bytes,
        .exclude_callchain_user = 1,
        .exclude_callchain_kernel = !options->kernel,
        .sample_id_all = 1,
        .use_clockid = 1,
        .clockid = CLOCK_MONOTONIC,
        .watermark = 1, // nobody polls the descriptor
        .wakeup_watermark = RING_BYTES_MAX / 2,
    };
    long fd = syscall(SYS_perf_event_open, &attributes, -1, (int)cpu, -1, PERF_FLAG_FD_CLOEXEC);
    return fd < 0 ? -errno : (int)fd;
}

static int open_ring(struct hone_draws *draws, const struct hone_draws_options *options,
                     uint32_t cpu)
{
    struct ring *ring = &draws->rings[cpu];
    int fd = open_event(options, cpu, STACK_BYTES);
    if (fd == -ENODEV || fd == -ENXIO)
        return 0;
    if (fd < 0)
        return fd;
    ring->fd = fd;
    size_t bytes = RING_BYTES_MAX;
    while (bytes > RING_BYTES_MIN && bytes * draws->cpu_count > options->memory_bytes)
        bytes /= 2;
    int r = hone_perf_ring_open(&ring->ring, fd, bytes, hone_perf_register_count);
    if (r)
        return r;
    ring->ring.has_raw = true;
    draws->now.room += (uint32_t)(bytes / RECORD_BYTES);
    draws->now.may_wait = (uint32_t)(bytes / RECORD_BYTES / 4 * 3);
    r = bpf_map_update_elem(draws->short_events, &cpu, &fd, BPF_ANY);
    if (r)
        return r;
    if (bytes < WHOLE_ROOM * WHOLE_BYTES)
        return 0;
    int whole = ring->whole = open_event(options, cpu, WHOLE_BYTES);
    if (whole < 0)
        return whole;
    if (ioctl(whole, PERF_EVENT_IOC_SET_OUTPUT, fd))
        return -errno;
    draws->has_whole = true;
    return bpf_map_update_elem(draws->whole_events, &cpu, &whole, BPF_ANY);
}

static int open_rings(struct hone_draws *draws, const struct hone_draws_options *options)
{
    int r = 0;
    for (uint32_t cpu = 0; !r && cpu < draws->cpu_count; cpu++)
        r = open_ring(draws, options, cpu);
    return r;
}

static int call(void *context, void *data, size_t size)
{
    (void)context;
    (void)data;
    (void)size;
    return 0;
}

static int attach(struct hone_draws *draws)
{
    struct bpf_program *program;
    bpf_object__for_each_program(program, draws->object)
    {
        struct bpf_link *link = bpf_program__attach(program);
        if (!link)
            return -errno;
        draws->links[draws->link_count++] = link;
    }
    return 0;
}

static int no_words(enum libbpf_print_level level, const char *format, va_list arguments)
{
    (void)level;
    (void)format;
    (void)arguments;
    return 0;
}

static int load(struct hone_draws *draws)
{
    (void)libbpf_set_print(no_words);
    draws->object = bpf_object__open_mem(hone_draws_program, hone_draws_program_bytes, NULL);
    if (!draws->object)
        return -errno;
    int r = bpf_object__load(draws->object);
    if (r)
        return r;
    draws->calls =
        ring_buffer__new(bpf_object__find_map_fd_by_name(draws->object, "calls"), call, NULL, NULL);
    if (!draws->calls)
        return -errno;
    draws->threads = bpf_object__find_map_fd_by_name(draws->object, "threads");
    draws->deep = bpf_object__find_map_fd_by_name(draws->object, "deep");
    draws->settled = bpf_object__find_map_fd_by_name(draws->object, "settled");
    draws->ended = bpf_object__find_map_fd_by_name(draws->object, "ended");
    draws->settings = bpf_object__find_map_fd_by_name(draws->object, ".data.settings");
    draws->counts = bpf_object__find_map_fd_by_name(draws->object, ".data.counts");
    draws->list = bpf_object__find_map_fd_by_name(draws->object, ".data.list");
    draws->short_events = bpf_object__find_map_fd_by_name(draws->object, "rings");
    draws->whole_events = bpf_object__find_map_fd_by_name(draws->object, "whole");
    draws->switch_events = bpf_object__find_map_fd_by_name(draws->object, "switches");
    return draws->threads < 0 || draws->deep < 0 || draws->settled < 0 || draws->ended < 0 ||
                   draws->settings < 0 || draws->counts < 0 || draws->short_events < 0 ||
                   draws->whole_events < 0 || draws->switch_events < 0
               ? -EINVAL
               : 0;
}

// Whose numbers of threads ours are.
static int find_namespace(uint32_t *ret)
{
    struct stat st;
    if (stat("/proc/self/ns/pid", &st))
        return -errno;
    *ret = (uint32_t)st.st_ino == FIRST_PID_NAMESPACE ? 0 : (uint32_t)st.st_ino;
    return 0;
}

static int tell(const struct hone_draws *draws)
{
    uint32_t zero = 0;
    return bpf_map_update_elem(draws->settings, &zero, &draws->now, BPF_ANY);
}

int hone_draws_open(const struct hone_draws_options *options, struct hone_draws **ret,
                    struct hone_error *err)
{
    if (!hone_draws_program_bytes)
        return hone_error_set(err, -ENOSYS, "hone was built without clang");
    if (geteuid() != 0)
        return hone_error_set(err, -EPERM, "only root may have programs in the kernel");
    long cpus = sysconf(_SC_NPROCESSORS_CONF);
    uint32_t count = cpus > 0 ? (uint32_t)cpus : 1;
    struct hone_draws *draws = calloc(1, sizeof *draws + count * sizeof draws->rings[0]);
    if (!draws)
        return hone_error_set(err, -ENOMEM, "cannot watch waits");
    draws->cpu_count = count;
    for (uint32_t cpu = 0; cpu < count; cpu++)
        draws->rings[cpu].fd = draws->rings[cpu].whole = -1;
    draws->now.one_in = 1;
    draws->now.tell_ns = options->tell_ns;
    draws->now.long_ns = options->long_ns;
    draws->now.sure_ms = (uint32_t)(options->sure_ns / 1000000);
    int r = find_namespace(&draws->now.namespace);
    if (!r)
        r = load(draws);
    if (!r)
        r = open_rings(draws, options);
    if (!r)
        r = tell(draws);
    if (!r)
        r = attach(draws);
    if (r) {
        hone_draws_close(draws);
        return hone_error_set(err, r, "this kernel does not take the program");
    }
    *ret = draws;
    return 0;
}

void hone_draws_close(struct hone_draws *draws)
{
    if (!draws)
        return;
    for (uint32_t i = 0; i < draws->link_count; i++)
        (void)bpf_link__destroy(draws->links[i]);
    for (uint32_t cpu = 0; cpu < draws->cpu_count; cpu++) {
        hone_perf_ring_close(&draws->rings[cpu].ring);
        if (draws->rings[cpu].fd >= 0)
            (void)close(draws->rings[cpu].fd);
        if (draws->rings[cpu].whole >= 0)
            (void)close(draws->rings[cpu].whole);
    }
    ring_buffer__free(draws->calls);
    bpf_object__close(draws->object);
    free(draws);
}

int hone_draws_watch(struct hone_draws *draws, pid_t tid)
{
    uint32_t key = (uint32_t)tid;
    const struct hone_draws_thread thread = {.state = HONE_DRAWS_UNKNOWN};
    int r = bpf_map_update_elem(draws->threads, &key, &thread, BPF_NOEXIST);
    return r == -EEXIST ? 0 : r ? -ENOSPC : 0;
}

void hone_draws_watch_whole(struct hone_draws *draws, pid_t tid)
{
    uint32_t key = (uint32_t)tid, yes = 1;
    if (draws->has_whole)
        (void)bpf_map_update_elem(draws->deep, &key, &yes, BPF_ANY);
}

int hone_draws_watch_all(struct hone_draws *draws)
{
    draws->now.everybody = 1;
    return tell(draws);
}

int hone_draws_tell_switches(struct hone_draws *draws, uint32_t cpu, int event)
{
    int r = bpf_map_update_elem(draws->switch_events, &cpu, &event, BPF_ANY);
    if (r || draws->now.switches)
        return r;
    draws->now.switches = 1;
    return tell(draws);
}

bool hone_draws_thread(const struct hone_draws *draws, uint32_t tid, struct hone_draws_thread *ret)
{
    return bpf_map_lookup_elem(draws->threads, &tid, ret) == 0;
}

void hone_draws_set_part(struct hone_draws *draws, uint32_t one_in)
{
    draws->now.one_in = one_in;
    (void)tell(draws);
}

int hone_draws_descriptor(const struct hone_draws *draws)
{
    return ring_buffer__epoll_fd(draws->calls);
}

bool hone_draws_called(struct hone_draws *draws)
{
    if (ring_buffer__consume(draws->calls) <= 0)
        return false;
    draws->now.calm = 0;
    return true;
}

void hone_draws_be_calm(struct hone_draws *draws, const struct hone_draws_list *list)
{
    const struct hone_draws_list none = {0};
    uint32_t zero = 0;
    (void)bpf_map_update_elem(draws->list, &zero, list ? list : &none, BPF_ANY);
    draws->now.calm = 1;
    (void)tell(draws);
}

void hone_draws_settle(struct hone_draws *draws, uint32_t pid, bool settled)
{
    uint32_t yes = 1;
    if (settled)
        (void)bpf_map_update_elem(draws->settled, &pid, &yes, BPF_ANY);
    else
        (void)bpf_map_delete_elem(draws->settled, &pid);
}

uint64_t hone_draws_lull_ns(const struct hone_draws *draws)
{
    struct hone_draws_counts counts = {0};
    uint32_t zero = 0;
    (void)bpf_map_lookup_elem(draws->counts, &zero, &counts);
    return counts.lull_ns;
}

void hone_draws_losses(const struct hone_draws *draws, uint64_t *ret_lost, uint64_t *ret_passed,
                       uint64_t *ret_no_room)
{
    struct hone_draws_counts counts = {0};
    uint32_t zero = 0;
    (void)bpf_map_lookup_elem(draws->counts, &zero, &counts);
    *ret_lost = counts.lost;
    *ret_passed = counts.passed;
    *ret_no_room = counts.no_room;
}

void hone_draws_forget(struct hone_draws *draws, uint32_t tid)
{
    (void)bpf_map_delete_elem(draws->threads, &tid);
}

bool hone_draws_ended(struct hone_draws *draws, uint32_t tid, uint64_t *ret_run_ns,
                      uint64_t *ret_delay_ns)
{
    struct hone_draws_ended end;
    if (bpf_map_lookup_elem(draws->ended, &tid, &end))
        return false;
    (void)bpf_map_delete_elem(draws->ended, &tid);
    struct hone_draws_thread thread;
    if (hone_draws_thread(draws, tid, &thread) && thread.over)
        hone_draws_forget(draws, tid);
    *ret_run_ns = end.run_ns;
    *ret_delay_ns = end.delay_ns;
    return true;
}

// --- reading -------------------------------------------------------------------------------------

// The next record of a ring that is a draw.
static bool peek(struct ring *ring)
{
    while (hone_perf_ring_peek(&ring->ring, &ring->record)) {
        const struct hone_perf_record *record = &ring->record;
        if (record->type == PERF_RECORD_SAMPLE && record->raw_bytes >= sizeof ring->about) {
            memcpy(&ring->about, record->raw, sizeof ring->about);
            if (ring->about.one_in)
                return true;
        }
        hone_perf_ring_pass(&ring->ring);
    }
    hone_perf_ring_release(&ring->ring);
    return false;
}

void hone_draws_look(struct hone_draws *draws)
{
    draws->now.turn++;
    (void)tell(draws);
    for (uint32_t cpu = 0; cpu < draws->cpu_count; cpu++) {
        struct ring *ring = &draws->rings[cpu];
        if (ring->fd < 0)
            continue;
        hone_perf_ring_look(&ring->ring);
        ring->peeked = ring->peeked || peek(ring);
    }
}

enum { STOPPED = 0x4 | 0x8 }; // __TASK_STOPPED, __TASK_TRACED of the kernel

static void take(const struct ring *ring, struct hone_draw *ret)
{
    const struct hone_perf_record *record = &ring->record;
    *ret = (struct hone_draw){
        .pid = record->pid,
        .tid = record->tid,
        .time_ns = record->time_ns,
        .one_in = ring->about.one_in,
        .sure = ring->about.sure,
        .soon = ring->about.soon,
        .call = ring->about.call,
        .stopped = (ring->about.state & STOPPED) != 0,
        .chain = record->chain,
        .chain_count = record->chain_count,
    };
    if (record->abi != PERF_SAMPLE_REGS_ABI_64)
        return;
    uint64_t sampled[HONE_PERF_REGISTERS_MAX];
    memcpy(sampled, record->registers, hone_perf_register_count * sizeof sampled[0]);
    (void)hone_perf_registers(sampled, hone_perf_register_mask, &ret->registers);
    for (int i = 0; i < 6; i++)
        ret->arguments[i] = ret->registers.r[hone_call_arguments[i]];
    ret->stack = record->stack;
    ret->stack_bytes = record->stack_bytes;
    ret->stack_is_full = record->stack_is_full;
}

bool hone_draws_next(struct hone_draws *draws, uint64_t until_ns, struct hone_draw *ret)
{
    if (draws->last) { // what was told is done with
        struct ring *ring = &draws->rings[draws->last - 1];
        hone_perf_ring_pass(&ring->ring);
        hone_perf_ring_release(&ring->ring);
        ring->peeked = peek(ring);
        draws->last = 0;
    }
    uint32_t first = UINT32_MAX;
    for (uint32_t cpu = 0; cpu < draws->cpu_count; cpu++)
        if (draws->rings[cpu].peeked &&
            (first == UINT32_MAX ||
             draws->rings[cpu].record.time_ns < draws->rings[first].record.time_ns))
            first = cpu;
    if (first == UINT32_MAX || draws->rings[first].record.time_ns > until_ns)
        return false;
    draws->last = first + 1;
    take(&draws->rings[first], ret);
    return true;
}
