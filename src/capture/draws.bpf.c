// Runs in the kernel (eBPF). When a thread that is watched leaves its CPU to wait, it is drawn, one
// in so many, and the kernel writes its registers and a copy of its stack into the ring of this
// CPU, as it does for perf events. Besides, the time of such threads is summed up here, by what
// they did; a record of a switch is written where somebody has to know of it: a block that is drawn
// or long, and else once in a while. Nobody but the threads that are watched pays for more than a
// look into the table.
//
// Each further page of memory that is looked at in a switch may cost as much as the rest of it: so
// what is counted of a thread is kept with the thread.
#include "draws_record.h"

#include <linux/bpf.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

// What we read of the kernel's own structures: where it lies there is found out when this is
// loaded.
struct pt_regs {
#if defined(__TARGET_ARCH_x86)
    unsigned long orig_ax;
#else
    int syscallno;
#endif
} __attribute__((preserve_access_index));

struct ns_common {
    unsigned int inum;
} __attribute__((preserve_access_index));

struct pid_namespace {
    struct ns_common ns;
} __attribute__((preserve_access_index));

struct upid {
    int nr;
    struct pid_namespace *ns;
} __attribute__((preserve_access_index));

struct pid {
    unsigned int level;
    struct upid numbers[1];
} __attribute__((preserve_access_index));

struct sched_entity {
    unsigned long long sum_exec_runtime;
} __attribute__((preserve_access_index));

struct sched_info {
    unsigned long long run_delay;
} __attribute__((preserve_access_index));

struct task_struct {
    int pid;
    int tgid;
    struct task_struct *group_leader;
    struct sched_entity se;
    struct sched_info sched_info;
    struct pid *thread_pid;
    unsigned int flags;
    unsigned int __state;
    unsigned long nvcsw;
} __attribute__((preserve_access_index));

enum {
    LEAVES = 0x4,               // PF_EXITING
    KERNEL_THREAD = 0x00200000, // PF_KTHREAD
    DEAD = 0x80,                // TASK_DEAD, of __state
    DEEPEST = 6,                // of namespaces in one another that are looked through
    MS_SHIFT = 20,              // 2^20 ns are a millisecond, nearly
};

// Rates, as what one costs of a second, and how much of that may come at once.
enum {
    SURE_EACH_NS = 500000, // of draws for certain
    SURE_AT_ONCE_NS = 200 * SURE_EACH_NS,
    SURE_MOST = 4, // waits of one that waits seldom, though they come at once
    WHOLE = 4,     // stacks have the room of one that is copied whole
    LULL_NS = 8000000,
};

// System calls that wait for no file.
enum {
#if defined(__TARGET_ARCH_x86)
    FUTEX = 202,
    NANOSLEEP = 35,
    CLOCK_NANOSLEEP = 230,
#else
    FUTEX = 98,
    NANOSLEEP = 101,
    CLOCK_NANOSLEEP = 115,
#endif
};

char may_call[] SEC("license") = "Dual BSD/GPL";

struct hone_draws_settings settings SEC(".data.settings");
struct hone_draws_counts counts SEC(".data.counts");
struct hone_draws_list list SEC(".data.list");

// Threads that are watched. Who asks for it adds and takes away entries; what is in one is changed
// here alone.
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 65536);
    __type(key, __u32);
    __type(value, struct hone_draws_thread);
} threads SEC(".maps");

// Those of which much of the stack is copied: that takes long, and few need it.
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 4096);
    __type(key, __u32);
    __type(value, __u32);
} deep SEC(".maps");

// Processes of which something was drawn; 1: they are known well enough to look at their waits
// later.
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 16384);
    __type(key, __u32);
    __type(value, __u32);
} settled SEC(".maps");

// Threads that have ended, until somebody asks; not in a ring, which may be full.
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 16384);
    __type(key, __u32);
    __type(value, struct hone_draws_ended);
} ended SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
    __uint(key_size, sizeof(__u32));
    __uint(value_size, sizeof(__u32));
} rings SEC(".maps");

