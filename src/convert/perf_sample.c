#include "convert/perf_sample.h"

#include "elf/cursor.h"

#include <string.h>

enum { WORD_BYTES = 8, READ_LOST = 1 << 4, BRANCH_COUNTERS = 1 << 19 };

static struct hone_perfdata_words read_words(struct hone_cursor *at, uint64_t count)
{
    if (count > hone_cursor_left(at) / WORD_BYTES) {
        hone_cursor_fail(at);
        return (struct hone_perfdata_words){0};
    }
    return (struct hone_perfdata_words){hone_read_bytes(at, count * WORD_BYTES), count};
}

static void skip_counts(struct hone_cursor *at, uint64_t format)
{
    const uint64_t each = 1 + !!(format & PERF_FORMAT_ID) + !!(format & READ_LOST);
    const uint64_t times =
        !!(format & PERF_FORMAT_TOTAL_TIME_ENABLED) + !!(format & PERF_FORMAT_TOTAL_TIME_RUNNING);
    if (!(format & PERF_FORMAT_GROUP)) {
        (void)read_words(at, each + times);
        return;
    }
    uint64_t count = hone_read_u64(at);
    (void)read_words(at, times);
    if (count > hone_cursor_left(at) / WORD_BYTES)
        hone_cursor_fail(at);
    else
        (void)read_words(at, count * each);
}

static void read_branches(struct hone_cursor *at, uint64_t kinds, struct hone_perfdata_sample *ret)
{
    uint64_t count = hone_read_u64(at);
    if (kinds & PERF_SAMPLE_BRANCH_HW_INDEX)
        (void)hone_read_u64(at);
    if (count > hone_cursor_left(at) / (HONE_PERFDATA_BRANCH_WORDS * WORD_BYTES)) {
        hone_cursor_fail(at);
        return;
    }
    ret->branches = read_words(at, count * HONE_PERFDATA_BRANCH_WORDS);
    if (kinds & BRANCH_COUNTERS)
        (void)read_words(at, count);
}

static void read_stack(struct hone_cursor *at, struct hone_perfdata_sample *ret)
{
    uint64_t size = hone_read_u64(at);
    if (!size)
        return;
    ret->stack = hone_read_bytes(at, size);
    ret->stack_bytes = hone_read_u64(at); // of which the kernel could read so many
    if (ret->stack_bytes > size)
        hone_cursor_fail(at);
}

// What comes before the counts: numbers of one word.
static void read_head(struct hone_cursor *at, uint64_t type, struct hone_perfdata_sample *ret)
{
    if (type & PERF_SAMPLE_IDENTIFIER)
        (void)hone_read_u64(at);
    if (type & PERF_SAMPLE_IP)
        ret->ip = hone_read_u64(at);
    if (type & PERF_SAMPLE_TID) {
        ret->pid = hone_read_u32(at);
        ret->tid = hone_read_u32(at);
    }
    if (type & PERF_SAMPLE_TIME)
        ret->time_ns = hone_read_u64(at);
    if (type & PERF_SAMPLE_ADDR)
        (void)hone_read_u64(at);
    if (type & PERF_SAMPLE_ID)
        (void)hone_read_u64(at);
    if (type & PERF_SAMPLE_STREAM_ID)
        (void)hone_read_u64(at);
    if (type & PERF_SAMPLE_CPU)
        (void)hone_read_u64(at);
    if (type & PERF_SAMPLE_PERIOD)
        ret->period = hone_read_u64(at);
}

bool hone_perfdata_parse_sample(const struct hone_perfdata_event *event, const uint8_t *record,
                                size_t size, struct hone_perfdata_sample *ret)
{
    const struct perf_event_attr *attr = &event->attr;
    const uint64_t type = attr->sample_type;
    struct perf_event_header header;
    struct hone_cursor at = hone_cursor_from(record, size, sizeof header);
    if (at.failed)
        return false;
    memcpy(&header, record, sizeof header);
    *ret = (struct hone_perfdata_sample){.mode = header.misc & PERF_RECORD_MISC_CPUMODE_MASK};
    if (!attr->freq)
        ret->period = attr->sample_period;
    read_head(&at, type, ret);
    if (type & PERF_SAMPLE_READ)
        skip_counts(&at, attr->read_format);
    if (type & PERF_SAMPLE_CALLCHAIN) {
        ret->has_chain = true;
        ret->chain = read_words(&at, hone_read_u64(&at));
    }
    if (type & PERF_SAMPLE_RAW)
        (void)hone_read_bytes(&at, hone_read_u32(&at));
    if (type & PERF_SAMPLE_BRANCH_STACK)
        read_branches(&at, attr->branch_sample_type, ret);
    if (type & PERF_SAMPLE_REGS_USER) {
        ret->has_registers = true;
        ret->abi = hone_read_u64(&at);
        if (ret->abi != PERF_SAMPLE_REGS_ABI_NONE)
            ret->registers = read_words(&at, event->register_count);
    }
    if (type & PERF_SAMPLE_STACK_USER)
        read_stack(&at, ret);
    // What follows (weights, sources of data, …) is of no use here.
    return !at.failed;
}
