/* What this CPU can run. */
#ifndef LE_BASE_CPU_H
#define LE_BASE_CPU_H

#include <stddef.h>
#include <stdint.h>

enum {
    LE_CPU_AVX2_FMA = 1u << 0, /* and F16C, which every CPU with both has */
    LE_CPU_AVX512 = 1u << 1, /* F, VL, BW and DQ */
    LE_CPU_AVX512_VNNI = 1u << 2,
    LE_CPU_NEON = 1u << 3,
    LE_CPU_AVX_VNNI = 1u << 4,
    LE_CPU_AVX512_BF16 = 1u << 5,
    LE_CPU_NEON_DOTPROD = 1u << 6,
    LE_CPU_AMX_INT8 = 1u << 7, /* for who is permitted to (base/tiles.h); the next too */
    LE_CPU_AMX_BF16 = 1u << 8,
    LE_CPU_FAST_BF16 = 1u << 9, /* vdpbf16ps takes less time than the FMAs in its place: not on Intel's cores so far */
};

/* Features of this CPU that the operating system has enabled. */
uint32_t le_cpu_features(void);

/* Bytes of the level-2 cache of one core (1 MiB when it cannot be told). */
size_t le_cpu_l2_bytes(void);

#endif