// The same rings, with as much of the stack as the kernel can copy.
struct {
    __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
    __uint(key_size, sizeof(__u32));
    __uint(value_size, sizeof(__u32));
} whole SEC(".maps");

// For the records of switches.
struct {
    __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
    __uint(key_size, sizeof(__u32));
    __uint(value_size, sizeof(__u32));
} switches SEC(".maps");

// Calls for whoever reads all this.
struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 4096);
} calls SEC(".maps");

// The number that the thread has where we are: in a container that is another one than the kernel's
// own. 0: it has none there.
static __u32 number_of(struct task_struct *task)
{
    if (!settings.namespace)
        return (__u32)task->pid;
    struct pid *pid = task->thread_pid;
    if (!pid)
        return 0;
    unsigned level = BPF_CORE_READ(pid, level);
#pragma unroll
    for (unsigned i = 0; i < DEEPEST; i++)
        if (i <= level && BPF_CORE_READ(pid, numbers[i].ns, ns.inum) == settings.namespace)
            return (__u32)BPF_CORE_READ(pid, numbers[i].nr);
    return 0;
}

static void watch(__u32 tid, __u32 state)
{
    __u64 now_ns = bpf_ktime_get_ns();
    // A thread that begins has blocked and run nowhere. Who had its number before is over.
    struct hone_draws_thread thread = {
        .state = (__u16)state, .since_ns = now_ns, .sums = {.from_ns = now_ns}};
    if (bpf_map_update_elem(&threads, &tid, &thread, BPF_ANY) == -7) // E2BIG
        __sync_fetch_and_add(&counts.no_room, 1);
}

// NULL: it is not watched. A thread that calls exec takes over the number of its process, whose
// first thread is over.
static struct hone_draws_thread *find(struct task_struct *task, __u32 tid)
{
    struct hone_draws_thread *thread = tid ? bpf_map_lookup_elem(&threads, &tid) : 0;
    if (thread && thread->over && !(task->flags & LEAVES)) {
        thread->over = 0;
        thread->state = HONE_DRAWS_UNKNOWN;
    }
    if (thread || !tid || !settings.everybody || task->flags & KERNEL_THREAD)
        return thread;
    watch(tid, HONE_DRAWS_UNKNOWN);
    return bpf_map_lookup_elem(&threads, &tid);
}

static __u32 process_of(struct task_struct *task)
{
    return settings.namespace ? number_of(task->group_leader) : (__u32)task->tgid;
}

// What could not be told is told with what comes next.
static _Bool tell(void *ctx, struct task_struct *task, __u32 tid, struct hone_draws_thread *thread,
                  __u32 what, __u64 now_ns)
{
    struct hone_draws_switch record = {
        .tid = tid,
        .pid = process_of(task),
        .what = what,
        .leaving = (task->flags & LEAVES) != 0,
        .time_ns = now_ns,
        .sums = thread->sums,
    };
    if (!settings.switches ||
        bpf_perf_event_output(ctx, &switches, BPF_F_CURRENT_CPU, &record, sizeof record))
        return 0;
    thread->sums = (struct hone_draws_sums){.from_ns = now_ns, .waits_ms = thread->sums.waits_ms};
    return 1;
}

// Whether one more is within a rate.
static _Bool is_within(__u64 *at_ns, __u64 now_ns, __u64 each_ns, __u64 at_once_ns)
{
    __u64 next_ns = *at_ns > now_ns ? *at_ns : now_ns;
    if (next_ns > now_ns + at_once_ns)
        return 0;
    *at_ns = next_ns + each_ns; // another CPU may do the same: then it is one more
    return 1;
}

static void call(void)
{
    __u32 now = 1;
    settings.calm = 0;
    bpf_ringbuf_output(&calls, &now, sizeof now, BPF_RB_FORCE_WAKEUP);
}

// What was told, or happened, has to be looked at soon. Once is enough: from then on it is looked
// often, until this is asked for again.
static void call_if_calm(void)
{
    if (settings.calm)
        call();
}

