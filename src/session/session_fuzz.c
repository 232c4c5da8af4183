// Property: any bytes in place of a session are read to an end, without a fault and with every
// event inside its bounds. The reader runs on a private copy, for it clears what it has read.
#include "session/session.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t sink;

static void on_module(void *context, uint32_t process, const struct hone_record_module *module)
{
    (void)context;
    sink += process + strlen(module->path) + module->build_id_bytes;
}

static void on_stack(void *context, uint32_t process, const struct hone_record_stack *stack)
{
    (void)context;
    (void)process;
    for (uint32_t i = 0; i < stack->count; i++)
        sink += stack->addresses[i];
}

static void on_thread(void *context, uint32_t process, const struct hone_record_thread *thread)
{
    (void)context;
    sink += process + thread->tid;
}

static void on_exec(void *context, uint32_t process, const struct hone_record_exec *exec)
{
    (void)context;
    sink += process + strlen(exec->path);
}

static void on_process(void *context, uint32_t process, const struct hone_process_facts *facts)
{
    (void)context;
    sink += process + strlen(facts->path) + strlen(facts->reason) + facts->engine;
}

static void on_site(void *context, uint32_t process, const struct hone_process_facts *facts,
                    uint32_t number, const struct hone_heap_site *site, bool last)
{
    (void)context;
    sink += process + facts->heap_fall + number + site->keeper + last;
}

static void on_kept(void *context, uint32_t process, const struct hone_record_heap_kept *kept)
{
    (void)context;
    sink += process + kept->site + kept->since + (uint64_t)kept->live;
}

static void on_lock_known(void *context, uint32_t process,
                          const struct hone_record_lock_known *lock)
{
    (void)context;
    sink += process + strlen(lock->name);
}

static void on_mark(void *context, uint32_t number, const struct hone_reader_mark *mark)
{
    (void)context;
    sink += number + strlen(mark->name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    // The input is a small session; what it leaves out is zero. The header's sizes are put right in
    // three cases of four, or nothing behind them would be reached.
    enum { CHUNKS = 3, AT = 2 * HONE_HEADER_BYTES };
    size_t bytes = AT + CHUNKS * HONE_CHUNK_BYTES;
    unsigned char *memory = calloc(1, bytes);
    if (!memory)
        return 0;
    struct hone_session_header *header = (struct hone_session_header *)memory;
    size_t skip = 0;
    if (size && data[0] % 4) {
        header->magic = HONE_SESSION_MAGIC;
        header->version = HONE_SESSION_VERSION;
        header->header_bytes = HONE_HEADER_BYTES;
        header->chunk_bytes = HONE_CHUNK_BYTES;
        header->chunk_count = CHUNKS;
        header->chunks_at = AT;
        memory[HONE_HEADER_BYTES] = 7;
        skip = AT;
    }
    // Runs of the input go to the starts of the chunks in turn.
    for (size_t i = 0; skip && i < CHUNKS; i++) {
        size_t part = size / CHUNKS;
        if (part > HONE_CHUNK_BYTES)
            part = HONE_CHUNK_BYTES;
        memcpy(memory + AT + i * HONE_CHUNK_BYTES, data + i * part, part);
    }
    if (!skip)
        memcpy(memory, data, size < bytes ? size : bytes);

    static const struct hone_reader_events events = {.process = on_process,
                                                     .process_end = on_process,
                                                     .module = on_module,
                                                     .stack = on_stack,
                                                     .thread = on_thread,
                                                     .exec = on_exec,
                                                     .heap_site = on_site,
                                                     .heap_kept = on_kept,
                                                     .lock_known = on_lock_known,
                                                     .mark = on_mark};
    struct hone_reader *reader;
    if (hone_reader_open(memory, bytes, &reader) == 0) {
        (void)hone_reader_poll(reader, &events, NULL);
        hone_reader_look(reader, &events, NULL);
        hone_reader_all_dead(reader);
        (void)hone_reader_poll(reader, &events, NULL);
        hone_reader_close(reader);
    }
    free(memory);
    return 0;
}
