#include "capture/inner.h"

#include "base/base.h"
#include "elf/elf.h"

#include <stdbool.h>
#include <string.h>

static const struct inner {
    const char *name;
    const char *says;    // a part of one of its messages
    const char *exports; // what a file lets others call when it is this allocator
} inners[] = {
    {"jemalloc", "<jemalloc>", "mallocx"},
    {"tcmalloc", "TCMALLOC_", "tc_malloc"},
    {"tcmalloc", "tcmalloc.current_total_thread_cache_bytes", "tc_malloc"},
    {"mimalloc", "mimalloc: ", "mi_malloc"},
};

static bool has(const struct hone_elf_bytes *bytes, const char *text)
{
    return bytes->at && memmem(bytes->at, bytes->len, text, strlen(text)) != NULL;
}

const char *hone_inner_allocator(const char *path)
{
    HONE_CLEANUP(hone_elf_closep) struct hone_elf *elf = NULL;
    if (path[0] != '/' || hone_elf_open(path, &elf, NULL))
        return NULL;
    struct hone_elf_bytes texts = hone_elf_section(elf, ".rodata");
    struct hone_elf_bytes names = hone_elf_section(elf, ".dynstr");
    for (size_t i = 0; i < sizeof inners / sizeof inners[0]; i++)
        if (has(&texts, inners[i].says) && !has(&names, inners[i].exports))
            return inners[i].name;
    return NULL;
}
