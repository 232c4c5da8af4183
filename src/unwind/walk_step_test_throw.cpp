// Exceptions through frames with and without something to clean up.
#include <stdexcept>
#include <string>

namespace
{
struct guard {
    ~guard()
    {
        cleaned = cleaned + 1;
    }
    static volatile int cleaned;
};
volatile int guard::cleaned;

__attribute__((noinline)) void fail(int depth)
{
    guard here;
    if (depth == 0)
        throw std::runtime_error(std::string("at the bottom of it all, on the heap"));
    fail(depth - 1);
}
} // namespace

extern "C" void hone_test_throw(void);
extern "C" void hone_test_throw(void)
{
    try {
        fail(3);
    } catch (const std::exception &) {
    }
}
