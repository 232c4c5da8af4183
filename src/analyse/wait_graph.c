#include "analyse/wait_graph.h"

#include "base/array.h"
#include "base/cleanup.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

const char *hone_stuck_name(enum hone_stuck kind)
{
    static const char *const names[HONE_STUCK_KINDS] = {
        [HONE_STUCK_CYCLE] = "cycle",         [HONE_STUCK_SELF] = "self",
        [HONE_STUCK_ABANDONED] = "abandoned", [HONE_STUCK_FORKED] = "forked",
        [HONE_STUCK_NOBODY] = "nobody",
    };
    return kind < HONE_STUCK_KINDS ? names[kind] : "unknown";
}

// What a thread goes on by.
enum awaits {
    GOES_ON,  // it may go on by itself, or nobody knows
    ONE,      // another thread, `one`
    ANYBODY,  // whoever is left
    NOBODY,   // a thread that has ended
    NOT_HERE, // a thread that was of the process's parent, or the first one as it was there
    IS_OVER,  // it has ended itself
};

struct node {
    enum awaits awaits;
    uint32_t one;
    bool stuck;
    uint32_t finding; // plus one
    uint32_t mark;    // of the walk that was here last
};

struct work {
    const struct hone_standstill *stand;
    struct hone_wait_graph *graph;
    struct node *nodes;
};

static uint64_t bit(int signal)
{
    return 1ull << (signal - 1);
}

uint64_t hone_wait_graph_signals(const struct hone_standstill *stand)
{
    // Those that a thread that sleeps does not raise itself, and that no sender sends: faults, and
    // clocks of CPU time. Those that the C library keeps for itself wake nobody.
    enum { CANCEL = 32, SETXID = 33 };
    uint64_t never = bit(SIGSEGV) | bit(SIGBUS) | bit(SIGFPE) | bit(SIGILL) | bit(SIGABRT) |
                     bit(SIGTRAP) | bit(SIGSYS) | bit(SIGPROF) | bit(SIGVTALRM) | bit(SIGXCPU) |
                     bit(SIGXFSZ) | bit(SIGPIPE) | bit(CANCEL) | bit(SETXID);
    return stand->caught & ~never;
}

static uint32_t find_inner(const struct hone_standstill *stand, uint32_t inner)
{
    for (uint32_t i = 0; i < stand->count; i++)
        if (stand->threads[i].inner == inner && !stand->threads[i].ended)
            return i;
    return UINT32_MAX;
}

uint32_t hone_wait_graph_holder(const struct hone_standstill *stand, uint32_t thread)
{
    const struct hone_standstill_thread *waiter = &stand->threads[thread];
    return waiter->waits_for_lock && waiter->lock.state.holder == HONE_HOLDER_THREAD
               ? find_inner(stand, waiter->lock.state.owner)
               : UINT32_MAX;
}

static void classify_held(const struct work *work, struct node *node,
                          const struct hone_standstill_lock *wanted)
{
    const struct hone_standstill *stand = work->stand;
    const struct hone_lock_state *lock = &wanted->state;
    node->one = find_inner(stand, lock->owner);
    if (node->one != UINT32_MAX) {
        node->awaits = ONE;
        return;
    }
    // A thread of another process may have it, or may have had it: who waits for that goes on when
    // that one does, which nobody knows here.
    if (lock->shared)
        return;
    // The end of a thread wakes who joins it, and of a robust lock the next in line.
    if (lock->kind == HONE_LOCK_JOIN || lock->robust)
        return;
    // After a fork without exec a lock may carry the number that the thread who forked had before:
    // it is the first one here, and still holds what it held. Threads of our own have later
    // numbers.
    const struct hone_standstill_thread *first = &stand->threads[0];
    if (stand->forked && (lock->owner < first->inner || wanted->holder_pid)) {
        node->awaits = NOT_HERE;
        node->one = 0;
        return;
    }
    // One that began after the threads were listed may have it.
    node->awaits = stand->complete ? NOBODY : GOES_ON;
}

