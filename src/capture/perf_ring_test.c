#include "capture/perf_ring.h"

#include "check.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RING_BYTES = 4096, REGISTERS = 3 };

static struct hone_perf_ring ring;
static uint8_t *memory;
static uint64_t written;
static struct hone_perf_record record;

static void setup(void)
{
    memory = calloc(1, (size_t)sysconf(_SC_PAGESIZE) + RING_BYTES);
    CHECK_EQ(hone_perf_ring_init(&ring, memory, RING_BYTES, REGISTERS), 0);
    written = 0;
}

static void teardown(void)
{
    hone_perf_ring_done(&ring);
    free(memory);
}

// As the kernel does: bytes go round the end, then the head moves.
static void write_bytes(const void *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        memory[(size_t)sysconf(_SC_PAGESIZE) + (written + i) % RING_BYTES] =
            ((const uint8_t *)bytes)[i];
    written += size;
    ((struct perf_event_mmap_page *)memory)->data_head = written;
}

static size_t make(uint64_t *to, uint32_t type, const uint64_t *words, size_t count)
{
    size_t size = (count + 1) * 8;
    to[0] = (uint64_t)type | (uint64_t)size << 48;
    memcpy(to + 1, words, count * 8);
    return size;
}

static size_t make_sample(uint64_t *to, uint64_t time_ns, uint64_t stack_words)
{
    uint64_t words[64] = {0x1234,
                          41 | 42ull << 32,
                          time_ns,
                          1,
                          2,
                          (uint64_t)PERF_CONTEXT_KERNEL,
                          0xffffffff81000000,
                          PERF_SAMPLE_REGS_ABI_64,
                          10,
                          11,
                          12,
                          stack_words * 8};
    size_t count = 12 + stack_words;
    for (uint64_t i = 0; i < stack_words; i++)
        words[12 + i] = 100 + i;
    words[count++] = stack_words * 8;
    return make(to, PERF_RECORD_SAMPLE, words, count);
}

static size_t make_fork(uint64_t *to, uint64_t time_ns)
{
    const uint64_t words[] = {5 | 4ull << 32, 7 | 6ull << 32, 0, 4 | 6ull << 32, time_ns, 1};
    return make(to, PERF_RECORD_FORK, words, 6);
}

TEST(samples_are_read_in_turn_also_round_the_end)
{
    setup();
    uint64_t bytes[64];
    for (uint64_t i = 0; i < 1000; i++) {
        size_t size = make_sample(bytes, 1000 + i, i % 7);
        write_bytes(bytes, size);
        hone_perf_ring_look(&ring);
        CHECK(hone_perf_ring_peek(&ring, &record));
        CHECK_EQ(record.type, PERF_RECORD_SAMPLE);
        CHECK_EQ(record.pid, 41);
        CHECK_EQ(record.tid, 42);
        CHECK_EQ(record.time_ns, 1000 + i);
        CHECK_EQ(record.chain_count, 2);
        CHECK_EQ(record.registers[2], 12);
        CHECK_EQ(record.stack_bytes, i % 7 * 8);
        if (i % 7)
            CHECK_EQ(((const uint64_t *)record.stack)[i % 7 - 1], 100 + i % 7 - 1);
        hone_perf_ring_pass(&ring);
        CHECK(!hone_perf_ring_peek(&ring, &record));
        hone_perf_ring_release(&ring);
        CHECK_EQ(ring.page->data_tail, written);
    }
    CHECK_EQ(ring.broken, 0);
    teardown();
}

