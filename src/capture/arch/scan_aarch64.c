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
    thread->sp = registers.sp;
    struct iovec pointer = {&thread->pointer, sizeof thread->pointer};
    // NOLINTNEXTLINE(performance-no-int-to-ptr)
    if (ptrace(PTRACE_GETREGSET, thread->tid, (void *)NT_ARM_TLS, &pointer))
        thread->pointer = 0;
    return 0;
}

// Behind the thread pointer is the thread-local storage of the program, and no account.
uint64_t hone_scan_thread_bytes(void)
{
    return 0;
}

uint64_t hone_scan_thread_in(const uint64_t *words, size_t count, uint64_t address)
{
    (void)words;
    (void)count;
    (void)address;
    return 0;
}
