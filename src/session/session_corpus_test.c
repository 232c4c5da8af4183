// The fuzzer's property on what it has found so far, and on sessions damaged at random.
#include "session/session.h"

#include "check.h"
#include "corpus.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_input(const struct corpus_file *file)
{
    CHECK_EQ(LLVMFuzzerTestOneInput((const uint8_t *)file->bytes, file->len), 0);
}

TEST(corpus_does_no_harm)
{
    CHECK(corpus_each(HONE_CORPUS, check_input) >= 40);
}

// A real stream with a few bytes changed: most of it still makes sense.
TEST(damaged_session_is_read_to_its_end)
{
    enum { CHUNKS = 4, ROUNDS = 400 };
    size_t bytes = 2 * HONE_HEADER_BYTES + (size_t)CHUNKS * HONE_CHUNK_BYTES;
    unsigned char *memory = aligned_alloc(4096, (bytes + 4095) & ~(size_t)4095);
    CHECK(memory);
    uint64_t random = 88172645463325252u;
    uint64_t seen = 0;
    for (int round = 0; round < ROUNDS; round++) {
        memset(memory, 0, bytes);
        struct hone_session_header *header = (struct hone_session_header *)memory;
        header->magic = HONE_SESSION_MAGIC;
        header->version = HONE_SESSION_VERSION;
        header->header_bytes = HONE_HEADER_BYTES;
        header->chunk_bytes = HONE_CHUNK_BYTES;
        header->chunk_count = CHUNKS;
        header->chunks_at = 2 * HONE_HEADER_BYTES;
        atomic_store(&header->backed_chunks, CHUNKS);
        struct hone_writer writer;
        CHECK_EQ(hone_writer_attach(&writer, memory, bytes), 0);
        CHECK_EQ(hone_writer_begin(&writer, 41, 1, 1000), 0);
        for (uint32_t i = 0; i < 2000; i++) {
            struct hone_record_stack *stack = hone_writer_claim(&writer, sizeof *stack + 80);
            if (!stack)
                break;
            stack->count = 10;
            hone_writer_commit(&writer, stack, HONE_RECORD_STACK);
        }
        for (int change = 0; change < 20; change++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            size_t at = HONE_HEADER_BYTES + random % (bytes - HONE_HEADER_BYTES);
            memory[at] = (unsigned char)(random >> 40);
        }
        struct hone_reader *reader;
        CHECK_EQ(hone_reader_open(memory, bytes, &reader), 0);
        static const struct hone_reader_events events = {0};
        CHECK_EQ(hone_reader_poll(reader, &events, NULL), 0);
        hone_reader_all_dead(reader);
        CHECK_EQ(hone_reader_poll(reader, &events, NULL), 0);
        seen += hone_reader_losses(reader).broken + hone_reader_losses(reader).unfinished;
        hone_reader_close(reader);
    }
    CHECK(seen > 0); // the damage was met and counted
    free(memory);
}
