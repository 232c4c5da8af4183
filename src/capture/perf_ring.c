#include "capture/perf_ring.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { TRAILER_BYTES = 3 * 8, BUILD_ID_FLAG = PERF_RECORD_MISC_MMAP_BUILD_ID };

// --- parsing -------------------------------------------------------------------------------------

// Words and bytes of one record; past its end it reads zeros and says so in `broken`.
struct cursor {
    const uint8_t *at, *end;
    bool broken;
};

static const void *take(struct cursor *cursor, uint64_t size)
{
    if (size > (uint64_t)(cursor->end - cursor->at)) {
        cursor->broken = true;
        return NULL;
    }
    const uint8_t *at = cursor->at;
    cursor->at += size;
    return at;
}

static uint64_t word(struct cursor *cursor)
{
    uint64_t value = 0;
    const void *at = take(cursor, sizeof value);
    if (at)
        memcpy(&value, at, sizeof value);
    return value;
}

static void pair(struct cursor *cursor, uint32_t *first, uint32_t *second)
{
    uint64_t both = word(cursor);
    *first = (uint32_t)both;
    *second = (uint32_t)(both >> 32);
}

// Text that ends within the record.
static const char *text(struct cursor *cursor)
{
    const char *at = (const char *)cursor->at;
    uint64_t room = (uint64_t)(cursor->end - cursor->at);
    if (!memchr(at, 0, room))
        cursor->broken = true;
    return cursor->broken ? "" : at;
}

// A length of 32 bits, and with it a multiple of 8 bytes.
static void parse_raw(struct cursor *cursor, struct hone_perf_record *ret)
{
    uint32_t size = 0;
    const void *at = take(cursor, sizeof size);
    if (at)
        memcpy(&size, at, sizeof size);
    ret->raw = take(cursor, size);
    ret->raw_bytes = size;
}

static void parse_sample(struct cursor *cursor, unsigned register_count, bool has_raw,
                         struct hone_perf_record *ret)
{
    uint32_t reserved;
    ret->ip = word(cursor);
    pair(cursor, &ret->pid, &ret->tid);
    ret->time_ns = word(cursor);
    pair(cursor, &ret->cpu, &reserved);
    ret->chain_count = word(cursor);
    if (ret->chain_count > HONE_PERF_RECORD_BYTES_MAX / 8)
        cursor->broken = true;
    else
        ret->chain = take(cursor, ret->chain_count * 8);
    if (has_raw)
        parse_raw(cursor, ret);
    ret->abi = word(cursor);
    if (ret->abi != PERF_SAMPLE_REGS_ABI_NONE)
        ret->registers = take(cursor, register_count * 8ull);
    uint64_t size = word(cursor);
    if (!size)
        return;
    ret->stack = take(cursor, size);
    ret->stack_bytes = word(cursor); // of which the kernel could read so many
    ret->stack_is_full = ret->stack_bytes == size;
    if (ret->stack_bytes > size)
        cursor->broken = true;
}

static void parse_mapping(struct cursor *cursor, struct hone_perf_record *ret)
{
    uint32_t flags;
    ret->start = word(cursor);
    ret->length = word(cursor);
    ret->offset = word(cursor);
    const uint8_t *file = take(cursor, 24); // device, inode, generation; or a build id
    if (file && ret->misc & BUILD_ID_FLAG) {
        ret->build_id_bytes = file[0] <= 20 ? file[0] : 0;
        ret->build_id = file + 4;
    } else if (file) {
        memcpy(&ret->inode, file + 8, sizeof ret->inode);
    }
    pair(cursor, &ret->protection, &flags);
    ret->text = text(cursor);
}

static void parse_body(struct cursor *cursor, unsigned register_count, bool has_raw,
                       struct hone_perf_record *ret)
{
    switch (ret->type) {
    case PERF_RECORD_SAMPLE:
        parse_sample(cursor, register_count, has_raw, ret);
        break;
    case PERF_RECORD_MMAP2:
        pair(cursor, &ret->pid, &ret->tid);
        parse_mapping(cursor, ret);
        break;
    case PERF_RECORD_COMM:
        pair(cursor, &ret->pid, &ret->tid);
        ret->text = text(cursor);
        break;
    case PERF_RECORD_FORK:
    case PERF_RECORD_EXIT:
        pair(cursor, &ret->pid, &ret->parent_pid);
        pair(cursor, &ret->tid, &ret->parent_tid);
        break;
    case PERF_RECORD_READ:
        pair(cursor, &ret->pid, &ret->tid);
        ret->value = word(cursor);
        break;
    case PERF_RECORD_LOST:
        (void)word(cursor); // the event's id
        ret->value = word(cursor);
        break;
    case PERF_RECORD_LOST_SAMPLES:
        ret->value = word(cursor);
        break;
    default: // throttling and what we did not ask for: only its time counts
        break;
    }
}

