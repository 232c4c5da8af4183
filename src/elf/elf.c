#include "elf/elf.h"

#include "base/base.h"
#include "elf/cursor.h"
#include "elf/file.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

// A range of the file that is really there.
static const unsigned char *file_range(const struct hone_elf *elf, uint64_t offset, uint64_t len)
{
    if (offset > elf->len || len > elf->len - offset)
        return NULL;
    return elf->bytes + offset;
}

static int broken(const struct hone_elf *elf, struct hone_error *err, const char *what)
{
    return hone_error_set(err, -EBADMSG, "'%s' is not a sound ELF file: %s", elf->path, what);
}

static const char *text_at(const unsigned char *table, uint64_t len, uint64_t offset)
{
    if (!table || offset >= len || !memchr(table + offset, 0, len - offset))
        return NULL;
    return (const char *)table + offset;
}

static int read_sections(struct hone_elf *elf, const Elf64_Ehdr *header, struct hone_error *err)
{
    if (!header->e_shoff)
        return 0;
    const unsigned char *first = file_range(elf, header->e_shoff, sizeof(Elf64_Shdr));
    if (!first || header->e_shentsize != sizeof(Elf64_Shdr))
        return broken(elf, err, "section headers lie outside");
    Elf64_Shdr zero;
    memcpy(&zero, first, sizeof zero);
    // Counts that do not fit the header's 16 bits are kept in section 0.
    uint64_t count = header->e_shnum ? header->e_shnum : zero.sh_size;
    uint64_t names = header->e_shstrndx == SHN_XINDEX ? zero.sh_link : header->e_shstrndx;
    if (count > elf->len / sizeof(Elf64_Shdr) ||
        !file_range(elf, header->e_shoff, count * sizeof(Elf64_Shdr)))
        return broken(elf, err, "section headers lie outside");

    elf->sections = hone_arena_zalloc(&elf->arena, count + 1, sizeof *elf->sections);
    if (!elf->sections)
        return -ENOMEM;
    elf->section_count = count;

    Elf64_Shdr strings = {0};
    if (names < count)
        memcpy(&strings, first + names * sizeof strings, sizeof strings);
    const unsigned char *table =
        strings.sh_type == SHT_STRTAB ? file_range(elf, strings.sh_offset, strings.sh_size) : NULL;
    for (size_t i = 0; i < count; i++) {
        struct hone_elf_section *section = &elf->sections[i];
        memcpy(&section->header, first + i * sizeof section->header, sizeof section->header);
        section->name = text_at(table, strings.sh_size, section->header.sh_name);
        if (!section->name)
            section->name = "";
    }
    return 0;
}

static int read_segments(struct hone_elf *elf, const Elf64_Ehdr *header, struct hone_error *err)
{
    uint64_t count = header->e_phnum;
    if (count == PN_XNUM && elf->section_count)
        count = elf->sections[0].header.sh_info;
    if (!count)
        return 0;
    const unsigned char *first = NULL;
    if (header->e_phentsize == sizeof(Elf64_Phdr) && count <= elf->len / sizeof(Elf64_Phdr))
        first = file_range(elf, header->e_phoff, count * sizeof(Elf64_Phdr));
    if (!first)
        return broken(elf, err, "program headers lie outside");
    elf->programs = hone_arena_zalloc(&elf->arena, count, sizeof *elf->programs);
    struct hone_elf_segment *segments =
        hone_arena_zalloc(&elf->arena, count, sizeof(struct hone_elf_segment));
    if (!elf->programs || !segments)
        return -ENOMEM;
    memcpy(elf->programs, first, count * sizeof *elf->programs);
    elf->program_count = count;

    for (size_t i = 0; i < count; i++) {
        const Elf64_Phdr *program = &elf->programs[i];
        if (program->p_type == PT_INTERP)
            elf->facts.interpreter = true;
        if (program->p_type == PT_DYNAMIC)
            elf->facts.dynamic = true;
        if (program->p_type != PT_LOAD)
            continue;
        segments[elf->facts.segment_count++] = (struct hone_elf_segment){
            .vaddr = program->p_vaddr,
            .offset = program->p_offset,
            .file_size = program->p_filesz,
            .memory_size = program->p_memsz,
            .executable = program->p_flags & PF_X,
            .writable = program->p_flags & PF_W,
        };
    }
    elf->facts.segments = segments;
    return 0;
}

