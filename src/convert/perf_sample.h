// One sample, as its event's description lays it out.
#ifndef HONE_CONVERT_PERF_SAMPLE_H
#define HONE_CONVERT_PERF_SAMPLE_H

#include "convert/perf_info.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Numbers of 8 bytes anywhere in a record, which may lie at any address.
struct hone_perfdata_words {
    const uint8_t *at;
    uint64_t count;
};

static inline uint64_t hone_perfdata_word(const struct hone_perfdata_words *words, uint64_t index)
{
    uint64_t word;
    __builtin_memcpy(&word, words->at + index * sizeof word, sizeof word);
    return word;
}

// Of a branch: three words, where it came from, where it went, flags.
enum { HONE_PERFDATA_BRANCH_WORDS = 3 };

struct hone_perfdata_sample {
    uint64_t ip, time_ns, period;
    uint32_t pid, tid;
    uint8_t mode;                         // PERF_RECORD_MISC_KERNEL, _USER, …
    bool has_chain, has_registers;        // its event asks for them
    struct hone_perfdata_words chain;     // with the kernel's marks between
    struct hone_perfdata_words branches;  // newest first
    uint64_t abi;                         // of the registers: PERF_SAMPLE_REGS_ABI_…
    struct hone_perfdata_words registers; // none: a thread of the kernel
    const uint8_t *stack;                 // from sp on
    uint64_t stack_bytes;
};

// Parses a record SAMPLE, whole with its header. False: it is not as its event says.
bool hone_perfdata_parse_sample(const struct hone_perfdata_event *event, const uint8_t *record,
                                size_t size, struct hone_perfdata_sample *ret);

#endif
