// Where a function that waits in a system call has not saved its link register, nobody tells what
// that holds; the walk ends there and says so.
#include "capture/frame_base.h"

uint64_t hone_blocked_registers(const struct hone_blocked *blocked, struct hone_registers *ret)
{
    enum { ARGUMENTS = 6 }; // x0 to x5
    *ret = (struct hone_registers){0};
    ret->r[HONE_REGISTER_IP] = blocked->ip;
    ret->r[HONE_REGISTER_SP] = blocked->sp;
    uint64_t known = 1ull << HONE_REGISTER_IP | 1ull << HONE_REGISTER_SP;
    for (int i = 0; blocked->call >= 0 && i < ARGUMENTS; i++) {
        ret->r[i] = blocked->arguments[i];
        known |= 1ull << i;
    }
    return known;
}

bool hone_frame_base_find(struct hone_remote *remote, const struct hone_frame_stack *stack,
                          uint64_t address, uint64_t sp, uint64_t *ret_fp)
{
    (void)remote;
    (void)stack;
    (void)address;
    (void)sp;
    (void)ret_fp;
    return false;
}
