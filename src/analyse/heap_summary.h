// What a profile of the heap adds up to, and how sure that is: totals, the functions that allocate
// and that keep, the sizes of blocks.
//
// A profile that samples one block in so many bytes (its period, as Go and tcmalloc write it)
// counts a block of s bytes as w = 1 / (1 - exp(-s / period)) blocks. Each block is drawn on its
// own, so a sum over n of them has the variance n w (w - 1), of blocks, and s² of that in bytes:
// both follow from what the profile holds. With a period of one byte everything was counted, and
// nothing is uncertain.
//
//     struct hone_heap_summary *summary;
//     r = hone_heap_summary_new(profile, &options, &summary, &err);
//     if (summary->live.bytes.seen) …
//     hone_heap_summary_free(summary);
//
// Threads: any number for a profile that nobody changes.
#ifndef HONE_ANALYSE_HEAP_SUMMARY_H
#define HONE_ANALYSE_HEAP_SUMMARY_H

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct hone_profile;

struct hone_heap_amount {
    double value;
    double error; // standard error; 0: exact
};

struct hone_heap_amounts {
    struct hone_heap_amount bytes, objects;
    bool seen; // false: no block of it is in the profile
};

// A function that allocates, and who called it there most.
struct hone_heap_place {
    struct hone_str name;
    struct hone_str caller; // empty: nobody
    double caller_share;    // of what the function allocated, through that caller
    struct hone_heap_amounts amounts;
};

enum { HONE_HEAP_CLASSES = 24 }; // [i]: up to 16 << i bytes; the last: more

struct hone_heap_summary {
    bool sampled;  // by the period; otherwise every block was counted, or nobody knows
    double period; // mean bytes between samples; 0: not known
    struct hone_heap_amounts allocated, live;
    struct hone_heap_place *allocated_places, *live_places; // largest first, by bytes
    uint32_t allocated_count, live_count; // of them: those that matter, at most `places`
    // By the size of a block, where each sample tells it.
    bool classes_known;
    struct hone_heap_amounts classes[HONE_HEAP_CLASSES];      // allocated
    struct hone_heap_amounts live_classes[HONE_HEAP_CLASSES]; // live
    struct hone_arena arena;
};

// Bytes that may well live in blocks of which none was sampled: 95 of 100 times there are fewer.
double hone_heap_summary_unseen(const struct hone_heap_summary *summary);

// The largest size of a class; 0 for the last.
uint64_t hone_heap_class_limit(unsigned number);

// Returns 0; -EINVAL with err filled where a sample type is missing; -ENOMEM. The profile has to
// live as long.
int hone_heap_summary_new(const struct hone_profile *profile, uint32_t places,
                          struct hone_heap_summary **ret, struct hone_error *err);
void hone_heap_summary_free(struct hone_heap_summary *summary);
void hone_heap_summary_freep(struct hone_heap_summary **summary);

#endif
