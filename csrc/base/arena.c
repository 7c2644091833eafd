#if !defined(_POSIX_C_SOURCE)
#define _POSIX_C_SOURCE 200809L /* posix_memalign */
#endif
#include "base/arena.h"

#include <stdlib.h>
#include <string.h>
#if defined(_WIN32)
#include <malloc.h>
#endif

static long fail_after;

void le_alloc_fail_after(long n)
{
    fail_after = n;
}

void *le_alloc(size_t bytes)
{
    if (bytes > SIZE_MAX / 2)
        return NULL;
    if (fail_after > 0 && --fail_after == 0)
        return NULL;
    bytes = le_round_up(bytes ? bytes : 1, LE_ALIGN);
#if defined(_WIN32)
    return _aligned_malloc(bytes, LE_ALIGN);
#else
    void *block = NULL;
    return posix_memalign(&block, LE_ALIGN, bytes) == 0 ? block : NULL;
#endif
}

void *le_calloc(size_t bytes)
{
    void *block = le_alloc(bytes);
    if (block != NULL)
        memset(block, 0, bytes);
    return block;
}

void le_free(void *block)
{
#if defined(_WIN32)
    _aligned_free(block);
#else
    free(block);
#endif
}
