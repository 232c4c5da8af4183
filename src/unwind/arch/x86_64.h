// x86-64: its registers as DWARF numbers them (System V psABI, figure 3.36).
#ifndef HONE_UNWIND_ARCH_X86_64_H
#define HONE_UNWIND_ARCH_X86_64_H

enum {
    HONE_REGISTER_FP = 6,  // rbp
    HONE_REGISTER_SP = 7,  // rsp
    HONE_REGISTER_IP = 16, // DWARF's column of the return address
    HONE_REGISTER_COUNT = 17,
};

#endif
