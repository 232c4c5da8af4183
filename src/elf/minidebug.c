// .gnu_debugdata ("MiniDebugInfo"): an xz-compressed ELF file inside a stripped one, which holds a
// .symtab of the functions that .dynsym does not export.
#include "elf/symbol.h"

#include <lzma.h>
#include <stdlib.h>

// The largest seen is under 3 MiB (a browser's); the limit is for hostile files.
enum { MINI_DEBUG_MAX = 128 << 20, MINI_DEBUG_FIRST = 1 << 20, LZMA_MEMORY_MAX = 128 << 20 };

static bool unpack(const unsigned char *at, size_t len, unsigned char **ret, size_t *ret_len)
{
    for (size_t room = MINI_DEBUG_FIRST; room <= MINI_DEBUG_MAX; room *= 2) {
        HONE_CLEANUP(hone_freep) unsigned char *bytes = malloc(room);
        if (!bytes)
            return false;
        uint64_t memory = LZMA_MEMORY_MAX;
        size_t in = 0, out = 0;
        lzma_ret r = lzma_stream_buffer_decode(&memory, 0, NULL, at, &in, len, bytes, &out, room);
        if (r == LZMA_OK) {
            *ret = hone_take(bytes);
            *ret_len = out;
            return true;
        }
        if (r != LZMA_BUF_ERROR)
            return false;
    }
    return false;
}

bool hone_elf_read_mini_debug(struct hone_elf *elf, struct hone_arena *arena,
                              struct hone_elf_symbols *symbols)
{
    struct hone_elf_bytes packed = hone_elf_section(elf, ".gnu_debugdata");
    HONE_CLEANUP(hone_freep) unsigned char *bytes = NULL;
    size_t len = 0;
    if (!packed.at || !unpack(packed.at, packed.len, &bytes, &len))
        return false;
    // In the arena, because names point into it.
    void *kept = hone_arena_alloc(arena, len ? len : 1);
    if (!kept) {
        symbols->failed = true;
        return false;
    }
    memcpy(kept, bytes, len);
    HONE_CLEANUP(hone_elf_closep) struct hone_elf *mini = NULL;
    if (hone_elf_open_memory(kept, len, ".gnu_debugdata", &mini, NULL))
        return false;
    return hone_elf_read_table(mini, SHT_SYMTAB, HONE_ELF_FROM_MINI_DEBUG, arena, symbols);
}
