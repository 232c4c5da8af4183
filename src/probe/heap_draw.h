// Exponential draws, with neither libm nor a table.
#ifndef HONE_PROBE_HEAP_DRAW_H
#define HONE_PROBE_HEAP_DRAW_H

#include "core/core.h"

#include <stdint.h>

// The next number of a thread's sequence (splitmix64, Steele, Lea, Flood 2014): good for any state.
static inline uint64_t hone_random_next(uint64_t *state)
{
    uint64_t x = *state += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

// -ln((random + 1/2) / 2^52) of 52 random bits, within 1e-12. x = 2^e m with m in [sqrt(1/2),
// sqrt(2)) gives ln x = e ln 2 + 2 artanh((m - 1) / (m + 1)), whose series has 8 terms there.
static inline double hone_random_exponential(uint64_t random)
{
    union {
        double number;
        uint64_t bits;
    } x = {((double)(random >> 12) + 0.5) * 0x1p-52};
    int exponent = (int)(x.bits >> 52) - 1023;
    x.bits = (x.bits & 0xfffffffffffffu) | (uint64_t)1023 << 52;
    if (x.number > 1.4142135623730951) {
        x.number /= 2;
        exponent++;
    }
    double s = (x.number - 1) / (x.number + 1), square = s * s, sum = 0;
    for (int term = 15; term > 0; term -= 2)
        sum = sum * square + 1.0 / term;
    return -(exponent * 0.6931471805599453 + 2 * s * sum);
}

// Bytes until the next sample at that rate: 0 means that the next byte is it.
static inline int64_t hone_heap_draw(uint64_t *state, uint64_t rate)
{
    const double most = 0x1p62; // rate is input, of somebody else's memory
    double bytes = hone_random_exponential(hone_random_next(state)) * (double)rate;
    return bytes < most ? (int64_t)bytes : (int64_t)most;
}

// exp(-x) for 0 <= x < 700, within 1e-15 of it: -x = -k ln 2 - r, with r in [-ln 2 / 2, ln 2 / 2].
static inline double hone_exp_of_minus(double x)
{
    int k = (int)(x * 1.4426950408889634 + 0.5);
    double r = x - k * 0.6931471805599453, sum = 1;
    for (int term = 14; term > 0; term--)
        sum = 1 - sum * r / term;
    union {
        uint64_t bits;
        double number;
    } power = {(uint64_t)(1023 - k) << 52};
    return sum * power.number;
}

// How many bytes a sampled block of that size stands for: its size by its chance to be sampled.
static inline uint64_t hone_heap_weight_bytes(uint64_t size, uint64_t rate)
{
    const double certain = 40, tiny = 0x1p-10; // then 1 - exp(-x) loses too many digits
    double x = (double)size / (double)rate;
    if (rate <= 1 || x > certain)
        return size;
    double part = x < tiny ? 1 - x / 2 * (1 - x / 3 * (1 - x / 4)) : (1 - hone_exp_of_minus(x)) / x;
    return (uint64_t)((double)rate / part + 0.5);
}

#endif
