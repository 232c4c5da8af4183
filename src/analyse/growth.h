// Does memory grow, and how fast: a robust slope through what lived at moments of a recording, and
// a verdict that is slow to accuse.
//
// The slope is Theil and Sen's, the median of the slopes between all pairs of moments, after the
// first fifth, when programs fill what they keep. Its limits are Sen's, made wider where
// neighbouring values resemble each other (Hamed and Rao 1998), and hold for all series that are
// judged together. A leak grows in the last third as well as in the whole, and where a series falls
// back at times, as memory that is collected does, from each low to the next.
//
// Where blocks were sampled the slope has the error of that. Its limits are then those that this
// error leaves, if it explains how the series wanders, and it reaches what it may well reach.
#ifndef HONE_ANALYSE_GROWTH_H
#define HONE_ANALYSE_GROWTH_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hone_profile;

struct hone_growth_point {
    double time_s;
    double bytes;
    double variance; // of the sampling error of what changed since the point before; 0: exact
};

enum hone_growth_verdict {
    HONE_GROWTH_SHORT,     // too few moments, or too short a time, for any verdict
    HONE_GROWTH_SEVERAL,   // a sum over processes, each of which is judged on its own
    HONE_GROWTH_UNDECIDED, // surely grows, and may do so as fast as a limit, or not
    HONE_GROWTH_STEADY,    // nothing that could be called a leak
    HONE_GROWTH_SLOW,      // surely grows, about as fast as the slow limit or faster
    HONE_GROWTH_FAST       // the same of the fast one
};

// Zero means default.
struct hone_growth_options {
    double fast;   // bytes per second (1 MB/s)
    double slow;   // the same (100 MB/hour)
    double series; // that are judged together (1)
};

enum {
    HONE_GROWTH_POINTS_MIN = 8, // after the first fifth
    HONE_GROWTH_FAST_S = 5,     // and so long, to be called fast
    HONE_GROWTH_SLOW_S = 1200,  // or slow
};

struct hone_growth {
    enum hone_growth_verdict verdict;
    double rate;      // bytes per second; negative: it shrinks
    double low, high; // its limits; infinite when too few moments tell
    double time_s;    // that was looked at
    uint32_t points;
};

// Points by rising time. Returns 0 or -ENOMEM.
int hone_growth_judge(const struct hone_growth_point *points, size_t count,
                      const struct hone_growth_options *options, struct hone_growth *ret);

// --- of a profile of changes over time -----------------------------------------------------------

struct hone_growth_site {
    uint32_t stack;
    uint32_t processes; // in which it grows; the figures are sums over them
    double bytes;       // that live at the end
    struct hone_growth is;
};

struct hone_growths {
    struct hone_growth all;         // of all sites together; told where there is one process only
    double bytes;                   // that live at the end
    struct hone_growth_site *sites; // those that grow, the fastest first
    uint32_t count;
    uint32_t small;     // that grow, too, and are below a threshold
    uint32_t undecided; // sites of which nobody can tell yet
    uint32_t judged;    // sites
    uint32_t processes;
};

// From a profile with the type inuse_space, or alive for threads, whose samples are changes, each
// with the number `time` in milliseconds, the end of an interval, and with the number `pid`. Each
// process is judged on its own: what one left behind at its end does not add to what another has.
// Returns 0; -EINVAL with err filled: it is no such profile; -ENOMEM.
int hone_growths_new(const struct hone_profile *profile, const struct hone_growth_options *options,
                     struct hone_growths *ret, struct hone_error *err);
void hone_growths_done(struct hone_growths *growths);
// Takes sites off the list of which less lives at the end.
void hone_growths_leave_small(struct hone_growths *growths, double bytes);

#endif
