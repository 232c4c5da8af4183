// What chance leaves of a slope where blocks were sampled. The error of what lives adds up: each
// change of it has one of its own, that all later moments share. So a slope through all moments,
// a sum of them with weights c, has the variance
//
//     Σ v[j] C[j]²     C[j] = Σ c[i], i ≥ j     v[j] of the change before moment j
//
// and as neighbours share nearly all of their errors, no test that learns from the series alone can
// tell such errors from a heap that wanders. How far they let it wander follows from them, too.
#include "analyse/growth_parts.h"

#include <math.h>

// A series that wanders farther than its errors explain is judged by what it does.
static const double wanders = 4; // times the expected square

struct line {
    double mean_s, square_s; // of the times, and the sum of their squares around it
    double mean, slope;      // least squares
};

static struct line line_through(const struct hone_growth_point *points, size_t count)
{
    struct line line = {0};
    double product = 0, n = (double)count;
    for (size_t i = 0; i < count; i++) {
        line.mean_s += points[i].time_s / n;
        line.mean += points[i].bytes / n;
    }
    for (size_t i = 0; i < count; i++) {
        double away_s = points[i].time_s - line.mean_s;
        line.square_s += away_s * away_s;
        product += away_s * (points[i].bytes - line.mean);
    }
    line.slope = line.square_s > 0 ? product / line.square_s : 0;
    return line;
}

double hone_growth_sampling_error(const struct hone_growth_point *points, size_t count)
{
    struct line line = line_through(points, count);
    double n = (double)count, later = 0, rest = 0, variance = 0, expected = 0;
    if (!(line.square_s > 0))
        return INFINITY;
    for (size_t i = count; i-- > 1;) { // the change before the first moment is in all of them
        double away_s = points[i].time_s - line.mean_s, share = (double)(count - i);
        later += away_s / line.square_s;
        variance += points[i].variance * later * later;
        expected +=
            points[i].variance * (share - share * share / n - later * later * line.square_s);
    }
    for (size_t i = 0; i < count; i++) {
        double away_s = points[i].time_s - line.mean_s;
        double left = points[i].bytes - line.mean - line.slope * away_s;
        rest += left * left;
    }
    if (!(expected > 0) || rest > wanders * expected)
        return INFINITY;
    return sqrt(variance * fmax(1, rest / expected));
}
