// early: a thread that was started by a library's constructor, before main and before profilers.
//
// Right answer: prints `early_bird NANOSECONDS`; a profile holds that function with that CPU time.
#include <pthread.h>
#include <stdio.h>

extern long long early_bird_ns;
void early_bird_join(void);

int main(void)
{
    early_bird_join();
    printf("early_bird %lld\n", early_bird_ns);
    return 0;
}