bool hone_perf_parse(const void *bytes, size_t size, unsigned register_count, bool has_raw,
                     struct hone_perf_record *ret)
{
    struct perf_event_header header;
    if (size < sizeof header)
        return false;
    memcpy(&header, bytes, sizeof header);
    if (header.size != size)
        return false;
    *ret = (struct hone_perf_record){.type = header.type, .misc = header.misc, .text = ""};
    struct cursor cursor = {(const uint8_t *)bytes + sizeof header, (const uint8_t *)bytes + size,
                            false};
    bool is_sample = header.type == PERF_RECORD_SAMPLE;
    if (!is_sample) {
        if (size < sizeof header + TRAILER_BYTES)
            return false;
        cursor.end -= TRAILER_BYTES;
    }
    parse_body(&cursor, register_count, has_raw, ret);
    if (cursor.broken || is_sample)
        return !cursor.broken;
    struct cursor trailer = {cursor.end, cursor.end + TRAILER_BYTES, false};
    uint32_t pid, tid, reserved;
    pair(&trailer, &pid, &tid);
    ret->time_ns = word(&trailer);
    pair(&trailer, &ret->cpu, &reserved);
    return true;
}

// --- the ring ------------------------------------------------------------------------------------

int hone_perf_ring_init(struct hone_perf_ring *ring, void *memory, size_t size,
                        unsigned register_count)
{
    *ring = (struct hone_perf_ring){
        .page = memory,
        .data = (const uint8_t *)memory + sysconf(_SC_PAGESIZE),
        .size = size,
        .register_count = register_count,
        .scratch = malloc(HONE_PERF_RECORD_BYTES_MAX),
    };
    return ring->scratch ? 0 : -ENOMEM;
}

void hone_perf_ring_done(struct hone_perf_ring *ring)
{
    free(ring->scratch);
    *ring = (struct hone_perf_ring){0};
}

int hone_perf_ring_open(struct hone_perf_ring *ring, int fd, size_t size, unsigned register_count)
{
    size_t whole = size + (size_t)sysconf(_SC_PAGESIZE);
    void *memory = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return -errno;
    int r = hone_perf_ring_init(ring, memory, size, register_count);
    if (r)
        (void)munmap(memory, whole);
    return r;
}

void hone_perf_ring_close(struct hone_perf_ring *ring)
{
    if (ring->page)
        (void)munmap(ring->page, ring->size + (size_t)sysconf(_SC_PAGESIZE));
    hone_perf_ring_done(ring);
}

void hone_perf_ring_look(struct hone_perf_ring *ring)
{
    // Acquire: what was written before the head moved. Pairs with the kernel's barrier.
    uint64_t head = __atomic_load_n(&ring->page->data_head, __ATOMIC_ACQUIRE);
    if (head - ring->tail <= ring->size)
        ring->head = head;
}

// All that we know of is passed over: where the next record begins is not known any more.
static void give_up(struct hone_perf_ring *ring)
{
    ring->broken++;
    ring->tail = ring->head;
}

bool hone_perf_ring_peek(struct hone_perf_ring *ring, struct hone_perf_record *ret)
{
    while (ring->tail != ring->head) {
        uint64_t at = ring->tail & (ring->size - 1), left = ring->head - ring->tail;
        struct perf_event_header header; // never split, for records are multiples of its size
        if (left < sizeof header || at % sizeof header) {
            give_up(ring);
            return false;
        }
        memcpy(&header, ring->data + at, sizeof header);
        if (header.size < sizeof header || header.size > left || header.size % sizeof header) {
            give_up(ring);
            return false;
        }
        const void *bytes = ring->data + at;
        uint64_t until_end = ring->size - at;
        if (header.size > until_end) {
            memcpy(ring->scratch, bytes, until_end);
            memcpy((uint8_t *)ring->scratch + until_end, ring->data, header.size - until_end);
            bytes = ring->scratch;
        }
        ring->record_bytes = header.size;
        if (hone_perf_parse(bytes, header.size, ring->register_count, ring->has_raw, ret))
            return true;
        ring->broken++;
        hone_perf_ring_pass(ring);
    }
    return false;
}

void hone_perf_ring_pass(struct hone_perf_ring *ring)
{
    ring->tail += ring->record_bytes;
    ring->bytes += ring->record_bytes;
    ring->record_bytes = 0;
}

void hone_perf_ring_release(struct hone_perf_ring *ring)
{
    // Release: we have read before the kernel writes there.
    __atomic_store_n(&ring->page->data_tail, ring->tail, __ATOMIC_RELEASE);
}

bool hone_perf_is_over(int fd)
{
    struct pollfd event = {.fd = fd};
    return poll(&event, 1, 0) == 1 && event.revents & POLLHUP;
}
