#include "profile/ids.h"

#include <errno.h>
#include <stdlib.h>

int hone_ids_init(struct hone_ids *ids, uint32_t message_count)
{
    *ids = (struct hone_ids){.dense_count = (uint64_t)message_count + 1};
    ids->dense = calloc(ids->dense_count, sizeof *ids->dense);
    return ids->dense ? 0 : -ENOMEM;
}

void hone_ids_done(struct hone_ids *ids)
{
    free(ids->dense);
    free(ids->sparse);
    hone_table_done(&ids->table);
}

static uint64_t hash_id(uint64_t id)
{
    return hone_table_hash(&id, sizeof id, hone_table_seed());
}

uint32_t hone_ids_find_sparse(const struct hone_ids *ids, uint64_t id)
{
    struct hone_table_probe probe = hone_table_probe(&ids->table, hash_id(id));
    uint32_t at;
    while ((at = hone_table_next(&ids->table, &probe)) != HONE_TABLE_END)
        if (ids->sparse[at].id == id)
            return ids->sparse[at].number;
    return 0;
}

int hone_ids_add(struct hone_ids *ids, uint64_t id, uint32_t number)
{
    if (id < ids->dense_count) {
        ids->dense[id] = number;
        return 0;
    }
    if (ids->sparse_count == ids->sparse_room) {
        uint32_t room = ids->sparse_room ? ids->sparse_room * 2 : 64;
        struct hone_ids_pair *sparse = reallocarray(ids->sparse, room, sizeof *sparse);
        if (!sparse)
            return -ENOMEM;
        ids->sparse = sparse;
        ids->sparse_room = room;
    }
    ids->sparse[ids->sparse_count] = (struct hone_ids_pair){id, number};
    int r = hone_table_add(&ids->table, hash_id(id), ids->sparse_count);
    if (!r)
        ids->sparse_count++;
    return r;
}
