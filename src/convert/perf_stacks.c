#include "convert/perf_stacks.h"

#include "base/cleanup.h"
#include "base/crew.h"
#include "core/hash.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    JOBS_MAX = 4096,   // that wait: 32 MB of copied stacks
    JOBS_AT_ONCE = 32, // that a thread takes
    ALONE_MAX = 256,   // as many are done before another thread has begun
    WALKERS_MAX = 128, // 0.6 MB each at most
    KEPT_FIRST = 1 << 16,
};

#define KERNEL_START (1ull << 63)

struct hone_perfdata_job {
    struct hone_perfdata_sample sample;
    struct hone_perfdata_stack stack;
    struct keeper *keeper; // who has the addresses
    size_t first;          // of them, there
};

// A thread's results.
struct keeper {
    uint64_t *addresses;
    size_t count, room;
    bool failed;
};

struct hone_perfdata_crew {
    struct keeper keepers[HONE_CREW_MAX];
    _Atomic uint32_t next;
};

int hone_perfdata_stacks_init(struct hone_perfdata_stacks *stacks)
{
    stacks->jobs = calloc(JOBS_MAX, sizeof *stacks->jobs);
    stacks->crew = calloc(1, sizeof *stacks->crew);
    if (!stacks->threads)
        stacks->threads = hone_crew_size();
    return stacks->jobs && stacks->crew ? 0 : -ENOMEM;
}

static void free_walkers(struct hone_perfdata_stacks *stacks)
{
    for (uint32_t i = 0; i < stacks->processes->count; i++)
        hone_perfdata_walker_free(hone_take(stacks->processes->at[i].walker));
    stacks->walker_count = 0;
}

void hone_perfdata_stacks_done(struct hone_perfdata_stacks *stacks)
{
    if (stacks->processes)
        free_walkers(stacks);
    for (unsigned i = 0; stacks->crew && i < HONE_CREW_MAX; i++)
        free(stacks->crew->keepers[i].addresses);
    free(stacks->crew);
    free(stacks->jobs);
    *stacks = (struct hone_perfdata_stacks){0};
}

// --- one stack -----------------------------------------------------------------------------------

struct frames {
    uint64_t *at;
    uint32_t count;
};

static void push(struct frames *frames, uint64_t address)
{
    if (frames->count < HONE_PERFDATA_DEPTH_MAX)
        frames->at[frames->count++] =
            address < HONE_PERFDATA_LOWEST ? HONE_PERFDATA_LOWEST : address;
}

static void push_place(struct frames *frames, uint64_t place)
{
    if (frames->count < HONE_PERFDATA_DEPTH_MAX &&
        (!frames->count || frames->at[frames->count - 1] != place))
        frames->at[frames->count++] = place;
}

// Where frame pointers are followed through code that has none, the chain leaves all code sooner or
// later: what is mapped nowhere, or begins nowhere, is no caller.
static bool is_no_caller(const struct hone_perfdata_process *process, uint64_t address)
{
    return address < HONE_PERFDATA_LOWEST ||
           (process->map_count && !hone_perfdata_find_map(process, address));
}

// The kernel's chain: marks say whose addresses follow. After each mark the first address is exact,
// the others are return addresses. Those of users are taken if `process` is not NULL.
//
// Returns false where callers are missing.
static bool add_chain(const struct hone_perfdata_sample *sample,
                      const struct hone_perfdata_process *process, struct frames *frames)
{
    uint64_t mark = 0;
    bool exact = true;
    for (uint64_t i = 0; i < sample->chain.count; i++) {
        uint64_t address = hone_perfdata_word(&sample->chain, i);
        if (address >= (uint64_t)PERF_CONTEXT_MAX) {
            mark = address;
            exact = true;
            continue;
        }
        bool in_kernel = address >= KERNEL_START;
        if (mark == (uint64_t)PERF_CONTEXT_HV) {
            push_place(frames, HONE_PERFDATA_HYPERVISOR);
        } else if (mark == (uint64_t)PERF_CONTEXT_GUEST ||
                   mark == (uint64_t)PERF_CONTEXT_GUEST_KERNEL ||
                   mark == (uint64_t)PERF_CONTEXT_GUEST_USER) {
            push_place(frames, HONE_PERFDATA_GUEST);
        } else if (in_kernel) {
            if (mark == (uint64_t)PERF_CONTEXT_USER)
                return !process;
            push(frames, address - !exact);
        } else if (process && mark != (uint64_t)PERF_CONTEXT_KERNEL) {
            if (!exact && is_no_caller(process, address))
                return false;
            push(frames, address - !exact);
        }
        exact = false;
    }
    return true;
}

