#include "unwind/module_rules.h"

#include "core/hash.h"
#include "core/load.h"
#include "core/syscall.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

enum {
    NOTES_BYTES_MAX = 512, // of one segment: build ids come first or second
    SECTIONS_MAX = 256,
    COPY_BYTES_MAX = 64 << 20,
};

static bool same_bytes(const void *a, const void *b, size_t size)
{
    const uint8_t *x = a, *y = b;
    for (size_t i = 0; i < size; i++)
        if (x[i] != y[i])
            return false;
    return true;
}

static uint64_t page_floor(uint64_t address)
{
    return address & ~(uint64_t)(HONE_PAGE_BYTES - 1);
}

// The loaded segment whose bytes in the file include `address`.
static const Elf64_Phdr *segment_of(const struct hone_module_headers *headers, uint64_t address)
{
    for (size_t i = 0; i < headers->count; i++) {
        const Elf64_Phdr *header = &headers->at[i];
        if (header->p_type == PT_LOAD && address - header->p_vaddr < header->p_filesz)
            return header;
    }
    return NULL;
}

static const Elf64_Phdr *first_of_type(const struct hone_module_headers *headers, uint32_t type)
{
    for (size_t i = 0; i < headers->count; i++)
        if (headers->at[i].p_type == type)
            return &headers->at[i];
    return NULL;
}

// A GNU build id among the notes, and where; its size, 0: none.
static uint8_t find_build_id(const uint8_t *notes, size_t size, uint64_t align,
                             uint8_t ret[HONE_BUILD_ID_MAX], uint64_t *ret_at)
{
    uint64_t mask = align == 8 ? 7 : 3;
    size_t at = 0;
    while (size - at >= sizeof(Elf64_Nhdr)) {
        Elf64_Nhdr note;
        __builtin_memcpy(&note, notes + at, sizeof note);
        uint64_t name = at + sizeof note;
        uint64_t description = name + ((note.n_namesz + mask) & ~mask);
        uint64_t end = description + note.n_descsz;
        if (description > size || end > size)
            return 0;
        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 &&
            same_bytes(notes + name, "GNU", 4) && note.n_descsz <= HONE_BUILD_ID_MAX) {
            __builtin_memcpy(ret, notes + description, note.n_descsz);
            *ret_at = description;
            return (uint8_t)note.n_descsz;
        }
        at = (end + mask) & ~mask;
        if (at > size)
            return 0;
    }
    return 0;
}

static bool read_at(int fd, void *to, size_t size, uint64_t offset)
{
    return hone_syscall4(SYS_pread64, fd, to, size, offset) == (long)size;
}

// Adds up to a page that nobody writes to: at bias + p_vaddr in memory (`fd` below 0), or in the
// file.
static uint64_t hash_more(uint64_t hash, uint64_t at, uint64_t size, int fd)
{
    uint64_t words[64];
    size = size < HONE_PAGE_BYTES ? size : HONE_PAGE_BYTES;
    for (uint64_t done = 0; done + sizeof words[0] <= size;) {
        uint64_t part = size - done < sizeof words ? size - done : sizeof words;
        part &= ~(sizeof words[0] - 1);
        if (fd < 0 ? !hone_safe_copy(words, at + done, part) : !read_at(fd, words, part, at + done))
            return 0;
        for (size_t i = 0; i < part / sizeof words[0]; i++)
            hash = hone_hash_fold(hash ^ words[i], 0xa0761d6478bd642fu);
        done += part;
    }
    return hash;
}

// In place of a build id: where a module begins, which is how long its file is and, with most
// linkers, what its functions are called, and its index of rules, which is where they begin.
static uint64_t hash_contents(const struct hone_module_headers *headers, int fd)
{
    uint64_t hash = 0x9e3779b97f4a7c15u;
    const Elf64_Phdr *first = first_of_type(headers, PT_LOAD);
    const Elf64_Phdr *hdr = first_of_type(headers, PT_GNU_EH_FRAME);
    const Elf64_Phdr *holder = hdr ? segment_of(headers, hdr->p_vaddr) : NULL;
    if (first && !(first->p_flags & PF_W))
        hash = hash_more(hash, fd < 0 ? headers->bias + first->p_vaddr : first->p_offset,
                         first->p_filesz, fd);
    if (holder && !(holder->p_flags & PF_W))
        hash = hash_more(hash, fd < 0 ? headers->bias + hdr->p_vaddr : hdr->p_offset, hdr->p_filesz,
                         fd);
    return hash;
}

