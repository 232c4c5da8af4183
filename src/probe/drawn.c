#include "probe/drawn.h"

enum {
    COUNT_MIN = 32, // fewer are no habit
    PART = 100,     // of the time in samples: what is less than that does not matter
    LIVES = 4,      // that long after its start hardly any of them lives still
};

void hone_drawn_ended(struct hone_drawn_account *account, uint64_t used_ns)
{
    // Relaxed: numbers that only grow, and it is no matter which thread sees them first.
    atomic_fetch_add_explicit(&account->used_ns, used_ns, memory_order_relaxed);
    atomic_fetch_add_explicit(&account->count, 1, memory_order_relaxed);
}

// splitmix64 (Steele, Lea, Flood, 2014): its state is a counter, which threads may share.
static uint64_t draw(struct hone_drawn_account *account)
{
    uint64_t x =
        atomic_fetch_add_explicit(&account->state, 0x9e3779b97f4a7c15u, memory_order_relaxed);
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

bool hone_drawn_first(struct hone_drawn_account *account, uint64_t period_ns, uint64_t sampled_ns,
                      struct hone_drawn *ret)
{
    uint64_t count = atomic_load_explicit(&account->count, memory_order_relaxed);
    uint64_t used_ns = atomic_load_explicit(&account->used_ns, memory_order_relaxed);
    if (HONE_LIKELY(count < COUNT_MIN || used_ns < sampled_ns / PART))
        return false;
    *ret = (struct hone_drawn){draw(account) % period_ns + 1, 1};
    if (ret->first_ns > LIVES * (used_ns / count)) {
        ret->periods = HONE_DRAWN_RARELY;
        return draw(account) % HONE_DRAWN_RARELY == 0;
    }
    return true;
}
