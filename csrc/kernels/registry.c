/* Chooses the kernel variant: the best this CPU has, or the one asked for by name. */
#include <string.h>

#include "base/cpu.h"
#include "base/status.h"
#include "base/tiles.h"
#include "kernels/kernels.h"

/* Worst first: the last one that the CPU supports is the best. */
static const le_kernels *const variants[][2] = {
    {&le_kernels_scalar_f32, &le_kernels_scalar_f64},
#if defined(LE_HAVE_NEON)
    {&le_kernels_neon_f32, &le_kernels_neon_f64},
#endif
#if defined(LE_HAVE_AVX2)
    {&le_kernels_avx2_f32, &le_kernels_avx2_f64},
#endif
#if defined(LE_HAVE_AVX512)
    {&le_kernels_avx512_f32, &le_kernels_avx512_f64},
#endif
};

enum { VARIANTS = sizeof variants / sizeof variants[0] };

size_t le_isa_count(void)
{
    return VARIANTS;
}

const char *le_isa_name(size_t index)
{
    return index < VARIANTS ? variants[index][0]->name : NULL;
}

const char *le_isa_description(size_t index)
{
    return index < VARIANTS ? variants[index][0]->description : NULL;
}

int le_isa_supported(size_t index)
{
    if (index >= VARIANTS)
        return 0;
    const uint32_t needed = variants[index][0]->cpu;
    return (le_cpu_features() & needed) == needed;
}

le_status le_kernels_find(const char *isa, le_dtype dtype, const le_kernels **out, le_error *error)
{
    for (size_t i = VARIANTS; i-- > 0;) {
        if (isa != NULL && strcmp(isa, variants[i][0]->name) != 0)
            continue;
        if (le_isa_supported(i)) {
            *out = variants[i][dtype == LE_FLOAT64];
            return LE_OK;
        }
        if (isa != NULL)
            return le_fail(error, LE_ERROR_ISA, "this CPU cannot run the instruction set %s (%s)", isa,
                           variants[i][0]->description);
    }
    return le_fail(error, LE_ERROR_ARGUMENT, "no instruction set is called '%.32s'", isa ? isa : "");
}

/* Products with small weights. Of one type and one number of lanes the last one that the CPU has is the best. */
static const le_products *const small_products[] = {
#define LE_VARIANT(isa) \
    &le_products_##isa##_int8, &le_products_##isa##_widened_int8, &le_products_##isa##_float16, &le_products_##isa##_bfloat16
    LE_VARIANT(scalar),
#if defined(LE_HAVE_NEON)
    LE_VARIANT(neon),
#endif
#if defined(LE_HAVE_NEONDOT)
    &le_products_neondot_int8,
#endif
#if defined(LE_HAVE_AVX2)
    LE_VARIANT(avx2),
#endif
#if defined(LE_HAVE_AVXVNNI)
    &le_products_avxvnni_int8,
#endif
#if defined(LE_HAVE_AVX512)
    LE_VARIANT(avx512),
#endif
#if defined(LE_HAVE_AVX512VNNI)
    &le_products_avx512vnni_int8,
#endif
#if defined(LE_HAVE_AVX512BF16)
    &le_products_avx512bf16_bfloat16,
#endif
#if defined(LE_HAVE_AVX512AMX)
    &le_products_avx512amx_int8,
    &le_products_avx512amx_bfloat16,
#endif
#undef LE_VARIANT
};

const le_products *le_products_at(size_t number)
{
    return number < sizeof small_products / sizeof small_products[0] ? small_products[number] : NULL;
}

/* Whether kernels of portable C take these: they share a width with NEON's, but not what NEON needs. */
static int beside(const le_products *products, const le_kernels *kernels)
{
    return products->lanes == kernels->lanes && (kernels->cpu != 0 || products->cpu == 0);
}

int le_products_run(const le_products *products)
{
    const uint32_t tiles = LE_CPU_AMX_INT8 | LE_CPU_AMX_BF16;
    return (le_cpu_features() & products->cpu) == products->cpu && (!(products->cpu & tiles) || le_tiles_permitted());
}

/* The last one of a type that the CPU has. */
static const le_products *best_of(const le_kernels *kernels, le_weight_type type, int widening)
{
    const le_products *best = NULL;
    for (size_t i = 0; i < sizeof small_products / sizeof small_products[0]; i++) {
        const le_products *one = small_products[i];
        if (one->type == type && beside(one, kernels) && (le_cpu_features() & one->worth) == one->worth &&
            (one->widen != NULL || !widening) && le_products_run(one))
            best = one;
    }
    return best;
}

const le_products *le_products_find(const le_kernels *kernels, le_weight_type type)
{
    return type == LE_WEIGHTS_FULL ? &kernels->products : best_of(kernels, type, 0);
}

const le_products *le_products_widening(const le_kernels *kernels, le_weight_type type)
{
    return best_of(kernels, type == LE_WEIGHTS_INT8 ? LE_WEIGHTS_INT8_WIDENED : type, 1);
}

const char *le_products_name(const char *isa, le_weight_type type)
{
    const le_kernels *kernels = NULL;
    if (le_kernels_find(isa, LE_FLOAT32, &kernels, NULL) != LE_OK)
        return NULL;
    const le_products *products = le_products_find(kernels, type);
    return products ? products->name : NULL;
}
