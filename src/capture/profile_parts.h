// What the files that make a profile share: profile.c begins and ends it, profile_places.c gives
// addresses their names, and the others each say what the values of a kind of profile are, and add
// its samples.
#ifndef HONE_CAPTURE_PROFILE_PARTS_H
#define HONE_CAPTURE_PROFILE_PARTS_H

#include "capture/output.h"
#include "profile/profile.h"
#include "symbol/symbol.h"

struct hone_profile_kind;

// What each collected thing has become in the profile.
struct hone_profile_builder {
    const struct hone_recording *recording;
    int file;                             // or enum hone_capture_type
    const struct hone_profile_kind *kind; // of that file
    struct hone_profile *profile;
    struct hone_symbolizer *symbolizer;
    struct hone_symbol_module **symbols; // by module
    uint32_t *mappings;                  // by module
    uint32_t kernel;                     // the kernel's mapping; 0: it has none
    uint64_t *starts;                    // by module: where the mapping starts in the profile
    uint32_t *locations;                 // by place; 0: it is in no stack of this profile
    uint32_t *stacks;                    // by collected stack
    uint32_t *label_sets;     // by thread, and by kind of wait in it if that is a label; 0: not yet
    uint32_t truncated;       // location that stands for missing callers
    uint32_t unknown_code;    // the function of addresses in no file
    uint32_t never_sampled;   // and of threads without a sample
    uint32_t not_sampled;     // and of threads when nothing sampled them any more
    uint32_t exec_and_loader; // and of what comes before the probe
    uint32_t fork;            // in a forked process
    uint32_t runnable;        // and of who waits for a CPU
    const char *unfetched;    // the first module whose debug file could not be fetched
    const char *unfetched_why;
};

struct hone_profile_kind {
    // Sample types, the default one, and the period.
    void (*describe)(struct hone_profile_builder *builder);
    // Adds the samples: builder->stacks has the stacks of all of them. Returns 0 or a negative
    // errno; what hone_profile_status() knows need not be returned.
    int (*add)(struct hone_profile_builder *builder);
    // Says 1 of the collected stacks that the samples have, where that is a part of them: only
    // these are in the profile and in builder->stacks. NULL: all are.
    void (*use)(const struct hone_collected *collected, uint8_t *ret_used);
    // Our functions are no frames: a block is made by who called them, whichever way that went.
    bool without_ours;
};

extern const struct hone_profile_kind hone_profile_cpu, hone_profile_wall;       // profile_time.c
extern const struct hone_profile_kind hone_profile_heap, hone_profile_heap_time; // profile_heap.c
extern const struct hone_profile_kind hone_profile_heap_peak;
extern const struct hone_profile_kind hone_profile_leaks; // profile_leaks.c
extern const struct hone_profile_kind hone_profile_mutex; // profile_mutex.c
extern const struct hone_profile_kind hone_profile_block; // profile_block.c
extern const struct hone_profile_kind hone_profile_threads, hone_profile_threads_time;

// Mappings and locations of all places. Returns 0 or a negative errno.
int hone_builder_add_places(struct hone_profile_builder *builder);
// The location of a place in generated code, which depends on when it ran.
int hone_builder_add_generated(struct hone_profile_builder *builder,
                               const struct hone_collected_place *place, uint64_t time_ns,
                               uint32_t *ret);
// Says what has no names, and how to get them.
void hone_builder_comment_on_names(struct hone_profile_builder *builder);

// The labels of a thread, with what tells its samples apart besides, HONE_BUILDER_LABELS at most: a
// state, or the size of a block.
enum { HONE_BUILDER_LABELS = 4 };
uint32_t hone_builder_thread_labels(struct hone_profile_builder *builder, uint32_t thread_index,
                                    const struct hone_profile_label *more, size_t count);

// What is waited for at a stack of the profile: where the system call does not tell, the functions
// on it may.
enum hone_wait_kind hone_builder_wait_kind(const struct hone_profile_builder *builder,
                                           uint32_t stack, enum hone_wait_kind kind);

int64_t hone_builder_whole(double value); // rounded; 0 when it is no number that fits
// The same for one value after another: what rounding one has taken away or added, the next one
// gets, so that the sum of any that follow each other is less than one off. Values of samples that
// stand for 1.2 blocks each would all be 1 otherwise. `rest` begins with 0.
int64_t hone_builder_whole_of(double value, double *rest);

#endif