static void classify(const struct work *work, uint32_t index)
{
    const struct hone_standstill_thread *thread = &work->stand->threads[index];
    const struct hone_lock_state *lock = &thread->lock.state;
    struct node *node = &work->nodes[index];
    node->awaits = thread->ended ? IS_OVER : GOES_ON;
    if (thread->ended || !thread->waits_for_lock || thread->limited || thread->others_may_wake)
        return;
    // Whoever waits for a lock that is free is about to be woken.
    if (lock->holder == HONE_HOLDER_THREAD)
        classify_held(work, node, &thread->lock);
    else if (lock->holder != HONE_HOLDER_NONE)
        node->awaits = ANYBODY;
}

// Takes away all who may go on, until nobody is left who may.
static void reduce(const struct work *work)
{
    const struct hone_standstill *stand = work->stand;
    bool anybody = hone_wait_graph_signals(stand) || !stand->complete;
    for (uint32_t i = 0; i < stand->count; i++) {
        struct node *node = &work->nodes[i];
        node->stuck = node->awaits != GOES_ON && node->awaits != IS_OVER;
        anybody |= node->awaits == GOES_ON;
    }
    for (bool changed = true; changed;) {
        changed = false;
        for (uint32_t i = 0; i < stand->count; i++) {
            struct node *node = &work->nodes[i];
            bool follows = node->awaits == ONE || node->awaits == NOT_HERE;
            if (!node->stuck || !((follows && !work->nodes[node->one].stuck) ||
                                  (node->awaits == ANYBODY && anybody)))
                continue;
            node->stuck = false;
            anybody = changed = true;
        }
    }
}

// --- findings ------------------------------------------------------------------------------------

static struct hone_stuck_finding *add(struct work *work, enum hone_stuck kind)
{
    struct hone_wait_graph *graph = work->graph;
    if (!hone_array_reserve(&graph->findings, &graph->room, (uint64_t)graph->count + 1,
                            sizeof *graph->findings))
        return NULL;
    struct hone_stuck_finding *finding = &graph->findings[graph->count++];
    *finding = (struct hone_stuck_finding){.kind = kind, .waited_ns = UINT64_MAX};
    finding->members =
        hone_arena_zalloc(&graph->arena, work->stand->count, sizeof *finding->members);
    finding->behind = hone_arena_zalloc(&graph->arena, work->stand->count, sizeof *finding->behind);
    if (finding->members && finding->behind)
        return finding;
    graph->count--;
    return NULL;
}

static void join(struct work *work, struct hone_stuck_finding *finding, uint32_t thread)
{
    uint64_t waited_ns = work->stand->threads[thread].waited_ns;
    finding->members[finding->member_count++] = thread;
    work->nodes[thread].finding = (uint32_t)(finding - work->graph->findings) + 1;
    if (waited_ns < finding->waited_ns)
        finding->waited_ns = waited_ns;
}

// The ring that the thread's way leads to is new: all of it, from its first thread on.
static bool add_ring(struct work *work, uint32_t on_ring)
{
    uint32_t first = on_ring;
    for (uint32_t at = work->nodes[on_ring].one; at != on_ring; at = work->nodes[at].one)
        if (at < first)
            first = at;
    bool self = work->nodes[first].one == first;
    struct hone_stuck_finding *finding = add(work, self ? HONE_STUCK_SELF : HONE_STUCK_CYCLE);
    if (!finding)
        return false;
    uint32_t at = first;
    do {
        join(work, finding, at);
        at = work->nodes[at].one;
    } while (at != first);
    return true;
}

// Follows who waits for whom to where it ends, or to a ring.
static bool find_rings(struct work *work)
{
    for (uint32_t i = 0; i < work->stand->count; i++) {
        uint32_t at = i;
        while (work->nodes[at].stuck && work->nodes[at].awaits == ONE && !work->nodes[at].mark) {
            work->nodes[at].mark = i + 1;
            at = work->nodes[at].one;
        }
        if (work->nodes[at].stuck && work->nodes[at].awaits == ONE &&
            work->nodes[at].mark == i + 1 && !add_ring(work, at))
            return false;
    }
    return true;
}

