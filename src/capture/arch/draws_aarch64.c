#include "capture/draws.h"

const uint8_t hone_call_arguments[6] = {0, 1, 2, 3, 4, 5}; // x0 to x5
