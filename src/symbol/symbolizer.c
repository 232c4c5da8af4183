#include "symbol/kernel.h"
#include "symbol/module.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int copy_roots(struct hone_symbolizer *symbolizer, const char *const *roots, size_t count)
{
    static const char *const usual[] = {"/usr/lib/debug"};
    if (!count) {
        roots = usual;
        count = 1;
    }
    const char **kept = hone_arena_zalloc(&symbolizer->arena, count, sizeof *kept);
    if (!kept)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        kept[i] = hone_arena_copy(&symbolizer->arena, roots[i], strlen(roots[i]) + 1);
        if (!kept[i])
            return -ENOMEM;
    }
    symbolizer->places = (struct hone_elf_debug_places){kept, count};
    return 0;
}

int hone_symbolizer_new(const struct hone_symbolizer_options *options, struct hone_symbolizer **ret,
                        struct hone_error *err)
{
    struct hone_symbolizer_options given = {0};
    if (options) {
        if (options->size < sizeof options->size)
            return hone_error_set(err, -EINVAL, "symbolizer options have no size");
        memcpy(&given, options, options->size < sizeof given ? options->size : sizeof given);
    }
    HONE_CLEANUP(hone_symbolizer_freep)
    struct hone_symbolizer *symbolizer = calloc(1, sizeof *symbolizer);
    if (!symbolizer || copy_roots(symbolizer, given.debug_roots, given.debug_root_count))
        return hone_error_set(err, -ENOMEM, "cannot look up symbols");
    const char *root = given.system_root ? given.system_root : "";
    symbolizer->system_root = hone_arena_copy(&symbolizer->arena, root, strlen(root) + 1);
    symbolizer->symbols_only = given.symbols_only;
    hone_symbol_store_init(&symbolizer->store, given.cache_directory, given.cache_bytes);
    const char *kernel = given.kernel_root ? given.kernel_root : "";
    symbolizer->kernel_root = hone_arena_copy(&symbolizer->arena, kernel, strlen(kernel) + 1);
    if (!symbolizer->system_root || !symbolizer->kernel_root)
        return hone_error_set(err, -ENOMEM, "cannot look up symbols");
    if (given.fetch) {
        int r = hone_symbol_fetcher_new(&symbolizer->fetcher, err);
        if (r)
            return r;
        hone_symbol_fetcher_watch(symbolizer->fetcher, given.progress, given.context);
    }
    *ret = hone_take(symbolizer);
    return 0;
}

void hone_symbolizer_free(struct hone_symbolizer *symbolizer)
{
    if (!symbolizer)
        return;
    for (struct hone_symbol_module *module = symbolizer->modules; module; module = module->next)
        hone_symbol_module_done(module);
    hone_symbol_fetcher_free(symbolizer->fetcher);
    hone_symbol_store_done(&symbolizer->store);
    hone_symbol_pool_done(&symbolizer->texts);
    hone_symbol_pool_done(&symbolizer->functions);
    hone_arena_done(&symbolizer->scratch);
    hone_arena_done(&symbolizer->arena);
    free(symbolizer);
}

// Modules of a process are few hundreds, and callers keep what they got: a list will do.
int hone_symbolizer_module(struct hone_symbolizer *symbolizer, const char *path,
                           const unsigned char *build_id, size_t build_id_len,
                           struct hone_symbol_module **ret)
{
    if (!build_id || build_id_len > HONE_ELF_BUILD_ID_MAX)
        build_id_len = 0;
    for (struct hone_symbol_module *module = symbolizer->modules; module; module = module->next) {
        if (strcmp(module->path, path) == 0 && module->build_id_len == build_id_len &&
            (!build_id_len || memcmp(module->build_id, build_id, build_id_len) == 0)) {
            *ret = module;
            return 0;
        }
    }
    struct hone_symbol_module *module =
        hone_arena_new(&symbolizer->arena, struct hone_symbol_module);
    if (!module)
        return -ENOMEM;
    module->symbolizer = symbolizer;
    module->path = hone_arena_copy(&symbolizer->arena, path, strlen(path) + 1);
    if (!module->path)
        return -ENOMEM;
    if (build_id_len)
        memcpy(module->build_id, build_id, build_id_len);
    module->build_id_len = build_id_len;
    module->next = symbolizer->modules;
    symbolizer->modules = module;
    *ret = module;
    return 0;
}

