#include "capture/draws.h"

const uint8_t hone_call_arguments[6] = {5, 4, 1, 10, 8, 9}; // rdi, rsi, rdx, r10, r8, r9
