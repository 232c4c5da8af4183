// What the files of the doctor share. Not for others: doctor.h is.
#ifndef HONE_CAPTURE_DOCTOR_PARTS_H
#define HONE_CAPTURE_DOCTOR_PARTS_H

#include "capture/doctor.h"

// Text of the findings. NULL when memory is out, with findings->failed set.
__attribute__((format(printf, 2, 3))) const char *hone_finding_text(struct hone_findings *findings,
                                                                    const char *format, ...);

// Adds one, whose texts are the arena's or constant.
void hone_finding_add(struct hone_findings *findings, struct hone_finding finding);

// What the kernel says of a setting: a number in a file of /proc. False when it is not there.
bool hone_doctor_number(const char *path, int64_t *ret);

// The value behind a word of /proc/self/status, as base says (10, 16).
bool hone_doctor_status(const char *word, int base, uint64_t *ret);

// Facts about this process that explain what it may do.
struct hone_rights {
    bool perfmon;   // CAP_PERFMON or CAP_SYS_ADMIN, in the first user namespace
    bool ptrace;    // CAP_SYS_PTRACE
    bool contained; // in a user namespace of its own: capabilities do not count outside
    bool filtered;  // system calls are filtered (seccomp)
    bool refused;   // … and perf_event_open is among those that are not let through
    int paranoid;   // perf_event_paranoid; INT_MIN when unknown
};
void hone_doctor_rights(struct hone_rights *ret);

// Tries the engines.
void hone_doctor_engines(struct hone_findings *findings, const struct hone_rights *rights);

#endif
