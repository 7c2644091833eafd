/* float kernels: portable C. */
#include "kernels/vec_scalar.h"

#define LE_TABLE le_kernels_scalar_f32
#define LE_TABLE_NAME "scalar"
#define LE_TABLE_DESCRIPTION "portable C"
#define LE_TABLE_CPU 0
#include "kernels/table_body.h"
