// Tells a recording of locks that were never taken: what comes of it is known to the last digit.
// Beside the library that is preloaded it writes into the session itself, as a process of its own,
// with stacks that are made of functions below.
#include "session/writer.h"

#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct pool {
    char items[0x40];
    int lock;
} pool;
int settings, lonely;

// Never called: their addresses are what stacks consist of.
#define PLACE(name)                                                                                \
    static __attribute__((noinline, noclone, used)) int name(int x)                                \
    {                                                                                              \
        __asm__ volatile("nop\nnop\nnop\nnop" : "+r"(x));                                          \
        return x + (int)sizeof #name;                                                              \
    }
PLACE(flush)
PLACE(worker)
PLACE(submit)
PLACE(look_up)
PLACE(insert)
PLACE(make_table)
PLACE(make_connection)

static struct hone_writer writer;
static uint64_t now_ns;

static uint64_t monotonic_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void *claim(size_t bytes)
{
    void *record = hone_writer_claim(&writer, bytes);
    if (!record)
        abort();
    return record;
}

static int tell_module(struct dl_phdr_info *info, size_t len, void *opaque)
{
    char path[256] = "";
    (void)len;
    (void)opaque;
    if (readlink("/proc/self/exe", path, sizeof path - 1) < 0)
        abort();
    struct hone_record_module *module = claim(sizeof *module + sizeof path);
    module->start = UINT64_MAX;
    module->bias = info->dlpi_addr;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        uint64_t start = info->dlpi_addr + segment->p_vaddr, end = start + segment->p_memsz;
        if (segment->p_type == PT_NOTE && segment->p_memsz >= 36) {
            const ElfW(Nhdr) *note = (const void *)start;
            if (note->n_type == NT_GNU_BUILD_ID && note->n_descsz <= 20) {
                module->build_id_bytes = (uint8_t)note->n_descsz;
                memcpy(module->build_id, (const char *)(note + 1) + 4, note->n_descsz);
            }
        }
        if (segment->p_type != PT_LOAD)
            continue;
        module->start = start < module->start ? start : module->start;
        module->end = end > module->end ? end : module->end;
        if (segment->p_flags & PF_X) {
            module->text_start = start;
            module->text_end = end;
            module->text_offset = segment->p_offset;
        }
    }
    memcpy(module->path, path, sizeof path);
    hone_writer_commit(&writer, module, HONE_RECORD_MODULE);
    return 1; // the program itself comes first
}

// Returns its id.
static uint32_t tell_stack(int (*leaf)(int), int (*caller)(int))
{
    static uint32_t last;
    struct hone_record_stack *stack = claim(sizeof *stack + 16);
    stack->record.small = ++last;
    stack->count = 2;
    stack->addresses[0] = (uintptr_t)leaf + 1;
    stack->addresses[1] = (uintptr_t)caller + 1;
    hone_writer_commit(&writer, stack, HONE_RECORD_STACK);
    return last;
}

static void tell_held(const void *lock, uint32_t stack, uint32_t waiter, uint64_t delay_ns,
                      uint64_t hold_ns, uint32_t waiters, enum hone_lock_kind kind, uint64_t weight)
{
    struct hone_record_lock_held *held = claim(sizeof *held);
    held->time_ns = now_ns;
    held->lock = (uintptr_t)lock;
    held->stack = stack;
    held->waiter_stack = waiter;
    held->delay_ns = delay_ns;
    held->hold_ns = hold_ns;
    held->waiters = waiters;
    held->kind = kind;
    held->weight = weight;
    hone_writer_commit(&writer, held, HONE_RECORD_LOCK_HELD);
}

static void tell_wait(const void *lock, uint32_t stack, uint64_t delay_ns, enum hone_lock_kind kind)
{
    struct hone_record_wait *wait = claim(sizeof *wait);
    wait->record.small = 1;
    wait->time_ns = now_ns;
    wait->lock = (uintptr_t)lock;
    wait->stack = stack;
    wait->delay_ns = delay_ns;
    wait->rate_ns = 10000;
    wait->kind = kind;
    hone_writer_commit(&writer, wait, HONE_RECORD_WAIT);
}

static void tell_use(const void *lock, uint64_t wait_ns, uint64_t hold_ns, uint64_t weight,
                     enum hone_lock_kind kind)
{
    struct hone_record_lock_use *use = claim(sizeof *use);
    use->time_ns = now_ns;
    use->lock = (uintptr_t)lock;
    use->wait_ns = wait_ns;
    use->hold_ns = hold_ns;
    use->weight = weight;
    use->kind = kind;
    use->contended = wait_ns != 0;
    hone_writer_commit(&writer, use, HONE_RECORD_LOCK_USE);
}

