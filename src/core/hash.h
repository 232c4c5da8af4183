// A 64-bit hash of a stack, good enough to stand for it: a million distinct stacks collide with a
// probability of 3e-8. Multiply-and-fold of 128 bits as in wyhash (Wang Yi, 2019), one step a word.
//
// Threads, Signals: safe.
#ifndef HONE_CORE_HASH_H
#define HONE_CORE_HASH_H

#include <stddef.h>
#include <stdint.h>

static inline uint64_t hone_hash_fold(uint64_t a, uint64_t b)
{
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t hone_hash_words(const uint64_t *words, size_t count, uint64_t seed)
{
    // Odd constants with as many ones as zeros, from the fraction of the golden ratio and of pi.
    uint64_t hash = seed ^ 0x9e3779b97f4a7c15u;
    for (size_t i = 0; i < count; i++)
        hash = hone_hash_fold(hash ^ words[i], 0xa0761d6478bd642fu + 2 * i);
    return hone_hash_fold(hash ^ count, 0xe7037ed1a0b428dbu);
}

#endif