// What the processor noted: the newest call first. Each call is in the caller.
static void add_branches(const struct hone_perfdata_sample *sample, struct frames *frames)
{
    bool in_user = sample->mode == PERF_RECORD_MISC_USER;
    uint64_t reached = hone_perfdata_word(&sample->branches, 1);
    if (in_user || reached < KERNEL_START)
        push(frames, in_user ? sample->ip : reached);
    for (uint64_t i = 0; i < sample->branches.count; i += HONE_PERFDATA_BRANCH_WORDS)
        if (hone_perfdata_word(&sample->branches, i) < KERNEL_START)
            push(frames, hone_perfdata_word(&sample->branches, i));
}

static const struct hone_perfdata_event *event_of(const struct hone_perfdata_stacks *stacks)
{
    return &stacks->info->events[stacks->event];
}

static void add_walk(const struct hone_perfdata_stacks *stacks, struct hone_perfdata_job *job,
                     struct frames *frames)
{
    const struct hone_perfdata_sample *sample = &job->sample;
    const struct hone_perfdata_process *process = &stacks->processes->at[job->stack.process];
    job->stack.end = HONE_WALK_COMPLETE;
    if (!sample->registers.count) // the kernel's own thread
        return;
    // In exec the registers are those of the program before, whose stack is gone.
    if (frames->count && (!sample->stack_bytes || !process->map_count)) {
        push_place(frames, HONE_PERFDATA_EXEC);
        return;
    }
    if (sample->abi != PERF_SAMPLE_REGS_ABI_64 || !stacks->modules->same_machine ||
        !process->walker) {
        if (sample->mode == PERF_RECORD_MISC_USER)
            push(frames, sample->ip);
        job->stack.end = HONE_WALK_NO_RULE;
        return;
    }
    struct hone_walk walk;
    uint32_t before = frames->count;
    frames->count += (uint32_t)hone_perfdata_walk(process, stacks->modules, event_of(stacks),
                                                  sample, frames->at + frames->count,
                                                  HONE_PERFDATA_DEPTH_MAX - frames->count, &walk);
    for (uint32_t i = before; i < frames->count; i++)
        if (frames->at[i] < HONE_PERFDATA_LOWEST)
            frames->at[i] = HONE_PERFDATA_LOWEST;
    job->stack.end = frames->count < HONE_PERFDATA_DEPTH_MAX ? walk.end : HONE_WALK_TOO_DEEP;
    job->stack.searched = walk.guessed;
}

static void add_leaf(const struct hone_perfdata_sample *sample, struct frames *frames)
{
    if (sample->mode == PERF_RECORD_MISC_GUEST_KERNEL ||
        sample->mode == PERF_RECORD_MISC_GUEST_USER)
        push_place(frames, HONE_PERFDATA_GUEST);
    else if (sample->mode == PERF_RECORD_MISC_HYPERVISOR)
        push_place(frames, HONE_PERFDATA_HYPERVISOR);
    else
        push(frames, sample->ip);
}

static void work_out(const struct hone_perfdata_stacks *stacks, struct hone_perfdata_job *job,
                     uint64_t *addresses)
{
    const struct hone_perfdata_sample *sample = &job->sample;
    struct hone_perfdata_stack *stack = &job->stack;
    struct frames frames = {addresses, 0};
    const bool by_branches = sample->branches.count && (event_of(stacks)->attr.branch_sample_type &
                                                        PERF_SAMPLE_BRANCH_CALL_STACK);
    stack->way = by_branches             ? HONE_PERFDATA_BRANCH
                 : sample->has_registers ? HONE_PERFDATA_COPY
                 : sample->has_chain     ? HONE_PERFDATA_CHAIN
                                         : HONE_PERFDATA_LEAF;
    const struct hone_perfdata_process *process = &stacks->processes->at[stack->process];
    if (sample->has_chain)
        stack->strayed =
            !add_chain(sample, stack->way == HONE_PERFDATA_CHAIN ? process : NULL, &frames);
    if (stack->way == HONE_PERFDATA_BRANCH)
        add_branches(sample, &frames);
    else if (stack->way == HONE_PERFDATA_COPY)
        add_walk(stacks, job, &frames);
    if (!frames.count)
        add_leaf(sample, &frames);
    if (stack->strayed || (stack->way == HONE_PERFDATA_COPY && stack->end != HONE_WALK_COMPLETE))
        addresses[frames.count++] = HONE_PERFDATA_TRUNCATED;
    stack->count = frames.count;
    stack->hash =
        hone_hash_words(addresses, frames.count,
                        stacks->seed ^ ((uint64_t)stack->process << 32 | process->generation));
}

