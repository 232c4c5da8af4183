// From an address to frames: DWARF first, the symbol table for what it does not cover, and both
// together for the outermost function's system name.
#include "elf/nameless.h"
#include "symbol/demangle.h"
#include "symbol/module.h"

#include <errno.h>
#include <string.h>

// Demangling leaves more behind than the name it was asked for.
enum { SCRATCH_MAX = 1 << 20 };

static const char *display_name(struct hone_symbolizer *symbolizer, const char *linker_name)
{
    if (symbolizer->scratch.total_bytes > SCRATCH_MAX)
        hone_arena_done(&symbolizer->scratch);
    const char *name = hone_demangle(&symbolizer->scratch, linker_name);
    return name ? hone_symbol_intern_text(&symbolizer->texts, &symbolizer->arena, name) : NULL;
}

// The symbol is the same function as DWARF's: equal, or a copy or a nested one ("f.part.0", "f.0").
static bool is_same(const char *symbol, const char *name)
{
    size_t len = strlen(name);
    return strncmp(symbol, name, len) == 0 && (!symbol[len] || symbol[len] == '.');
}

// The symbol is a public alias: what remains of a private name ("__libc_malloc") without its
// prefix. Other symbols at one address are strangers, equal functions that were merged.
static bool is_public_alias(const char *symbol, const char *private_name)
{
    size_t len = strlen(symbol), private_len = strlen(private_name);
    return len < private_len && private_name[0] == '_' &&
           strcmp(private_name + private_len - len, symbol) == 0;
}

// The names of a function. begins is the symbol at its entry when it is the outermost one, else
// NULL.
//
// C functions of libraries often have a private name in the source and a public alias. The alias
// is taken, as it is without debug information, so that installing that changes no name.
static struct hone_symbol_naming naming_of(const struct hone_dwarf_function *function,
                                           const struct hone_elf_function *begins)
{
    const char *name = function ? function->linkage_name : NULL;
    if (function && !name)
        name = function->name;
    if (!begins)
        return (struct hone_symbol_naming){name, name};
    if (!name || is_public_alias(begins->name, name))
        return (struct hone_symbol_naming){begins->name, begins->name};
    if (is_same(begins->name, name))
        return (struct hone_symbol_naming){begins->name, name};
    // A C++ function whose entry tells no more than "operator()".
    bool mangled = begins->name[0] == '_' && strchr("ZRD", begins->name[1]);
    if (mangled && !function->linkage_name)
        return (struct hone_symbol_naming){begins->name, begins->name};
    return (struct hone_symbol_naming){name, name};
}

struct hone_symbol_naming hone_symbol_naming(const struct hone_dwarf_function *function,
                                             const struct hone_elf_function *begins)
{
    struct hone_symbol_naming naming = naming_of(function, begins);
    return naming.system_name ? naming : (struct hone_symbol_naming){"[unnamed]", "[unnamed]"};
}

const struct hone_elf_function *hone_symbol_beginning(const struct hone_symbol_module *module,
                                                      uint64_t entry)
{
    const struct hone_elf_function *symbol = hone_elf_function_at(&module->functions, entry);
    return symbol && symbol->entry == entry ? symbol : NULL;
}

// name is for people; NULL: made from the label.
static const struct hone_symbol_function *make_function(struct hone_symbol_module *module,
                                                        struct hone_symbol_naming naming,
                                                        const char *name, const char *file,
                                                        uint32_t start_line)
{
    struct hone_symbolizer *symbolizer = module->symbolizer;
    struct hone_arena *arena = &symbolizer->arena;
    struct hone_symbol_function function = {
        .name = name ? hone_symbol_intern_text(&symbolizer->texts, arena, name)
                     : display_name(symbolizer, naming.label),
        .system_name = hone_symbol_intern_text(&symbolizer->texts, arena, naming.system_name),
        .file = hone_symbol_intern_text(&symbolizer->texts, arena, file ? file : ""),
        .start_line = start_line,
    };
    if (!function.name || !function.system_name || !function.file)
        return NULL;
    return hone_symbol_intern_function(&symbolizer->functions, &symbolizer->arena, &function);
}

