#include "core/load.h"

#include "core/syscall.h"

#include <errno.h>
#include <linux/futex.h>

enum {
    NO_SUCH_HOW = 0x7fff,
    KERNEL_MASK_BYTES = 8, // also what one probe reads
};

bool hone_safe_probe(uint64_t address)
{
    // Every address of user space lies in the lower half; the kernel would refuse the others too.
    if (address < HONE_PAGE_BYTES || address > INT64_MAX - KERNEL_MASK_BYTES)
        return false;
    return hone_syscall4(SYS_rt_sigprocmask, NO_SUCH_HOW, address, 0, KERNEL_MASK_BYTES) == -EINVAL;
}

__attribute__((no_sanitize("address"))) bool hone_safe_load(uint64_t address, uint64_t *ret)
{
    if (!hone_safe_probe(address))
        return false;
    *ret = HONE_LOAD(address);
    return true;
}

// As a request to move none of those who wait for a word, if it has that value, to where nobody
// does.
bool hone_safe_equals(uint64_t address, const void *bytes, size_t size)
{
    static uint32_t elsewhere;
    for (size_t i = 0; i < size; i += sizeof(uint32_t)) {
        uint32_t word;
        __builtin_memcpy(&word, (const char *)bytes + i, sizeof word);
        if (hone_syscall6(SYS_futex, address + i, FUTEX_CMP_REQUEUE_PRIVATE, 0, 0, &elsewhere,
                          word) != 0)
            return false;
    }
    return true;
}

__attribute__((no_sanitize("address"))) bool hone_safe_copy(void *to, uint64_t from, size_t size)
{
    volatile uint8_t *out = to; // volatile: this loop must not become a call of memcpy()
    uint64_t good_until = from;
    for (size_t i = 0; i < size; i++) {
        uint64_t address = from + i;
        if (address >= good_until) {
            // The word at the page's end is probed at its start, so no probe crosses into the next.
            uint64_t page_end = (address | (HONE_PAGE_BYTES - 1)) + 1;
            if (!hone_safe_probe(page_end - KERNEL_MASK_BYTES))
                return false;
            good_until = page_end;
        }
        out[i] = *(const volatile uint8_t *)(uintptr_t)address;
    }
    return true;
}