// Of a thread that waits seldom each wait is drawn, however many waits of others there are: one
// that waits once would not be seen else. Each wait takes it ahead of that rate.
static _Bool is_sure(struct hone_draws_thread *thread, __u64 now_ns)
{
    __u32 now_ms = (__u32)(now_ns >> MS_SHIFT), each_ms = settings.sure_ms;
    __u32 ahead_ms = thread->sums.waits_ms - now_ms, most_ms = SURE_MOST * each_ms;
    if (ahead_ms > most_ms) // or is it behind, for a while
        ahead_ms = 0;
    _Bool seldom = ahead_ms + each_ms <= most_ms;
    thread->sums.waits_ms = now_ms + (seldom ? ahead_ms + each_ms : most_ms);
    return each_ms && seldom && settings.one_in > 1 &&
           is_within(&counts.sure_ns, now_ns, SURE_EACH_NS, SURE_AT_ONCE_NS);
}

// What a descriptor is open on has to be asked soon, and so has anything of a process that may end.
// The first time at once: it may be there for a few milliseconds.
static _Bool may_wait(struct task_struct *task, __s64 system_call)
{
    __u32 pid = process_of(task), no = 0;
    const __u32 *known = bpf_map_lookup_elem(&settled, &pid);
    if (!known && !bpf_map_update_elem(&settled, &pid, &no, BPF_NOEXIST))
        call();
    return known && *known &&
           (system_call == FUTEX || system_call == NANOSLEEP || system_call == CLOCK_NANOSLEEP) &&
           counts.unread <= settings.may_wait;
}

// Whether the rings may have room for one more, before its stack is looked at, which takes long.
static _Bool has_room(_Bool whole)
{
    if (counts.turn != settings.turn) {
        counts.turn = settings.turn;
        counts.unread = 0;
    }
    if (counts.unread >= settings.room)
        return 0;
    counts.unread += whole ? WHOLE : 1; // another CPU may do the same: then it is one less
    return 1;
}

static void lose(_Bool by_chance)
{
    __sync_fetch_and_add(&counts.lost, 1);
    if (by_chance)
        __sync_fetch_and_add(&counts.passed, 1);
    call_if_calm();
}

enum { NOT_DRAWN, DRAWN_BY_CHANCE, DRAWN_FOR_CERTAIN };

static int draw(void *ctx, struct task_struct *task, __u32 tid, struct hone_draws_thread *thread)
{
    struct hone_draws_record record = {.one_in = settings.one_in, .state = task->__state};
    // When it leaves, nearly: the clock would take longer.
    __u64 now_ns = thread->since_ns + (task->se.sum_exec_runtime - thread->on_ns);
    if (is_sure(thread, now_ns)) {
        record.one_in = 1;
        record.sure = 1;
    }
    if (record.one_in > 1 && bpf_get_prandom_u32() % record.one_in)
        return NOT_DRAWN;
    _Bool is_deep = bpf_map_lookup_elem(&deep, &tid) != 0;
    if (!has_room(is_deep)) {
        lose(!record.sure);
        return NOT_DRAWN;
    }
    struct pt_regs *registers = (struct pt_regs *)bpf_task_pt_regs(task);
#if defined(__TARGET_ARCH_x86)
    record.call = (__s64)registers->orig_ax;
#else
    record.call = registers->syscallno;
#endif
    record.soon = !may_wait(task, record.call);
    long r = is_deep
                 ? bpf_perf_event_output(ctx, &whole, BPF_F_CURRENT_CPU, &record, sizeof record)
                 : bpf_perf_event_output(ctx, &rings, BPF_F_CURRENT_CPU, &record, sizeof record);
    if (r) {
        lose(!record.sure);
        return NOT_DRAWN;
    }
    if (record.soon)
        call_if_calm();
    return record.one_in > 1 ? DRAWN_BY_CHANCE : DRAWN_FOR_CERTAIN;
}

