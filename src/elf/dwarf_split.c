// Split DWARF: the program holds a skeleton of each unit (addresses and lines), and a .dwo file
// beside the object file holds the rest.
#include "elf/dwarf_internal.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

static struct hone_dwarf_unit *same_id(struct hone_dwarf_file *file, uint64_t id)
{
    for (size_t i = 0; i < file->unit_count; i++) {
        struct hone_dwarf_unit *unit = &file->units[i];
        struct hone_dwarf_root root;
        if (unit->type != DW_UT_split_type && unit->type != DW_UT_type &&
            hone_dwarf_unit_root(unit, &root) && unit->split_id == id)
            return unit;
    }
    return NULL;
}

static int keep(struct hone_dwarf *dwarf, struct hone_dwarf_file *file)
{
    struct hone_dwarf_file **grown =
        reallocarray(dwarf->splits, dwarf->split_count + 1, sizeof(struct hone_dwarf_file *));
    if (!grown)
        return -ENOMEM;
    dwarf->splits = grown;
    dwarf->splits[dwarf->split_count++] = file;
    return 0;
}

int hone_dwarf_split_open(struct hone_dwarf_unit *unit)
{
    struct hone_dwarf *dwarf = unit->file->dwarf;
    char path[PATH_MAX];
    bool absolute = unit->split_name[0] == '/' || !unit->directory;
    if ((size_t)snprintf(path, sizeof path, "%s%s%s", absolute ? "" : unit->directory,
                         absolute ? "" : "/", unit->split_name) >= sizeof path)
        return -EBADMSG;
    HONE_CLEANUP(hone_elf_closep) struct hone_elf *elf = NULL;
    int r = hone_elf_open(path, &elf, NULL);
    if (r)
        return r;
    struct hone_dwarf_file *file = calloc(1, sizeof *file);
    if (!file || keep(dwarf, file)) {
        free(file);
        return -ENOMEM;
    }
    struct hone_elf *owned = hone_take(elf);
    r = hone_dwarf_file_init(file, dwarf, owned, true);
    file->owned = owned;
    if (r)
        return r;
    struct hone_dwarf_unit *split = same_id(file, unit->split_id);
    if (!split)
        return -EBADMSG;
    split->addr_base = unit->addr_base;
    split->low_pc = unit->low_pc;
    split->ranges_base = unit->ranges_base;
    unit->split = split;
    return 0;
}
