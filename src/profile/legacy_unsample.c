#include "profile/legacy.h"

#include <math.h>

// exp(x) to the last bit as Go computes it on x86-64 with fused multiply-add (Shibata's method:
// the series to x^8 at a sixteenth, then squared four times). It is up to some units in the last
// place off, which 1 - exp(-x) makes many for small blocks, and estimates are to be pprof's.
static double exponential(double x)
{
    static const double ln2_high = 0.69314718055966295651160180568695068359375;
    static const double ln2_low = 0.28235290563031577122588448175013436025525412068e-12;
    if (!(x >= -708 && x <= 709))
        return x < 0 ? 0 : x > 0 ? HUGE_VAL : x;
    double power = nearbyint(x * M_LOG2E);
    x = fma(-power, ln2_high, x);
    x = fma(-power, ln2_low, x);
    x *= 0.0625;
    double series = 1.0 / 40320;
    for (int divisor = 5040, i = 7; i; divisor /= i--)
        series = fma(series, x, 1.0 / divisor);
    double less_one = x * series;
    for (int i = 0; i < 3; i++)
        less_one *= less_one + 2;
    return ldexp(fma(less_one, less_one + 2, 1), (int)power);
}

bool hone_legacy_unsample(int64_t *count, int64_t *bytes, int64_t rate)
{
    if (!*count || !*bytes) {
        *count = *bytes = 0;
        return true;
    }
    if (rate <= 1) // every block was counted
        return true;
    double average = (double)*bytes / (double)*count;
    double scale = 1 / (1 - exponential(-average / (double)rate));
    double scaled_count = (double)*count * scale;
    double scaled_bytes = (double)*bytes * scale;
    if (!(fabs(scaled_count) < 0x1p63 && fabs(scaled_bytes) < 0x1p63))
        return false;
    *count = (int64_t)scaled_count;
    *bytes = (int64_t)scaled_bytes;
    return true;
}
