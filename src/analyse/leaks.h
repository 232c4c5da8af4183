// What is leaked, by stack, from a profile that `hone record` wrote of it (leaks.prof), without
// what a list of suppressions in LeakSanitizer's format names.
#ifndef HONE_ANALYSE_LEAKS_H
#define HONE_ANALYSE_LEAKS_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hone_profile;

// --- suppressions --------------------------------------------------------------------------------

struct hone_suppressions;

// Lines of "leak:PATTERN"; empty ones and those that begin with '#' are skipped. A pattern matches
// anywhere in the name of a function, source file or module of a stack; * is any text, ^ at its
// beginning and $ at its end hold it there. Returns 0; -EINVAL with the line in err; -ENOMEM.
int hone_suppressions_parse(const char *text, size_t len, const char *name,
                            struct hone_suppressions **ret, struct hone_error *err);
int hone_suppressions_read(const char *path, struct hone_suppressions **ret,
                           struct hone_error *err);
void hone_suppressions_free(struct hone_suppressions *suppressions);
static inline void hone_suppressions_freep(struct hone_suppressions **suppressions)
{
    hone_suppressions_free(*suppressions);
}

// Whether text matches a pattern as above.
bool hone_suppression_matches(const char *pattern, const char *text);

// --- leaks ---------------------------------------------------------------------------------------

struct hone_leak_row {
    uint32_t stack;                   // of those that read alike, the first
    int64_t objects, bytes;           // that nothing points to
    int64_t indirect, indirect_bytes; // that only such blocks point to
};

// What a pattern has taken away.
struct hone_leak_suppressed {
    const char *pattern; // of the suppressions
    int64_t objects, bytes;
};

struct hone_leaks {
    struct hone_leak_row *rows; // the most bytes first
    uint32_t count;
    struct hone_leak_suppressed *suppressed; // in the order of the list, those that matched
    uint32_t suppressed_count;
    // Of the rows; of all that lives and is no leak; of the latter what only memory points to that
    // the program or its allocator mapped; of what was suppressed.
    int64_t objects, bytes, reachable, reachable_bytes, mapped, mapped_bytes;
    int64_t hidden, hidden_bytes;
    uint32_t small_count; // rows below a threshold, which are counted above and not listed
    int64_t small, small_bytes;
    bool none_looked; // no process was looked through: nothing is known
    bool some_not;    // one at least was not, or blocks were lost
    // The same but for what execve() replaced, as it does in each wrapper: a test must not fail.
    bool some_unknown;
    bool some_uncounted; // the rate was changed meanwhile, or blocks were made before the recording
};

// Returns 0; -EINVAL with err filled: it is no such profile; -ENOMEM. suppressions may be NULL, and
// outlive ret.
int hone_leaks_new(const struct hone_profile *profile, const struct hone_suppressions *suppressions,
                   struct hone_leaks *ret, struct hone_error *err);
void hone_leaks_done(struct hone_leaks *leaks);
// Takes rows of fewer bytes off the list.
void hone_leaks_leave_small(struct hone_leaks *leaks, int64_t bytes);

// The pattern, by its place in the list, that a stack matches; UINT32_MAX: none.
uint32_t hone_suppressions_find(const struct hone_suppressions *suppressions,
                                const struct hone_profile *profile, uint32_t stack);
uint32_t hone_suppressions_count(const struct hone_suppressions *suppressions);
const char *hone_suppressions_pattern(const struct hone_suppressions *suppressions, uint32_t place);

#endif
