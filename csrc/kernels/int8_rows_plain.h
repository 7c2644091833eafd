/* What ways of multiplying integers that have signed rows know of a row of floats, in portable C. */
#ifndef LE_INT8_ROWS_PLAIN_H
#define LE_INT8_ROWS_PLAIN_H

#include <stdint.h>
#include <string.h>

enum { Q_ROW_GROUP = 4, Q_COLUMNS = 4 };

/* The largest |x|, as bits, which are in the order of the numbers; those of a NaN are above those of infinity. */
LE_INLINE uint32_t q_most_bits(const float *x, size_t k)
{
    uint32_t most = 0;
    for (size_t i = 0; i < k; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        bits &= UINT32_C(0x7fffffff);
        most = bits > most ? bits : most;
    }
    return most;
}

LE_INLINE void q_quantise(const float *x, size_t k, float inverse, char *to)
{
    const float whole = 0x1.8p23f; /* numbers of this size have no fraction: adding it rounds, ties to even */
    for (size_t i = 0; i < k; i++) {
        const float product = x[i] * inverse, moved = product + whole;
        to[i] = (char)(int)(moved - whole);
    }
    for (size_t i = k; i % Q_ROW_GROUP != 0; i++)
        to[i] = 0;
}

#endif
