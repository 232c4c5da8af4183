// Who created the threads of a dump, and where: from what the session tells, or from the tables
// that libhone.so keeps in the process itself, for a process that somebody else records. What is
// read there is input.
#include "capture/dump_parts.h"

#include "base/cleanup.h"
#include "capture/remote_file.h"
#include "elf/elf.h"
#include "session/layout.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

// --- from a session ------------------------------------------------------------------------------

struct known {
    uint32_t process, tid;
    uint32_t thread; // in collected
};

static int by_thread(const void *a, const void *b)
{
    const struct known *one = a, *other = b;
    if (one->process != other->process)
        return one->process < other->process ? -1 : 1;
    return one->tid < other->tid ? -1 : one->tid > other->tid;
}

static bool lived_at(const struct hone_collected_thread *thread, uint64_t time_ns)
{
    return thread->met_ns && thread->met_ns <= time_ns &&
           (!thread->left_ns || thread->left_ns >= time_ns);
}

// The thread that had that number then.
static const struct hone_collected_thread *find(const struct hone_collected *collected,
                                                const struct known *all, uint32_t count,
                                                const struct known *key, uint64_t time_ns)
{
    const struct known *found = count ? bsearch(key, all, count, sizeof *all, by_thread) : NULL;
    if (!found)
        return NULL;
    while (found > all && by_thread(found - 1, key) == 0)
        found--;
    for (; found < all + count && by_thread(found, key) == 0; found++)
        if (lived_at(&collected->threads[found->thread], time_ns))
            return &collected->threads[found->thread];
    return NULL;
}

int hone_dump_creations_told(struct hone_dump *dump)
{
    const struct hone_collected *collected = dump->collected;
    HONE_CLEANUP(hone_freep)
    struct known *all = calloc((size_t)collected->thread_count + 1, sizeof *all);
    if (!all)
        return -ENOMEM;
    for (uint32_t i = 0; i < collected->thread_count; i++)
        all[i] = (struct known){collected->threads[i].process, collected->threads[i].tid, i};
    qsort(all, collected->thread_count, sizeof *all, by_thread);
    for (uint32_t i = 0; i < dump->thread_count; i++) {
        struct hone_dump_thread *thread = &dump->threads[i];
        const struct known key = {dump->processes[thread->process].collected, thread->tid, 0};
        const struct hone_collected_thread *known =
            find(collected, all, collected->thread_count, &key, thread->looked_ns);
        if (!known)
            continue;
        thread->creation = known->creation;
        thread->creator_tid = known->creator ? collected->threads[known->creator - 1].tid : 0;
    }
    return 0;
}

// --- from the process itself ---------------------------------------------------------------------

struct tables {
    struct hone_creation_places places;
    struct hone_creation_thread *threads;
    struct hone_creation_site *sites;
    uint32_t generation, epoch;
};

static void tables_done(struct tables *tables)
{
    free(tables->threads);
    free(tables->sites);
}

static bool read_memory(uint32_t pid, uint64_t from, void *to, size_t size)
{
    struct iovec ours = {to, size};
    struct iovec theirs = {(void *)(uintptr_t)from, size}; // NOLINT(performance-no-int-to-ptr)
    return process_vm_readv((pid_t)pid, &ours, 1, &theirs, 1, 0) == (ssize_t)size;
}

static bool is_library(const char *path)
{
    const char *slash = strrchr(path, '/');
    return strncmp(slash ? slash + 1 : path, "libhone.so", 10) == 0;
}

// Where the library's section is in the process; 0: it has none.
static uint64_t places_in(const struct hone_elf_code *file, uint64_t bias)
{
    HONE_CLEANUP(hone_elf_closep) struct hone_elf *elf = NULL;
    if (hone_elf_open_memory(file->bytes, file->size, "libhone.so", &elf, NULL))
        return 0;
    struct hone_elf_bytes section = hone_elf_section(elf, HONE_CREATIONS_SECTION);
    return section.at && section.len >= sizeof(struct hone_creation_places) ? section.vaddr + bias
                                                                            : 0;
}

