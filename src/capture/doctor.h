// doctor: what can be recorded here, and how to get the rest.
//
// What the kernel allows is tried rather than read: children open the events and timers that the
// recorder would and count the signals that come. Files are read for the reasons. Nothing on the
// machine is changed.
//
//     HONE_CLEANUP(hone_findings_done) struct hone_findings findings = {0};
//     r = hone_doctor_machine(&findings, err);
//     for (size_t i = 0; i < findings.count; i++)
//         … findings.at[i].what
#ifndef HONE_CAPTURE_DOCTOR_H
#define HONE_CAPTURE_DOCTOR_H

#include "base/arena.h"
#include "base/error.h"
#include "session/layout.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum hone_mark {
    HONE_MARK_GOOD,    // works
    HONE_MARK_LESS,    // works, and could be better
    HONE_MARK_BAD,     // does not work
    HONE_MARK_FACT,    // neither: to know
    HONE_MARK_UNKNOWN, // could not be found out
};

struct hone_finding {
    enum hone_mark mark;
    const char *topic; // a heading: those of one follow each other
    const char *name;  // a word
    const char *what;
    const char *why;  // why it matters; NULL when it goes without saying
    const char *next; // a command to type; NULL when there is none
};

// Zero is ready for use.
struct hone_findings {
    struct hone_arena arena; // of all text
    struct hone_finding *at;
    size_t count;
    bool failed;             // memory ran out
    enum hone_engine engine; // the best that works here; HONE_ENGINE_NONE: none does
    double rate_hz;          // that it reached, of 1000
    bool loads;              // libhone.so is there and can be preloaded
    bool outside;            // programs can be recorded from outside
    bool recordable;         // the program that was asked for
};

void hone_findings_done(struct hone_findings *findings);

// This machine, this user, these surroundings. Returns 0 or -ENOMEM.
int hone_doctor_machine(struct hone_findings *findings, struct hone_error *err);

// A program, found as a shell finds it; the machine was looked at before. Returns 0 or -ENOMEM: a
// program that is not there is a finding.
int hone_doctor_program(struct hone_findings *findings, const char *program,
                        struct hone_error *err);

#endif