static void tell_known(const void *lock, uint32_t stack, const char *name)
{
    struct hone_record_lock_known *known = claim(sizeof *known + strlen(name) + 1);
    known->record.small = HONE_LOCK_MUTEX;
    known->time_ns = now_ns;
    known->lock = (uintptr_t)lock;
    known->stack = stack;
    memcpy(known->name, name, strlen(name) + 1);
    hone_writer_commit(&writer, known, HONE_RECORD_LOCK_KNOWN);
}

static void tell_block(const void *lock, uint32_t stack, uint64_t offset)
{
    struct hone_record_lock_block *block = claim(sizeof *block);
    block->time_ns = now_ns;
    block->lock = (uintptr_t)lock;
    block->stack = stack;
    block->offset = offset;
    hone_writer_commit(&writer, block, HONE_RECORD_LOCK_BLOCK);
}

static void tell_threads(void)
{
    for (uint32_t i = 0; i < 2; i++) {
        struct hone_record_thread *thread = claim(sizeof *thread);
        thread->record.small = i;
        thread->tid = (uint64_t)getpid();
        thread->time_ns = now_ns;
        hone_writer_commit(&writer, thread, HONE_RECORD_THREAD);
    }
}

static void tell_locks(void)
{
    uint32_t holds = tell_stack(flush, worker), waits = tell_stack(submit, worker);
    uint32_t reads = tell_stack(look_up, worker), writes = tell_stack(insert, worker);
    uint32_t makes = tell_stack(make_table, worker), connects = tell_stack(make_connection, worker);
    // Of no file.
    char *made = malloc(64), *connections[3] = {malloc(256), malloc(256), malloc(256)};
    // Half a second of delay, held in flush.
    for (int i = 0; i < 400; i++)
        tell_held(&pool.lock, holds, waits, 125000, 2000000, 1, HONE_LOCK_MUTEX, 10);
    for (int i = 0; i < 500; i++)
        tell_wait(&pool.lock, waits, 100000, HONE_LOCK_MUTEX);
    for (int i = 0; i < 1000; i++)
        tell_use(&pool.lock, i < 300 ? 100000 : 0, 5000, 100, HONE_LOCK_MUTEX);
    // A table whose writers wait for readers, made in make_table.
    tell_known(made, makes, "");
    for (int i = 0; i < 100; i++)
        tell_held(made, reads, writes, 1000000, 10000, 1, HONE_LOCK_READ, 1);
    for (int i = 0; i < 100; i++)
        tell_wait(made, writes, 1000000, HONE_LOCK_WRITE);
    for (int i = 0; i < 200; i++)
        tell_use(made, 0, 1000, 10, i < 150 ? HONE_LOCK_READ : HONE_LOCK_WRITE);
    // One that has a name of its own, and three of one kind in blocks of the heap.
    tell_known(&settings, 0, "the settings");
    tell_held(&settings, holds, 0, 1000, 0, 1, HONE_LOCK_MUTEX, 1);
    for (int i = 0; i < 3; i++) {
        tell_block(&connections[i][32], connects, 32);
        tell_held(&connections[i][32], holds, waits, 2000, 0, 1, HONE_LOCK_MUTEX, 1);
    }
    // And one that is never waited for.
    for (int i = 0; i < 50; i++)
        tell_use(&lonely, 0, 10, 100, HONE_LOCK_SPIN);
}

int main(int argc, char **argv)
{
    const char *path = getenv("HONE_SESSION");
    struct stat status;
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0 || fstat(fd, &status))
        return 2;
    void *memory = mmap(NULL, (size_t)status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    now_ns = monotonic_ns();
    if (memory == MAP_FAILED || hone_writer_attach(&writer, memory, (size_t)status.st_size) ||
        hone_writer_begin(&writer, (uint32_t)getpid(), (uint32_t)getppid(), now_ns))
        return 3;
    (void)snprintf(writer.process->path, sizeof writer.process->path, "/told/records");
    writer.process->engine = HONE_ENGINE_THREAD_TIMER;
    tell_threads();
    (void)dl_iterate_phdr(tell_module, NULL);
    printf("%u %llu\n", writer.header->config.mutex_fraction,
           (unsigned long long)writer.header->config.block_rate_ns);
    if (argc > 1 && strcmp(argv[1], "nothing") == 0)
        return 0;
    atomic_store(&writer.process->counters.lock_contentions, 4321);
    tell_locks();
    return 0;
}