static bool has_pie_flag(const struct hone_elf *elf)
{
    for (size_t i = 0; i < elf->program_count; i++) {
        const Elf64_Phdr *program = &elf->programs[i];
        const unsigned char *at = file_range(elf, program->p_offset, program->p_filesz);
        if (program->p_type != PT_DYNAMIC || !at)
            continue;
        struct hone_cursor cursor = hone_cursor(at, program->p_filesz);
        while (hone_cursor_left(&cursor) >= sizeof(Elf64_Dyn)) {
            uint64_t tag = hone_read_u64(&cursor), value = hone_read_u64(&cursor);
            if (tag == DT_NULL)
                break;
            if (tag == DT_FLAGS_1 && (value & DF_1_PIE))
                return true;
        }
    }
    return false;
}

static void read_notes(struct hone_elf *elf, const unsigned char *at, uint64_t len, uint64_t align)
{
    uint64_t mask = align == 8 ? 7 : 3; // only .note.gnu.property is aligned to 8
    struct hone_cursor cursor = hone_cursor(at, at ? len : 0);
    while (hone_cursor_left(&cursor) >= 12) {
        uint64_t name_len = hone_read_u32(&cursor), data_len = hone_read_u32(&cursor);
        uint32_t type = hone_read_u32(&cursor);
        const unsigned char *name = hone_read_bytes(&cursor, (name_len + 3) & ~(uint64_t)3);
        if (mask == 7)
            (void)hone_read_bytes(&cursor, -(uint64_t)(cursor.at - at) & mask);
        const unsigned char *data = hone_read_bytes(&cursor, data_len);
        if (!name || !data)
            return;
        if (type == NT_GNU_BUILD_ID && name_len == 4 && memcmp(name, "GNU", 4) == 0 && data_len &&
            data_len <= HONE_ELF_BUILD_ID_MAX && !elf->facts.build_id_len) {
            memcpy(elf->facts.build_id, data, data_len);
            elf->facts.build_id_len = data_len;
        }
        if (name_len == 4 && memcmp(name, "Go\0", 4) == 0)
            elf->facts.go = true;
        uint64_t padding = -(uint64_t)(cursor.at - at) & mask;
        if (padding > hone_cursor_left(&cursor))
            return;
        cursor.at += padding;
    }
}

static void read_facts(struct hone_elf *elf, const Elf64_Ehdr *header)
{
    elf->facts.machine = header->e_machine;
    bool flag = has_pie_flag(elf);
    elf->facts.pie = header->e_type == ET_DYN && (flag || elf->facts.interpreter);
    elf->facts.executable = header->e_type == ET_EXEC || elf->facts.pie;
    // Sections first: in a separate debug file the program headers point at bytes that were cut.
    for (size_t i = 0; i < elf->section_count; i++) {
        const Elf64_Shdr *section = &elf->sections[i].header;
        if (section->sh_type == SHT_NOTE)
            read_notes(elf, file_range(elf, section->sh_offset, section->sh_size), section->sh_size,
                       section->sh_addralign);
        if (strcmp(elf->sections[i].name, ".go.buildinfo") == 0)
            elf->facts.go = true;
    }
    if (elf->section_count)
        return;
    for (size_t i = 0; i < elf->program_count; i++) {
        const Elf64_Phdr *program = &elf->programs[i];
        if (program->p_type == PT_NOTE)
            read_notes(elf, file_range(elf, program->p_offset, program->p_filesz),
                       program->p_filesz, program->p_align);
    }
}

