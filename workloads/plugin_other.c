// Libraries that `dlmany` loads beside libplugin.so: the same size, other code and other rules.
#include "burn.h"

// A frame of its own kind, so that rules of another library are wrong here.
#define WORK(name, bytes)                                                                          \
    void name(void);                                                                               \
    OWN_NAME void name(void)                                                                       \
    {                                                                                              \
        volatile char room[bytes];                                                                 \
        room[0] = 1;                                                                               \
        spin(SPIN_SLICE *room[0]);                                                                 \
        room[(bytes)-1] = 2;                                                                       \
    }

#if PLUGIN == 1
WORK(first_work, 100)
#else
WORK(second_work, 900)
#endif
