// What the kernel writes about perf events: a ring of records, one ring per CPU, and the parsing of
// those kinds that we ask for. The ring is input: every length is checked, a record that makes no
// sense is skipped and counted.
//
//     hone_perf_ring_look(&ring);
//     while (hone_perf_ring_peek(&ring, &record)) {
//         …                              // the record's pointers are valid until it is passed
//         hone_perf_ring_pass(&ring);
//     }
//     hone_perf_ring_release(&ring);
#ifndef HONE_CAPTURE_PERF_RING_H
#define HONE_CAPTURE_PERF_RING_H

#include <linux/perf_event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// What each sample holds, in this order; the first three also end every other record.
#define HONE_PERF_SAMPLE_TYPE                                                                      \
    (PERF_SAMPLE_IP | PERF_SAMPLE_TID | PERF_SAMPLE_TIME | PERF_SAMPLE_CPU |                       \
     PERF_SAMPLE_CALLCHAIN | PERF_SAMPLE_REGS_USER | PERF_SAMPLE_STACK_USER)

enum {
    HONE_PERF_REGISTERS_MAX = 40,
    HONE_PERF_RECORD_BYTES_MAX = 1 << 16, // the kernel's limit: lengths have 16 bits
};

// One record. Which fields mean something depends on its type.
struct hone_perf_record {
    uint32_t type; // enum perf_event_type
    uint16_t misc;
    uint32_t pid, tid;
    uint32_t cpu;
    uint64_t time_ns;

    // SAMPLE
    uint64_t ip;
    const uint64_t *chain; // of chain_count, with the kernel's marks
    uint64_t chain_count;
    const void *raw; // what the event itself brings, of raw_bytes; NULL: none
    uint64_t raw_bytes;
    uint64_t abi;              // of the registers: PERF_SAMPLE_REGS_ABI_…
    const uint64_t *registers; // as many as the event asks for; NULL: none
    const void *stack;         // copied from sp on
    uint64_t stack_bytes;
    bool stack_is_full; // it has as many as were asked for: there may be more

    // MMAP2
    uint64_t start, length, offset, inode; // inode 0: unknown
    const uint8_t *build_id;
    uint8_t build_id_bytes;
    uint32_t protection;
    const char *text; // the path, or the name of COMM

    uint32_t parent_pid, parent_tid; // FORK
    uint64_t value;                  // READ: the count; LOST, LOST_SAMPLES: how many
};

struct hone_perf_ring {
    struct perf_event_mmap_page *page;
    const uint8_t *data;
    uint64_t size; // of data, a power of two
    unsigned register_count;
    bool has_raw; // samples bring something of their own: PERF_SAMPLE_RAW

    uint64_t head, tail;   // what we know of it
    uint64_t record_bytes; // of the record that was peeked; 0: none
    uint64_t broken;       // records that made no sense
    uint64_t bytes;        // read so far
    uint64_t *scratch;     // for a record that goes round the end
};

// Maps the ring of an event, `size` bytes (a power of two of pages). `register_count` is how many
// registers its samples hold. Returns 0 or -errno.
int hone_perf_ring_open(struct hone_perf_ring *ring, int fd, size_t size, unsigned register_count);
void hone_perf_ring_close(struct hone_perf_ring *ring);

// The same on memory of the caller's, a page and `size` bytes. Returns 0 or -ENOMEM.
int hone_perf_ring_init(struct hone_perf_ring *ring, void *memory, size_t size,
                        unsigned register_count);
void hone_perf_ring_done(struct hone_perf_ring *ring);

// Takes notice of what was written until now.
void hone_perf_ring_look(struct hone_perf_ring *ring);
// The next record of that; false: there is none.
bool hone_perf_ring_peek(struct hone_perf_ring *ring, struct hone_perf_record *ret);
// Goes on behind the record that was peeked.
void hone_perf_ring_pass(struct hone_perf_ring *ring);
// Gives the room of what was passed back to the kernel.
void hone_perf_ring_release(struct hone_perf_ring *ring);

// Whether an event that writes into a ring is over: its thread has ended, or the kernel has ended
// it at an exec, and so have all that inherited it. It counts no more, and closing it loses
// nothing. A wake-up that the ring was about to give may be lost.
bool hone_perf_is_over(int fd);

// Parses one record of `size` bytes, 8-byte aligned, of an event whose samples hold so many
// registers and, with has_raw, something of its own. False: it makes no sense.
bool hone_perf_parse(const void *bytes, size_t size, unsigned register_count, bool has_raw,
                     struct hone_perf_record *ret);

#endif
