// What a perf.data says of itself: its events, and the features (who recorded what, when, where).
#ifndef HONE_CONVERT_PERF_INFO_H
#define HONE_CONVERT_PERF_INFO_H

#include "base/arena.h"
#include "base/error.h"
#include "base/table.h"

#include <linux/perf_event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HONE_PERFDATA_EVENTS_MAX = 4096,
    HONE_PERFDATA_BUILD_ID_MAX = 20,
    HONE_PERFDATA_PATH_MAX = 4096,
};

// One event that was sampled. Where its time and its id are in a record, in bytes: of samples from
// the record's beginning, of others back from its end; 0: they have none.
struct hone_perfdata_event {
    struct perf_event_attr attr; // what an older perf did not write is zero
    const char *name;            // with its modifiers
    unsigned register_count;     // of each sample
    unsigned sample_time, trailer_time, trailer_bytes;
    uint64_t samples; // met so far
};

// A file with code that was met while recording.
struct hone_perfdata_build_id {
    const char *path;
    uint8_t bytes[HONE_PERFDATA_BUILD_ID_MAX];
    uint8_t size;
};

struct hone_perfdata_info {
    struct hone_arena arena;
    struct hone_perfdata_event *events;
    uint32_t event_count, event_room;
    struct {
        uint64_t id;
        uint32_t event;
    } * ids;
    uint32_t id_count, id_room;
    struct hone_table id_table, path_table;
    uint64_t seed;
    bool by_identifier; // where a record's id is does not depend on its event
    struct hone_perfdata_build_id *build_ids;
    uint32_t build_id_count, build_id_room;
    const char *host, *release, *perf_version, *machine, *processor, *command; // "" unknown
    uint32_t cpus;                                                             // 0: unknown
    uint64_t first_ns, last_ns; // of the samples; 0: unknown
    bool has_clock;
    uint64_t clock_ns, wall_ns; // the same moment by the samples' clock and since 1970
    bool in_parts;              // of a directory: records lie in its other files
    bool out_of_memory;
};

void hone_perfdata_info_init(struct hone_perfdata_info *info);
void hone_perfdata_info_done(struct hone_perfdata_info *info);

// An event's description as perf writes it, `len` bytes, and its ids. Returns 0; -EBADMSG; -EFBIG:
// too many; -ENOMEM.
int hone_perfdata_add_event(struct hone_perfdata_info *info, const uint8_t *attr, size_t len,
                            const uint8_t *ids, size_t ids_len);

// One feature's bytes. What makes no sense is passed over.
void hone_perfdata_add_feature(struct hone_perfdata_info *info, uint32_t feature,
                               const uint8_t *bytes, size_t len);

// What a record EVENT_UPDATE tells: an event's name.
void hone_perfdata_update_event(struct hone_perfdata_info *info, const uint8_t *bytes, size_t len);

// A record HEADER_BUILD_ID, with its header.
void hone_perfdata_add_build_id(struct hone_perfdata_info *info, const uint8_t *bytes, size_t len);

// The build id that was told of a path. NULL: none.
const struct hone_perfdata_build_id *
hone_perfdata_build_id_of(const struct hone_perfdata_info *info, const char *path);

// After all events are known: what to call those that nobody named.
void hone_perfdata_name_events(struct hone_perfdata_info *info);

// The event that a record, whole with its header, belongs to. NULL: none that we know.
struct hone_perfdata_event *hone_perfdata_event_of(struct hone_perfdata_info *info,
                                                   const uint8_t *record, size_t size);

#endif
