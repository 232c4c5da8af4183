#include "analyse/chance.h"

#include <math.h>
#include <stdbool.h>

// --- distributions -------------------------------------------------------------------------------

double hone_chance_normal_tail(double z)
{
    return 0.5 * erfc(z * M_SQRT1_2);
}

// A rational guess (Abramowitz and Stegun 26.2.23, good to 0.00045) and Newton's steps on the
// logarithm of the tail, which is nearly a parabola, so that they work far out too.
double hone_chance_normal_point(double tail)
{
    if (tail > 0.5)
        return -hone_chance_normal_point(1 - tail);
    if (!(tail > 1e-300))
        return tail > 0 ? 37.06 : INFINITY; // erfc() ends there
    double t = sqrt(-2 * log(tail));
    double z = t - (2.515517 + 0.802853 * t + 0.010328 * t * t) /
                       (1 + 1.432788 * t + 0.189269 * t * t + 0.001308 * t * t * t);
    for (int i = 0; i < 4; i++) {
        double at = hone_chance_normal_tail(z);
        double density = exp(-z * z / 2) / sqrt(2 * M_PI);
        z += (log(at) - log(tail)) * at / density;
    }
    return z;
}

// The continued fraction of the incomplete beta function by Lentz's method, and what it is
// multiplied by. It converges in about sqrt(max(a, b)) steps where x is below the mean.
static double beta_fraction(double a, double b, double x)
{
    enum { STEPS_MAX = 20000 };
    const double tiny = 1e-300;
    double c = 1;
    double d = 1 - (a + b) * x / (a + 1);
    d = 1 / (fabs(d) < tiny ? tiny : d);
    double h = d;
    for (int m = 1; m < STEPS_MAX; m++) {
        double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        d = 1 + even * d;
        c = 1 + even / c;
        d = 1 / (fabs(d) < tiny ? tiny : d);
        c = fabs(c) < tiny ? tiny : c;
        h *= d * c;
        double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        d = 1 + odd * d;
        c = 1 + odd / c;
        d = 1 / (fabs(d) < tiny ? tiny : d);
        c = fabs(c) < tiny ? tiny : c;
        h *= d * c;
        if (fabs(d * c - 1) < 1e-14)
            break;
    }
    return h;
}

double hone_chance_beta(double a, double b, double x)
{
    if (!(x > 0) || b <= 0)
        return 0;
    if (x >= 1 || a <= 0)
        return 1;
    double front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
    if (x < (a + 1) / (a + b + 2))
        return front * beta_fraction(a, b, x) / a;
    return 1 - front * beta_fraction(b, a, 1 - x) / b;
}

double hone_chance_t_tail(double t, double df)
{
    if (!(df < 1e7))
        return hone_chance_normal_tail(t);
    double both = hone_chance_beta(df / 2, 0.5, df / (df + t * t));
    return t >= 0 ? both / 2 : 1 - both / 2;
}

// Newton's steps on the logarithms of both: there even the heaviest tail is nearly a line.
double hone_chance_t_point(double tail, double df)
{
    if (tail > 0.5)
        return -hone_chance_t_point(1 - tail, df);
    if (tail > 0.4999)
        return 0;
    double z = hone_chance_normal_point(tail);
    if (!(df < 1e7))
        return z;
    double scale = exp(lgamma((df + 1) / 2) - lgamma(df / 2)) / sqrt(df * M_PI);
    double t = z * (1 + (z * z + 1) / (4 * df)); // the first of its expansion
    for (int i = 0; i < 50; i++) {
        double at = hone_chance_t_tail(t, df);
        double density = scale * exp(-(df + 1) / 2 * log1p(t * t / df));
        double step = (log(at) - log(tail)) * at / (t * density);
        t *= exp(fmax(-1, fmin(2, step)));
        if (fabs(step) < 1e-10)
            break;
    }
    return t;
}

// Recurrence up to where the asymptotic series is good to 1e-12.
double hone_chance_digamma(double x)
{
    double sum = 0;
    while (x < 10) {
        sum -= 1 / x;
        x++;
    }
    double s = 1 / (x * x);
    return sum + log(x) - 0.5 / x -
           s * (1.0 / 12 - s * (1.0 / 120 - s * (1.0 / 252 - s * (1.0 / 240 - s / 132))));
}

double hone_chance_trigamma(double x)
{
    double sum = 0;
    while (x < 10) {
        sum += 1 / (x * x);
        x++;
    }
    double s = 1 / (x * x);
    return sum + 1 / x + s / 2 +
           s / x * (1.0 / 6 - s * (1.0 / 30 - s * (1.0 / 42 - s * (1.0 / 30))));
}

// It falls from INFINITY to 0, between 1/x + 1/(2x²) and 1/x + 1/x².
double hone_chance_trigamma_inverse(double y)
{
    double low = 0.5 / y < 1e-8 ? 1e-8 : 0.5 / y;
    double high = 1 / y + 1 / sqrt(y) + 1;
    while (hone_chance_trigamma(low) < y)
        low /= 2;
    while (hone_chance_trigamma(high) > y)
        high *= 2;
    for (int i = 0; i < 100 && high - low > 1e-10 * high; i++) {
        double middle = (low + high) / 2;
        if (hone_chance_trigamma(middle) > y)
            low = middle;
        else
            high = middle;
    }
    return (low + high) / 2;
}

// --- two counts ----------------------------------------------------------------------------------

// Beyond this the sum of all terms is replaced by what is as good and much quicker.
enum { MANY = 40, SOME = 4 };

