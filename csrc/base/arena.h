/* Aligned memory: single blocks, and an arena that carves one block into parts.
 *
 * A workspace is laid out in two passes over the same code: with base == NULL the arena only counts, then
 * the block is allocated and the pass repeats with real pointers.
 */
#ifndef LE_BASE_ARENA_H
#define LE_BASE_ARENA_H

#include <stddef.h>
#include <stdint.h>

#define LE_ALIGN 64

/* a * b and a + b with SIZE_MAX as the mark of overflow, so that sums of products can be checked once. */
static inline size_t le_mul(size_t a, size_t b)
{
    return b != 0 && a > SIZE_MAX / b ? SIZE_MAX : a * b;
}

static inline size_t le_add(size_t a, size_t b)
{
    return a > SIZE_MAX - b ? SIZE_MAX : a + b;
}

static inline size_t le_round_up(size_t n, size_t unit)
{
    return n > SIZE_MAX - unit ? SIZE_MAX : (n + unit - 1) / unit * unit;
}

/* A 64-byte-aligned block, or null when `bytes` is SIZE_MAX or memory is short. Free with le_free. */
void *le_alloc(size_t bytes);
void *le_calloc(size_t bytes);
void le_free(void *block);

/* Fault injection for tests: the n-th allocation from now fails (0: none does). */
void le_alloc_fail_after(long n);

typedef struct le_arena {
    char *base; /* null while counting */
    size_t used;
} le_arena;

/* The next `count` elements of `size` bytes, 64-byte aligned; null while counting. */
static inline void *le_arena_take(le_arena *arena, size_t count, size_t size)
{
    size_t at = arena->used;
    arena->used = le_add(at, le_round_up(le_mul(count, size), LE_ALIGN));
    return arena->base ? arena->base + at : NULL;
}

#endif
