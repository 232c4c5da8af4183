// Variables: read when the first one is asked for, for hardly anybody asks.
#include "symbol/demangle.h"
#include "symbol/module.h"

#include <errno.h>
#include <string.h>

static int read_variables(struct hone_symbol_module *module)
{
    int r = hone_symbol_module_open(module);
    if (r || module->variables_read || !module->elf)
        return r;
    // Where the names come from an index nobody has opened it.
    if (!module->debug && !hone_elf_section(module->elf, ".symtab").at)
        r = hone_elf_debug_find(&module->symbolizer->places, module->elf, &module->variables_from);
    if (r >= 0)
        r = hone_elf_variables(&module->symbolizer->arena, module->elf,
                               module->debug ? module->debug : module->variables_from,
                               &module->variables);
    module->variables_read = r >= 0;
    return r < 0 ? r : 0;
}

int hone_symbol_variable(struct hone_symbol_module *module, uint64_t vaddr,
                         struct hone_symbol_variable *ret)
{
    int r = read_variables(module);
    const struct hone_elf_function *variable =
        r ? NULL : hone_elf_function_at(&module->variables, vaddr);
    if (r || !variable)
        return r ? r : HONE_SYMBOL_UNKNOWN;
    const char *name = hone_demangle(&module->symbolizer->arena, variable->name);
    if (!name)
        return -ENOMEM;
    *ret = (struct hone_symbol_variable){name, variable->entry, variable->end};
    return 0;
}

int hone_symbol_variable_named(struct hone_symbol_module *module, const char *name,
                               struct hone_symbol_variable *ret)
{
    int r = read_variables(module);
    for (size_t i = 0; !r && i < module->variables.count; i++) {
        const struct hone_elf_function *variable = &module->variables.at[i];
        if (strcmp(variable->name, name) != 0)
            continue;
        *ret = (struct hone_symbol_variable){variable->name, variable->entry, variable->end};
        return 0;
    }
    return r ? r : HONE_SYMBOL_UNKNOWN;
}
