#include "elf/code.h"

#include "base/cleanup.h"
#include "core/load.h"
#include "elf/elf.h"
#include "elf/go_rules.h"
#include "unwind/module_rules.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>

enum { HEADERS_MAX = 64 };

#if defined(__x86_64__)
enum { THIS_MACHINE = EM_X86_64 };
#else
enum { THIS_MACHINE = EM_AARCH64 };
#endif

static bool read_headers(const void *bytes, size_t size, struct hone_module_headers *ret)
{
    const Elf64_Ehdr *elf = bytes;
    if (size < sizeof *elf || memcmp(elf->e_ident, ELFMAG, SELFMAG) != 0 ||
        elf->e_ident[EI_CLASS] != ELFCLASS64 || elf->e_machine != THIS_MACHINE ||
        elf->e_phentsize != sizeof(Elf64_Phdr) || elf->e_phnum > HEADERS_MAX ||
        elf->e_phoff % sizeof(uint64_t) || elf->e_phoff > size ||
        elf->e_phnum * sizeof(Elf64_Phdr) > size - elf->e_phoff)
        return false;
    *ret = (struct hone_module_headers){
        .at = (const Elf64_Phdr *)((const char *)bytes + elf->e_phoff), .count = elf->e_phnum};
    return true;
}

static void find_segments(struct hone_elf_code *code, const struct hone_module_headers *headers)
{
    for (size_t i = 0; i < headers->count; i++) {
        const Elf64_Phdr *header = &headers->at[i];
        if (header->p_type != PT_LOAD || !(header->p_flags & PF_X) ||
            code->segment_count == HONE_ELF_CODE_SEGMENTS || header->p_offset > code->size ||
            header->p_filesz > code->size - header->p_offset)
            continue;
        code->segments[code->segment_count++] =
            (struct hone_elf_code_segment){header->p_vaddr, header->p_offset, header->p_filesz};
    }
}

// The bytes of the segment that an address of the file lies in.
static bool view_of(const struct hone_elf_code *code, const struct hone_module_headers *headers,
                    uint64_t address, struct hone_view *ret)
{
    for (size_t i = 0; i < headers->count; i++) {
        const Elf64_Phdr *header = &headers->at[i];
        if (header->p_type != PT_LOAD || address - header->p_vaddr >= header->p_filesz ||
            header->p_offset > code->size || header->p_filesz > code->size - header->p_offset)
            continue;
        *ret =
            (struct hone_view){code->bytes + header->p_offset, header->p_vaddr, header->p_filesz};
        return true;
    }
    return false;
}

// Rules with an index, where the loaded file has them.
static bool find_indexed_rules(struct hone_elf_code *code,
                               const struct hone_module_headers *headers)
{
    for (size_t i = 0; i < headers->count; i++) {
        struct hone_cfi cfi = {0};
        if (headers->at[i].p_type != PT_GNU_EH_FRAME ||
            !view_of(code, headers, headers->at[i].p_vaddr, &cfi.hdr))
            continue;
        uint64_t skip = headers->at[i].p_vaddr - cfi.hdr.address;
        cfi.hdr =
            (struct hone_view){cfi.hdr.at + skip, cfi.hdr.address + skip, cfi.hdr.size - skip};
        cfi.eh_frame = hone_cfi_eh_frame(&cfi.hdr);
        if (!cfi.eh_frame || !view_of(code, headers, cfi.eh_frame, &cfi.frames))
            return false;
        code->module.cfi = cfi;
        return true;
    }
    return false;
}

// Without an index the file's sections tell. Go's programs have rules in a form of their own.
static void find_other_rules(struct hone_elf_code *code)
{
    HONE_CLEANUP(hone_elf_closep) struct hone_elf *elf = NULL;
    if (hone_elf_open_memory(code->bytes, code->size, "", &elf, NULL))
        return;
    struct hone_elf_bytes frames = hone_elf_section(elf, ".eh_frame");
    // Not when it had to be unpacked: then it goes with `elf`.
    if (frames.at && frames.at >= code->bytes && frames.at < code->bytes + code->size) {
        code->module.cfi = (struct hone_cfi){.frames = {frames.at, frames.vaddr, frames.len},
                                             .eh_frame = frames.vaddr};
        return;
    }
    struct hone_elf_bytes table = hone_elf_section(elf, ".gopclntab");
    if (!table.at)
        table = hone_elf_section(elf, ".data.rel.ro.gopclntab");
    uint64_t free_address = (code->module.end + HONE_PAGE_BYTES) & ~(uint64_t)(HONE_PAGE_BYTES - 1);
    if (table.at)
        code->owns_rules =
            hone_elf_go_rules(table.at, table.len, hone_elf_section(elf, ".text").vaddr,
                              free_address, &code->module.cfi) == 0;
}

int hone_elf_code_map(int fd, uint64_t size, struct hone_elf_code *ret)
{
    void *bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED)
        return -errno;
    struct hone_elf_code code = {.bytes = bytes, .size = size};
    struct hone_module_headers headers;
    if (!read_headers(bytes, size, &headers) ||
        hone_module_describe_file(&code.module, &headers, fd)) {
        (void)munmap(bytes, size);
        return -ENOEXEC;
    }
    find_segments(&code, &headers);
    if (!find_indexed_rules(&code, &headers))
        find_other_rules(&code);
    *ret = code;
    return 0;
}

void hone_elf_code_unmap(struct hone_elf_code *code)
{
    if (code->owns_rules)
        free((void *)code->module.cfi.frames.at);
    if (code->bytes)
        (void)munmap((void *)code->bytes, code->size);
    *code = (struct hone_elf_code){0};
}

bool hone_elf_code_address(const struct hone_elf_code *code, uint64_t offset, uint64_t *ret)
{
    for (uint32_t i = 0; i < code->segment_count; i++) {
        const struct hone_elf_code_segment *segment = &code->segments[i];
        uint64_t floor = segment->offset & ~(uint64_t)(HONE_PAGE_BYTES - 1);
        if (offset < floor || offset >= segment->offset + segment->size)
            continue;
        *ret = offset + (segment->address - segment->offset);
        return true;
    }
    return false;
}

const struct hone_elf_code *hone_elf_code_vdso(void)
{
    static struct hone_elf_code vdso;
    uint64_t start = getauxval(AT_SYSINFO_EHDR);
    if (vdso.bytes || !start)
        return vdso.segment_count ? &vdso : NULL;
    vdso.bytes = (const uint8_t *)(uintptr_t)start; // NOLINT(performance-no-int-to-ptr)
    struct hone_module_headers headers;
    if (!read_headers(vdso.bytes, HONE_PAGE_BYTES, &headers))
        return NULL;
    for (size_t i = 0; i < headers.count; i++)
        if (headers.at[i].p_type == PT_LOAD)
            vdso.size = headers.at[i].p_offset + headers.at[i].p_filesz;
    headers.bias = start;
    if (hone_module_describe(&vdso.module, &headers))
        return NULL;
    hone_module_rules_in_place(&vdso.module, &headers);
    // In ours it lies at `start`; others get it where they have it.
    vdso.module.start -= start;
    vdso.module.end -= start;
    vdso.module.text_start -= start;
    vdso.module.text_end -= start;
    vdso.module.bias = 0;
    find_segments(&vdso, &headers);
    return vdso.segment_count ? &vdso : NULL;
}