// Functions recur from address to address; then their names need no second look.
static const struct hone_symbol_function *function_of(struct hone_symbol_module *module,
                                                      const struct hone_dwarf_frame *frame,
                                                      const struct hone_elf_function *begins,
                                                      const char *name)
{
    struct hone_symbol_known *known =
        hone_symbol_known_slot(&module->known, frame->function, frame->file, begins);
    if (!known || known->made)
        return known ? known->made : NULL;
    const struct hone_symbol_function *made =
        make_function(module, hone_symbol_naming(frame->function, begins), name, frame->file,
                      frame->function ? frame->function->line : 0);
    if (made) {
        *known = (struct hone_symbol_known){frame->function, frame->file, begins, made};
        module->known.count++;
    }
    return made;
}

static struct hone_symbol_frame *new_frames(struct hone_symbol_module *module, size_t count)
{
    return hone_arena_zalloc(&module->symbolizer->arena, count, sizeof(struct hone_symbol_frame));
}

static int from_dwarf(struct hone_symbol_module *module, const struct hone_dwarf_frames *frames,
                      const char *const *names, struct hone_symbol_frames *ret)
{
    struct hone_symbol_frame *kept = new_frames(module, frames->count);
    if (!kept)
        return -ENOMEM;
    const struct hone_elf_function *begins = hone_symbol_beginning(module, frames->entry);
    for (size_t i = 0; i < frames->count; i++) {
        const struct hone_dwarf_frame *frame = &frames->at[i];
        bool outermost = i + 1 == frames->count;
        kept[i].function =
            function_of(module, frame, outermost ? begins : NULL, names ? names[i] : NULL);
        kept[i].line = frame->line;
        kept[i].column = frame->column;
        if (!kept[i].function)
            return -ENOMEM;
    }
    *ret = (struct hone_symbol_frames){kept, frames->count};
    return 0;
}

static int from_symbol(struct hone_symbol_module *module, const struct hone_elf_function *symbol,
                       const struct hone_dwarf_frame *place, struct hone_symbol_frames *ret)
{
    struct hone_symbol_frame *kept = new_frames(module, 1);
    if (!kept)
        return -ENOMEM;
    kept->function = make_function(module, (struct hone_symbol_naming){symbol->name, symbol->name},
                                   NULL, place ? place->file : NULL, 0);
    kept->line = place ? place->line : 0;
    kept->column = place ? place->column : 0;
    *ret = (struct hone_symbol_frames){kept, 1};
    return kept->function ? 0 : -ENOMEM;
}

// The index's bytes stay: its texts need no copies.
static const struct hone_symbol_function *
named_function(struct hone_symbolizer *symbolizer, const struct hone_symbol_index_names *names)
{
    static const char unknown[] = "";
    const struct hone_symbol_text none = {unknown, hone_symbol_text_hash(unknown, 0)};
    struct hone_symbol_pool *texts = &symbolizer->texts;
    struct hone_symbol_function function = {
        .name = names->name.at ? hone_symbol_intern_hashed(texts, &names->name)
                               : display_name(symbolizer, names->label.at),
        .system_name = hone_symbol_intern_hashed(texts, &names->system_name),
        .file = hone_symbol_intern_hashed(texts, names->file.at ? &names->file : &none),
        .start_line = names->start_line,
    };
    if (!function.name || !function.system_name || !function.file)
        return NULL;
    return hone_symbol_intern_function(&symbolizer->functions, &symbolizer->arena, &function);
}

static int indexed_function(struct hone_symbol_module *module,
                            const struct hone_symbol_index_frame *frame,
                            const struct hone_symbol_function **ret)
{
    // Numbers as keys: no pointer into the mapping is kept beyond it.
    const void *key = (const void *)((uintptr_t)frame->function << 1 | frame->symbol);
    const void *file = (const void *)(uintptr_t)frame->file;
    struct hone_symbol_known *known = hone_symbol_known_slot(&module->known, key, file, NULL);
    if (!known)
        return -ENOMEM;
    if (!known->made) {
        struct hone_symbol_index_names names;
        int r = hone_symbol_index_names(module->index, frame, &names);
        if (r)
            return r;
        const struct hone_symbol_function *made = named_function(module->symbolizer, &names);
        if (!made)
            return -ENOMEM;
        *known = (struct hone_symbol_known){key, file, NULL, made};
        module->known.count++;
    }
    *ret = known->made;
    return 0;
}

// What the index found (r, frames).
static int from_index(struct hone_symbol_module *module, int r,
                      const struct hone_symbol_index_frames *frames, struct hone_symbol_frames *ret)
{
    if (r)
        return r;
    struct hone_symbol_frame *kept = new_frames(module, frames->count);
    if (!kept)
        return -ENOMEM;
    for (size_t i = 0; i < frames->count; i++) {
        const struct hone_symbol_index_frame *frame = &frames->at[i];
        const struct hone_symbol_function *function;
        r = indexed_function(module, frame, &function);
        if (r)
            return r;
        kept[i] = (struct hone_symbol_frame){function, frame->line, frame->column};
    }
    *ret = (struct hone_symbol_frames){kept, frames->count};
    return 0;
}

