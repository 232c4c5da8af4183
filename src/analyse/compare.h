// Two sides of profiles compared: what each row (function, line, file, address) weighs on either,
// by how much that changed, between which limits, and whether it is a difference at all (judge.h
// says how that is decided).
//
// Profiles hold samples: of the sample type "samples", of the number of objects or events behind
// the values, or of the period where they tell no number. A value is compared by as many samples
// as stand behind it, never by its nanoseconds or bytes.
//
// Rows meet by name. Functions that only one side has are looked at again: the same source lines
// under another name, the same name but for what a compiler appended, or the same callers and
// callees make one row of two names, which says so.
//
// Promises: the same profiles in the same order give the same rows; samples of negative value (of
// a profile that is a difference itself) are left out and counted; no sum overflows.
//
// Threads: safe for profiles that nobody changes; uses threads of its own.
#ifndef HONE_ANALYSE_COMPARE_H
#define HONE_ANALYSE_COMPARE_H

#include "analyse/graph.h"
#include "analyse/judge.h"

struct hone_profile;

enum hone_compare_per {
    HONE_COMPARE_RUN,    // what one run takes
    HONE_COMPARE_SECOND, // what a second of recording takes
    HONE_COMPARE_SHARE,  // parts of the whole
};

// Why two names are one row.
enum hone_compare_match {
    HONE_COMPARE_SAME_NAME,
    HONE_COMPARE_SAME_PLACE, // the same lines of the same file
    HONE_COMPARE_SAME_STEM,  // names that differ in what a compiler or a signature adds
    HONE_COMPARE_SAME_CALLS, // the same callers and callees, and as much itself
};

// How samples were counted.
enum hone_compare_counted {
    HONE_COMPARE_BY_SAMPLES, // by a sample type that counts them
    HONE_COMPARE_BY_PERIOD,  // values by the period
    HONE_COMPARE_BY_STACKS,  // nothing tells: each stack is taken for one sample
};

struct hone_compare_row {
    struct hone_str name; // of the new side where it has one
    struct hone_str was;  // the base's where that is another
    enum hone_compare_match match;
    struct hone_str file[2];  // where it is declared; may be empty
    double samples[2];        // behind its values
    double inlined[2];        // part of its value where its code lay in a caller's, 0 to 1
    struct hone_judge_row is; // values, change, limits, verdict
    // A function that is gone and may live on in its caller: what that took more of itself.
    struct hone_str perhaps_in;
};

struct hone_compare_side {
    uint32_t runs;
    double taken;            // samples, however much each weighs …
    double samples;          // … and how many equal ones would tell as much
    double seconds;          // of recording; 0 when a run does not tell
    uint32_t functions_only; // rows that the other side lacks
    uint64_t negative;       // samples left out
    enum hone_compare_counted counted;
};

struct hone_compare {
    struct hone_str type;
    struct hone_str unit;
    enum hone_compare_per per;
    bool by_cum;
    struct hone_compare_side side[2]; // base, new
    struct hone_judge judge;          // its rows were moved to rows
    uint32_t row_count;
    struct hone_compare_row *rows; // those that differ first, each part by how much they changed
    struct hone_arena text;
};

// Zero means default.
struct hone_compare_options {
    const char *type;            // by name or place (the first profile's default)
    enum hone_graph_group group; // (functions)
    enum hone_compare_per per;   // (run)
    bool by_cum;                 // compare cum instead of flat
    bool names_only;             // rows meet by name alone
    double error;                // (0.05)
};

struct hone_compare_input {
    const struct hone_profile *const *at;
    uint32_t count;
};

// Returns  0; -EINVAL with the reason in err for a type that a profile lacks or has in another
//          unit, or seconds where a profile tells none; -ENODATA for a side without samples;
//          -ENOMEM.
// Owner    the caller, hone_compare_free(); the profiles must live as long.
int hone_compare_new(const struct hone_compare_input sides[2],
                     const struct hone_compare_options *options, struct hone_compare **ret,
                     struct hone_error *err);

// Whether the new side takes more than a limit above the base (0.05 is 5 %): the whole, or of
// shares the row that gained most of the whole.
enum hone_compare_gate {
    HONE_COMPARE_BELOW, // surely not more
    HONE_COMPARE_ABOVE, // surely more
    HONE_COMPARE_UNSURE,
};
enum hone_compare_gate hone_compare_gate(const struct hone_compare *compare, double limit,
                                         const struct hone_compare_row **ret_row);

// What it would take to tell the whole's change from this one with 9 chances in 10: so many samples
// on each side, or runs like these where more samples would not help. Of shares it says nothing.
struct hone_compare_need {
    double samples; // INFINITY where the change is just that
    double runs;    // 0: samples are what is missing
};
struct hone_compare_need hone_compare_need(const struct hone_compare *compare, double change);

void hone_compare_free(struct hone_compare *compare);
void hone_compare_freep(struct hone_compare **compare); // for HONE_CLEANUP

#endif
