#include "probe/image.h"

#include "core/syscall.h"

#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>

// glibc's loader has added the bias already, others leave the file's own value.
static const void *in_memory(const struct hone_image *image, uint64_t pointer)
{
    return (const void *)(uintptr_t)(pointer < image->low ? pointer + image->bias : pointer);
}

static void read_dynamic(struct hone_image *image)
{
    for (const Elf64_Dyn *entry = image->dynamic; entry->d_tag != DT_NULL; entry++) {
        uint64_t value = entry->d_un.d_val;
        switch (entry->d_tag) {
        case DT_SYMTAB:
            image->symbols = in_memory(image, value);
            break;
        case DT_STRTAB:
            image->strings = in_memory(image, value);
            break;
        case DT_GNU_HASH:
            image->gnu_hash = in_memory(image, value);
            break;
        case DT_HASH:
            image->hash = in_memory(image, value);
            break;
        case DT_RELA:
            image->tables[0] = in_memory(image, value);
            break;
        case DT_RELASZ:
            image->counts[0] = value / sizeof(Elf64_Rela);
            break;
        case DT_RELACOUNT:
            image->relative = value;
            break;
        case DT_JMPREL:
            image->tables[1] = in_memory(image, value);
            break;
        case DT_PLTRELSZ:
            image->counts[1] = value / sizeof(Elf64_Rela);
            break;
        case DT_SYMBOLIC:
            image->symbolic = true;
            break;
        case DT_FLAGS:
            image->symbolic = image->symbolic || value & DF_SYMBOLIC;
            break;
        case DT_RPATH:
            image->has_path = true;
            break;
        default:
            break;
        }
    }
}

static const Elf64_Sym *find_by_gnu_hash(const struct hone_image *image, const char *name)
{
    const uint32_t *table = image->gnu_hash;
    uint32_t buckets = table[0], first = table[1], words = table[2], hash = 5381;
    for (const char *at = name; *at; at++)
        hash = hash * 33 + (unsigned char)*at;
    const uint32_t *bucket = table + 4 + words * 2, *chain = bucket + buckets;
    if (!buckets)
        return NULL;
    uint32_t at = bucket[hash % buckets];
    if (at < first)
        return NULL;
    for (;; at++) {
        const Elf64_Sym *symbol = &image->symbols[at];
        uint32_t link = chain[at - first];
        if ((link | 1) == (hash | 1) && symbol->st_shndx != SHN_UNDEF &&
            strcmp(image->strings + symbol->st_name, name) == 0)
            return symbol;
        if (link & 1)
            return NULL;
    }
}

static const Elf64_Sym *find_by_hash(const struct hone_image *image, const char *name)
{
    const uint32_t *table = image->hash;
    uint32_t hash = 0;
    for (const char *at = name; *at; at++) {
        hash = (hash << 4) + (unsigned char)*at;
        hash ^= hash >> 24 & 0xf0;
        hash &= 0xfffffff;
    }
    uint32_t buckets = table[0];
    for (uint32_t at = buckets ? table[2 + hash % buckets] : 0; at; at = table[2 + buckets + at]) {
        const Elf64_Sym *symbol = &image->symbols[at];
        if (symbol->st_shndx != SHN_UNDEF && strcmp(image->strings + symbol->st_name, name) == 0)
            return symbol;
    }
    return NULL;
}

static const Elf64_Sym *find(const struct hone_image *image, const char *name)
{
    if (image->symbols && image->strings && image->gnu_hash)
        return find_by_gnu_hash(image, name);
    if (image->symbols && image->strings && image->hash)
        return find_by_hash(image, name);
    return NULL;
}

uint64_t hone_image_find_sized(const struct hone_image *image, const char *name, uint64_t *ret_size)
{
    const Elf64_Sym *symbol = find(image, name);
    if (!symbol || ELF64_ST_TYPE(symbol->st_info) != STT_FUNC)
        return 0;
    *ret_size = symbol->st_size;
    return image->bias + symbol->st_value;
}

uint64_t hone_image_find(const struct hone_image *image, const char *name)
{
    uint64_t size;
    return hone_image_find_sized(image, name, &size);
}

void hone_image_withdraw(const struct hone_image *image, const char *const *names, size_t count)
{
    const uint64_t page = getauxval(AT_PAGESZ);
    uint64_t low = UINT64_MAX, high = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t at = (uintptr_t)find(image, names[i]);
        low = at && at < low ? at : low;
        high = at > high ? at : high;
    }
    if (!high)
        return;
    low &= ~(page - 1);
    high = (high + sizeof(Elf64_Sym) + page - 1) & ~(page - 1);
    bool code = low < image->text_high && high > image->text_low;
    if (code || hone_syscall3(SYS_mprotect, low, high - low, PROT_READ | PROT_WRITE) != 0)
        return;
    for (size_t i = 0; i < count; i++) {
        Elf64_Sym *symbol = (Elf64_Sym *)(uintptr_t)find(image, names[i]);
        if (symbol) // loaders pass over what has no address
            __atomic_store_n(&symbol->st_value, 0, __ATOMIC_RELAXED);
    }
    (void)hone_syscall3(SYS_mprotect, low, high - low, PROT_READ);
}

bool hone_image_read(const struct dl_phdr_info *info, struct hone_image *ret)
{
    *ret = (struct hone_image){.bias = info->dlpi_addr, .low = UINT64_MAX};
    const uint64_t page = getauxval(AT_PAGESZ);
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const Elf64_Phdr *header = &info->dlpi_phdr[i];
        uint64_t start = ret->bias + header->p_vaddr, end = start + header->p_memsz;
        if (header->p_type == PT_LOAD) {
            ret->low = start < ret->low ? start : ret->low;
            ret->high = end > ret->high ? end : ret->high;
            if (header->p_flags == (PF_R | PF_X) && ret->text_low == 0) {
                ret->text_low = start;
                ret->text_high = start + header->p_filesz;
            }
        } else if (header->p_type == PT_DYNAMIC) {
            ret->dynamic = (const Elf64_Dyn *)(uintptr_t)start;
        } else if (header->p_type == PT_GNU_RELRO) {
            ret->sealed_low = start & ~(page - 1);
            ret->sealed_high = end & ~(page - 1);
        }
    }
    if (ret->low >= ret->high)
        return false;
    if (ret->dynamic)
        read_dynamic(ret);
    ret->allocates = hone_image_find(ret, "malloc") != 0;
    return true;
}
