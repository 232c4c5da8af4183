#include "probe/usdt.h"

#include "probe/heap.h"

#define SEMAPHORE __attribute__((section(".probes"), used))

SEMAPHORE volatile uint16_t hone_usdt_alloc_semaphore;
SEMAPHORE volatile uint16_t hone_usdt_free_semaphore;

HONE_HOOK void hone_usdt_fire_alloc(const void *block, uint64_t size, uint64_t stands_for)
{
    __asm__ volatile(HONE_USDT("otel_memory", "alloc", "hone_usdt_alloc_semaphore",
                               "8@%0 8@%1 8@%2")::"r"(block),
                     "r"(size), "r"(stands_for));
}

HONE_HOOK void hone_usdt_fire_free(const void *block)
{
    __asm__ volatile(
        HONE_USDT("otel_memory", "free", "hone_usdt_free_semaphore", "8@%0")::"r"(block));
}
