// Runs in the kernel (eBPF). When a thread that is watched leaves its CPU to wait, it is drawn, one
// in so many, and the kernel writes its registers and a copy of its stack into the ring of this
// CPU, as it does for perf events. Nobody but the threads that are watched pays for more than a
// random number and a look into the table.
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
    struct sched_entity se;
    struct sched_info sched_info;
    struct pid *thread_pid;
    unsigned int flags;
    unsigned int __state;
} __attribute__((preserve_access_index));

enum {
    KERNEL_THREAD = 0x00200000, // PF_KTHREAD
    DEEPEST = 6,                // of namespaces in one another that are looked through
};

char may_call[] SEC("license") = "Dual BSD/GPL";

struct hone_draws_settings settings SEC(".data.settings");
struct hone_draws_counts counts SEC(".data.counts");

// Threads that are watched, and how.
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 65536);
    __type(key, __u32);
    __type(value, __u32);
} threads SEC(".maps");

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

static void watch(__u32 tid, __u32 how)
{
    if (bpf_map_update_elem(&threads, &tid, &how, BPF_NOEXIST) == -7) // E2BIG
        __sync_fetch_and_add(&counts.no_room, 1);
}

SEC("tp_btf/sched_switch")
int BPF_PROG(on_switch, _Bool preempted, struct task_struct *before)
{
    struct hone_draws_record record = {.one_in = settings.one_in, .state = before->__state};
    if (preempted || !record.state)
        return 0;
    // First: where few are drawn, this is all that most waits pay.
    if (record.one_in > 1 && bpf_get_prandom_u32() % record.one_in)
        return 0;
    __u32 tid = number_of(before);
    __u32 *how = bpf_map_lookup_elem(&threads, &tid);
    if (!how) {
        if (!settings.everybody || !tid || before->flags & KERNEL_THREAD)
            return 0;
    }
    struct pt_regs *registers = (struct pt_regs *)bpf_task_pt_regs(before);
#if defined(__TARGET_ARCH_x86)
    record.call = (__s64)registers->orig_ax;
#else
    record.call = registers->syscallno;
#endif
    long r = how && *how == HONE_DRAWS_WHOLE
                 ? bpf_perf_event_output(ctx, &whole, BPF_F_CURRENT_CPU, &record, sizeof record)
                 : bpf_perf_event_output(ctx, &rings, BPF_F_CURRENT_CPU, &record, sizeof record);
    if (r)
        __sync_fetch_and_add(&counts.lost, 1);
    return 0;
}

// A thread of one that is watched is watched from its beginning.
SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
    __u32 tid = number_of(parent);
    __u32 *how = bpf_map_lookup_elem(&threads, &tid);
    if (how)
        watch(number_of(child), *how);
    return 0;
}

// What the kernel counts of the thread is known until here.
SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
    __u32 tid = number_of(task);
    if (bpf_map_delete_elem(&threads, &tid))
        return 0;
    struct hone_draws_ended end = {.run_ns = task->se.sum_exec_runtime,
                                   .delay_ns = task->sched_info.run_delay};
    bpf_map_update_elem(&ended, &tid, &end, BPF_ANY);
    return 0;
}
