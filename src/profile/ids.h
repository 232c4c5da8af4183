// The ids that a file gives its mappings, functions or locations, to our numbers. Private to this
// room.
//
// Ids up to the count of messages, which is what everybody writes, are found by place, any others
// through a table.
#ifndef HONE_PROFILE_IDS_H
#define HONE_PROFILE_IDS_H

#include "base/table.h"

#include <stdint.h>

struct hone_ids {
    uint32_t *dense; // by id: the number, 0 where there is none
    uint64_t dense_count;
    struct hone_table table;
    struct hone_ids_pair {
        uint64_t id;
        uint32_t number;
    } * sparse;
    uint32_t sparse_count;
    uint32_t sparse_room;
};

// Returns 0 or -ENOMEM.
int hone_ids_init(struct hone_ids *ids, uint32_t message_count);
void hone_ids_done(struct hone_ids *ids);

// Adds an id that is not there yet. Returns 0 or -ENOMEM.
int hone_ids_add(struct hone_ids *ids, uint64_t id, uint32_t number);

uint32_t hone_ids_find_sparse(const struct hone_ids *ids, uint64_t id);

// The number of an id, 0 if it has none.
static inline uint32_t hone_ids_find(const struct hone_ids *ids, uint64_t id)
{
    return id < ids->dense_count ? ids->dense[id] : hone_ids_find_sparse(ids, id);
}

#endif
