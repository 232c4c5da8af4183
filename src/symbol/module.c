// Opening a module: its own file if that is still the one that ran, its separate debug file, its
// symbol tables, its DWARF; and saying why something is missing.
#include "symbol/module.h"

#include "symbol/vdso.h"

#include <errno.h>
#include <string.h>

const char *hone_symbol_reason_text(enum hone_symbol_reason reason)
{
    switch (reason) {
    case HONE_SYMBOL_COMPLETE:
        return "functions, inlined calls and lines";
    case HONE_SYMBOL_NO_DEBUG_FILE:
        return "functions only: no debug information found";
    case HONE_SYMBOL_EXPORTED_ONLY:
        return "stripped: exported functions only";
    case HONE_SYMBOL_STRIPPED:
        return "stripped: no functions";
    case HONE_SYMBOL_CHANGED:
        return "file changed since it ran: its build id differs";
    case HONE_SYMBOL_UNREADABLE:
        return "file cannot be read";
    case HONE_SYMBOL_NO_FILE:
        return "not a file";
    }
    return "unknown";
}

static int note(struct hone_symbol_module *module, enum hone_symbol_reason reason,
                const char *detail)
{
    module->facts.reason = reason;
    module->facts.detail =
        hone_symbol_intern_text(&module->symbolizer->texts, &module->symbolizer->arena, detail);
    return module->facts.detail ? 0 : -ENOMEM;
}

static bool is_recorded(const struct hone_symbol_module *module, const struct hone_elf *elf)
{
    const struct hone_elf_facts *facts = hone_elf_facts(elf);
    return !module->build_id_len ||
           (facts->build_id_len == module->build_id_len &&
            memcmp(facts->build_id, module->build_id, module->build_id_len) == 0);
}

static int open_own_file(struct hone_symbol_module *module)
{
    struct hone_error err = {0};
    HONE_CLEANUP(hone_elf_closep) struct hone_elf *elf = NULL;
    int r;
    if (strcmp(module->path, "[vdso]") == 0) {
        r = hone_symbol_vdso_open(&elf, &err);
    } else if (module->path[0] == '[' || !module->path[0]) {
        return note(module, HONE_SYMBOL_NO_FILE, "");
    } else {
        HONE_CLEANUP(hone_freep) char *path = NULL;
        if (asprintf(&path, "%s%s", module->symbolizer->system_root, module->path) < 0)
            return -ENOMEM;
        r = hone_elf_open(path, &elf, &err);
    }
    if (r == -ENOMEM)
        return r;
    if (r)
        return note(module, HONE_SYMBOL_UNREADABLE, err.message);
    if (!is_recorded(module, elf))
        return note(module, HONE_SYMBOL_CHANGED, "");
    module->elf = hone_take(elf);
    return note(module, HONE_SYMBOL_STRIPPED, "");
}

static int open_debug_file(struct hone_symbol_module *module)
{
    const struct hone_elf_debug_places *places = &module->symbolizer->places;
    // The program itself may hold its DWARF.
    if (module->elf && hone_elf_section(module->elf, ".debug_info").at)
        return 0;
    // A file that changed or went away can still be read through its debug file.
    int r = module->elf ? hone_elf_debug_find(places, module->elf, &module->debug)
                        : hone_elf_debug_by_build_id(places, module->build_id, module->build_id_len,
                                                     &module->debug);
    return r < 0 ? r : 0;
}

static int open_dwarf(struct hone_symbol_module *module)
{
    struct hone_elf *holder = module->debug ? module->debug : module->elf;
    if (!holder || module->symbolizer->symbols_only)
        return 0;
    int r = hone_elf_debug_alternate(&module->symbolizer->places, holder, &module->alternate);
    if (r < 0)
        return r;
    r = hone_dwarf_open(holder, module->alternate, &module->dwarf);
    return r < 0 ? r : 0;
}

static int open_functions(struct hone_symbol_module *module)
{
    struct hone_elf *first = module->elf ? module->elf : module->debug;
    if (!first)
        return 0;
    int r =
        hone_elf_functions(&module->symbolizer->arena, first, module->debug, &module->functions);
    return r < 0 ? r : 0;
}

static void set_facts(struct hone_symbol_module *module)
{
    struct hone_symbol_facts *facts = &module->facts;
    if (module->dwarf) {
        facts->reason = HONE_SYMBOL_COMPLETE;
        facts->has_filenames = facts->has_line_numbers = facts->has_inline_frames = true;
        facts->debug_path = hone_elf_path(module->debug ? module->debug : module->elf);
    } else if (module->functions.count) {
        facts->reason =
            module->functions.full ? HONE_SYMBOL_NO_DEBUG_FILE : HONE_SYMBOL_EXPORTED_ONLY;
    }
    facts->has_functions = module->dwarf || module->functions.count;
}

int hone_symbol_module_open(struct hone_symbol_module *module)
{
    if (module->opened)
        return 0;
    int r = open_own_file(module);
    if (!r)
        r = open_debug_file(module);
    if (!r)
        r = open_dwarf(module);
    if (!r)
        r = open_functions(module);
    if (r)
        return r;
    set_facts(module);
    module->opened = true;
    return 0;
}

void hone_symbol_module_done(struct hone_symbol_module *module)
{
    hone_dwarf_close(module->dwarf);
    hone_elf_close(module->alternate);
    hone_elf_close(module->debug);
    hone_elf_close(module->elf);
    hone_symbol_cache_done(&module->cache);
    hone_symbol_knowns_done(&module->known);
}
