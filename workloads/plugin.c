// The library that `dl` loads and unloads.
#include "burn.h"

void plugin_work(void);

OWN_NAME void plugin_work(void)
{
    spin(2 * SPIN_SLICE);
}
