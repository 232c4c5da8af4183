// The first screen on the locks of a recording: those that others wait for most, and what is wrong
// with them, as text for people and as JSON.
#ifndef HONE_VIEW_LOCKS_H
#define HONE_VIEW_LOCKS_H

#include "analyse/locks.h"
#include "base/buffer.h"
#include "base/error.h"

#include <stdint.h>

struct hone_locks_view {
    const struct hone_locks_facts *facts;
    const struct hone_lock_findings *findings;
    const char *directory; // of the recording, for the commands that are named
    uint32_t rows;         // locks shown, at most; findings are of these
    uint32_t width;        // columns; longer names are cut. 0: never
};

// Each returns 0 or -ENOMEM.
int hone_text_locks(const struct hone_locks_view *view, struct hone_buffer *out,
                    struct hone_error *err);
int hone_json_locks(const struct hone_locks_view *view, struct hone_buffer *out,
                    struct hone_error *err);

#endif
