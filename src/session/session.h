// session: memory shared between profiled processes and one reader. layout.h is its specification,
// writer.h the guest's side (no libc call, safe in handlers), reader.h and owner.h the reader's. It
// promises that what was written survives the writer's death, that no write can fault for want of
// memory, and that the reader survives any content. It leaves to probe/ what is written and to
// capture/ what becomes of it.
#ifndef HONE_SESSION_SESSION_H
#define HONE_SESSION_SESSION_H

#include "session/layout.h"
#include "session/owner.h"
#include "session/reader.h"
#include "session/writer.h"

#endif
