// Sections and their compression: SHF_COMPRESSED (zlib, zstd), and GNU's older .zdebug_* with its
// own header.
#include "elf/cursor.h"
#include "elf/file.h"

#include <endian.h>
#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <zstd.h>

#ifndef ELFCOMPRESS_ZSTD
#define ELFCOMPRESS_ZSTD 2 // in <elf.h> since glibc 2.37
#endif

// zlib cannot expand further than this, so a larger promised size is a lie (zlib's documentation:
// "1032:1 maximum compression factor"), and we do not allocate for lies.
enum { ZLIB_MAX_RATIO = 1032 };

// A block of at most 128 KiB takes 3 bytes of header and one of content (RFC 8878).
enum { ZSTD_MAX_RATIO = 128 * 1024 / 4 };

// Sections of tens of megabytes are written once and read through: with huge pages the kernel
// clears and maps them in a few steps (libc's debug file: a quarter of all time went there).
static void *alloc_large(size_t len)
{
    enum { HUGE_PAGE = 2 << 20 };
    if (len < 2 * HUGE_PAGE)
        return malloc(len);
    void *at = aligned_alloc(HUGE_PAGE, (len + HUGE_PAGE - 1) & ~(size_t)(HUGE_PAGE - 1));
    if (at)
        (void)madvise(at, len, MADV_HUGEPAGE);
    return at;
}

static void inflate(struct hone_elf_section *section, const unsigned char *at, size_t len,
                    uint64_t promised)
{
    section->unusable = true;
    if (promised == 0 || promised / ZLIB_MAX_RATIO > len + 64)
        return;
    HONE_CLEANUP(hone_freep) unsigned char *bytes = alloc_large(promised);
    struct libdeflate_decompressor *decompressor = libdeflate_alloc_decompressor();
    if (bytes && decompressor &&
        libdeflate_zlib_decompress(decompressor, at, len, bytes, promised, NULL) ==
            LIBDEFLATE_SUCCESS) {
        section->decompressed = hone_take(bytes);
        section->decompressed_len = promised;
        section->unusable = false;
    }
    libdeflate_free_decompressor(decompressor);
}

// One frame or several, which may not know how much they hold: the section's header says it.
static void expand(struct hone_elf_section *section, const unsigned char *at, size_t len,
                   uint64_t promised)
{
    section->unusable = true;
    if (promised == 0 || promised / ZSTD_MAX_RATIO > len)
        return;
    HONE_CLEANUP(hone_freep) unsigned char *bytes = alloc_large(promised);
    if (!bytes || ZSTD_decompress(bytes, promised, at, len) != promised)
        return;
    section->decompressed = hone_take(bytes);
    section->decompressed_len = promised;
    section->unusable = false;
}

static void decompress(struct hone_elf_section *section, const unsigned char *at, size_t len)
{
    struct hone_cursor cursor = hone_cursor(at, len);
    uint64_t promised = 0;
    uint32_t type = ELFCOMPRESS_ZLIB;
    if (section->header.sh_flags & SHF_COMPRESSED) {
        type = hone_read_u32(&cursor);
        (void)hone_read_u32(&cursor);
        promised = hone_read_u64(&cursor);
        (void)hone_read_u64(&cursor);
        cursor.failed |= type != ELFCOMPRESS_ZLIB && type != ELFCOMPRESS_ZSTD;
    } else {
        cursor.failed = len < 12 || memcmp(at, "ZLIB", 4) != 0;
        (void)hone_read_u32(&cursor);
        promised = be64toh(hone_read_u64(&cursor));
    }
    if (cursor.failed)
        section->unusable = true;
    else if (type == ELFCOMPRESS_ZSTD)
        expand(section, cursor.at, hone_cursor_left(&cursor), promised);
    else
        inflate(section, cursor.at, hone_cursor_left(&cursor), promised);
}

struct hone_elf_bytes hone_elf_section_bytes(struct hone_elf *elf, size_t index)
{
    struct hone_elf_bytes none = {0};
    if (index >= elf->section_count)
        return none;
    struct hone_elf_section *section = &elf->sections[index];
    uint64_t offset = section->header.sh_offset, len = section->header.sh_size;
    if (section->header.sh_type == SHT_NOBITS || section->header.sh_type == SHT_NULL ||
        offset > elf->len || len > elf->len - offset || section->unusable)
        return none;
    struct hone_elf_bytes bytes = {elf->bytes + offset, len, section->header.sh_addr};
    bool packed =
        section->header.sh_flags & SHF_COMPRESSED || strncmp(section->name, ".zdebug", 7) == 0;
    if (!packed)
        return bytes;
    if (!section->decompressed)
        decompress(section, bytes.at, bytes.len);
    if (!section->decompressed)
        return none;
    return (struct hone_elf_bytes){section->decompressed, section->decompressed_len, bytes.vaddr};
}

struct hone_elf_section *hone_elf_section_named(struct hone_elf *elf, const char *name)
{
    for (size_t i = 0; i < elf->section_count; i++) {
        if (strcmp(elf->sections[i].name, name) == 0)
            return &elf->sections[i];
    }
    // ".debug_info" may be there as ".zdebug_info".
    if (strncmp(name, ".debug", 6) != 0)
        return NULL;
    for (size_t i = 0; i < elf->section_count; i++) {
        if (strncmp(elf->sections[i].name, ".zdebug", 7) == 0 &&
            strcmp(elf->sections[i].name + 2, name + 1) == 0)
            return &elf->sections[i];
    }
    return NULL;
}

struct hone_elf_bytes hone_elf_section(struct hone_elf *elf, const char *name)
{
    struct hone_elf_section *section = hone_elf_section_named(elf, name);
    if (!section)
        return (struct hone_elf_bytes){0};
    return hone_elf_section_bytes(elf, (size_t)(section - elf->sections));
}
