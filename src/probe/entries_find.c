#include "probe/entries_find.h"

#include "core/syscall.h"
#include "probe/probe.h"

#include <string.h>

enum {
    SCAN_MAX = 1 << 30, // bytes of code that are looked through for branches
    PIECE_BYTES = 64 << 10,
    DISTANCE_BYTES = 4,
    SYMBOLS_MAX = 1 << 22,
};

static bool in_text(const struct hone_image *image, uint64_t address, uint64_t size)
{
    return address >= image->text_low && address < image->text_high &&
           size <= image->text_high - address;
}

static void add(struct hone_entry_search *search, enum hone_other_kind kind, const char *name,
                uint64_t address, uint64_t size)
{
    if (!kind || !in_text(search->image, address, size))
        return;
    for (size_t i = 0; i < search->count; i++)
        if (search->functions[i].address == address)
            return;
    if (search->count == HONE_ENTRIES_MAX) {
        search->too_many = true;
        return;
    }
    search->functions[search->count++] =
        (struct hone_entry_function){.address = address, .size = size, .name = name, .kind = kind};
    if (!search->allocates && kind != HONE_OTHER_END)
        search->allocates = name;
}

// --- symbols -------------------------------------------------------------------------------------

static void add_part(struct hone_entry_search *search, const char *name, const char *dot,
                     const Elf64_Sym *symbol)
{
    uint64_t at = search->image->bias + symbol->st_value;
    if (!in_text(search->image, at, symbol->st_size))
        return;
    if (search->part_count == HONE_ENTRY_PARTS_MAX) {
        search->too_many = true;
        return;
    }
    search->parts[search->part_count++] =
        (struct hone_entry_part){at, symbol->st_size, name, (size_t)(dot - name)};
}

// By which a static program ends; in front of a library's stands a hook.
static bool is_end(const char *name, size_t room)
{
    static const char exit[] = "_exit", other[] = "_Exit";
    return !hone_has_hooks && room >= sizeof exit &&
           (memcmp(name, exit, sizeof exit) == 0 || memcmp(name, other, sizeof other) == 0);
}

static const char usable_name[] = "malloc_usable_size";

uint64_t hone_entries_usable(const struct hone_entry_search *search)
{
    // tcmalloc's own names are others of malloc() and the like.
    static const char *const apart[] = {"je_", "_rjem_", "mi_"};
    for (size_t i = 0; i < search->count; i++)
        for (size_t k = 0; k < HONE_ARRAY_LENGTH(apart); k++)
            if (strncmp(search->functions[i].name, apart[k], strlen(apart[k])) == 0)
                return 0;
    return search->usable;
}

static void add_symbol(struct hone_entry_search *search, const Elf64_Sym *symbol)
{
    if (ELF64_ST_TYPE(symbol->st_info) != STT_FUNC || symbol->st_shndx == SHN_UNDEF ||
        !symbol->st_size || symbol->st_name >= search->string_bytes)
        return;
    const char *name = search->strings + symbol->st_name;
    size_t room = search->string_bytes - symbol->st_name;
    uint64_t at = search->image->bias + symbol->st_value;
    if (room >= sizeof usable_name && memcmp(name, usable_name, sizeof usable_name) == 0 &&
        in_text(search->image, at, symbol->st_size))
        search->usable = at;
    if (is_end(name, room))
        add(search, HONE_OTHER_END, name, at, symbol->st_size);
    if (!hone_other_may_be(name, room))
        return;
    size_t length = strnlen(name, room);
    if (length == room)
        return;
    const char *dot = memchr(name, '.', length);
    if (dot && hone_other_kind_of(name, (size_t)(dot - name))) {
        if (strstr(dot, ".constprop") || strstr(dot, ".isra"))
            search->clone = name;
        add_part(search, name, dot, symbol);
        return;
    }
    add(search, hone_other_kind_of(name, length), name, at, symbol->st_size);
}

static bool lies_in(uint64_t at, uint64_t bytes, uint64_t size)
{
    return at <= size && bytes <= size - at;
}

