/* Chooses the kernel variant: the best this CPU has, or the one asked for by name. */
#include <string.h>

#include "base/cpu.h"
#include "base/status.h"
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