// `fd` below 0: notes are read in memory.
static int describe(struct hone_module *module, const struct hone_module_headers *headers, int fd)
{
    module->bias = headers->bias;
    module->start = UINT64_MAX;
    for (size_t i = 0; i < headers->count; i++) {
        const Elf64_Phdr *header = &headers->at[i];
        uint64_t start = headers->bias + header->p_vaddr;
        if (header->p_type == PT_NOTE && !module->build_id_size) {
            uint8_t notes[NOTES_BYTES_MAX];
            size_t size = header->p_filesz < sizeof notes ? header->p_filesz : sizeof notes;
            if (fd < 0 ? hone_safe_copy(notes, start, size)
                       : read_at(fd, notes, size, header->p_offset)) {
                uint64_t at;
                module->build_id_size =
                    find_build_id(notes, size, header->p_align, module->build_id, &at);
                if (module->build_id_size >= HONE_MODULE_MARK_BYTES &&
                    header->p_vaddr + at <= UINT32_MAX) {
                    module->marks[0].from_bias = (uint32_t)(header->p_vaddr + at);
                    __builtin_memcpy(module->marks[0].bytes, module->build_id,
                                     HONE_MODULE_MARK_BYTES);
                    module->mark_count = 1;
                }
            }
        }
        if (header->p_type != PT_LOAD)
            continue;
        if (page_floor(start) < module->start)
            module->start = page_floor(start);
        if (start + header->p_memsz > module->end)
            module->end = start + header->p_memsz;
        if ((header->p_flags & PF_X) && !module->text_end) {
            module->text_start = start;
            module->text_end = start + header->p_memsz;
            module->text_offset = header->p_offset;
        } else if ((header->p_flags & PF_X) && start > module->text_start &&
                   start - module->text_start == header->p_offset - module->text_offset) {
            module->text_end = start + header->p_memsz; // some linkers cut code in pieces
        }
    }
    if (!module->build_id_size)
        module->contents = hash_contents(headers, fd);
    return module->start < module->end ? 0 : -ENOEXEC;
}

int hone_module_describe(struct hone_module *module, const struct hone_module_headers *headers)
{
    return describe(module, headers, -1);
}

int hone_module_describe_file(struct hone_module *module, const struct hone_module_headers *headers,
                              int fd)
{
    return describe(module, headers, fd);
}

static void add_mark(struct hone_module *module, uint64_t from_bias)
{
    struct hone_module_bytes *mark = &module->marks[module->mark_count];
    if (module->mark_count == HONE_MODULE_MARKS || from_bias > UINT32_MAX)
        return;
    mark->from_bias = (uint32_t)from_bias & ~3u;
    if (hone_safe_copy(mark->bytes, module->bias + mark->from_bias, sizeof mark->bytes))
        module->mark_count++;
}

// Where the loader looks names up; 0: not known.
static uint64_t find_gnu_hash(const struct hone_module *module,
                              const struct hone_module_headers *headers)
{
    enum { ENTRIES_MAX = 64 };
    Elf64_Dyn entries[ENTRIES_MAX];
    const Elf64_Phdr *dynamic = first_of_type(headers, PT_DYNAMIC);
    size_t count = dynamic ? dynamic->p_filesz / sizeof entries[0] : 0;
    count = count < ENTRIES_MAX ? count : ENTRIES_MAX;
    if (!count ||
        !hone_safe_copy(entries, headers->bias + dynamic->p_vaddr, count * sizeof entries[0]))
        return 0;
    for (size_t i = 0; i < count && entries[i].d_tag != DT_NULL; i++)
        // glibc's loader has added the bias already, others leave the file's own value.
        if (entries[i].d_tag == DT_GNU_HASH)
            return entries[i].d_un.d_ptr < module->start ? entries[i].d_un.d_ptr
                                                         : entries[i].d_un.d_ptr - headers->bias;
    return 0;
}

void hone_module_mark(struct hone_module *module, const struct hone_module_headers *headers)
{
    const Elf64_Phdr *hdr = first_of_type(headers, PT_GNU_EH_FRAME);
    if (hdr && hdr->p_memsz >= HONE_MODULE_MARK_BYTES) // where its last function is
        add_mark(module, hdr->p_vaddr + hdr->p_memsz - HONE_MODULE_MARK_BYTES);
    // How long its file is; a build id is better, and one already.
    if (module->build_id_size < HONE_MODULE_MARK_BYTES)
        add_mark(module, module->start - module->bias + offsetof(Elf64_Ehdr, e_shoff));
    // Which names it has.
    uint64_t names = find_gnu_hash(module, headers);
    if (names)
        add_mark(module, names + 4 * sizeof(uint32_t));
}

