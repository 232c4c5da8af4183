// A perf.data made by hand, for tests: events, records, features, as a file or as a stream.
#ifndef HONE_CONVERT_PERF_FIXTURE_H
#define HONE_CONVERT_PERF_FIXTURE_H

#include "base/buffer.h"

#include <linux/perf_event.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

enum {
    FIXTURE_HEADER_BYTES = 104,
    FIXTURE_EVENTS = 4,
    FIXTURE_FIRST_ID = 100, // event i has id FIXTURE_FIRST_ID + i

    FIXTURE_CHAIN = PERF_SAMPLE_IDENTIFIER | PERF_SAMPLE_IP | PERF_SAMPLE_TID | PERF_SAMPLE_TIME |
                    PERF_SAMPLE_PERIOD | PERF_SAMPLE_CALLCHAIN,
};

struct fixture {
    struct hone_buffer bytes;
    size_t data_at;
    uint64_t sample_type;
    uint64_t bits; // features that follow the data
    struct hone_buffer features[64];
};

static inline void fixture_done(struct fixture *fixture)
{
    hone_buffer_done(&fixture->bytes);
    for (unsigned i = 0; i < 64; i++)
        hone_buffer_done(&fixture->features[i]);
}

static inline void put_u64(struct hone_buffer *buffer, uint64_t value)
{
    hone_buffer_add(buffer, &value, sizeof value);
}

static inline void put_u32(struct hone_buffer *buffer, uint32_t value)
{
    hone_buffer_add(buffer, &value, sizeof value);
}

// Text with its NUL, filled up to a multiple of 8 bytes.
static inline void put_text(struct hone_buffer *buffer, const char *text)
{
    hone_buffer_add(buffer, text, strlen(text) + 1);
    while (buffer->len % 8)
        hone_buffer_add(buffer, "", 1);
}

static inline struct perf_event_attr fixture_clock(uint64_t sample_type)
{
    return (struct perf_event_attr){
        .type = PERF_TYPE_SOFTWARE,
        .size = sizeof(struct perf_event_attr),
        .config = PERF_COUNT_SW_CPU_CLOCK,
        .sample_freq = 1000,
        .freq = 1,
        .sample_type = sample_type,
        .sample_id_all = 1,
    };
}

static inline void fixture_begin(struct fixture *fixture, const struct perf_event_attr *attrs,
                                 uint64_t count)
{
    struct hone_buffer *out = &fixture->bytes;
    const uint64_t entry = sizeof *attrs + 16, ids_at = FIXTURE_HEADER_BYTES + count * entry;
    fixture->sample_type = attrs[0].sample_type;
    fixture->data_at = ids_at + count * 8;
    hone_buffer_add(out, "PERFILE2", 8);
    const uint64_t header[] = {FIXTURE_HEADER_BYTES,
                               entry,
                               FIXTURE_HEADER_BYTES,
                               count * entry,
                               fixture->data_at,
                               0,
                               0,
                               0,
                               0,
                               0,
                               0,
                               0};
    hone_buffer_add(out, header, sizeof header);
    for (uint64_t i = 0; i < count; i++) {
        hone_buffer_add(out, &attrs[i], sizeof attrs[i]);
        put_u64(out, ids_at + i * 8);
        put_u64(out, 8);
    }
    for (uint64_t i = 0; i < count; i++)
        put_u64(out, FIXTURE_FIRST_ID + i);
}

static inline void fixture_begin_pipe(struct fixture *fixture, const struct perf_event_attr *attr)
{
    struct hone_buffer *out = &fixture->bytes;
    fixture->sample_type = attr->sample_type;
    hone_buffer_add(out, "PERFILE2", 8);
    put_u64(out, 16);
    const struct perf_event_header header = {64, 0, (uint16_t)(sizeof header + sizeof *attr + 8)};
    hone_buffer_add(out, &header, sizeof header);
    hone_buffer_add(out, attr, sizeof *attr);
    put_u64(out, FIXTURE_FIRST_ID);
}

static inline void fixture_record(struct fixture *fixture, uint32_t type, uint16_t misc,
                                  struct hone_buffer *body)
{
    const struct perf_event_header header = {type, misc, (uint16_t)(sizeof header + body->len)};
    hone_buffer_add(&fixture->bytes, &header, sizeof header);
    if (body->len)
        hone_buffer_add(&fixture->bytes, body->at, body->len);
    hone_buffer_done(body);
}

// What ends each record that is no sample.
static inline void put_trailer(const struct fixture *fixture, struct hone_buffer *body,
                               uint32_t pid, uint64_t time_ns)
{
    if (fixture->sample_type & PERF_SAMPLE_TID) {
        put_u32(body, pid);
        put_u32(body, pid);
    }
    if (fixture->sample_type & PERF_SAMPLE_TIME)
        put_u64(body, time_ns);
    if (fixture->sample_type & PERF_SAMPLE_IDENTIFIER)
        put_u64(body, FIXTURE_FIRST_ID);
}

