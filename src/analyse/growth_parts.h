// Private to growth.
#ifndef HONE_ANALYSE_GROWTH_PARTS_H
#define HONE_ANALYSE_GROWTH_PARTS_H

#include "analyse/growth.h"

// The standard error of the slope that sampling leaves. Infinite: nothing was sampled, or the
// series wanders farther than that explains.
double hone_growth_sampling_error(const struct hone_growth_point *points, size_t count);

#endif
