// Records that wait until they may be handed out in the order of time. Private to perf_stream.c.
#ifndef HONE_CONVERT_PERF_ORDER_H
#define HONE_CONVERT_PERF_ORDER_H

#include "convert/perf_stream.h"
#include "convert/perf_unpack.h"

enum { HONE_PERFDATA_WAITING_MAX = 4 << 20 }; // records: 160 MB of memory here, some GB of the file

// A record that waits for those that are older.
struct hone_perfdata_waiting {
    uint64_t time_ns;
    const uint8_t *at;
    uint32_t size, event; // event: plus one; 0: of none
    struct hone_perfdata_block *block;
};

struct hone_perfdata_order {
    struct hone_perfdata_stream *stream;
    const struct hone_perfdata_handler *handler;
    struct hone_perfdata_waiting *waiting, *spare; // two of `room`
    uint32_t count, room;
    uint64_t newest_ns; // of all records so far
    uint64_t handed_ns; // what was handed out is not younger
};

void hone_perfdata_order_done(struct hone_perfdata_order *order);

// Lets a record wait. Returns 0 or -ENOMEM; there is no limit but the caller's.
int hone_perfdata_order_add(struct hone_perfdata_order *order,
                            const struct hone_perfdata_waiting *waiting);

// Hands out one that does not wait.
int hone_perfdata_order_pass(struct hone_perfdata_order *order,
                             const struct hone_perfdata_waiting *waiting);

// Hands out what is not younger than `until_ns`, and not more than `most` records.
int hone_perfdata_order_hand_out(struct hone_perfdata_order *order, uint64_t until_ns,
                                 uint32_t most);

#endif
