// What chance can do: tails and limits of a few distributions, and the one test that comparing
// profiles needs, whether two counts come from the same rate. Private to this room.
//
// Tails are of the upper end unless said otherwise; a point is where a tail has a given size.
// Degrees of freedom may be any positive number; INFINITY makes t normal.
#ifndef HONE_ANALYSE_CHANCE_H
#define HONE_ANALYSE_CHANCE_H

double hone_chance_normal_tail(double z);
double hone_chance_normal_point(double tail); // tail in (0, 1)
double hone_chance_t_tail(double t, double df);
double hone_chance_t_point(double tail, double df);

// The regularised incomplete beta function: the chance that a Beta(a, b) is below x.
double hone_chance_beta(double a, double b, double x);

double hone_chance_digamma(double x);          // x > 0
double hone_chance_trigamma(double x);         // x > 0
double hone_chance_trigamma_inverse(double y); // y > 0

// Two counts, each of a Poisson variable with the mean rate * exposure. Neither needs to be whole:
// a count divided by how much it spreads more than Poisson does is one, too.
struct hone_chance_counts {
    double count[2];
    double exposure[2];
};

// How far the second rate lies above ratio times the first, as the point of a normal variable;
// below it is negative. Exact for Poisson counts (given their sum, the second is binomial), so that
// small counts are called different no more often than promised.
double hone_chance_ratio_z(const struct hone_chance_counts *counts, double ratio);

// The farthest that it could lie, were one of them 0 and the sum the same.
double hone_chance_ratio_z_most(const struct hone_chance_counts *counts);

// The ratios of the second rate to the first that are as far as z from what was counted: from 0 to
// INFINITY.
void hone_chance_ratio_limits(const struct hone_chance_counts *counts, double z, double *ret_low,
                              double *ret_high);

#endif
