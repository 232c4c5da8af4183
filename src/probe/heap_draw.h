// Exponential draws, with neither libm nor a table, and in whole numbers: malloc() leaves the
// program's floating-point flags alone, and does not trap where the program asked for traps.
#ifndef HONE_PROBE_HEAP_DRAW_H
#define HONE_PROBE_HEAP_DRAW_H

#include "core/core.h"

#include <stdbool.h>
#include <stdint.h>

__extension__ typedef unsigned __int128 hone_wide;

// The next number of a thread's sequence (splitmix64, Steele, Lea, Flood 2014): good for any state.
static inline uint64_t hone_random_next(uint64_t *state)
{
    uint64_t x = *state += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

// A number of the exponential distribution with mean 1, of which 2^52 are 1. How often ln 2 is in
// it is how often a coin shows heads before tails, so the zeros that a random number begins with.
// Of what is left, x below ln 2, e^-x is the chance that a falling row of random numbers, all below
// x, has an even length: else another x is drawn (von Neumann, Various techniques used in
// connection with random digits, 1951). Exact to the last bit, and four random numbers are enough
// mostly.
static inline uint64_t hone_random_exponential(uint64_t *state)
{
    const uint64_t ln2 = 0xb17217f7d1cf79abu; // 1 is 2^64
    uint64_t heads = (uint64_t)__builtin_clzll(hone_random_next(state) | 1);
    for (;;) {
        uint64_t x = (uint64_t)((hone_wide)ln2 * hone_random_next(state) >> 64);
        uint64_t least = x, next;
        bool even = true;
        for (; (next = hone_random_next(state)) < least; even = !even)
            least = next;
        if (even)
            return (uint64_t)(((hone_wide)heads * ln2 + x) >> 12);
    }
}

// Bytes until the next sample at that rate: 0 means that the next byte is it.
static inline int64_t hone_heap_draw(uint64_t *state, uint64_t rate)
{
    const int64_t most = (int64_t)1 << 62; // rate is input, of somebody else's memory
    hone_wide bytes = (hone_wide)hone_random_exponential(state) * rate >> 52;
    return bytes < (uint64_t)most ? (int64_t)bytes : most;
}

// number / divisor, rounded down; UINT64_MAX where that is too much.
static inline uint64_t hone_divide(hone_wide number, uint64_t divisor)
{
    hone_wide rest = 0, quotient = 0;
    for (int bit = 127; bit >= 0; bit--) {
        rest = rest << 1 | (uint64_t)(number >> bit & 1);
        quotient = quotient << 1 | (rest >= divisor);
        rest -= rest >= divisor ? divisor : 0;
    }
    return quotient >> 64 ? UINT64_MAX : (uint64_t)quotient;
}

// exp(-x) for x of 6 bits before the point and 58 behind it; 1 is 2^63. Within 2^-55 of it.
static inline uint64_t hone_exp_of_minus(uint64_t x)
{
    const uint64_t log2_e = 0xb8aa3b295c17f0bcu;          // 1 is 2^63
    const uint64_t ln2 = 0xb17217f7d1cf79abu;             // 1 is 2^64
    uint64_t y = (uint64_t)((hone_wide)x * log2_e >> 64); // exp(-x) = 2^-y, 1 is 2^57
    uint64_t part = y << 7, sum = (uint64_t)1 << 63;
    uint64_t t = (uint64_t)((hone_wide)part * ln2 >> 64);
    for (uint64_t term = 20; term > 0; term--)
        sum = ((uint64_t)1 << 63) - (uint64_t)((hone_wide)t * sum >> 64) / term;
    return sum >> (y >> 57);
}

// How many bytes a sampled block of that size stands for: its size by its chance to be sampled.
static inline uint64_t hone_heap_weight_bytes(uint64_t size, uint64_t rate)
{
    const uint64_t certain = 40, tiny = (uint64_t)1 << 54; // 2^-10: then 1 - exp(-x) has few digits
    if (rate <= 1 || size / rate >= certain)
        return size;
    uint64_t whole = size / rate;
    uint64_t rest = hone_divide((hone_wide)(size % rate) << 64, rate);
    if (whole == 0 && rest < tiny) // x / (1 - exp(-x)) = 1 + x / 2 + x^2 / 12 - …
        return rate + (size + 1) / 2 + (uint64_t)((hone_wide)size * rest >> 64) / 12;
    uint64_t chance = ((uint64_t)1 << 63) - hone_exp_of_minus(whole << 58 | rest >> 6);
    return hone_divide(((hone_wide)size << 63) + chance / 2, chance);
}

#endif