static int read_headers(struct hone_elf *elf, struct hone_error *err)
{
    Elf64_Ehdr header;
    if (elf->len < EI_NIDENT || memcmp(elf->bytes, ELFMAG, SELFMAG) != 0)
        return hone_error_set(err, -EBADMSG, "'%s' is not an ELF file", elf->path);
    if (elf->bytes[EI_CLASS] != ELFCLASS64 || elf->bytes[EI_DATA] != ELFDATA2LSB)
        return hone_error_set(err, -ENOTSUP, "'%s' is 32-bit or big-endian", elf->path);
    if (elf->len < sizeof header)
        return broken(elf, err, "shorter than its header");
    memcpy(&header, elf->bytes, sizeof header);
    int r = read_sections(elf, &header, err);
    if (!r)
        r = read_segments(elf, &header, err);
    if (!r)
        read_facts(elf, &header);
    return r;
}

// Takes over map, also on failure.
static int open_bytes(struct hone_file_map map, const void *bytes, size_t len, const char *name,
                      struct hone_elf **ret, struct hone_error *err)
{
    HONE_CLEANUP(hone_elf_closep) struct hone_elf *elf = calloc(1, sizeof *elf);
    if (!elf) {
        hone_file_unmap(&map);
        return -ENOMEM;
    }
    elf->map = map;
    elf->bytes = bytes;
    elf->len = len;
    elf->path = hone_arena_copy(&elf->arena, name, strlen(name) + 1);
    if (!elf->path)
        return -ENOMEM;
    int r = read_headers(elf, err);
    if (r)
        return r;
    *ret = hone_take(elf);
    return 0;
}

int hone_elf_open(const char *path, struct hone_elf **ret, struct hone_error *err)
{
    struct hone_file_map map;
    int r = hone_file_map(path, &map, err);
    if (r)
        return r;
    return open_bytes(map, map.at, map.len, path, ret, err);
}

int hone_elf_open_memory(const void *bytes, size_t len, const char *name, struct hone_elf **ret,
                         struct hone_error *err)
{
    return open_bytes((struct hone_file_map){0}, bytes, len, name, ret, err);
}

void hone_elf_close(struct hone_elf *elf)
{
    if (!elf)
        return;
    for (size_t i = 0; i < elf->section_count; i++)
        free(elf->sections[i].decompressed);
    hone_arena_done(&elf->arena);
    hone_file_unmap(&elf->map);
    free(elf);
}

const char *hone_elf_path(const struct hone_elf *elf)
{
    return elf->path;
}

const struct hone_elf_facts *hone_elf_facts(const struct hone_elf *elf)
{
    return &elf->facts;
}

static bool translate(const struct hone_elf *elf, uint64_t value, bool to_vaddr, uint64_t *ret)
{
    for (size_t i = 0; i < elf->facts.segment_count; i++) {
        const struct hone_elf_segment *segment = &elf->facts.segments[i];
        uint64_t from = to_vaddr ? segment->offset : segment->vaddr;
        uint64_t to = to_vaddr ? segment->vaddr : segment->offset;
        if (value >= from && value - from < segment->file_size) {
            *ret = to + (value - from);
            return true;
        }
    }
    return false;
}

bool hone_elf_offset_to_vaddr(const struct hone_elf *elf, uint64_t offset, uint64_t *ret)
{
    return translate(elf, offset, true, ret);
}

bool hone_elf_vaddr_to_offset(const struct hone_elf *elf, uint64_t vaddr, uint64_t *ret)
{
    return translate(elf, vaddr, false, ret);
}

struct hone_elf_bytes hone_elf_code(const struct hone_elf *elf, uint64_t vaddr, size_t len)
{
    for (size_t i = 0; i < elf->facts.segment_count; i++) {
        const struct hone_elf_segment *segment = &elf->facts.segments[i];
        if (!segment->executable || vaddr < segment->vaddr ||
            vaddr - segment->vaddr >= segment->file_size)
            continue;
        uint64_t at = vaddr - segment->vaddr;
        uint64_t left = segment->file_size - at;
        // The headers were checked against the file, but nothing is believed twice.
        if (segment->offset > elf->len || at >= elf->len - segment->offset)
            continue;
        uint64_t there = elf->len - segment->offset - at;
        left = left < there ? left : there;
        return (struct hone_elf_bytes){elf->bytes + segment->offset + at,
                                       len < left ? len : (size_t)left, vaddr};
    }
    return (struct hone_elf_bytes){0};
}