bool hone_module_has_marks(const struct hone_module *module)
{
    for (size_t i = 0; i < module->mark_count; i++)
        if (!hone_safe_equals(module->bias + module->marks[i].from_bias, module->marks[i].bytes,
                              sizeof module->marks[i].bytes))
            return false;
    return true;
}

void hone_module_rules_in_place(struct hone_module *module,
                                const struct hone_module_headers *headers)
{
    const Elf64_Phdr *hdr = first_of_type(headers, PT_GNU_EH_FRAME);
    const Elf64_Phdr *segment = hdr ? segment_of(headers, hdr->p_vaddr) : NULL;
    if (!segment)
        return;
    struct hone_cfi cfi = {.relocated_by = headers->bias};
    cfi.hdr.at = (const uint8_t *)(uintptr_t)(headers->bias + hdr->p_vaddr);
    cfi.hdr.address = hdr->p_vaddr;
    cfi.hdr.size = segment->p_vaddr + segment->p_filesz - hdr->p_vaddr;
    cfi.eh_frame = hone_cfi_eh_frame(&cfi.hdr);
    const Elf64_Phdr *holder = segment_of(headers, cfi.eh_frame);
    if (!holder || !(holder->p_flags & PF_R))
        return;
    cfi.frames.at = (const uint8_t *)(uintptr_t)(headers->bias + holder->p_vaddr);
    cfi.frames.address = holder->p_vaddr;
    cfi.frames.size = holder->p_filesz;
    module->cfi = cfi;
}

// Whether the file has these very program headers and this build id.
static bool same_file(const struct hone_module *module, int fd,
                      const struct hone_module_headers *headers)
{
    Elf64_Ehdr elf;
    if (!read_at(fd, &elf, sizeof elf, 0) || !same_bytes(elf.e_ident, ELFMAG, SELFMAG) ||
        elf.e_phnum != headers->count || elf.e_phentsize != sizeof(Elf64_Phdr))
        return false;
    for (size_t i = 0; i < headers->count; i++) {
        Elf64_Phdr header;
        if (!read_at(fd, &header, sizeof header, elf.e_phoff + i * sizeof header) ||
            !same_bytes(&header, &headers->at[i], sizeof header))
            return false;
        if (header.p_type == PT_NOTE && module->build_id_size) {
            uint8_t notes[NOTES_BYTES_MAX], id[HONE_BUILD_ID_MAX];
            size_t size = header.p_filesz < sizeof notes ? header.p_filesz : sizeof notes;
            uint64_t at;
            uint8_t id_size = read_at(fd, notes, size, header.p_offset)
                                  ? find_build_id(notes, size, header.p_align, id, &at)
                                  : 0;
            if (id_size &&
                (id_size != module->build_id_size || !same_bytes(id, module->build_id, id_size)))
                return false;
        }
    }
    return true;
}

// Maps part of a file, for good.
static int map_view(int fd, uint64_t address, uint64_t offset, uint64_t size, struct hone_view *ret)
{
    uint64_t from = offset & ~(uint64_t)(HONE_PAGE_BYTES_MAX - 1);
    long at = hone_syscall6(SYS_mmap, 0, offset + size - from, PROT_READ, MAP_PRIVATE, fd, from);
    if (at < 0 && at > -HONE_PAGE_BYTES)
        return (int)at;
    ret->at = (const uint8_t *)at + (offset - from);
    ret->address = address;
    ret->size = size;
    return 0;
}

// For modules without an index: .eh_frame by its section header, which is not loaded.
static int map_section(struct hone_module *module, int fd)
{
    Elf64_Ehdr elf;
    if (!read_at(fd, &elf, sizeof elf, 0) || elf.e_shentsize != sizeof(Elf64_Shdr) ||
        elf.e_shnum > SECTIONS_MAX || elf.e_shstrndx >= elf.e_shnum)
        return -ENOEXEC;
    Elf64_Shdr names, section;
    if (!read_at(fd, &names, sizeof names, elf.e_shoff + elf.e_shstrndx * sizeof names))
        return -ENOEXEC;
    for (size_t i = 0; i < elf.e_shnum; i++) {
        static const char wanted[] = ".eh_frame";
        char name[sizeof wanted];
        if (!read_at(fd, &section, sizeof section, elf.e_shoff + i * sizeof section) ||
            !(section.sh_flags & SHF_ALLOC) || section.sh_type == SHT_NOBITS ||
            !read_at(fd, name, sizeof name, names.sh_offset + section.sh_name) ||
            !same_bytes(name, wanted, sizeof wanted))
            continue;
        struct hone_cfi cfi = {.eh_frame = section.sh_addr};
        int r = map_view(fd, section.sh_addr, section.sh_offset, section.sh_size, &cfi.frames);
        if (!r)
            module->cfi = cfi;
        return r;
    }
    return -ENOENT;
}

