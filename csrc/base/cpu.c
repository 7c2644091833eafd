#include "base/cpu.h"

#include <stdatomic.h>

#include "le.h"

#if defined(__x86_64__) || defined(_M_X64) || defined(__i386__)
#define LE_X86 1
#include <cpuid.h>
#include <immintrin.h>
#endif
#if defined(__linux__)
#include <unistd.h>
#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif
#endif

#if defined(LE_X86)
static uint64_t xcr0(void)
{
    uint32_t low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

/* EAX of CPUID's leaf 7, subleaf 1; cpuid.h of older compilers has no names for these. */
enum { LEAF_7_1_AVX_VNNI = 1 << 4, LEAF_7_1_AVX512_BF16 = 1 << 5 };

/* The same for EDX of leaf 7. */
#define LEAF_7_AMX_BF16 (UINT32_C(1) << 22)
#define LEAF_7_AMX_TILE (UINT32_C(1) << 24)
#define LEAF_7_AMX_INT8 (UINT32_C(1) << 25)

/* "GenuineIntel", as leaf 0 spells it. */
static int made_by_intel(void)
{
    uint32_t a, b, c, d;
    return __get_cpuid(0, &a, &b, &c, &d) && b == signature_INTEL_ebx && c == signature_INTEL_ecx &&
           d == signature_INTEL_edx;
}

static uint32_t ask_cpu(void)
{
    uint32_t a, b, c, d, features = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE))
        return 0;
    const int fma = (c & (bit_FMA | bit_F16C)) == (bit_FMA | bit_F16C);
    const uint64_t enabled = xcr0();
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return 0;
    uint32_t more = 0, others;
    if (a >= 1 && !__get_cpuid_count(7, 1, &more, &others, &others, &others))
        more = 0;
    /* xcr0 bits: 1 SSE, 2 AVX; 5-7 the three parts of AVX-512's state. */
    if ((enabled & 0x6) == 0x6 && fma && (b & bit_AVX2)) {
        features |= LE_CPU_AVX2_FMA;
        features |= more & LEAF_7_1_AVX_VNNI ? LE_CPU_AVX_VNNI : 0;
    }
    const uint32_t wanted = bit_AVX512F | bit_AVX512VL | bit_AVX512BW | bit_AVX512DQ;
    if ((enabled & 0xe6) == 0xe6 && fma && (b & wanted) == wanted) {
        features |= LE_CPU_AVX512;
        if (c & bit_AVX512VNNI)
            features |= LE_CPU_AVX512_VNNI;
        if (more & LEAF_7_1_AVX512_BF16)
            features |= LE_CPU_AVX512_BF16 | (made_by_intel() ? 0 : LE_CPU_FAST_BF16);
        /* xcr0 bits 17 and 18: the configuration and the data of tiles. */
        if ((enabled & 0x60000) == 0x60000 && (d & LEAF_7_AMX_TILE)) {
            features |= d & LEAF_7_AMX_INT8 ? LE_CPU_AMX_INT8 : 0;
            features |= d & LEAF_7_AMX_BF16 ? LE_CPU_AMX_BF16 : 0;
        }
    }
    return features;
}

uint32_t le_cpu_features(void)
{
    static _Atomic uint32_t found; /* the highest bit: it has been asked */
    const uint32_t asked = UINT32_C(1) << 31;
    uint32_t features = atomic_load_explicit(&found, memory_order_relaxed);
    if (features == 0) {
        features = ask_cpu() | asked;
        atomic_store_explicit(&found, features, memory_order_relaxed);
    }
    return features & ~asked;
}

uint64_t le_fp_default(void)
{
    const uint32_t mode = _mm_getcsr();
    _mm_setcsr(0x1f80); /* round to nearest, all exceptions masked, no flush-to-zero, no denormals-are-zero */
    return mode;
}

void le_fp_restore(uint64_t mode)
{
    _mm_setcsr((uint32_t)mode);
}
#elif defined(__aarch64__)
uint32_t le_cpu_features(void)
{
    uint32_t features = LE_CPU_NEON; /* part of the base architecture */
#if defined(__APPLE__)
    features |= LE_CPU_NEON_DOTPROD; /* all of Apple's 64-bit Macs */
#elif defined(__linux__)
    if (getauxval(AT_HWCAP) & HWCAP_ASIMDDP)
        features |= LE_CPU_NEON_DOTPROD;
#endif
    return features;
}

uint64_t le_fp_default(void)
{
    uint64_t mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)0));
    return mode;
}

void le_fp_restore(uint64_t mode)
{
    __asm__ volatile("msr fpcr, %0" : : "r"(mode));
}
#else
uint32_t le_cpu_features(void)
{
    return 0;
}

uint64_t le_fp_default(void)
{
    return 0;
}

void le_fp_restore(uint64_t mode)
{
    (void)mode;
}
#endif

size_t le_cpu_l2_bytes(void)
{
#if defined(__linux__) && defined(_SC_LEVEL2_CACHE_SIZE)
    const long bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
    if (bytes > 0)
        return (size_t)bytes;
#endif
    return (size_t)1 << 20;
}
