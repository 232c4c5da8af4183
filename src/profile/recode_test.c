// recode IN OUT: reads a profile of any kind and writes it as profile.proto in gzip.
#include "profile/profile.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    struct hone_error err = {0};
    struct hone_profile *p = NULL;
    if (argc != 3)
        return 2;
    int r = hone_profile_read(argv[1], NULL, &p, &err);
    if (!r)
        r = hone_profile_write(p, argv[2], &err);
    if (r)
        hone_error_print(&err);
    hone_profile_free(p);
    return r ? 1 : 0;
}