int hone_module_rules_map_file(struct hone_module *module,
                               const struct hone_module_headers *headers, int fd)
{
    const Elf64_Phdr *hdr = first_of_type(headers, PT_GNU_EH_FRAME);
    const Elf64_Phdr *segment = hdr ? segment_of(headers, hdr->p_vaddr) : NULL;
    if (!segment)
        return map_section(module, fd);

    // Usually one segment holds both.
    struct hone_cfi cfi = {0};
    int r = map_view(fd, segment->p_vaddr, segment->p_offset, segment->p_filesz, &cfi.frames);
    if (r)
        return r;
    uint64_t skip = hdr->p_vaddr - segment->p_vaddr;
    cfi.hdr = (struct hone_view){cfi.frames.at + skip, hdr->p_vaddr, cfi.frames.size - skip};
    cfi.eh_frame = hone_cfi_eh_frame(&cfi.hdr);
    const Elf64_Phdr *holder = segment_of(headers, cfi.eh_frame);
    if (!holder)
        return -ENOEXEC;
    if (holder != segment)
        r = map_view(fd, holder->p_vaddr, holder->p_offset, holder->p_filesz, &cfi.frames);
    if (!r)
        module->cfi = cfi;
    return r;
}

int hone_module_rules_map(struct hone_module *module, const struct hone_module_headers *headers)
{
    // NONBLOCK: whatever has the module's name now, opening it does not wait.
    long fd = hone_syscall4(SYS_openat, AT_FDCWD, module->path,
                            O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0);
    if (fd < 0)
        return (int)fd;
    int r = same_file(module, (int)fd, headers)
                ? hone_module_rules_map_file(module, headers, (int)fd)
                : -ESTALE;
    (void)hone_syscall1(SYS_close, fd);
    return r;
}

static int copy_view(struct hone_view *view)
{
    if (view->size > COPY_BYTES_MAX)
        return -EFBIG;
    long at = hone_syscall6(SYS_mmap, 0, view->size, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at < 0 && at > -HONE_PAGE_BYTES)
        return (int)at;
    if (!hone_safe_copy((void *)at, (uintptr_t)view->at, view->size)) {
        (void)hone_syscall2(SYS_munmap, at, view->size);
        return -EFAULT;
    }
    view->at = (const uint8_t *)at;
    return 0;
}

// Only what begins with the entries: a linker may put all constants of the module before them.
int hone_module_rules_copy(struct hone_module *module, const struct hone_module_headers *headers)
{
    const Elf64_Phdr *hdr = first_of_type(headers, PT_GNU_EH_FRAME);
    const Elf64_Phdr *segment = hdr ? segment_of(headers, hdr->p_vaddr) : NULL;
    if (!segment)
        return -ENOENT;
    // Eight bytes tell where the entries are; they too may vanish while we look.
    uint8_t begin[16];
    uint64_t at = headers->bias + hdr->p_vaddr;
    if (hdr->p_memsz < sizeof begin || !hone_safe_copy(begin, at, sizeof begin))
        return -EFAULT;
    struct hone_view head = {begin, hdr->p_vaddr, sizeof begin};
    uint64_t eh_frame = hone_cfi_eh_frame(&head);
    const Elf64_Phdr *holder = segment_of(headers, eh_frame);
    if (!holder)
        return -ENOEXEC;

    struct hone_cfi cfi = {.eh_frame = eh_frame, .relocated_by = headers->bias};
    cfi.hdr.at = (const uint8_t *)(uintptr_t)at;
    cfi.hdr.address = hdr->p_vaddr;
    cfi.hdr.size = hdr->p_memsz;
    cfi.frames.at = (const uint8_t *)(uintptr_t)(headers->bias + eh_frame);
    cfi.frames.address = eh_frame;
    cfi.frames.size = holder->p_vaddr + holder->p_filesz - eh_frame;
    int r = copy_view(&cfi.hdr);
    if (r)
        return r;
    r = copy_view(&cfi.frames);
    if (r) {
        (void)hone_syscall2(SYS_munmap, cfi.hdr.at, cfi.hdr.size);
        return r;
    }
    module->cfi = cfi;
    return 0;
}