// Until now it was in its state.
static void enter(struct task_struct *task, struct hone_draws_thread *thread, __u32 state,
                  __u64 now_ns)
{
    __u64 length_ns = now_ns - thread->since_ns;
    if (thread->state == HONE_DRAWS_UNKNOWN) {
        thread->sums.from_ns = now_ns;
    } else if (thread->state == HONE_DRAWS_RUNNING) {
        thread->sums.run_ns += length_ns;
    } else if (thread->state == HONE_DRAWS_PREEMPTED) {
        thread->sums.preempted_ns += length_ns;
    } else {
        thread->sums.short_ns += length_ns;
        thread->sums.shorts++;
    }
    thread->since_ns = now_ns;
    thread->state = (__u16)state;
    thread->block_count = (__u32)task->nvcsw;
    thread->on_ns = task->se.sum_exec_runtime;
}

static void come_on(void *ctx, struct task_struct *task, __u32 tid,
                    struct hone_draws_thread *thread, __u64 now_ns)
{
    __u64 length_ns = now_ns - thread->since_ns;
    _Bool told = thread->state == HONE_DRAWS_UNKNOWN;
    if (told)
        thread->sums.from_ns = now_ns;
    if (told || (thread->state == HONE_DRAWS_BLOCKED && thread->known & HONE_DRAWS_TOLD)) {
        (void)tell(ctx, task, tid, thread, HONE_DRAWS_COMES, now_ns);
        thread->sums.from_ns = now_ns; // also where that could not be told
        told = 1;
    } else if (thread->state == HONE_DRAWS_BLOCKED && length_ns >= settings.long_ns) {
        told = tell(ctx, task, tid, thread, HONE_DRAWS_WAITED, now_ns);
    }
    if (told) { // of the time until now everything is
        thread->since_ns = now_ns;
        thread->state = HONE_DRAWS_RUNNING;
    }
    enter(task, thread, HONE_DRAWS_RUNNING, now_ns);
}

// The tracepoint is not called for each switch on every machine: where a thread leaves that did not
// come, or comes that did not leave, the kernel's count of its time tells when that was.
static __u64 ran_ns(struct task_struct *task, const struct hone_draws_thread *thread, __u64 now_ns)
{
    __u64 ran_ns = task->se.sum_exec_runtime - thread->on_ns;
    return ran_ns < now_ns - thread->since_ns ? ran_ns : now_ns - thread->since_ns;
}

static void go_off(void *ctx, struct task_struct *task, __u32 tid, struct hone_draws_thread *thread,
                   _Bool preempted)
{
    _Bool leaves = (task->flags & LEAVES) != 0;
    // Whether it waits, as the kernel counts it: should it be woken while it is on its way, its
    // state tells nothing any more.
    _Bool unknown = thread->state == HONE_DRAWS_UNKNOWN;
    _Bool blocks =
        unknown ? !preempted && task->__state : (__u32)task->nvcsw != thread->block_count;
    // First the draw: it is of a thread that still runs.
    int drawn = blocks && !leaves ? draw(ctx, task, tid, thread) : NOT_DRAWN;
    __u64 now_ns = bpf_ktime_get_ns();
    if (!unknown && thread->state != HONE_DRAWS_RUNNING)
        come_on(ctx, task, tid, thread, now_ns - ran_ns(task, thread, now_ns));
    enter(task, thread, blocks ? HONE_DRAWS_BLOCKED : HONE_DRAWS_PREEMPTED, now_ns);
    thread->known = drawn == DRAWN_FOR_CERTAIN ? HONE_DRAWS_DRAWN : 0;
    if (unknown)
        call_if_calm();
    if ((unknown ||
         (blocks && (drawn || leaves || now_ns - thread->sums.from_ns >= settings.tell_ns))) &&
        tell(ctx, task, tid, thread, blocks ? HONE_DRAWS_BLOCKS : HONE_DRAWS_GOES, now_ns))
        thread->known |= HONE_DRAWS_TOLD;
}

static void come_back(void *ctx, struct task_struct *task, __u32 tid,
                      struct hone_draws_thread *thread)
{
    __u64 now_ns = bpf_ktime_get_ns();
    if (thread->state == HONE_DRAWS_RUNNING) {
        _Bool blocked = (__u32)task->nvcsw != thread->block_count;
        enter(task, thread, blocked ? HONE_DRAWS_BLOCKED : HONE_DRAWS_PREEMPTED,
              thread->since_ns + ran_ns(task, thread, now_ns));
        thread->known = 0;
    }
    come_on(ctx, task, tid, thread, now_ns);
}