static inline void fixture_round(struct fixture *fixture)
{
    struct hone_buffer body = {0};
    fixture_record(fixture, 68, 0, &body);
}

static inline void fixture_name(struct fixture *fixture, uint32_t pid, const char *name, bool exec,
                                uint64_t time_ns)
{
    struct hone_buffer body = {0};
    put_u32(&body, pid);
    put_u32(&body, pid);
    put_text(&body, name);
    put_trailer(fixture, &body, pid, time_ns);
    fixture_record(fixture, PERF_RECORD_COMM, exec ? PERF_RECORD_MISC_COMM_EXEC : 0, &body);
}

static inline void fixture_fork(struct fixture *fixture, uint32_t pid, uint32_t parent,
                                uint64_t time_ns)
{
    struct hone_buffer body = {0};
    put_u32(&body, pid);
    put_u32(&body, parent);
    put_u32(&body, pid);
    put_u32(&body, parent);
    put_u64(&body, time_ns);
    put_trailer(fixture, &body, pid, time_ns);
    fixture_record(fixture, PERF_RECORD_FORK, 0, &body);
}

static inline void fixture_map(struct fixture *fixture, uint32_t pid, uint64_t start, uint64_t size,
                               uint64_t offset, uint64_t inode, const char *path, uint64_t time_ns)
{
    struct hone_buffer body = {0};
    put_u32(&body, pid);
    put_u32(&body, pid);
    put_u64(&body, start);
    put_u64(&body, size);
    put_u64(&body, offset);
    put_u64(&body, 0); // device
    put_u64(&body, inode);
    put_u64(&body, 0); // generation
    put_u32(&body, 5); // readable, executable
    put_u32(&body, 2);
    put_text(&body, path);
    put_trailer(fixture, &body, pid, time_ns);
    fixture_record(fixture, PERF_RECORD_MMAP2, PERF_RECORD_MISC_USER, &body);
}

// A sample of FIXTURE_CHAIN, whose addresses end with 0.
static inline void fixture_chain(struct fixture *fixture, uint32_t event, uint32_t pid,
                                 uint64_t time_ns, const uint64_t *addresses)
{
    struct hone_buffer body = {0};
    uint64_t count = 0;
    while (addresses[count])
        count++;
    put_u64(&body, FIXTURE_FIRST_ID + event);
    put_u64(&body, count > 1 ? addresses[1] : addresses[0]);
    put_u32(&body, pid);
    put_u32(&body, pid);
    put_u64(&body, time_ns);
    put_u64(&body, 1000000);
    put_u64(&body, count);
    hone_buffer_add(&body, addresses, count * 8);
    fixture_record(fixture, PERF_RECORD_SAMPLE, PERF_RECORD_MISC_USER, &body);
}

// Instead of the records so far: the same, packed, in pieces of `piece` bytes.
static inline void fixture_pack(struct fixture *fixture, size_t piece)
{
    struct hone_buffer *out = &fixture->bytes;
    size_t size = out->len - fixture->data_at, packed_size = ZSTD_compressBound(size);
    char *packed = malloc(packed_size);
    packed_size = ZSTD_compress(packed, packed_size, out->at + fixture->data_at, size, 3);
    out->len = fixture->data_at;
    for (size_t at = 0; at < packed_size; at += piece) {
        struct hone_buffer body = {0};
        hone_buffer_add(&body, packed + at, packed_size - at < piece ? packed_size - at : piece);
        fixture_record(fixture, 81, 0, &body);
    }
    free(packed);
}

static inline struct hone_buffer *fixture_feature(struct fixture *fixture, unsigned number)
{
    fixture->bits |= 1ull << number;
    return &fixture->features[number];
}

static inline void fixture_finish(struct fixture *fixture)
{
    struct hone_buffer *out = &fixture->bytes;
    uint64_t size = out->len - fixture->data_at, at = out->len;
    memcpy(out->at + 48, &size, sizeof size);
    memcpy(out->at + 72, &fixture->bits, sizeof fixture->bits);
    at += (uint64_t)__builtin_popcountll(fixture->bits) * 16;
    for (unsigned i = 0; i < 64; i++) {
        if (!(fixture->bits >> i & 1))
            continue;
        put_u64(out, at);
        put_u64(out, fixture->features[i].len);
        at += fixture->features[i].len;
    }
    for (unsigned i = 0; i < 64; i++)
        if (fixture->features[i].len)
            hone_buffer_add(out, fixture->features[i].at, fixture->features[i].len);
}

#endif