// ---- The kernel

// A file of /proc or /sys; "" when it cannot be read. Returns 0 or -ENOMEM.
static int read_kernel_file(const struct hone_symbolizer *symbolizer, const char *name, char **ret,
                            size_t *ret_len)
{
    enum { LARGEST = 256 << 20 };
    char path[4096];
    *ret = NULL;
    *ret_len = 0;
    if ((size_t)snprintf(path, sizeof path, "%s%s", symbolizer->kernel_root, name) >= sizeof path)
        return 0;
    return hone_file_read(path, LARGEST, ret, ret_len, NULL) == -ENOMEM ? -ENOMEM : 0;
}

static int read_kernel(struct hone_symbol_module *module)
{
    struct hone_symbolizer *symbolizer = module->symbolizer;
    HONE_CLEANUP(hone_freep) char *kallsyms = NULL;
    HONE_CLEANUP(hone_freep) char *modules = NULL;
    HONE_CLEANUP(hone_freep) char *notes = NULL;
    size_t kallsyms_len, modules_len, notes_len;
    int r = read_kernel_file(symbolizer, "/proc/kallsyms", &kallsyms, &kallsyms_len);
    if (!r)
        r = read_kernel_file(symbolizer, "/proc/modules", &modules, &modules_len);
    if (!r)
        r = read_kernel_file(symbolizer, "/sys/kernel/notes", &notes, &notes_len);
    if (!r)
        r = hone_kernel_read(&symbolizer->arena, kallsyms, kallsyms_len, modules, modules_len,
                             &module->functions);
    if (r < 0)
        return r;
    struct hone_symbol_facts *facts = &module->facts;
    facts->detail = "";
    facts->has_functions = module->functions.count > 0;
    if (r == HONE_KERNEL_HIDDEN)
        facts->reason = HONE_SYMBOL_HIDDEN;
    else
        facts->reason = facts->has_functions ? HONE_SYMBOL_NO_DEBUG_FILE : HONE_SYMBOL_UNREADABLE;
    module->build_id_len = hone_kernel_build_id(notes, notes_len, module->build_id);
    module->opened = module->files_opened = true;
    return 0;
}

int hone_symbolizer_kernel(struct hone_symbolizer *symbolizer, struct hone_symbol_module **ret)
{
    if (!symbolizer->kernel) {
        struct hone_symbol_module *module;
        int r = hone_symbolizer_module(symbolizer, "[kernel.kallsyms]", NULL, 0, &module);
        if (!r)
            r = read_kernel(module);
        if (r)
            return r;
        symbolizer->kernel = module;
    }
    *ret = symbolizer->kernel;
    return 0;
}

const unsigned char *hone_symbol_module_build_id(const struct hone_symbol_module *module,
                                                 size_t *ret_len)
{
    *ret_len = module->build_id_len;
    return module->build_id_len ? module->build_id : NULL;
}

const struct hone_symbol_facts *hone_symbol_facts(struct hone_symbol_module *module)
{
    if (hone_symbol_module_open(module) && !module->facts.detail)
        module->facts = (struct hone_symbol_facts){HONE_SYMBOL_UNREADABLE, .detail = ""};
    if (module->dwarf_count) {
        struct hone_dwarf_stats stats = hone_symbol_module_stats(module);
        module->facts.broken_units = stats.units_broken;
        module->facts.missing_split_units = stats.split_missing;
    }
    return &module->facts;
}

const struct hone_elf *hone_symbol_module_elf(struct hone_symbol_module *module)
{
    (void)hone_symbol_facts(module);
    return module->elf;
}

int hone_symbolizer_keep(struct hone_symbolizer *symbolizer)
{
    for (struct hone_symbol_module *module = symbolizer->modules; module; module = module->next) {
        int r = hone_symbol_module_keep(module);
        if (r)
            return r;
    }
    return 0;
}
