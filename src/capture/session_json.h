// The parts of session.json. Private to its files.
#ifndef HONE_CAPTURE_SESSION_JSON_H
#define HONE_CAPTURE_SESSION_JSON_H

#include "capture/output.h"

#include <jansson.h>

json_t *hone_session_text(const char *bytes);
json_t *hone_session_number(uint64_t value);

// session_heap.c: what was seen of the heap; null: it was not recorded.
json_t *hone_session_heap(const struct hone_recording *recording,
                          const struct hone_recording_names *names);

// session_lock_order.c: what was held when another lock was taken; null: it was not recorded.
json_t *hone_session_lock_order(const struct hone_recording *recording,
                                const struct hone_recording_names *names);

#endif
