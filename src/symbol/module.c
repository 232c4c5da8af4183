// Opening a module: its own file if that is still the one that ran, its separate debug file, its
// symbol tables, its DWARF; and saying why something is missing.
#include "symbol/module.h"

#include "symbol/vdso.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

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
    case HONE_SYMBOL_HIDDEN:
        return "the kernel hides its addresses: run as root, or set kernel.kptr_restrict to 0";
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

void hone_symbol_module_hold(struct hone_symbol_module *module, int fd)
{
    module->held_fd = fd + 1;
}

// Opens what has the module's path or, where that is not what ran, what is held.
static int open_by_path(const struct hone_symbol_module *module, const char *path,
                        struct hone_elf **ret, struct hone_error *err)
{
    struct stat there, held;
    int r = hone_elf_open(path, ret, err);
    if (r == -ENOMEM || !module->held_fd || fstat(module->held_fd - 1, &held) ||
        (!r && is_recorded(module, *ret) && stat(path, &there) == 0 &&
         there.st_ino == held.st_ino && there.st_dev == held.st_dev))
        return r;
    char by_descriptor[64];
    HONE_CLEANUP(hone_elf_closep) struct hone_elf *elf = NULL;
    (void)snprintf(by_descriptor, sizeof by_descriptor, "/proc/self/fd/%d", module->held_fd - 1);
    if (hone_elf_open(by_descriptor, &elf, NULL) || !is_recorded(module, elf))
        return r;
    hone_elf_close(*ret);
    *ret = hone_take(elf);
    return 0;
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
        r = open_by_path(module, path, &elf, &err);
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

const unsigned char *hone_symbol_module_id(const struct hone_symbol_module *module, size_t *ret_len)
{
    if (module->build_id_len) {
        *ret_len = module->build_id_len;
        return module->build_id;
    }
    const struct hone_elf_facts *facts = module->elf ? hone_elf_facts(module->elf) : NULL;
    *ret_len = facts ? facts->build_id_len : 0;
    return facts ? facts->build_id : NULL;
}

// Asks the servers, if the user did ask for that. Returns 0, also without success; -ENOMEM.
static int fetch_debug_file(struct hone_symbol_module *module)
{
    struct hone_symbolizer *symbolizer = module->symbolizer;
    size_t len;
    const unsigned char *build_id = hone_symbol_module_id(module, &len);
    if (!symbolizer->fetcher || symbolizer->symbols_only || !len)
        return 0;
    HONE_CLEANUP(hone_freep) char *path = NULL;
    int r = hone_symbol_fetch(symbolizer->fetcher, module->path, build_id, len, &path);
    if (r == -ENOENT)
        return 0;
    if (!r)
        r = hone_elf_open(path, &module->debug, NULL);
    // A server is no more trusted than a file that lies around.
    const struct hone_elf_facts *facts = r ? NULL : hone_elf_facts(module->debug);
    if (facts && (facts->build_id_len != len || memcmp(facts->build_id, build_id, len) != 0)) {
        hone_elf_close(hone_take(module->debug));
        r = -EBADMSG;
    }
    if (!r || r == -ENOMEM)
        return r;
    struct hone_error why = {0};
    (void)hone_error_set(&why, r, "cannot fetch its debug file%s",
                         r == -EBADMSG ? ": the server sent another one" : "");
    module->facts.detail =
        hone_symbol_intern_text(&symbolizer->texts, &symbolizer->arena, why.message);
    return module->facts.detail ? 0 : -ENOMEM;
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
    if (r == HONE_ELF_NO_DEBUG_FILE)
        r = fetch_debug_file(module);
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
    r = hone_dwarf_open(holder, module->alternate, &module->dwarfs[0]);
    module->dwarf_count = r == 0;
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
    if (module->dwarf_count) {
        facts->reason = HONE_SYMBOL_COMPLETE;
        facts->has_filenames = facts->has_line_numbers = facts->has_inline_frames = true;
        facts->debug_path = hone_elf_path(module->debug ? module->debug : module->elf);
    } else if (module->functions.count) {
        facts->reason =
            module->functions.full ? HONE_SYMBOL_NO_DEBUG_FILE : HONE_SYMBOL_EXPORTED_ONLY;
    }
    facts->has_functions = module->dwarf_count || module->functions.count;
}

static int open_files(struct hone_symbol_module *module)
{
    int r = open_debug_file(module);
    if (!r)
        r = open_dwarf(module);
    if (!r)
        r = open_functions(module);
    if (r)
        return r;
    set_facts(module);
    module->files_opened = true;
    return 0;
}

// Its bytes stay: texts that were given out lie in them.
static void close_index(struct hone_symbol_module *module)
{
    hone_symbol_index_close(module->index);
    module->index = NULL;
    // The keys of what is known point into it.
    hone_symbol_knowns_done(&module->known);
    module->known = (struct hone_symbol_knowns){0};
}

// Returns 0 with or without an index; -ENOMEM.
static int open_index(struct hone_symbol_module *module)
{
    size_t len;
    const unsigned char *build_id = hone_symbol_module_id(module, &len);
    if (!len || module->symbolizer->symbols_only)
        return 0;
    if (hone_symbol_store_map(&module->symbolizer->store, build_id, len, &module->index_bytes))
        return 0;
    int r = hone_symbol_index_open(module->index_bytes.at, module->index_bytes.len, build_id, len,
                                   &module->index);
    if (r) {
        hone_file_unmap(&module->index_bytes);
        return r == -ENOMEM ? r : 0;
    }
    struct hone_symbolizer *symbolizer = module->symbolizer;
    const char *path = hone_symbol_index_debug_path(module->index);
    module->facts = (struct hone_symbol_facts){
        .reason = HONE_SYMBOL_COMPLETE,
        .has_functions = true,
        .has_filenames = true,
        .has_line_numbers = true,
        .has_inline_frames = true,
        .debug_path = hone_symbol_intern_text(&symbolizer->texts, &symbolizer->arena, path),
        .detail = "",
        .from_index = true,
    };
    return module->facts.debug_path ? 0 : -ENOMEM;
}

int hone_symbol_module_open_files(struct hone_symbol_module *module)
{
    if (module->index) {
        close_index(module);
        module->facts.from_index = false;
    }
    return module->files_opened ? 0 : open_files(module);
}

int hone_symbol_module_open(struct hone_symbol_module *module)
{
    if (module->opened)
        return 0;
    int r = open_own_file(module);
    if (!r)
        r = open_index(module);
    if (!r && !module->index)
        r = open_files(module);
    if (r)
        return r;
    module->opened = true;
    return 0;
}

void hone_symbol_module_done(struct hone_symbol_module *module)
{
    close_index(module);
    hone_file_unmap(&module->index_bytes);
    for (unsigned i = 0; i < module->dwarf_count; i++)
        hone_dwarf_close(module->dwarfs[i]);
    free(module->owners);
    hone_elf_close(module->alternate);
    hone_elf_close(module->debug);
    hone_elf_close(module->variables_from);
    hone_elf_close(module->elf);
    hone_symbol_cache_done(&module->cache);
}

// ---- Readers

void hone_symbol_module_readers(struct hone_symbol_module *module, unsigned count)
{
    if (!module->dwarf_count || count > HONE_CREW_MAX)
        return;
    if (!module->owners)
        module->owners = calloc(hone_dwarf_stats(module->dwarfs[0]).units + 1, 1);
    struct hone_elf *holder = module->debug ? module->debug : module->elf;
    for (; module->owners && module->dwarf_count < count; module->dwarf_count++) {
        if (hone_dwarf_open(holder, module->alternate, &module->dwarfs[module->dwarf_count]))
            return;
    }
}

struct hone_dwarf *hone_symbol_module_dwarf(struct hone_symbol_module *module, uint64_t vaddr)
{
    uint32_t unit;
    if (!module->dwarf_count)
        return NULL;
    if (!module->owners || hone_dwarf_unit_of(module->dwarfs[0], vaddr, &unit) ||
        !module->owners[unit])
        return module->dwarfs[0];
    return module->dwarfs[module->owners[unit] - 1];
}

struct hone_dwarf_stats hone_symbol_module_stats(const struct hone_symbol_module *module)
{
    struct hone_dwarf_stats sum = {0};
    for (unsigned i = 0; i < module->dwarf_count; i++) {
        struct hone_dwarf_stats stats = hone_dwarf_stats(module->dwarfs[i]);
        sum.units = stats.units;
        sum.units_read += stats.units_read;
        // Each has seen the first entries of all units, and more of its own.
        sum.units_broken += stats.units_broken - stats.roots_broken;
        sum.split_missing += stats.split_missing;
        if (i == 0)
            sum.units_broken += stats.roots_broken;
    }
    return sum;
}

// ---- Keeping

enum {
    WORTHWHILE = 64 << 10, // bytes of .debug_info: below, reading takes less than a millisecond
    LARGEST = 1 << 30,     // above, an index would take longer than anybody waits for
};

int hone_symbol_module_keep(struct hone_symbol_module *module)
{
    struct hone_elf *holder = module->debug ? module->debug : module->elf;
    if (!module->elf || !module->dwarf_count || module->index || module->kept)
        return 0;
    size_t len, bytes = hone_elf_section(holder, ".debug_info").len;
    const unsigned char *build_id = hone_symbol_module_id(module, &len);
    bool alternate = hone_elf_section(holder, ".gnu_debugaltlink").at != NULL;
    if (!len || bytes < WORTHWHILE || bytes > LARGEST || (alternate && !module->alternate) ||
        !hone_symbol_store_usable(&module->symbolizer->store))
        return 0;
    module->kept = true;
    HONE_CLEANUP(hone_freep) void *index = NULL;
    size_t index_len;
    int r = hone_symbol_index_make(module, &index, &index_len);
    if (r)
        return r == -ENOMEM ? r : 0;
    (void)hone_symbol_store_write(&module->symbolizer->store, build_id, len, index, index_len);
    return 0;
}
