// Gives a lock a name, as a program does that may run without the library.
#include "hone/hone.h"

#include <stdio.h>

#pragma weak hone_lock_name

static int lock;

int main(void)
{
    if (!hone_lock_name) {
        puts("not there");
        return 0;
    }
    printf("%d %d %d\n", hone_lock_name(&lock, "the lock"), hone_lock_name(&lock, ""),
           hone_lock_name(NULL, "nothing"));
    return 0;
}
