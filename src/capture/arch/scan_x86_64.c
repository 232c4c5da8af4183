#include "capture/scan_threads.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>

int hone_scan_registers(struct hone_scan_thread *thread)
{
    struct user_regs_struct registers;
    struct iovec into = {&registers, sizeof registers};
    // NOLINTNEXTLINE(performance-no-int-to-ptr): so ptrace() takes a kind of registers
    if (ptrace(PTRACE_GETREGSET, thread->tid, (void *)NT_PRSTATUS, &into))
        return -errno;
    _Static_assert(sizeof registers <= sizeof thread->words, "all registers have room");
    memcpy(thread->words, &registers, sizeof registers);
    thread->word_count = sizeof registers / sizeof thread->words[0];
    thread->sp = registers.rsp;
    thread->pointer = registers.fs_base;
    return 0;
}

// glibc's struct pthread begins at the thread pointer and is 2304 bytes long in 2.36.
uint64_t hone_scan_thread_bytes(void)
{
    return 2304;
}

// It begins with its own address, and has it again two words later.
uint64_t hone_scan_thread_in(const uint64_t *words, size_t count, uint64_t address)
{
    for (size_t i = 0; i + 2 < count; i++) {
        uint64_t at = address + i * sizeof words[0];
        if (words[i] == at && words[i + 2] == at)
            return at;
    }
    return 0;
}
