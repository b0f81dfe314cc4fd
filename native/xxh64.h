/* XXH64 with seed 0, written from the specification (xxHash, doc/xxhash_spec.md). */
#ifndef CONCORDANT_XXH64_H
#define CONCORDANT_XXH64_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define XXH_PRIME_1 0x9E3779B185EBCA87ULL
#define XXH_PRIME_2 0xC2B2AE3D27D4EB4FULL
#define XXH_PRIME_3 0x165667B19E3779F9ULL
#define XXH_PRIME_4 0x85EBCA77C2B2AE63ULL
#define XXH_PRIME_5 0x27D4EB2F165667C5ULL

static inline uint64_t xxh_rotate(uint64_t value, int bits)
{
    return (value << bits) | (value >> (64 - bits));
}

/* By memcpy, since a key may begin anywhere; compilers make one load of it. */
static inline uint64_t xxh_lane(const unsigned char *at)
{
    uint64_t lane;
    memcpy(&lane, at, sizeof lane);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    lane = __builtin_bswap64(lane);
#endif
    return lane;
}

static inline uint32_t xxh_half_lane(const unsigned char *at)
{
    uint32_t lane;
    memcpy(&lane, at, sizeof lane);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    lane = __builtin_bswap32(lane);
#endif
    return lane;
}

static inline uint64_t xxh_round(uint64_t acc, uint64_t lane)
{
    return xxh_rotate(acc + lane * XXH_PRIME_2, 31) * XXH_PRIME_1;
}

static inline uint64_t xxh_merge(uint64_t acc, uint64_t lane)
{
    return (acc ^ xxh_round(0, lane)) * XXH_PRIME_1 + XXH_PRIME_4;
}

static inline uint64_t xxh_stripes(const unsigned char *at, const unsigned char *end)
{
    uint64_t a = XXH_PRIME_1 + XXH_PRIME_2, b = XXH_PRIME_2, c = 0, d = 0 - XXH_PRIME_1;
    uint64_t acc;
    for (; at < end; at += 32) {
        a = xxh_round(a, xxh_lane(at));
        b = xxh_round(b, xxh_lane(at + 8));
        c = xxh_round(c, xxh_lane(at + 16));
        d = xxh_round(d, xxh_lane(at + 24));
    }
    acc = xxh_rotate(a, 1) + xxh_rotate(b, 7) + xxh_rotate(c, 12) + xxh_rotate(d, 18);
    acc = xxh_merge(acc, a);
    acc = xxh_merge(acc, b);
    acc = xxh_merge(acc, c);
    return xxh_merge(acc, d);
}

static inline uint64_t xxh_eight(uint64_t acc, const unsigned char *at)
{
    return xxh_rotate(acc ^ xxh_round(0, xxh_lane(at)), 27) * XXH_PRIME_1 + XXH_PRIME_4;
}

static inline uint64_t xxh_four(uint64_t acc, const unsigned char *at)
{
    return xxh_rotate(acc ^ xxh_half_lane(at) * XXH_PRIME_1, 23) * XXH_PRIME_2 + XXH_PRIME_3;
}

static inline uint64_t xxh_one(uint64_t acc, const unsigned char *at)
{
    return xxh_rotate(acc ^ *at * XXH_PRIME_5, 11) * XXH_PRIME_1;
}

static inline uint64_t xxh_finish(uint64_t acc)
{
    acc = (acc ^ acc >> 33) * XXH_PRIME_2;
    acc = (acc ^ acc >> 29) * XXH_PRIME_3;
    return acc ^ acc >> 32;
}

/* The tail is unrolled, not looped over: keys of one size, as most lists have, then take branches
 * that the processor foresees. */
static inline uint64_t xxh_tail(uint64_t acc, const unsigned char *at, size_t size)
{
    if (size & 16) {
        acc = xxh_eight(xxh_eight(acc, at), at + 8);
        at += 16;
    }
    if (size & 8) {
        acc = xxh_eight(acc, at);
        at += 8;
    }
    if (size & 4) {
        acc = xxh_four(acc, at);
        at += 4;
    }
    if (size & 2) {
        acc = xxh_one(xxh_one(acc, at), at + 1);
        at += 2;
    }
    if (size & 1) {
        acc = xxh_one(acc, at);
    }
    return xxh_finish(acc);
}

/* Of less than 32 bytes. */
static inline uint64_t xxh64_short(const void *data, size_t size)
{
    return xxh_tail(XXH_PRIME_5 + size, data, size);
}

static inline uint64_t xxh64(const void *data, size_t size)
{
    size_t striped = size - size % 32;
    const unsigned char *at = data;
    if (striped == 0) {
        return xxh64_short(data, size);
    }
    return xxh_tail(xxh_stripes(at, at + striped) + size, at + striped, size % 32);
}

/* The same for four keys of one size below 32, side by side: each step waits for the one before,
 * and a processor has room for four such chains at once. */
static inline void xxh64_by_four(const void *const *keys, size_t size, uint64_t *out)
{
    const unsigned char *text[4];
    uint64_t acc[4];
    size_t at = 0;
#define EACH(statement)                                                                          \
    for (int i = 0; i < 4; i++) {                                                                \
        statement;                                                                               \
    }
    EACH(text[i] = keys[i])
    EACH(acc[i] = XXH_PRIME_5 + size)
    for (; size - at >= 8; at += 8) {
        EACH(acc[i] = xxh_eight(acc[i], text[i] + at))
    }
    if (size & 4) {
        EACH(acc[i] = xxh_four(acc[i], text[i] + at))
        at += 4;
    }
    for (; at < size; at++) {
        EACH(acc[i] = xxh_one(acc[i], text[i] + at))
    }
    EACH(out[i] = xxh_finish(acc[i]))
#undef EACH
}

#endif
