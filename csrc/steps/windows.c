/* Convolutions in which each channel has windows of its own: channels side by side are the lanes of a vector. */
#include "steps/step.h"

enum { LANES = 32 };

/* One position of out: `lanes` channels from x on, `first` and `last` taps of each axis inside. */
static inline void one_place(const le_step *s, const char *x, const float *w, const float *bias, float *out,
                             const int64_t from[2], const int64_t first[2], const int64_t last[2], int lanes)
{
    const int64_t channels = s->shape[3];
    float sums[LANES] = {0};
    for (int64_t k = first[0]; k < last[0]; k++)
        for (int64_t l = first[1]; l < last[1]; l++) {
            const float *taps = w + (k * s->kernel[1] + l) * channels;
            const float *row = (const float *)(x + (from[0] + k * s->dilation[0]) * s->in[0].strides[1] +
                                               (from[1] + l * s->dilation[1]) * s->in[0].strides[2]);
            for (int c = 0; c < lanes; c++)
                sums[c] += taps[c] * row[c];
        }
    for (int c = 0; c < lanes; c++)
        out[c] = bias ? sums[c] + bias[c] : sums[c];
}

/* The taps of a window that begins at `from` which lie inside an axis of `size`. */
static void inside(int64_t from, int64_t size, int64_t kernel, int64_t dilation, int64_t *first, int64_t *last)
{
    *first = 0, *last = kernel;
    while (*first < kernel && from + *first * dilation < 0)
        ++*first;
    while (*last > *first && from + (*last - 1) * dilation >= size)
        --*last;
}

void le_run_windows(const le_ready *step)
{
    const le_step *s = &step->windows;
    const int64_t channels = s->shape[3];
    const float *w = s->in[1].first, *bias = s->in[2].first;
    for (int64_t b = 0; b < s->shape[0]; b++)
        for (int64_t i = 0; i < s->shape[1]; i++)
            for (int64_t j = 0; j < s->shape[2]; j++) {
                const int64_t from[2] = {i * s->stride[0] - s->pad[0], j * s->stride[1] - s->pad[1]};
                const char *x = (const char *)s->in[0].first + b * s->in[0].strides[0];
                char *out = (char *)s->out.first + b * s->out.strides[0] + i * s->out.strides[1] + j * s->out.strides[2];
                int64_t first[2], last[2], c = 0;
                for (int axis = 0; axis < 2; axis++)
                    inside(from[axis], s->sizes[axis], s->kernel[axis], s->dilation[axis], &first[axis], &last[axis]);
                for (; c + LANES <= channels; c += LANES)
                    one_place(s, x + c * (int64_t)sizeof(float), w + c, bias ? bias + c : bias, (float *)out + c, from,
                              first, last, LANES);
                if (c < channels)
                    one_place(s, x + c * (int64_t)sizeof(float), w + c, bias ? bias + c : bias, (float *)out + c, from,
                              first, last, (int)(channels - c));
            }
}
