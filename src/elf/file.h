// What the files of this room share about an open ELF file.
#ifndef HONE_ELF_FILE_H
#define HONE_ELF_FILE_H

#include "base/base.h"
#include "elf/elf.h"

#include <elf.h>

struct hone_elf_section {
    const char *name; // "" when it has none
    Elf64_Shdr header;
    unsigned char *decompressed; // heap, made on first use
    size_t decompressed_len;
    bool unusable; // broken compression: tried once
};

struct hone_elf {
    const unsigned char *bytes;
    size_t len;
    struct hone_file_map map; // empty when the bytes are borrowed
    struct hone_arena arena;
    char *path;
    struct hone_elf_facts facts;
    struct hone_elf_section *sections;
    size_t section_count;
    Elf64_Phdr *programs;
    size_t program_count;
};

// The section at index, decompressed; at is NULL when it has no bytes.
struct hone_elf_bytes hone_elf_section_bytes(struct hone_elf *elf, size_t index);

// NULL when there is none.
struct hone_elf_section *hone_elf_section_named(struct hone_elf *elf, const char *name);

#endif
