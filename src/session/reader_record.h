// One record of a session, checked and handed on as an event.
//
// Threads: any.  Signals: as safe as the event is.
#ifndef HONE_SESSION_READER_RECORD_H
#define HONE_SESSION_READER_RECORD_H

#include "session/reader.h"

//     data       len bytes, a private copy: nobody writes to it meanwhile
//     most_ns    CPU time that a process may have used by now
struct hone_record_copy {
    enum hone_record_kind kind;
    uint32_t len;
    const void *data;
    uint64_t most_ns;
};

// False: it contradicts its kind, and nothing was told. number is the process's.
bool hone_record_tell(const struct hone_record_copy *record,
                      const struct hone_reader_events *events, void *context, uint32_t number);

#endif
