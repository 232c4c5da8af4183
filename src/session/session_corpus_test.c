// The fuzzer's property on what it has found so far, and on sessions damaged at random.
#include "session/session.h"

#include "check.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

TEST(corpus_does_no_harm)
{
    DIR *folder = opendir(HONE_CORPUS);
    CHECK(folder);
    unsigned inputs = 0;
    for (struct dirent *entry; (entry = readdir(folder));) {
        char path[4096];
        (void)snprintf(path, sizeof path, "%s/%s", HONE_CORPUS, entry->d_name);
        FILE *file = entry->d_name[0] == '.' ? NULL : fopen(path, "rb");
        if (!file)
            continue;
        uint8_t bytes[4096];
        size_t len = fread(bytes, 1, sizeof bytes, file);
        (void)fclose(file);
        // A block of exact size, so that a read past the end is caught.
        uint8_t *exact = malloc(len ? len : 1);
        CHECK(exact);
        memcpy(exact, bytes, len);
        CHECK_EQ(LLVMFuzzerTestOneInput(exact, len), 0);
        free(exact);
        inputs++;
    }
    (void)closedir(folder);
    CHECK(inputs >= 40);
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
