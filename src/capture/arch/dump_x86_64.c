#include "capture/dump_parts.h"

#include <elf.h>
#include <errno.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>

const bool hone_dump_can_stop = true;

// The kernel's own error, by which it takes a call up again unless a handler of the program runs
// first.
enum { ERESTARTNOHAND = 514 };

// A call that waits and is not taken up again by itself has EINTR for its result, before any
// handler has run. close() has done its work all the same.
static bool was_ended_by_us(const struct user_regs_struct *registers)
{
    return (int64_t)registers->orig_rax >= 0 && registers->orig_rax != SYS_close &&
           (int64_t)registers->rax == -EINTR;
}

int hone_dump_registers(pid_t tid, struct hone_registers *ret)
{
    struct user_regs_struct registers;
    struct iovec into = {&registers, sizeof registers};
    // NOLINTNEXTLINE(performance-no-int-to-ptr): so ptrace() takes a kind of registers
    if (ptrace(PTRACE_GETREGSET, tid, (void *)NT_PRSTATUS, &into))
        return -errno;
    *ret = (struct hone_registers){
        .r = {registers.rax, registers.rdx, registers.rcx, registers.rbx, registers.rsi,
              registers.rdi, registers.rbp, registers.rsp, registers.r8, registers.r9,
              registers.r10, registers.r11, registers.r12, registers.r13, registers.r14,
              registers.r15, registers.rip},
    };
    if (!was_ended_by_us(&registers))
        return 0;
    registers.rax = (unsigned long long)-ERESTARTNOHAND;
    // NOLINTNEXTLINE(performance-no-int-to-ptr): as above
    return ptrace(PTRACE_SETREGSET, tid, (void *)NT_PRSTATUS, &into) ? -errno : 0;
}
