/* double kernels: portable C. */
#define LE_REAL_DOUBLE 1
#include "kernels/vec_scalar.h"

#define LE_TABLE le_kernels_scalar_f64
#define LE_TABLE_NAME "scalar"
#define LE_TABLE_DESCRIPTION "portable C"
#define LE_TABLE_CPU 0
#include "kernels/table_body.h"
