// Chance for tests: numbers that look drawn and are the same each time. Each test is a process of
// its own and sows before it draws.
#ifndef HONE_ANALYSE_DRAWS_H
#define HONE_ANALYSE_DRAWS_H

#include <math.h>
#include <stdint.h>

static uint64_t hone_draw_state;

static inline void hone_draw_seed(uint64_t seed)
{
    hone_draw_state = seed * 0x9e3779b97f4a7c15u;
}

static inline double hone_draw_uniform(void) // above 0 and below 1
{
    hone_draw_state ^= hone_draw_state << 13;
    hone_draw_state ^= hone_draw_state >> 7;
    hone_draw_state ^= hone_draw_state << 17;
    return ((double)(hone_draw_state >> 11) + 0.5) * 0x1p-53;
}

static inline double hone_draw_normal(void)
{
    return sqrt(-2 * log(hone_draw_uniform())) * cos(2 * M_PI * hone_draw_uniform());
}

// A factor with mean 1 and this relative standard deviation.
static inline double hone_draw_factor(double spread)
{
    double sigma2 = log1p(spread * spread);
    return exp(sqrt(sigma2) * hone_draw_normal() - sigma2 / 2);
}

// Hörmann's transformed rejection (PTRS, 1993); below 10 by multiplication.
static inline double hone_draw_poisson(double mean)
{
    if (mean < 10) {
        double limit = exp(-mean);
        double product = hone_draw_uniform();
        double k = 0;
        for (; product > limit; k++)
            product *= hone_draw_uniform();
        return k;
    }
    double b = 0.931 + 2.53 * sqrt(mean);
    double a = -0.059 + 0.02483 * b;
    double inverse = 1.1239 + 1.1328 / (b - 3.4);
    double limit = 0.9277 - 3.6224 / (b - 2);
    for (;;) {
        double u = hone_draw_uniform() - 0.5;
        double v = hone_draw_uniform();
        double us = 0.5 - fabs(u);
        double k = floor((2 * a / us + b) * u + mean + 0.43);
        if (us >= 0.07 && v <= limit)
            return k;
        if (k < 0 || (us < 0.013 && v > us))
            continue;
        if (log(v * inverse / (a / (us * us) + b)) <= k * log(mean) - mean - lgamma(k + 1))
            return k;
    }
}

#endif
