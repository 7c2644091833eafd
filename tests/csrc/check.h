/* What every C test uses: counted checks, random numbers that are the same everywhere, and comparisons. */
#ifndef LE_TEST_CHECK_H
#define LE_TEST_CHECK_H

#include <stddef.h>
#include <stdint.h>

#include "le.h"

/* Count a check; when it fails, print where and why (of many failures the first). The program goes on and fails at its end. */
#define CHECK(condition, ...) check_that((condition) != 0, __FILE__, __LINE__, #condition, __VA_ARGS__)

#if defined(__GNUC__)
__attribute__((format(printf, 5, 6)))
#endif
int check_that(int holds, const char *file, int line, const char *condition, const char *format, ...);

void checks_begin(void); /* of one test */

/* Of tests that try everything with everything: whether the next combination is tried. Of every `number` one is, all
 * unless that is said: programs under sanitizers take minutes for what others do in seconds. */
void combinations_one_in(long number);
int combination_tried(void);
long checks_done(void);
long checks_failed(void);

/* Numbers in [-1, 1) that a float holds exactly, so that float32 and float64 models get the same weights. */
typedef struct rng {
    uint64_t state;
} rng;

double rng_next(rng *random);
size_t rng_below(rng *random, size_t bound);

/* `count` numbers times `scale`, as an array of the dtype; the caller frees it. */
void *random_array(rng *random, le_dtype dtype, size_t count, double scale);

size_t dtype_size(le_dtype dtype);
double element_at(le_dtype dtype, const void *array, size_t index);
void set_element(le_dtype dtype, void *array, size_t index, double value);

/* Allocation that ends the program when memory is short: the tests inject failures into the core alone. */
void *must_alloc(size_t bytes);

/* The largest |got - expected|; infinity when one is NaN and the other is not, or at infinities that differ. */
double largest_difference(le_dtype dtype, const void *got, const double *expected, size_t count);

/* The tests, one a file. */
void test_weights(void);
void test_shared(void);
void test_models(void);
void test_extras(void);
void test_bits(void);
void test_states(void);
void test_kernels(void);
void test_products(void);
void test_integers(void);
void test_small(void);
void test_activations(void);
void test_errors(void);
void test_allocation(void);
void test_outputs(void);
void test_threads(void);
void test_numbers(void);
void test_steps(void);

#endif
