// elf: reads ELF files of 64-bit little-endian machines, their symbols, their separate debug files
// and (dwarf.h) their DWARF.
//
//     HONE_CLEANUP(hone_elf_closep) struct hone_elf *elf = NULL;
//     int r = hone_elf_open(path, &elf, err);
//
// It promises that any bytes give an answer or an error: each offset and length in a file is
// checked before use, and nothing is believed twice. A file is mapped, not read, so what is not
// asked for costs nothing; a file that another process cuts short while we read can still end us
// (SIGBUS), as with every tool that maps files.
//
// Left to others: names for people (symbol/), which process ran the file.
//
// Threads  one at a time for each file.
#ifndef HONE_ELF_ELF_H
#define HONE_ELF_ELF_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hone_elf;

enum { HONE_ELF_BUILD_ID_MAX = 64 };

// Errors: -errno of the system; -EBADMSG: not an ELF file, or broken; -ENOTSUP: 32-bit or
// big-endian.
int hone_elf_open(const char *path, struct hone_elf **ret, struct hone_error *err);

// The same on bytes in memory, which are borrowed until hone_elf_close(); name is for messages.
int hone_elf_open_memory(const void *bytes, size_t len, const char *name, struct hone_elf **ret,
                         struct hone_error *err);
void hone_elf_close(struct hone_elf *elf);

static inline void hone_elf_closep(struct hone_elf **elf)
{
    hone_elf_close(*elf);
}

const char *hone_elf_path(const struct hone_elf *elf);

// A loaded segment.
struct hone_elf_segment {
    uint64_t vaddr;
    uint64_t offset;
    uint64_t file_size;
    uint64_t memory_size;
    bool executable;
    bool writable;
};

// What the headers say.
struct hone_elf_facts {
    unsigned char build_id[HONE_ELF_BUILD_ID_MAX];
    size_t build_id_len; // 0: none
    uint16_t machine;    // EM_X86_64, EM_AARCH64, …
    bool executable;     // ET_EXEC, or a position-independent program (DF_1_PIE, or an interpreter)
    bool pie;            // a program that loads anywhere
    bool interpreter;    // has a program interpreter, so a library can be preloaded
    bool dynamic;        // has a dynamic section; a program without an interpreter is static
    bool go;             // built by Go's own compiler: goroutine stacks, no .eh_frame
    const struct hone_elf_segment *segments; // PT_LOAD only, in file order
    size_t segment_count;
};

const struct hone_elf_facts *hone_elf_facts(const struct hone_elf *elf);

// File offset to virtual address and back, through the loaded segments. False: in no segment.
bool hone_elf_offset_to_vaddr(const struct hone_elf *elf, uint64_t offset, uint64_t *ret);
bool hone_elf_vaddr_to_offset(const struct hone_elf *elf, uint64_t vaddr, uint64_t *ret);

// A section's bytes, decompressed if need be; owned by elf. at is NULL when there is no such
// section, or it has no bytes in this file, or they cannot be had (broken compression).
struct hone_elf_bytes {
    const unsigned char *at;
    size_t len;
    uint64_t vaddr;
};
struct hone_elf_bytes hone_elf_section(struct hone_elf *elf, const char *name);

// The file's bytes of an executable segment from vaddr on, at most len of them: as many as the file
// holds. at is NULL when there are none.
struct hone_elf_bytes hone_elf_code(const struct hone_elf *elf, uint64_t vaddr, size_t len);

#endif
