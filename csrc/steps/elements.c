/* Steps that work element by element, and copies.
 *
 * A row is the innermost axis. Where its operands are dense, or one number for all of it, the compiler makes vectors of
 * the loop; each element is computed alone, so that changes no bits.
 */
#include "steps/step.h"

#include <math.h>
#include <string.h>

enum { F = sizeof(float) };

typedef void row_function(int64_t n, char *out, int64_t to, const char *a, int64_t from_a, const char *b, int64_t from_b);

static inline float at(const char *place)
{
    return *(const float *)place;
}

/* a, b are the operands of `expression`. One row in each of the layouts that matter, then any. */
#define ROWS_OF_TWO(name, expression)                                                                                  \
    static void name(int64_t n, char *out, int64_t to, const char *pa, int64_t from_a, const char *pb, int64_t from_b) \
    {                                                                                                                  \
        float *y = (float *)out;                                                                                       \
        const float *x = (const float *)pa, *z = (const float *)pb;                                                    \
        if (to == F && from_a == F && from_b == F) {                                                                   \
            LE_EACH_APART for (int64_t i = 0; i < n; i++)                                                              \
            {                                                                                                          \
                const float a = x[i], b = z[i];                                                                        \
                y[i] = (expression);                                                                                   \
            }                                                                                                          \
        } else if (to == F && from_a == F && from_b == 0) {                                                            \
            const float b = *z;                                                                                        \
            LE_EACH_APART for (int64_t i = 0; i < n; i++)                                                              \
            {                                                                                                          \
                const float a = x[i];                                                                                  \
                y[i] = (expression);                                                                                   \
            }                                                                                                          \
        } else if (to == F && from_a == 0 && from_b == F) {                                                            \
            const float a = *x;                                                                                        \
            LE_EACH_APART for (int64_t i = 0; i < n; i++)                                                              \
            {                                                                                                          \
                const float b = z[i];                                                                                  \
                y[i] = (expression);                                                                                   \
            }                                                                                                          \
        } else {                                                                                                       \
            for (int64_t i = 0; i < n; i++) {                                                                          \
                const float a = at(pa + i * from_a), b = at(pb + i * from_b);                                          \
                *(float *)(out + i * to) = (expression);                                                               \
            }                                                                                                          \
        }                                                                                                              \
    }

#define ROWS_OF_ONE(name, expression)                                                                                  \
    static void name(int64_t n, char *out, int64_t to, const char *pa, int64_t from_a, const char *pb, int64_t from_b) \
    {                                                                                                                  \
        (void)pb, (void)from_b;                                                                                        \
        if (to == F && from_a == F) {                                                                                  \
            float *y = (float *)out;                                                                                   \
            const float *x = (const float *)pa;                                                                        \
            LE_EACH_APART for (int64_t i = 0; i < n; i++)                                                              \
            {                                                                                                          \
                const float a = x[i];                                                                                  \
                y[i] = (expression);                                                                                   \
            }                                                                                                          \
        } else {                                                                                                       \
            for (int64_t i = 0; i < n; i++) {                                                                          \
                const float a = at(pa + i * from_a);                                                                   \
                *(float *)(out + i * to) = (expression);                                                               \
            }                                                                                                          \
        }                                                                                                              \
    }

ROWS_OF_TWO(add, a + b)
ROWS_OF_TWO(subtract, a - b)
ROWS_OF_TWO(multiply, a *b)
ROWS_OF_TWO(divide, a / b)
ROWS_OF_TWO(prelu, a < 0 ? a * b : a)
ROWS_OF_ONE(square_root, sqrtf(a))
ROWS_OF_ONE(negate, -a)
/* A NaN is neither greater nor smaller, and goes through as itself. */
ROWS_OF_ONE(relu, a > 0 ? a : a <= 0 ? 0.0f : a)

#define COPIES(name, size)                                                                                           \
    static void name(int64_t n, char *out, int64_t to, const char *a, int64_t from_a, const char *b, int64_t from_b) \
    {                                                                                                                \
        (void)b, (void)from_b;                                                                                       \
        if (to == size && from_a == size)                                                                            \
            memcpy(out, a, (size_t)n * size);                                                                        \
        else                                                                                                         \
            for (int64_t i = 0; i < n; i++)                                                                          \
                memcpy(out + i * to, a + i * from_a, size);                                                          \
    }

COPIES(copy1, 1)
COPIES(copy4, 4)
COPIES(copy8, 8)

static row_function *const ROWS[] = {
    [LE_STEP_COPY] = copy4,        [LE_STEP_ADD] = add,       [LE_STEP_SUBTRACT] = subtract,
    [LE_STEP_MULTIPLY] = multiply, [LE_STEP_DIVIDE] = divide, [LE_STEP_SQUARE_ROOT] = square_root,
    [LE_STEP_NEGATE] = negate,     [LE_STEP_RELU] = relu,     [LE_STEP_PRELU] = prelu};

void le_run_elements(const le_ready *step)
{
    const le_loop *loop = &step->loop;
    row_function *row = ROWS[step->kind];
    if (step->kind == LE_STEP_COPY && step->itemsize != 4)
        row = step->itemsize == 1 ? copy1 : copy8;
    int64_t place[LE_STEP_AXES] = {0};
    char *out = loop->out;
    const char *in[LE_STEP_INPUTS] = {loop->in[0], loop->in[1], loop->in[2]};
    do
        row(loop->size[0], out, loop->out_stride[0], in[0], loop->in_stride[0][0], in[1], loop->in_stride[1][0]);
    while (le_next(loop, 1, 2, place, &out, in));
}
