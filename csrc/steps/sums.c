/* Sums over one run of memory, in either of the two orders in which NumPy takes them.
 *
 * Which one it takes goes by the layout, and is found out by whoever makes the list: a recording of a run has the bits of
 * the run without it.
 */
#include "steps/step.h"

/* NumPy's pairwise sum: up to 7 numbers one after the other, up to 128 as eight sums side by side, more as two halves. */
static float pairwise(const char *x, int64_t n, int64_t apart)
{
#define AT(i) (*(const float *)(x + (i) * apart))
    if (n < 8) {
        float sum = -0.0f; /* what adds nothing */
        for (int64_t i = 0; i < n; i++)
            sum += AT(i);
        return sum;
    }
    if (n <= 128) {
        float sums[8];
        int64_t i = 8;
        for (int k = 0; k < 8; k++)
            sums[k] = AT(k);
        for (; i < n - n % 8; i += 8)
            for (int k = 0; k < 8; k++)
                sums[k] += AT(i + k);
        float sum = ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
        for (; i < n; i++)
            sum += AT(i);
        return sum;
    }
    const int64_t half = n / 2 - n / 2 % 8;
    return pairwise(x, half, apart) + pairwise(x + half * apart, n - half, apart);
#undef AT
}

/* Rows that stand one behind the other are added to a row of sums, so that the compiler makes vectors of them. */
static void in_turn(const le_ready *step, char *out, const char *x)
{
    const int64_t n = step->loop.size[0], to = step->loop.out_stride[0], from = step->loop.in_stride[0][0];
    for (int64_t i = 0; i < n; i++)
        *(float *)(out + i * to) = 0.0f + *(const float *)(x + i * from);
    for (int64_t k = 1; k < step->count; k++) {
        const char *row = x + k * step->apart;
        if (to == (int64_t)sizeof(float) && from == to) {
            float *sums = (float *)out;
            const float *more = (const float *)row;
            LE_EACH_APART for (int64_t i = 0; i < n; i++) sums[i] += more[i];
        } else {
            for (int64_t i = 0; i < n; i++)
                *(float *)(out + i * to) += *(const float *)(row + i * from);
        }
    }
}

void le_run_sum(const le_ready *step)
{
    const le_loop *loop = &step->loop;
    int64_t place[LE_STEP_AXES] = {0};
    char *out = loop->out;
    const char *in[LE_STEP_INPUTS] = {loop->in[0]};
    do {
        if (step->kind == LE_STEP_SUM_IN_TURN)
            in_turn(step, out, in[0]);
        else
            for (int64_t i = 0; i < loop->size[0]; i++)
                *(float *)(out + i * loop->out_stride[0]) =
                    0.0f + pairwise(in[0] + i * loop->in_stride[0][0], step->count, step->apart);
    } while (le_next(loop, 1, 1, place, &out, in));
}