// x ln(x / mean), and what it is near.
static double part(double x, double mean)
{
    return x > 0 ? x * log(x / mean) : 0;
}

// The point of the tail at and above the second count by the formula of Peizer and Pratt (1968):
// with all its corrections it is off by less than 0.006 within five standard deviations from SOME
// of each and MANY in all on, and by ever less for more.
static double peizer_pratt(double first, double second, double share)
{
    double sum = first + second;
    double p = 1 - share; // of being below
    double q = share;
    double off = first + 0.5 - sum * p;
    double d = first + 2.0 / 3 - (sum + 1.0 / 3) * p +
               0.02 * (q / (first + 1) - p / second + (q - 0.5) / (sum + 1));
    if (fabs(off) < 1e-9 * sum) // its limit there
        return -d / sqrt(sum * p * q);
    double twice =
        2 / (1 + 1 / (6 * sum)) * (part(first + 0.5, sum * p) + part(second - 0.5, sum * q));
    return -d / fabs(off) * sqrt(twice > 0 ? twice : 0);
}

// The signed root of the likelihood ratio: what is left where tails are too small for numbers.
static double root_z(double first, double second, double share)
{
    double sum = first + second;
    double twice = 2 * (part(first, sum * (1 - share)) + part(second, sum * share));
    double z = sqrt(twice > 0 ? twice : 0);
    return second >= sum * share ? z : -z;
}

static double share_of(const struct hone_chance_counts *c, double ratio)
{
    double second = ratio * c->exposure[1];
    return second / (second + c->exposure[0]);
}

static bool usable(const struct hone_chance_counts *c)
{
    return c->count[0] + c->count[1] > 0 && c->exposure[0] > 0 && c->exposure[1] > 0 &&
           isfinite(c->count[0] + c->count[1]);
}

// The point of the tail at and above the second count.
static double upper_z(double first, double second, double share)
{
    if (first >= SOME && second >= SOME && first + second >= MANY)
        return peizer_pratt(first, second, share);
    double tail = hone_chance_beta(second, first + 1, share);
    if (tail > 1e-290)
        return tail < 1 ? hone_chance_normal_point(tail) : -INFINITY;
    return root_z(first, second, share);
}

double hone_chance_ratio_z(const struct hone_chance_counts *c, double ratio)
{
    if (!usable(c) || !(ratio > 0))
        return 0;
    double share = share_of(c, ratio);
    // Below 0 both tails hold more than half: the counts lie in the middle.
    if (c->count[1] >= (c->count[0] + c->count[1]) * share)
        return fmax(0, upper_z(c->count[0], c->count[1], share));
    return -fmax(0, upper_z(c->count[1], c->count[0], 1 - share));
}

double hone_chance_ratio_z_most(const struct hone_chance_counts *c)
{
    if (!usable(c))
        return 0;
    double sum = c->count[0] + c->count[1];
    double share = share_of(c, 1);
    return fmax(upper_z(0, sum, share), upper_z(0, sum, 1 - share));
}

// Where the tail that ends at the second count has the point z. With first and second swapped, the
// inverse ratio's: so one search serves both limits.
static double lower_limit(const struct hone_chance_counts *c, double z)
{
    double first = c->count[0];
    double second = c->count[1];
    if (!(second > 0))
        return 0;
    double middle = log(second / c->exposure[1]) - log((first + 0.5) / c->exposure[0]);
    double step = z * sqrt(1 / second + 1 / (first + 0.5)) + 0.5 / second;
    double low = middle - step; // the tail is too small there …
    double high = middle;       // … and too large here
    double z_low = upper_z(first, second, share_of(c, exp(low))) - z;
    for (int i = 0; i < 60 && z_low < 0; i++) {
        low -= step;
        z_low = upper_z(first, second, share_of(c, exp(low))) - z;
        step *= 2;
    }
    double z_high = upper_z(first, second, share_of(c, exp(high))) - z;
    for (int i = 0; i < 60 && z_high > 0; i++) {
        high += step;
        z_high = upper_z(first, second, share_of(c, exp(high))) - z;
        step *= 2;
    }
    // False position with halving (Illinois): z is nearly a line in the logarithm of the ratio.
    double at = low;
    for (int i = 0, last = 0; i < 60 && high - low > 1e-9; i++) {
        bool line = isfinite(z_low) && isfinite(z_high);
        at = line ? (low * z_high - high * z_low) / (z_high - z_low) : (low + high) / 2;
        double z_at = upper_z(first, second, share_of(c, exp(at))) - z;
        if (fabs(z_at) < 1e-7)
            break;
        if (z_at > 0) {
            low = at;
            z_low = z_at;
            z_high /= last > 0 ? 2 : 1;
            last = 1;
        } else {
            high = at;
            z_high = z_at;
            z_low /= last < 0 ? 2 : 1;
            last = -1;
        }
    }
    return exp(at);
}

void hone_chance_ratio_limits(const struct hone_chance_counts *c, double z, double *ret_low,
                              double *ret_high)
{
    *ret_low = 0;
    *ret_high = INFINITY;
    if (!usable(c))
        return;
    struct hone_chance_counts swapped = {.count = {c->count[1], c->count[0]},
                                         .exposure = {c->exposure[1], c->exposure[0]}};
    *ret_low = lower_limit(c, z);
    double inverse = lower_limit(&swapped, z);
    *ret_high = inverse > 0 ? 1 / inverse : INFINITY;
}