static bool is_file_of(const uint8_t *file, uint64_t size, const struct dl_phdr_info *info)
{
    const Elf64_Ehdr *header = (const void *)file;
    if (size < sizeof *header || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0)
        return false;
    // A program that the loader was told to start has the loader's file.
    size_t headers = header->e_phnum * sizeof(Elf64_Phdr);
    return header->e_phnum == info->dlpi_phnum && lies_in(header->e_phoff, headers, size) &&
           memcmp(file + header->e_phoff, info->dlpi_phdr, headers) == 0;
}

static uint64_t text_offset(const struct hone_image *image, const struct dl_phdr_info *info)
{
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const Elf64_Phdr *segment = &info->dlpi_phdr[i];
        if (segment->p_type == PT_LOAD && image->bias + segment->p_vaddr == image->text_low)
            return segment->p_offset;
    }
    return 0;
}

// The symbols that a program keeps to itself are in its file only.
void hone_entries_find_in_file(struct hone_entry_search *search, const uint8_t *file, uint64_t size,
                               const struct dl_phdr_info *info)
{
    if (!is_file_of(file, size, info))
        return;
    search->text_at = text_offset(search->image, info);
    const Elf64_Ehdr *header = (const void *)file;
    if (header->e_shentsize != sizeof(Elf64_Shdr) || header->e_shoff % 8 ||
        !lies_in(header->e_shoff, header->e_shnum * sizeof(Elf64_Shdr), size))
        return;
    const Elf64_Shdr *sections = (const void *)(file + header->e_shoff);
    for (size_t i = 0; i < header->e_shnum; i++) {
        const Elf64_Shdr *table = &sections[i];
        if (table->sh_type != SHT_SYMTAB || table->sh_link >= header->e_shnum ||
            table->sh_offset % 8 || table->sh_size / sizeof(Elf64_Sym) > SYMBOLS_MAX)
            continue;
        const Elf64_Shdr *names = &sections[table->sh_link];
        if (!lies_in(table->sh_offset, table->sh_size, size) ||
            !lies_in(names->sh_offset, names->sh_size, size))
            continue;
        search->symbols = (const void *)(file + table->sh_offset);
        search->symbol_count = table->sh_size / sizeof(Elf64_Sym);
        search->strings = (const char *)file + names->sh_offset;
        search->string_bytes = names->sh_size;
        for (size_t k = 0; k < search->symbol_count; k++)
            add_symbol(search, &search->symbols[k]);
        return;
    }
}

// What a module exports under the names that are looked for.
void hone_entries_find_exports(struct hone_entry_search *search)
{
    static const char *const names[] = {
        "malloc",
        "free",
        "calloc",
        "realloc",
        "aligned_alloc",
        "posix_memalign",
        "memalign",
        "reallocarray",
        "valloc",
        "pvalloc",
        "cfree",
        "mallocx",
        "rallocx",
        "dallocx",
        "sdallocx",
        "_Znwm",
        "_Znam",
        "_ZnwmRKSt9nothrow_t",
        "_ZnamRKSt9nothrow_t",
        "_ZnwmSt11align_val_t",
        "_ZnamSt11align_val_t",
        "_ZnwmSt11align_val_tRKSt9nothrow_t",
        "_ZnamSt11align_val_tRKSt9nothrow_t",
        "_ZdlPv",
        "_ZdaPv",
        "_ZdlPvm",
        "_ZdaPvm",
        "_ZdlPvRKSt9nothrow_t",
        "_ZdaPvRKSt9nothrow_t",
        "_ZdlPvSt11align_val_t",
        "_ZdaPvSt11align_val_t",
        "_ZdlPvmSt11align_val_t",
        "_ZdaPvmSt11align_val_t",
        "_ZdlPvSt11align_val_tRKSt9nothrow_t",
        "_ZdaPvSt11align_val_tRKSt9nothrow_t",
    };
    for (size_t i = 0; i < HONE_ARRAY_LENGTH(names); i++) {
        uint64_t size = 0, address = hone_image_find_sized(search->image, names[i], &size);
        if (address)
            add(search, hone_other_kind_of(names[i], strlen(names[i])), names[i], address, size);
    }
    uint64_t usable = hone_image_find(search->image, usable_name);
    search->usable = in_text(search->image, usable, 1) ? usable : 0;
}

