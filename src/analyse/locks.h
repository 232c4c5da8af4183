// What is wrong with locks, as far as the observations prove it: each finding has its figures, what
// chance leaves of them, and what to do. A lock that costs next to nothing is not spoken of, and of
// one that was observed too rarely it is said that nobody can tell.
//
//     struct hone_lock_findings findings;
//     r = hone_lock_findings_new(&facts, &findings, &err);
//     for (uint32_t i = 0; i < findings.count; i++) …
//     hone_lock_findings_done(&findings);
#ifndef HONE_ANALYSE_LOCKS_H
#define HONE_ANALYSE_LOCKS_H

#include "analyse/lock_facts.h"

// Whoever waits for a lock lost this part of the recorded time together, at least, or it is left
// out: one thread that waits for a hundredth of its time is not worth a change.
#define HONE_LOCK_MATTERS 0.01

enum hone_lock_finding_kind {
    HONE_LOCK_CONTENDED,     // many acquisitions have to wait
    HONE_LOCK_HELD_LONG,     // by some holders
    HONE_LOCK_CONVOY,        // a queue stays, although nobody holds it for long
    HONE_LOCK_WRITERS_WAIT,  // behind readers
    HONE_LOCK_READERS_ALONE, // a read-write lock whose readers hardly ever meet
    HONE_LOCK_MOSTLY_WRITES, // a read-write lock that is taken for writing
    HONE_LOCK_SHARED_LINE,   // with another one, in the processor's cache
    HONE_LOCK_CANNOT_TELL,   // it matters, and was observed too rarely
    HONE_LOCK_FINDING_KINDS
};

// As --json spells it.
const char *hone_lock_finding_name(enum hone_lock_finding_kind kind);

struct hone_lock_finding {
    enum hone_lock_finding_kind kind;
    uint32_t lock;          // of the facts
    double value;           // what it rests on: a share, or nanoseconds
    double low, high;       // between which it lies, 95 of 100 times; NAN: not known
    double observations;    // behind it
    struct hone_str text;   // a sentence with the figures
    struct hone_str advice; // and one with the next step
};

struct hone_lock_findings {
    struct hone_lock_finding *at; // in the order of their locks
    uint32_t count, room;
    struct hone_arena arena;
};

// The facts have to live as long. Returns 0 or -ENOMEM; done is needed in any case.
int hone_lock_findings_new(const struct hone_locks_facts *facts, struct hone_lock_findings *ret,
                           struct hone_error *err);
void hone_lock_findings_done(struct hone_lock_findings *findings);

#endif
