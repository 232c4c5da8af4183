// Functions are not changed on this machine, so all who call a hook expect it to use registers as
// any function may.
#include "probe/others.h"

void hone_keeping_vectors(void (*work)(void *), void *argument)
{
    work(argument);
}

void hone_gate(void)
{
}

void hone_gate_without_result(void)
{
}
