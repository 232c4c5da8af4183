// Who waits for whom, and who will wait for ever: the graph over the locks that threads want and
// hold.
//
//     struct hone_wait_graph graph;
//     if (hone_wait_graph_new(&stand, &graph, &err) == 0)
//         for (uint32_t i = 0; i < graph.count; i++)
//             show(&graph.findings[i]);
//     hone_wait_graph_done(&graph);
//
// A thread that sleeps without a limit for a lock whose holder is known goes on when that thread
// does. One that waits for anybody (a condition variable, a semaphore, a lock that does not tell
// its holder) goes on while there is anybody left who may. What remains when all who may go on are
// taken away is stuck, and nothing is stuck that was not seen to be: a thread that is not known to
// sleep may do anything, and a signal that the process has a handler for may wake anybody.
#ifndef HONE_ANALYSE_WAIT_GRAPH_H
#define HONE_ANALYSE_WAIT_GRAPH_H

#include "capture/standstill.h"

enum hone_stuck {
    HONE_STUCK_CYCLE,     // each waits for what the next one has, the last for the first
    HONE_STUCK_SELF,      // a thread waits for a lock that it holds itself
    HONE_STUCK_ABANDONED, // the thread that holds it has ended
    HONE_STUCK_FORKED,    // it was held when the process was forked, by a thread that is not here
    HONE_STUCK_NOBODY,    // all threads wait, and nobody is left to wake them
    HONE_STUCK_KINDS
};

// As JSON spells it: "cycle", "self", "abandoned", "forked", "nobody".
const char *hone_stuck_name(enum hone_stuck kind);

struct hone_stuck_finding {
    enum hone_stuck kind;
    // Indices of the standstill's threads. Of a cycle in its order: each waits for the next one.
    uint32_t *members;
    uint32_t member_count;
    uint32_t *behind; // threads that are no part of it and wait, directly or not, for one that is
    uint32_t behind_count;
    uint64_t waited_ns; // the youngest of its members: so long it is as it is, at least
};

struct hone_wait_graph {
    struct hone_stuck_finding *findings;
    uint32_t count, room;
    uint32_t stuck; // threads
    // All threads wait and nobody is left to wake them, but a signal might, or others who share the
    // memory that they wait in: nothing is certain.
    bool only_signals;
    struct hone_arena arena;
};

// Of a thread that waits for a lock of a known holder: that thread's index in the standstill;
// UINT32_MAX: it is not there, or not known.
uint32_t hone_wait_graph_holder(const struct hone_standstill *stand, uint32_t thread);

// Returns 0 or -ENOMEM. The standstill is borrowed during the call.
int hone_wait_graph_new(const struct hone_standstill *stand, struct hone_wait_graph *ret,
                        struct hone_error *err);
void hone_wait_graph_done(struct hone_wait_graph *graph);

// The signals that may wake somebody, of those that have a handler.
uint64_t hone_wait_graph_signals(const struct hone_standstill *stand);

#endif
