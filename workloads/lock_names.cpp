// Locks that lie in the program's data, in blocks of the heap, and one that is named by the
// program: each is held for a while by hold_it() while wait_for_it() wants it.
//
// Right answer: lines `lock NANOSECONDS`, what was waited for it by the waiter's own clock.
#include "hone/hone.h"

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <new>
#include <thread>

#pragma weak hone_lock_name

using clock_type = std::chrono::steady_clock;

namespace data
{
struct queue {
    char before[0x40];
    std::mutex lock;
};
queue queues[2];
std::mutex named;
} // namespace data

struct connection {
    char before[0x28];
    std::mutex lock;
    char after[0x100];
};

struct session {
    std::mutex lock;
    char after[sizeof(connection) - sizeof(std::mutex)];
};

#define FUNCTION __attribute__((noinline, noclone))

FUNCTION connection *make_connection()
{
    return new connection;
}

// As large, so that an allocator gives it the same place.
FUNCTION session *make_session()
{
    return new session;
}

static std::atomic<bool> held;

FUNCTION static void hold_it(std::mutex &lock)
{
    lock.lock();
    held = true;
    std::this_thread::sleep_for(std::chrono::milliseconds(25));
    lock.unlock();
    __asm__ volatile("");
}

FUNCTION static void wait_for_it(std::mutex &lock, const char *name)
{
    auto before = clock_type::now();
    lock.lock();
    auto waited = clock_type::now() - before;
    lock.unlock();
    std::printf("%s %lld\n", name,
                (long long)std::chrono::duration_cast<std::chrono::nanoseconds>(waited).count());
}

static void contend(std::mutex &lock, const char *name)
{
    held = false;
    std::thread holder([&lock] { hold_it(lock); });
    while (!held)
        std::this_thread::yield();
    wait_for_it(lock, name);
    holder.join();
}

int main()
{
    if (hone_lock_name)
        hone_lock_name(&data::named, "the named one");
    contend(data::queues[1].lock, "queue");
    contend(data::named, "named");
    connection *first = make_connection();
    contend(first->lock, "connection");
    delete first;
    // Where a connection had its lock there is another one now.
    session *second = make_session();
    std::mutex *there = new ((void *)((char *)second + 0x28)) std::mutex;
    contend(*there, "session");
    there->~mutex();
    delete second;
    return 0;
}