// What DWARF found (r, frames), or else the symbol table.
static int from_files(struct hone_symbol_module *module, uint64_t vaddr, int r,
                      const struct hone_dwarf_frames *frames, const char *const *names,
                      struct hone_symbol_frames *ret)
{
    if (r < 0)
        return r;
    if (r == 0 && frames->at->function)
        return from_dwarf(module, frames, names, ret);
    // No function in DWARF, but assembly may have a symbol and a line.
    const struct hone_elf_function *symbol = hone_elf_function_at(&module->functions, vaddr);
    if (!symbol)
        return HONE_SYMBOL_UNKNOWN;
    return from_symbol(module, symbol, r == 0 ? frames->at : NULL, ret);
}

static int look_up(struct hone_symbol_module *module, uint64_t vaddr,
                   struct hone_symbol_frames *ret)
{
    if (module->index) {
        struct hone_symbol_index_frames found;
        int r = hone_symbol_index_lookup(module->index, vaddr, &found);
        r = from_index(module, r, &found, ret);
        if (r != -EBADMSG)
            return r;
        // A damaged index is none: the files say it all once more.
        r = hone_symbol_module_open_files(module);
        if (r)
            return r;
    }
    struct hone_dwarf_frames frames = {0};
    struct hone_dwarf *dwarf = hone_symbol_module_dwarf(module, vaddr);
    int r = dwarf ? hone_dwarf_lookup(dwarf, vaddr, &frames) : HONE_DWARF_UNKNOWN;
    return from_files(module, vaddr, r, &frames, NULL, ret);
}

static int keep(struct hone_symbol_module *module, struct hone_symbol_cached *cached,
                uint64_t vaddr, int r, const struct hone_symbol_frames *frames)
{
    if (r < 0)
        return r;
    *cached = (struct hone_symbol_cached){vaddr, r ? NULL : frames->at,
                                          r ? 0 : (uint32_t)frames->count, true};
    module->cache.count++;
    return 0;
}

int hone_symbol_answer(struct hone_symbol_module *module, const struct hone_symbol_answer *answer)
{
    struct hone_symbol_cached *cached = hone_symbol_cache_slot(&module->cache, answer->vaddr);
    if (!cached)
        return -ENOMEM;
    if (cached->used)
        return 0;
    struct hone_symbol_frames frames = {0};
    int r =
        from_files(module, answer->vaddr, answer->outcome, &answer->frames, answer->names, &frames);
    return keep(module, cached, answer->vaddr, r, &frames);
}

int hone_symbol_answer_indexed(struct hone_symbol_module *module, uint64_t vaddr, int outcome,
                               const struct hone_symbol_index_frames *found)
{
    struct hone_symbol_cached *cached = hone_symbol_cache_slot(&module->cache, vaddr);
    if (!cached)
        return -ENOMEM;
    if (cached->used)
        return 0;
    struct hone_symbol_frames frames = {0};
    int r = from_index(module, outcome, found, &frames);
    return keep(module, cached, vaddr, r, &frames);
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
        r = keep(module, cached, vaddr, r, &frames);
        if (r)
            return r;
    }
    if (!cached->frames)
        return HONE_SYMBOL_UNKNOWN;
    *ret = (struct hone_symbol_frames){cached->frames, cached->count};
    return 0;
}

int hone_symbol_extent(struct hone_symbol_module *module, uint64_t vaddr,
                       struct hone_symbol_extent *ret)
{
    int r = hone_symbol_module_open(module);
    if (!r)
        r = hone_symbol_module_open_files(module); // an index does not know symbols' ends
    if (r)
        return r;
    const struct hone_elf_function *symbol = hone_elf_function_at(&module->functions, vaddr);
    if (symbol) {
        const char *name = display_name(module->symbolizer, symbol->name);
        if (!name)
            return -ENOMEM;
        *ret = (struct hone_symbol_extent){symbol->start, symbol->end, name};
        return 0;
    }
    struct hone_elf_extent nameless;
    if (!module->elf || !hone_elf_nameless(module->elf, vaddr, &nameless))
        return HONE_SYMBOL_UNKNOWN;
    *ret = (struct hone_symbol_extent){nameless.start, nameless.end, ""};
    return 0;
}