// --- what they call, and what jumps into them ----------------------------------------------------

// The function where what an operator hands on is seen.
static const struct hone_entry_function *seen_at(const struct hone_entry_search *search,
                                                 const struct hone_entry_function *function)
{
    while (function->handed_on)
        function = &search->functions[function->handed_to];
    return function;
}

void hone_entries_find_handed_on(struct hone_entry_search *search)
{
    for (size_t i = 0; i < search->count; i++) {
        struct hone_entry_function *from = &search->functions[i];
        if (!hone_other_is_operator(from->name))
            continue;
        for (size_t k = 0; k < search->count && !from->handed_on; k++) {
            const struct hone_entry_function *to = &search->functions[k];
            if (seen_at(search, to) == from)
                continue;
            from->handed_to = k;
            from->handed_on = hone_arch_entry_calls((const uint8_t *)(uintptr_t)from->address,
                                                    from->address, from->size, to->address);
        }
    }
}

static bool enters(const struct hone_entry_function *function, uint64_t address, uint64_t size,
                   enum hone_entry_code what)
{
    return hone_arch_entry_is_entered((const uint8_t *)(uintptr_t)address, address, size,
                                      function->address, &function->plan, what);
}

static bool parts_enter(const struct hone_entry_search *search,
                        const struct hone_entry_function *function)
{
    for (size_t i = 0; i < search->part_count; i++) {
        const struct hone_entry_part *part = &search->parts[i];
        if (strlen(function->name) == part->length &&
            memcmp(function->name, part->name, part->length) == 0 &&
            enters(function, part->address, part->size, HONE_ENTRY_PART))
            return true;
    }
    return false;
}

// The code piece by piece, for what is mapped and touched takes longer than what is read: 250 MB
// 0.3 s, and then they are in the program's memory. False: it cannot be read.
static bool look_through_file(const struct hone_entry_search *search, uint64_t bytes,
                              struct hone_entry_target *targets)
{
    static uint8_t piece[PIECE_BYTES];
    uint64_t from = 0;
    for (uint64_t at = 0;;) {
        uint64_t size = bytes - at < sizeof piece ? bytes - at : sizeof piece;
        if (hone_syscall4(SYS_pread64, search->fd, piece, size, search->text_at + at) != (long)size)
            return false;
        hone_arch_code_find_entered(piece, search->image->text_low + at, size, from, targets,
                                    search->count);
        if (at + size == bytes)
            break;
        // The last bytes again, for what begins there and is not whole; its beginning at `from`.
        at += size - HONE_ENTRY_CODE_BEFORE - DISTANCE_BYTES;
        from = HONE_ENTRY_CODE_BEFORE + 1;
    }
    return true;
}

// Where nobody knows what has been split off, it may be anywhere.
static void look_through_code(struct hone_entry_search *search)
{
    static struct hone_entry_target targets[HONE_ENTRIES_MAX];
    const struct hone_image *image = search->image;
    uint64_t bytes = image->text_high - image->text_low;
    for (size_t i = 0; i < search->count; i++) {
        const struct hone_entry_function *function = &search->functions[i];
        targets[i] = (struct hone_entry_target){
            function->address, function->plan.at + function->plan.length, function->entered};
    }
    bool known = bytes <= SCAN_MAX;
    if (known && search->text_at)
        known = look_through_file(search, bytes, targets);
    else if (known)
        hone_arch_code_find_entered((const uint8_t *)(uintptr_t)image->text_low, image->text_low,
                                    bytes, 0, targets, search->count);
    for (size_t i = 0; i < search->count; i++)
        search->functions[i].entered = targets[i].entered || !known;
}

void hone_entries_find_entered(struct hone_entry_search *search)
{
    for (size_t i = 0; i < search->count; i++) {
        struct hone_entry_function *function = &search->functions[i];
        if (function->plan.length)
            function->entered =
                enters(function, function->address, function->size, HONE_ENTRY_ITSELF) ||
                parts_enter(search, function);
    }
    if (!search->symbols && search->count)
        look_through_code(search);
}