static bool find_tables(struct hone_look_process *process, struct hone_creation_places *ret)
{
    const struct hone_modules *modules = hone_remote_modules(process->remote);
    for (size_t i = 0; i < hone_modules_count(modules); i++) {
        const struct hone_module *module = &modules->slots[i];
        const struct hone_elf_code *file = hone_remote_file_of(process->remote, i);
        if (hone_module_retired(module) || !file || !is_library(module->path))
            continue;
        uint64_t at = places_in(file, module->bias - file->module.bias);
        if (at &&
            read_memory((uint32_t)hone_remote_through(process->remote), at, ret, sizeof *ret) &&
            ret->magic == HONE_CREATIONS_MAGIC)
            return true;
    }
    return false;
}

// Returns 0; -ENOENT: it has none; -ENOMEM.
static int read_tables(struct hone_look_process *process, struct tables *ret)
{
    const size_t threads_bytes = HONE_CREATION_THREADS * sizeof *ret->threads;
    const size_t sites_bytes = HONE_CREATION_SITES * sizeof *ret->sites;
    if (hone_look_open(process) || !find_tables(process, &ret->places))
        return -ENOENT;
    ret->threads = malloc(threads_bytes);
    ret->sites = malloc(sites_bytes);
    if (!ret->threads || !ret->sites)
        return -ENOMEM;
    const uint32_t through = (uint32_t)hone_remote_through(process->remote);
    bool read =
        read_memory(through, ret->places.threads, ret->threads, threads_bytes) &&
        read_memory(through, ret->places.sites, ret->sites, sites_bytes) &&
        read_memory(through, ret->places.generation, &ret->generation, sizeof ret->generation) &&
        read_memory(through, ret->places.epoch, &ret->epoch, sizeof ret->epoch);
    return read ? 0 : -ENOENT;
}

static const struct hone_creation_thread *entry_of(const struct tables *tables, uint32_t tid)
{
    for (uint32_t attempt = 0; attempt < HONE_CREATION_TRIES; attempt++) {
        const struct hone_creation_thread *entry =
            &tables->threads[hone_creation_slot(tid, attempt)];
        if (entry->tid == tid && entry->epoch == tables->epoch)
            return entry;
    }
    return NULL;
}

// The stack of a site in collected, plus one; 0: there is none, or its code may be gone by now.
static uint32_t stack_of(struct hone_dump *dump, struct hone_look_process *process,
                         const struct tables *tables, uint32_t site)
{
    if (!site || site > HONE_CREATION_SITES)
        return 0;
    const struct hone_creation_site *entry = &tables->sites[site - 1];
    if (entry->check <= 1 || entry->generation != (tables->generation & ~1u) ||
        entry->count > HONE_CREATION_FRAMES || entry->end >= HONE_STACK_ENDS)
        return 0;
    return hone_look_addresses(&dump->state->look, process, entry->addresses, entry->count,
                               (enum hone_stack_end)entry->end) +
           1;
}

int hone_dump_creations_read(struct hone_dump *dump)
{
    int r = 0;
    for (uint32_t i = 0; i < dump->process_count && r != -ENOMEM; i++) {
        struct hone_look_process *process = &dump->state->looks[i];
        HONE_CLEANUP(tables_done) struct tables tables = {0};
        r = read_tables(process, &tables);
        for (uint32_t t = 0; !r && t < dump->thread_count; t++) {
            struct hone_dump_thread *thread = &dump->threads[t];
            const struct hone_creation_thread *entry =
                thread->process == i ? entry_of(&tables, thread->tid) : NULL;
            if (!entry)
                continue;
            thread->creator_tid = entry->creator_tid;
            thread->creation = stack_of(dump, process, &tables, entry->site);
        }
    }
    return r == -ENOMEM ? r : 0;
}
