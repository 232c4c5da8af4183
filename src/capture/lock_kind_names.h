// What the kinds of locks are called.
#ifndef HONE_CAPTURE_LOCK_KIND_NAMES_H
#define HONE_CAPTURE_LOCK_KIND_NAMES_H

#include "session/layout.h"

// In profiles and session.json: "mutex", "rwlock" for both of its kinds, …
const char *hone_lock_kind_name(enum hone_lock_kind kind);

// Where it matters which of them, in JSON of who is stuck: "mutex", "read", "write", …
const char *hone_lock_kind_key(enum hone_lock_kind kind);

// For people: "mutex", "read-write lock (reading)", …
const char *hone_lock_kind_words(enum hone_lock_kind kind);

#endif
