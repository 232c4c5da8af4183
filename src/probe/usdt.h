// Probes for other profilers (USDT): those of OpenTelemetry's memory profiling, by its names. Who
// listens, by an uprobe and its semaphore, sees every sampled allocation and the end of each:
//
//   otel_memory:alloc(address, bytes asked for, bytes that it stands for)
//   otel_memory:free(address)
//
// Unused, each is a load, a branch and a nop on a path that is taken for samples only. The notes
// that describe them have the layout that SystemTap's sys/sdt.h gave them.
#ifndef HONE_PROBE_USDT_H
#define HONE_PROBE_USDT_H

#include "probe/heap_draw.h"

#include <stdint.h>

// Listeners of each; the kernel counts them up and down.
extern volatile uint16_t hone_usdt_alloc_semaphore __attribute__((visibility("hidden")));
extern volatile uint16_t hone_usdt_free_semaphore __attribute__((visibility("hidden")));

// A nop, and a note of where it is, where its semaphore is and what lies in which register.
#define HONE_USDT(provider, name, semaphore, arguments)                                            \
    "990: nop\n"                                                                                   \
    ".pushsection .note.stapsdt, \"\", \"note\"\n"                                                 \
    ".balign 4\n"                                                                                  \
    ".4byte 992f - 991f, 994f - 993f, 3\n"                                                         \
    "991: .asciz \"stapsdt\"\n"                                                                    \
    "992: .balign 4\n"                                                                             \
    "993: .8byte 990b, _.stapsdt.base, " semaphore "\n"                                            \
    ".asciz \"" provider "\", \"" name "\", \"" arguments "\"\n"                                   \
    "994: .balign 4\n"                                                                             \
    ".popsection\n"                                                                                \
    ".ifndef _.stapsdt.base\n"                                                                     \
    ".pushsection .stapsdt.base, \"aG\", \"progbits\", .stapsdt.base, comdat\n"                    \
    ".weak _.stapsdt.base\n"                                                                       \
    ".hidden _.stapsdt.base\n"                                                                     \
    "_.stapsdt.base: .space 1\n"                                                                   \
    ".size _.stapsdt.base, 1\n"                                                                    \
    ".popsection\n"                                                                                \
    ".endif\n"

// Once in the code: a note for each copy would be another place to attach to.
void hone_usdt_fire_alloc(const void *block, uint64_t size, uint64_t stands_for);
void hone_usdt_fire_free(const void *block);

static inline void hone_usdt_alloc(const void *block, uint64_t size, uint64_t rate)
{
    if (HONE_UNLIKELY(hone_usdt_alloc_semaphore))
        hone_usdt_fire_alloc(block, size, hone_heap_weight_bytes(size, rate));
}

static inline void hone_usdt_free(const void *block)
{
    if (HONE_UNLIKELY(hone_usdt_free_semaphore))
        hone_usdt_fire_free(block);
}

#endif
