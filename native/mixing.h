/* Pseudo-random numbers that follow from a position; see concordant/placement/mixing.py. */
#ifndef CONCORDANT_MIXING_H
#define CONCORDANT_MIXING_H

#include <stdint.h>

#define GAMMA 0x9E3779B97F4A7C15ULL

static inline uint64_t mix(uint64_t value)
{
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9ULL;
    value = (value ^ value >> 27) * 0x94D049BB133111EBULL;
    return value ^ value >> 31;
}

static inline uint64_t drawn(uint64_t seed, uint64_t number)
{
    return mix(seed + GAMMA * (number + 1));
}

static inline uint64_t other_seed(uint64_t position)
{
    return mix(~position);
}

#endif
