#include "convert/trie.h"

#include "base/array.h"

uint32_t hone_trie_child(struct hone_trie *trie, uint32_t parent, uint32_t frame)
{
    uint64_t hash =
        hone_hash_fold(((uint64_t)parent << 32 | frame) ^ 0x9e3779b97f4a7c15u, 0xe7037ed1a0b428dbu);
    struct hone_table_probe probe = hone_table_probe(&trie->table, hash);
    uint32_t at;
    while ((at = hone_table_next(&trie->table, &probe)) != HONE_TABLE_END)
        if (trie->at[at].parent == parent && trie->at[at].frame == frame)
            return at;
    uint32_t number = trie->count ? trie->count : 1;
    if (!hone_array_reserve(&trie->at, &trie->room, (uint64_t)number + 1, sizeof *trie->at) ||
        hone_table_add(&trie->table, hash, number))
        return 0;
    trie->at[number] = (struct hone_trie_node){parent, frame};
    trie->count = number + 1;
    return number;
}

uint32_t hone_trie_add(struct hone_trie *trie, const uint32_t *frames, uint32_t count)
{
    uint32_t node = 0;
    for (uint32_t i = 0; i < count; i++) {
        node = hone_trie_child(trie, node, frames[i]);
        if (!node)
            return 0;
    }
    return node;
}

void hone_trie_done(struct hone_trie *trie)
{
    free(trie->at);
    hone_table_done(&trie->table);
}
