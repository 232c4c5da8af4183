// The parts of session.json. Private to its files.
#ifndef HONE_CAPTURE_SESSION_JSON_H
#define HONE_CAPTURE_SESSION_JSON_H

#include "capture/output.h"

#include <jansson.h>

json_t *hone_session_text(const char *bytes);
json_t *hone_session_number(uint64_t value);
// session_wall.c: what was waited for; null: it was not recorded.
json_t *hone_session_wall(const struct hone_recording *recording);
json_t *hone_session_block(const struct hone_recording *recording);

// By how stacks end.
extern const char *const hone_session_end_names[HONE_STACK_ENDS];

// The functions of a stack, innermost first; null: it has no names.
json_t *hone_session_stack(const struct hone_profile *profile, const uint32_t *stacks,
                           uint32_t stack);

// session_threads.c: who created threads, how many and how long they lived; null: they were not
// recorded.
json_t *hone_session_threads(const struct hone_recording *recording,
                             const struct hone_recording_names *names);

// session_heap.c: what was seen of the heap; null: it was not recorded.
json_t *hone_session_heap(const struct hone_recording *recording,
                          const struct hone_recording_names *names);

// session_locks.c: what was seen of locks; null: they were not recorded.
json_t *hone_session_locks(const struct hone_recording *recording,
                           const struct hone_recording_names *names);

// Of which processes nothing, or not all, was seen of locks, and why.
json_t *hone_session_lock_reasons(const struct hone_collected *collected);

// session_lock_order.c: what was held when another lock was taken; null: it was not recorded.
json_t *hone_session_lock_order(const struct hone_recording *recording,
                                const struct hone_recording_names *names);

#endif
