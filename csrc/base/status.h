/* Failing with a sentence. */
#ifndef LE_BASE_STATUS_H
#define LE_BASE_STATUS_H

#include "le.h"

#if defined(__GNUC__)
#define LE_PRINTF(a, b) __attribute__((format(printf, a, b)))
#else
#define LE_PRINTF(a, b)
#endif

/* Fill `error` (may be null) and return `status`. */
le_status le_fail(le_error *error, le_status status, const char *format, ...) LE_PRINTF(3, 4);

#endif
