// Reads all there is in files of unknown health that name code, for the fuzzer and the tests that
// damage such files.
#ifndef HONE_SYMBOL_NAMES_READ_ALL_H
#define HONE_SYMBOL_NAMES_READ_ALL_H

#include "base/base.h"
#include "base/table.h"
#include "symbol/index.h"
#include "symbol/jit.h"
#include "symbol/kernel.h"

#include <string.h>

// Each returns how many names it found, so that nothing is optimised away.
static inline size_t hone_read_all_jit(const void *bytes, size_t len, bool dump)
{
    HONE_CLEANUP(hone_jit_freep) struct hone_jit *jit = NULL;
    if (hone_jit_new(&jit))
        return 0;
    (void)(dump ? hone_jit_read_dump(jit, bytes, len) : hone_jit_read_map(jit, bytes, len));
    size_t named = 0;
    for (uint64_t address = 0; address < 0x4000; address += 7) {
        struct hone_jit_name name;
        for (int late = 0; late < 2; late++)
            if (hone_jit_lookup(jit, address, late ? UINT64_MAX : 1000, &name) == 0)
                named += strlen(name.name) + strlen(name.file) + 1;
    }
    return named;
}

static inline size_t hone_read_all_kernel(const void *bytes, size_t len)
{
    HONE_CLEANUP(hone_arena_done) struct hone_arena arena = {0};
    struct hone_elf_functions functions = {0};
    unsigned char build_id[HONE_ELF_BUILD_ID_MAX];
    const char *text = bytes;
    // Its last part is the list of modules.
    const char *modules = memrchr(text, '\f', len);
    size_t kallsyms_len = modules ? (size_t)(modules - text) : len;
    size_t modules_len = modules ? len - kallsyms_len - 1 : 0;
    (void)hone_kernel_read(&arena, text, kallsyms_len, modules ? modules + 1 : "", modules_len,
                           &functions);
    size_t named = hone_kernel_build_id(bytes, len, build_id);
    for (size_t i = 0; i < functions.count; i++)
        named += strlen(functions.at[i].name) + (functions.at[i].end > functions.at[i].start);
    return named;
}

// Makes the sums of damaged bytes right, as whoever means harm would.
static inline void hone_resum(unsigned char *bytes, size_t len)
{
    struct hone_symbol_index_header header;
    if (len < sizeof header)
        return;
    memcpy(&header, bytes, sizeof header);
    uint64_t summed = header.parts[HONE_SYMBOL_INDEX_SUMS].offset;
    uint64_t blocks = header.parts[HONE_SYMBOL_INDEX_SUMS].count;
    if (summed <= len && blocks <= (len - summed) / sizeof(uint64_t)) {
        for (uint64_t i = 0; i < blocks; i++) {
            uint64_t offset = i * HONE_SYMBOL_INDEX_BLOCK;
            uint64_t left = offset < summed ? summed - offset : 0;
            size_t block = left < HONE_SYMBOL_INDEX_BLOCK ? left : HONE_SYMBOL_INDEX_BLOCK;
            uint64_t sum = hone_symbol_index_sum(bytes + (left ? offset : 0), block, i);
            memcpy(bytes + summed + i * sizeof sum, &sum, sizeof sum);
        }
        header.sums_sum = hone_symbol_index_sum(bytes + summed, blocks * sizeof(uint64_t), 0);
    }
    header.file_bytes = len;
    header.sum = hone_symbol_index_sum(&header, offsetof(struct hone_symbol_index_header, sum), 0);
    memcpy(bytes, &header, sizeof header);
}

static inline size_t hone_read_all_index(const void *bytes, size_t len)
{
    struct hone_symbol_index_header header;
    struct hone_symbol_index *index;
    if (len < sizeof header)
        return 0;
    memcpy(&header, bytes, sizeof header);
    if (header.build_id_len > sizeof header.build_id ||
        hone_symbol_index_open(bytes, len, header.build_id, header.build_id_len, &index))
        return 0;
    size_t named = strlen(hone_symbol_index_debug_path(index));
    uint64_t low = 0, segments = header.parts[HONE_SYMBOL_INDEX_SEGMENTS].offset;
    if (header.parts[HONE_SYMBOL_INDEX_SEGMENTS].count)
        memcpy(&low, (const unsigned char *)bytes + segments, sizeof low);
    for (uint64_t i = 0; i < 2000; i++) {
        struct hone_symbol_index_frames frames;
        if (hone_symbol_index_lookup(index, low + i * 37, &frames))
            continue;
        for (size_t at = 0; at < frames.count; at++) {
            struct hone_symbol_index_names names;
            if (hone_symbol_index_names(index, &frames.at[at], &names) == 0)
                named += strlen(names.label.at) + strlen(names.system_name.at) +
                         (names.name.at ? strlen(names.name.at) : 0) +
                         (names.file.at ? strlen(names.file.at) : 0);
        }
    }
    hone_symbol_index_close(index);
    return named;
}

#endif