// Whether the thread has been in a block for that long and nobody knows where. True once for each.
static _Bool is_late(__u32 tid, __u64 now_ns)
{
    struct hone_draws_thread *thread = bpf_map_lookup_elem(&threads, &tid);
    if (!thread || thread->state != HONE_DRAWS_BLOCKED || thread->known & HONE_DRAWS_DRAWN ||
        thread->since_ns + list.late_ns > now_ns || thread->called == (__u32)thread->since_ns)
        return 0;
    thread->called = (__u32)thread->since_ns;
    return 1;
}

// Who looks seldom while many waits are passed over would find those that last too late. What
// makes them many comes by here, and looks for him; also, whether it has been quiet meanwhile.
static void look_for_late(__u64 now_ns)
{
    if (settings.one_in <= 1 || now_ns < counts.search_ns)
        return;
    if (now_ns > counts.search_ns + LULL_NS)
        counts.lull_ns = now_ns;
    counts.search_ns = now_ns + HONE_DRAWS_SEARCH_NS; // another CPU may do the same: it finds less
    if (!settings.calm || !list.late_ns)
        return;
    _Bool found = 0;
    for (__u32 i = 0; i < HONE_DRAWS_LISTED && i < list.count; i++)
        found |= is_late(list.tids[i], now_ns);
    if (found)
        call();
}

SEC("tp_btf/sched_switch")
int BPF_PROG(on_switch, _Bool preempted, struct task_struct *before, struct task_struct *after)
{
    __u32 tid = number_of(before);
    struct hone_draws_thread *thread = find(before, tid);
    if (thread && before->__state & DEAD) {
        if (before->pid != before->tgid)
            bpf_map_delete_elem(&threads, &tid);
    } else if (thread) {
        go_off(ctx, before, tid, thread, preempted);
        look_for_late(thread->since_ns);
    }
    tid = number_of(after);
    thread = find(after, tid);
    if (thread)
        come_back(ctx, after, tid, thread);
    return 0;
}

// The sums until here are those of what it was.
static void close_sums(void *ctx, struct task_struct *task, __u32 tid,
                       struct hone_draws_thread *thread)
{
    __u64 now_ns = bpf_ktime_get_ns();
    enter(task, thread, HONE_DRAWS_RUNNING, now_ns);
    (void)tell(ctx, task, tid, thread, HONE_DRAWS_CLOSES, now_ns);
    call_if_calm();
}

// Its number is another program's from now on, or will be another process's.
static void forget_process(struct task_struct *task)
{
    __u32 pid = process_of(task);
    bpf_map_delete_elem(&settled, &pid);
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task)
{
    __u32 tid = number_of(task);
    struct hone_draws_thread *thread = find(task, tid);
    if (!thread)
        return 0;
    close_sums(ctx, task, tid, thread);
    forget_process(task);
    return 0;
}

// A thread of one that is watched is watched from its beginning.
SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
    __u32 tid = number_of(parent);
    struct hone_draws_thread *thread = bpf_map_lookup_elem(&threads, &tid);
    __u32 number = number_of(child);
    if (thread) {
        watch(number, HONE_DRAWS_PREEMPTED);
        call_if_calm();
    } else // who had it before is over, and perhaps nobody has said so
        bpf_map_delete_elem(&threads, &number);
    return 0;
}

// What the kernel counts of the thread is known until here. It is watched until it is dead: taking
// leave of its memory may take a while.
SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
    __u32 tid = number_of(task);
    struct hone_draws_thread *thread = find(task, tid);
    if (!thread)
        return 0;
    close_sums(ctx, task, tid, thread);
    if (task->pid == task->tgid)
        forget_process(task);
    thread->over = 1;
    struct hone_draws_ended end = {.run_ns = task->se.sum_exec_runtime,
                                   .delay_ns = task->sched_info.run_delay};
    bpf_map_update_elem(&ended, &tid, &end, BPF_ANY);
    return 0;
}