static bool same_lock(const struct work *work, uint32_t left, uint32_t right)
{
    return work->stand->threads[left].lock.state.address ==
           work->stand->threads[right].lock.state.address;
}

// Threads at locks that nobody is there to release: a finding for each lock.
static bool find_left_locks(struct work *work, enum awaits awaits, enum hone_stuck kind)
{
    for (uint32_t i = 0; i < work->stand->count; i++) {
        if (!work->nodes[i].stuck || work->nodes[i].awaits != awaits || work->nodes[i].finding)
            continue;
        struct hone_stuck_finding *finding = add(work, kind);
        if (!finding)
            return false;
        for (uint32_t k = i; k < work->stand->count; k++)
            if (work->nodes[k].stuck && work->nodes[k].awaits == awaits && same_lock(work, i, k))
                join(work, finding, k);
    }
    return true;
}

static bool find_nobody(struct work *work)
{
    struct hone_stuck_finding *finding = NULL;
    for (uint32_t i = 0; i < work->stand->count; i++) {
        if (!work->nodes[i].stuck || work->nodes[i].awaits != ANYBODY)
            continue;
        if (!finding)
            finding = add(work, HONE_STUCK_NOBODY);
        if (!finding)
            return false;
        join(work, finding, i);
    }
    return true;
}

// Who waits for one of a finding's threads is behind it. Their ways end there.
static void find_behind(struct work *work)
{
    for (uint32_t i = 0; i < work->stand->count; i++) {
        uint32_t at = i;
        if (!work->nodes[i].stuck)
            continue;
        work->graph->stuck++;
        while (!work->nodes[at].finding)
            at = work->nodes[at].one;
        if (at == i)
            continue;
        struct hone_stuck_finding *finding = &work->graph->findings[work->nodes[at].finding - 1];
        finding->behind[finding->behind_count++] = i;
    }
}

// Whether all wait without a limit, so that only what is not of this process can help.
static bool all_wait(const struct work *work)
{
    uint32_t waiting = 0;
    for (uint32_t i = 0; i < work->stand->count; i++) {
        const struct hone_standstill_thread *thread = &work->stand->threads[i];
        if (!thread->ended && (!thread->waits_for_lock || thread->limited))
            return false;
        waiting += !thread->ended;
    }
    return waiting;
}

int hone_wait_graph_new(const struct hone_standstill *stand, struct hone_wait_graph *ret,
                        struct hone_error *err)
{
    HONE_CLEANUP(hone_wait_graph_done) struct hone_wait_graph graph = {0};
    HONE_CLEANUP(hone_freep) struct node *nodes = calloc(stand->count + 1, sizeof *nodes);
    struct work work = {stand, &graph, nodes};
    if (!nodes)
        return hone_error_set(err, -ENOMEM, "cannot tell who waits for whom");
    for (uint32_t i = 0; i < stand->count; i++)
        classify(&work, i);
    reduce(&work);
    if (!find_rings(&work) || !find_left_locks(&work, NOBODY, HONE_STUCK_ABANDONED) ||
        !find_left_locks(&work, NOT_HERE, HONE_STUCK_FORKED) || !find_nobody(&work))
        return hone_error_set(err, -ENOMEM, "cannot tell who waits for whom");
    find_behind(&work);
    graph.only_signals = !graph.stuck && stand->complete && all_wait(&work);
    *ret = graph;
    graph = (struct hone_wait_graph){0};
    return 0;
}

void hone_wait_graph_done(struct hone_wait_graph *graph)
{
    free(graph->findings);
    hone_arena_done(&graph->arena);
    *graph = (struct hone_wait_graph){0};
}