// --- all of them ---------------------------------------------------------------------------------

static bool make_room(struct keeper *keeper)
{
    if (keeper->room - keeper->count > HONE_PERFDATA_DEPTH_MAX)
        return true;
    size_t room = keeper->room ? keeper->room * 2 : KEPT_FIRST;
    uint64_t *larger = realloc(keeper->addresses, room * sizeof *larger);
    if (!larger)
        return false;
    keeper->addresses = larger;
    keeper->room = room;
    return true;
}

static void work(void *context, unsigned number)
{
    struct hone_perfdata_stacks *stacks = context;
    struct keeper *keeper = &stacks->crew->keepers[number];
    keeper->count = 0;
    for (;;) {
        // Relaxed: the jobs were there before this thread was, and each is one thread's alone.
        uint32_t first =
            atomic_fetch_add_explicit(&stacks->crew->next, JOBS_AT_ONCE, memory_order_relaxed);
        for (uint32_t i = first; i < first + JOBS_AT_ONCE; i++) {
            if (i >= stacks->count || keeper->failed)
                return;
            keeper->failed = !make_room(keeper);
            if (keeper->failed)
                return;
            struct hone_perfdata_job *job = &stacks->jobs[i];
            work_out(stacks, job, keeper->addresses + keeper->count);
            job->keeper = keeper;
            job->first = keeper->count;
            keeper->count += job->stack.count;
        }
    }
}

// What walks need is made ready by one thread. Returns 0 or -ENOMEM.
static int prepare(struct hone_perfdata_stacks *stacks)
{
    if (stacks->walker_count > WALKERS_MAX)
        free_walkers(stacks);
    uint32_t last = HONE_PERFDATA_NOBODY;
    for (uint32_t i = 0; i < stacks->count; i++) {
        const struct hone_perfdata_job *job = &stacks->jobs[i];
        if (job->stack.process == last || !job->sample.registers.count)
            continue;
        last = job->stack.process;
        struct hone_perfdata_process *process = &stacks->processes->at[last];
        stacks->walker_count += !process->walker;
        int r = hone_perfdata_walker_prepare(process, stacks->modules);
        if (r)
            return r;
    }
    return 0;
}

int hone_perfdata_stacks_flush(struct hone_perfdata_stacks *stacks)
{
    if (!stacks->count)
        return 0;
    int r = prepare(stacks);
    if (r)
        return r;
    atomic_store_explicit(&stacks->crew->next, 0, memory_order_relaxed);
    hone_crew_run(stacks->count > ALONE_MAX ? stacks->threads : 1, work, stacks);
    for (unsigned i = 0; i < HONE_CREW_MAX; i++)
        if (stacks->crew->keepers[i].failed)
            return -ENOMEM;
    uint32_t count = stacks->count;
    stacks->count = 0;
    for (uint32_t i = 0; i < count && !r; i++) {
        struct hone_perfdata_job *job = &stacks->jobs[i];
        stacks->processes->at[job->stack.process].waiting = 0;
        job->stack.addresses = job->keeper->addresses + job->first;
        r = stacks->stack(stacks->context, &job->stack);
    }
    stacks->walked_count += count;
    if (stacks->walked_count >= JOBS_MAX) {
        stacks->walked_count = 0;
        stacks->walked(stacks->context);
    }
    return r;
}

int hone_perfdata_stacks_add(struct hone_perfdata_stacks *stacks, uint32_t thread,
                             const struct hone_perfdata_sample *sample)
{
    if (stacks->count == JOBS_MAX) {
        int r = hone_perfdata_stacks_flush(stacks);
        if (r)
            return r;
    }
    uint32_t process = stacks->processes->threads[thread].process;
    stacks->processes->at[process].waiting++;
    stacks->processes->at[process].samples++;
    stacks->jobs[stacks->count++] = (struct hone_perfdata_job){
        .sample = *sample,
        .stack =
            {
                .process = process,
                .thread = thread,
                .period = sample->period,
            },
    };
    return 0;
}
