/* Weights of fewer bits by their definitions (kernels.h, int8_body.h), written apart from the core and slowly: what the tests
 * compare it with. */
#ifndef LE_TEST_SMALL_H
#define LE_TEST_SMALL_H

#include "check.h"
#include "kernels/kernels.h"

/* Weight types are numbered from LE_WEIGHTS_FULL on. */
enum { WEIGHT_TYPES = LE_WEIGHTS_INT8_WIDENED + 1 };
const char *small_name(le_weight_type type);

/* Bytes of a stored weight. */
size_t small_bytes(le_weight_type type);

float float_of_half(uint16_t half);
float float_of_bfloat(uint16_t bfloat);
/* The nearest, ties to even; infinity past the largest, NaN of a NaN. */
uint16_t half_of(float x);
uint16_t bfloat_of(float x);

/* Weight `index` of an array of a type as a float, `scale` being that of its channel (int8 alone). */
float small_weight(le_weight_type type, const void *values, size_t index, float scale);

/* A matrix of weights of a type; scales are null but for int8. */
typedef struct small_matrix {
    void *values;
    float *scales;
} small_matrix;

/* A matrix [outer, rows, columns] of floats as weights of a type, written back into `floats` as the numbers that these stand
 * for. channels_last: scales are [columns] and outer is 1, else [outer, rows]. */
small_matrix small_of(le_weight_type type, size_t rows, size_t columns, int channels_last, float *floats);
void small_free(small_matrix *matrix);

/* A row of k numbers as products with weights of a type take it: what is multiplied, and by what the sums are. */
float small_row(le_weight_type type, size_t k, const float *x, double *taken);

/* The tables of products with small weights that this CPU runs, by number 0..; null past the end. */
const le_products *supported_products(size_t number);

/* Whether these are the same bits, or both NaN: an instruction may give any of those. */
int same_number(float a, float b);

#endif