TEST(every_kind_is_parsed)
{
    setup();
    uint64_t bytes[64];
    CHECK(hone_perf_parse(bytes, make_fork(bytes, 77), REGISTERS, false, &record));
    CHECK_EQ(record.pid, 5);
    CHECK_EQ(record.parent_pid, 4);
    CHECK_EQ(record.tid, 7);
    CHECK_EQ(record.parent_tid, 6);
    CHECK_EQ(record.time_ns, 77);

    uint64_t words[16] = {3 | 3ull << 32, 0x400000, 0x1000, 0x2000, 0, 99, 0, 5};
    memcpy(&words[8], "/bin/x\0", 8);
    words[10] = 78;
    CHECK(hone_perf_parse(bytes, make(bytes, PERF_RECORD_MMAP2, words, 12), REGISTERS, false,
                          &record));
    CHECK_EQ(record.start, 0x400000);
    CHECK_EQ(record.inode, 99);
    CHECK_EQ(record.protection, 5);
    CHECK_STR(record.text, "/bin/x");
    CHECK_EQ(record.time_ns, 78);

    // A name without an end.
    memset(&words[8], 'x', 8);
    CHECK(!hone_perf_parse(bytes, make(bytes, PERF_RECORD_MMAP2, words, 12), REGISTERS, false,
                           &record));

    const uint64_t lost[] = {1, 123, 0, 79, 0};
    CHECK(
        hone_perf_parse(bytes, make(bytes, PERF_RECORD_LOST, lost, 5), REGISTERS, false, &record));
    CHECK_EQ(record.value, 123);
    const uint64_t count[] = {3 | 9ull << 32, 456, 0, 80, 0};
    CHECK(
        hone_perf_parse(bytes, make(bytes, PERF_RECORD_READ, count, 5), REGISTERS, false, &record));
    CHECK_EQ(record.tid, 9);
    CHECK_EQ(record.value, 456);
    teardown();
}

// Any change of a record's bytes is either read within its bounds or refused. The copy is of the
// exact size, so that sanitizers see a read beyond it.
TEST(damaged_records_are_refused_or_harmless)
{
    uint64_t bytes[64], seed = 1;
    for (int turn = 0; turn < 20000; turn++) {
        size_t size = turn % 2 ? make_sample(bytes, 5, 6) : make_fork(bytes, 5);
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        size_t at = 8 + (seed >> 40) % (size - 8);
        ((uint8_t *)bytes)[at] ^= (uint8_t)(seed >> 32);
        uint8_t *exact = malloc(size);
        memcpy(exact, bytes, size);
        if (hone_perf_parse(exact, size, REGISTERS, false, &record)) {
            CHECK(!record.stack ||
                  (const uint8_t *)record.stack + record.stack_bytes <= exact + size);
            CHECK(!record.chain ||
                  (const uint8_t *)(record.chain + record.chain_count) <= exact + size);
        }
        for (size_t shorter = 0; shorter < size; shorter += 8)
            CHECK(!hone_perf_parse(exact, shorter, REGISTERS, false, &record));
        free(exact);
    }
}

TEST(a_broken_length_loses_what_is_there_and_no_more)
{
    setup();
    uint64_t bytes[64];
    write_bytes(bytes, make_fork(bytes, 1));
    bytes[0] = (uint64_t)PERF_RECORD_FORK | (uint64_t)60000 << 48; // longer than all there is
    write_bytes(bytes, 56);
    hone_perf_ring_look(&ring);
    CHECK(hone_perf_ring_peek(&ring, &record));
    hone_perf_ring_pass(&ring);
    CHECK(!hone_perf_ring_peek(&ring, &record));
    CHECK_EQ(ring.broken, 1);
    write_bytes(bytes, make_fork(bytes, 2));
    hone_perf_ring_look(&ring);
    CHECK(hone_perf_ring_peek(&ring, &record));
    CHECK_EQ(record.time_ns, 2);
    teardown();
}

TEST(what_an_event_itself_brings_is_read)
{
    uint64_t bytes[32];
    uint64_t raw[2];
    const uint32_t text[] = {12, 0x11111111, 0x22222222, 0x33333333}; // its length, and that
    memcpy(raw, text, sizeof raw);
    uint64_t words[] = {0x1234, 41 | 42ull << 32,        77, 1,  0,  raw[0],
                        raw[1], PERF_SAMPLE_REGS_ABI_64, 10, 11, 12, 0};
    size_t size = make(bytes, PERF_RECORD_SAMPLE, words, 12);
    CHECK(hone_perf_parse(bytes, size, REGISTERS, true, &record));
    CHECK_EQ(record.raw_bytes, 12);
    CHECK_EQ(memcmp(record.raw, &text[1], 12), 0);
    CHECK_EQ(record.abi, PERF_SAMPLE_REGS_ABI_64);
    CHECK_EQ(record.registers[2], 12);
    const uint32_t longer[] = {UINT32_MAX, 0};
    memcpy(&words[5], longer, sizeof longer);
    size = make(bytes, PERF_RECORD_SAMPLE, words, 12);
    CHECK(!hone_perf_parse(bytes, size, REGISTERS, true, &record));
}
