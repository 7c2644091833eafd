/* A clock that nobody sets. */
#ifndef LE_BASE_CLOCK_H
#define LE_BASE_CLOCK_H

#include <stdint.h>

/* Nanoseconds since some moment before this process began. */
int64_t le_clock_ns(void);

#endif
