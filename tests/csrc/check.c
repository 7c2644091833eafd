#include "check.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { PRINTED = 8 }; /* failures of one test that are printed */

static long done, failed, printed;
static long one_in = 1, combinations;

void checks_begin(void)
{
    printed = 0;
}

int check_that(int holds, const char *file, int line, const char *condition, const char *format, ...)
{
    done++;
    if (holds)
        return 1;
    failed++;
    if (printed++ < PRINTED) {
        va_list args;
        va_start(args, format);
        fprintf(stderr, "%s:%d: %s does not hold: ", file, line, condition);
        vfprintf(stderr, format, args);
        fprintf(stderr, "\n");
        va_end(args);
    }
    return 0;
}

void combinations_one_in(long number)
{
    one_in = number;
}

int combination_tried(void)
{
    return combinations++ % one_in == 0;
}

long checks_done(void)
{
    return done;
}

long checks_failed(void)
{
    return failed;
}

/* splitmix64, https://prng.di.unimi.it/splitmix64.c (public domain): any seed will do. */
static uint64_t rng_bits(rng *random)
{
    uint64_t z = random->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

double rng_next(rng *random)
{
    return (double)(rng_bits(random) >> 41) / (1 << 22) - 1; /* 23 bits: exact in a float */
}

size_t rng_below(rng *random, size_t bound)
{
    return (size_t)(rng_bits(random) % bound);
}

size_t dtype_size(le_dtype dtype)
{
    return dtype == LE_FLOAT64 ? sizeof(double) : sizeof(float);
}

double element_at(le_dtype dtype, const void *array, size_t index)
{
    return dtype == LE_FLOAT64 ? ((const double *)array)[index] : (double)((const float *)array)[index];
}

void set_element(le_dtype dtype, void *array, size_t index, double value)
{
    if (dtype == LE_FLOAT64)
        ((double *)array)[index] = value;
    else
        ((float *)array)[index] = (float)value;
}

void *must_alloc(size_t bytes)
{
    void *block = calloc(bytes ? bytes : 1, 1);
    if (block == NULL) {
        fprintf(stderr, "the test program itself is out of memory\n");
        exit(3);
    }
    return block;
}

void *random_array(rng *random, le_dtype dtype, size_t count, double scale)
{
    void *array = must_alloc(count * dtype_size(dtype));
    for (size_t i = 0; i < count; i++)
        set_element(dtype, array, i, (double)(float)(rng_next(random) * scale));
    return array;
}

double largest_difference(le_dtype dtype, const void *got, const double *expected, size_t count)
{
    double largest = 0;
    for (size_t i = 0; i < count; i++) {
        const double value = element_at(dtype, got, i);
        if (value == expected[i] || (isnan(value) && isnan(expected[i])))
            continue;
        const double difference = fabs(value - expected[i]);
        if (!(difference <= largest))
            largest = isnan(difference) ? INFINITY : difference;
    }
    return largest;
}
