// The records of a perf.data, in the order of time.
//
// perf writes what it finds in one CPU's buffer after what it found in another's, so records near
// each other are not in order. After each round over all buffers it says so: whatever comes later
// is younger than the newest record of the round before. So two rounds are kept and sorted, and not
// the file. Where each CPU's buffer has a file of its own (parts), these are in order, and merged.
// Compressed records are unpacked into blocks that live as long as records in them wait.
#ifndef HONE_CONVERT_PERF_STREAM_H
#define HONE_CONVERT_PERF_STREAM_H

#include "base/error.h"
#include "convert/perf_info.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Records that perf adds to those of the kernel (tools/lib/perf/include/perf/event.h).
enum {
    HONE_PERFDATA_HEADER_ATTR = 64,
    HONE_PERFDATA_TRACING_DATA = 66,
    HONE_PERFDATA_HEADER_BUILD_ID = 67,
    HONE_PERFDATA_FINISHED_ROUND = 68,
    HONE_PERFDATA_AUXTRACE = 71,
    HONE_PERFDATA_EVENT_UPDATE = 78,
    HONE_PERFDATA_HEADER_FEATURE = 80,
    HONE_PERFDATA_COMPRESSED = 81,
    HONE_PERFDATA_COMPRESSED2 = 83,
};

// One record, whole with its header; any alignment.
struct hone_perfdata_record {
    uint64_t time_ns; // 0: it has none
    const uint8_t *at;
    size_t size;
    struct hone_perfdata_event *event; // NULL: of none that we know
};

// What does not come in order of the file: each record, and that bytes of earlier ones go away when
// it returns. Each returns 0 or a negative errno, which ends the reading.
struct hone_perfdata_handler {
    int (*record)(void *context, const struct hone_perfdata_record *record);
    int (*settle)(void *context);
    void *context;
};

enum hone_perfdata_damage {
    HONE_PERFDATA_WHOLE,
    HONE_PERFDATA_CUT,        // the file ends within the record that begins there
    HONE_PERFDATA_NO_RECORD,  // nothing that begins there makes sense, and reading ended
    HONE_PERFDATA_NOT_PACKED, // compressed data is broken in the record that begins there
};

// What was not as it should be.
struct hone_perfdata_losses {
    enum hone_perfdata_damage damage; // the first
    uint64_t damaged_at;
    const struct hone_perfdata_part *damaged_part; // NULL: the file itself
    uint64_t late; // records that came after younger ones had been handed out
    uint64_t auxtrace_bytes;
    bool unfinished; // perf was killed before it could write the end
    bool short_file; // its header promises more bytes than there are
};

// A file with nothing but records, of one CPU's buffer.
struct hone_perfdata_part {
    const uint8_t *bytes;
    size_t len;
    uint32_t number; // in its name
};

struct hone_perfdata_stream {
    const uint8_t *bytes;
    size_t len;
    const char *name;
    bool is_mapped;                         // of files: pages that were read can be given back
    const struct hone_perfdata_part *parts; // the caller's
    uint32_t part_count;
    size_t data_at, data_end;
    bool is_pipe;
    struct hone_perfdata_info info;
    struct hone_perfdata_losses losses;
};

// Reads the header: events and features. Fails when it is none that we can read.
int hone_perfdata_open(const void *bytes, size_t len, const char *name,
                       struct hone_perfdata_stream *ret, struct hone_error *err);
void hone_perfdata_close(struct hone_perfdata_stream *stream);

// Hands out all records. A file that is damaged from some place on is no error: `losses` tells.
int hone_perfdata_run(struct hone_perfdata_stream *stream,
                      const struct hone_perfdata_handler *handler);

// Of a mapped file, pages that were read go back to the system; who needs one again has it again.
void hone_perfdata_give_back(const struct hone_perfdata_stream *stream);

// Whether bytes begin a perf.data: 0 no, else what kind.
enum hone_perfdata_kind {
    HONE_PERFDATA_NONE,
    HONE_PERFDATA_VERSION_2,
    HONE_PERFDATA_VERSION_1,  // of 2009
    HONE_PERFDATA_OTHER_ORDER // of a machine with the other byte order
};
enum hone_perfdata_kind hone_perfdata_kind(const void *bytes, size_t len);

#endif
