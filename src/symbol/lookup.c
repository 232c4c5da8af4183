// From an address to frames: DWARF first, the symbol table for what it does not cover, and both
// together for the outermost function's system name.
#include "symbol/demangle.h"
#include "symbol/module.h"

#include <errno.h>
#include <string.h>

// Demangling leaves more behind than the name it was asked for.
enum { SCRATCH_MAX = 1 << 20 };

static const char *display_name(struct hone_symbolizer *symbolizer, const char *system_name)
{
    if (symbolizer->scratch.total_bytes > SCRATCH_MAX)
        hone_arena_done(&symbolizer->scratch);
    const char *name = hone_demangle(&symbolizer->scratch, system_name);
    return name ? hone_symbol_intern_text(&symbolizer->texts, &symbolizer->arena, name) : NULL;
}

// The symbol is the same function as DWARF's: equal, or a copy of it (".part.0").
static bool is_same(const char *symbol, const char *linkage_name)
{
    size_t len = strlen(linkage_name);
    return strncmp(symbol, linkage_name, len) == 0 && (!symbol[len] || symbol[len] == '.') &&
           hone_symbol_base_len(symbol) <= len;
}

// The symbol is a public alias: what remains of a private name ("__libc_malloc") without its
// prefix. Other symbols at one address are strangers, equal functions that were merged.
static bool is_public_alias(const char *symbol, const char *private_name)
{
    size_t len = strlen(symbol), private_len = strlen(private_name);
    return len < private_len && private_name[0] == '_' &&
           strcmp(private_name + private_len - len, symbol) == 0;
}

// The system name of a function. begins is the symbol at its entry when it is the outermost one,
// else NULL.
//
// C functions of libraries often have a private name in the source and a public alias. The alias
// is taken, as it is without debug information, so that installing that changes no name.
static const char *system_name_of(const struct hone_dwarf_function *function,
                                  const struct hone_elf_function *begins)
{
    const char *name = function ? function->linkage_name : NULL;
    if (function && !name)
        name = function->name;
    if (!begins || !begins->name)
        return name;
    if (!name || is_same(begins->name, name) || is_public_alias(begins->name, name))
        return begins->name;
    // A C++ function whose entry tells no more than "operator()".
    bool mangled = begins->name[0] == '_' && strchr("ZRD", begins->name[1]);
    return mangled && !function->linkage_name ? begins->name : name;
}

// The symbol that begins where the outermost function does, or covers its code when nobody knows
// where that is.
static const struct hone_elf_function *beginning(const struct hone_symbol_module *module,
                                                 const struct hone_dwarf_frames *frames,
                                                 uint64_t vaddr)
{
    if (!frames->entry)
        return hone_elf_function_at(&module->functions, vaddr);
    const struct hone_elf_function *symbol =
        hone_elf_function_at(&module->functions, frames->entry);
    return symbol && symbol->entry == frames->entry ? symbol : NULL;
}

static int make_frame(struct hone_symbol_module *module, const char *system_name, const char *file,
                      uint32_t start_line, const struct hone_dwarf_frame *place,
                      struct hone_symbol_frame *ret)
{
    struct hone_symbolizer *symbolizer = module->symbolizer;
    struct hone_symbol_function function = {
        .system_name = hone_symbol_intern_text(&symbolizer->texts, &symbolizer->arena, system_name),
        .file = hone_symbol_intern_text(&symbolizer->texts, &symbolizer->arena, file ? file : ""),
        .start_line = start_line,
    };
    if (!function.system_name || !function.file)
        return -ENOMEM;
    function.name = display_name(symbolizer, function.system_name);
    if (!function.name)
        return -ENOMEM;
    ret->function =
        hone_symbol_intern_function(&symbolizer->functions, &symbolizer->arena, &function);
    ret->line = place ? place->line : 0;
    ret->column = place ? place->column : 0;
    return ret->function ? 0 : -ENOMEM;
}

static int from_dwarf(struct hone_symbol_module *module, const struct hone_dwarf_frames *frames,
                      const struct hone_elf_function *begins, struct hone_symbol_frames *ret)
{
    struct hone_symbol_frame *kept =
        hone_arena_zalloc(&module->symbolizer->arena, frames->count, sizeof *kept);
    if (!kept)
        return -ENOMEM;
    for (size_t i = 0; i < frames->count; i++) {
        const struct hone_dwarf_frame *frame = &frames->at[i];
        bool outermost = i + 1 == frames->count;
        const char *name = system_name_of(frame->function, outermost ? begins : NULL);
        if (!name && frames->count == 1)
            return HONE_SYMBOL_UNKNOWN; // a line without a function: nothing to call it
        int r = make_frame(module, name ? name : "[unnamed]", frame->file,
                           frame->function ? frame->function->line : 0, frame, &kept[i]);
        if (r)
            return r;
    }
    *ret = (struct hone_symbol_frames){kept, frames->count};
    return 0;
}

static int from_symbol(struct hone_symbol_module *module, const struct hone_elf_function *symbol,
                       struct hone_symbol_frames *ret)
{
    struct hone_symbol_frame *kept =
        hone_arena_new(&module->symbolizer->arena, struct hone_symbol_frame);
    if (!kept)
        return -ENOMEM;
    int r = make_frame(module, symbol->name, NULL, 0, NULL, kept);
    if (!r)
        *ret = (struct hone_symbol_frames){kept, 1};
    return r;
}

static int look_up(struct hone_symbol_module *module, uint64_t vaddr,
                   struct hone_symbol_frames *ret)
{
    struct hone_dwarf_frames frames;
    int r = module->dwarf ? hone_dwarf_lookup(module->dwarf, vaddr, &frames) : HONE_DWARF_UNKNOWN;
    if (r < 0)
        return r;
    if (r == 0)
        return from_dwarf(module, &frames, beginning(module, &frames, vaddr), ret);
    const struct hone_elf_function *symbol = hone_elf_function_at(&module->functions, vaddr);
    return symbol ? from_symbol(module, symbol, ret) : HONE_SYMBOL_UNKNOWN;
}

int hone_symbol_lookup(struct hone_symbol_module *module, uint64_t vaddr,
                       struct hone_symbol_frames *ret)
{
    int r = hone_symbol_module_open(module);
    if (r)
        return r;
    struct hone_symbol_cached *cached = hone_symbol_cache_slot(&module->cache, vaddr);
    if (!cached)
        return -ENOMEM;
    if (!cached->used) {
        struct hone_symbol_frames frames = {0};
        r = look_up(module, vaddr, &frames);
        if (r < 0)
            return r;
        *cached = (struct hone_symbol_cached){vaddr, frames.at, (uint32_t)frames.count, true};
        module->cache.count++;
    }
    if (!cached->frames)
        return HONE_SYMBOL_UNKNOWN;
    *ret = (struct hone_symbol_frames){cached->frames, cached->count};
    return 0;
}
