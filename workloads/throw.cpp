// throw [MILLISECONDS]: C++ exceptions, thrown without pause, through 20 frames with destructors.
//
// Right answer: prints how many were caught. Nearly all CPU time lies in the C++ runtime's own
// unwinder, which holds its locks and is in the middle of changing the stack: every sample must
// still reach main, and the program must neither hang nor miss an exception.
#include "burn.h"

namespace
{

long destroyed;

struct Witness {
    ~Witness()
    {
        destroyed++;
    }
};

OWN_NAME void dive(int left)
{
    Witness witness;
    if (!left)
        throw left;
    dive(left - 1);
}

OWN_NAME bool throw_and_catch()
{
    try {
        dive(19);
    } catch (int) {
        return true;
    }
    return false;
}

} // namespace

int main(int argc, char **argv)
{
    long long end = thread_cpu_ns() + argument(argc, argv, 1, 1500) * MS;
    long thrown = 0, caught = 0;
    do {
        thrown++;
        caught += throw_and_catch();
    } while (thread_cpu_ns() < end);

    printf("thrown %ld caught %ld destroyed %ld\n", thrown, caught, destroyed);
    return thrown == caught && destroyed == 20 * thrown ? 0 : 1;
}
