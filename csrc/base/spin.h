/* Waiting without the system's help: a pause of the core, and giving the core to whoever wants it. */
#ifndef LE_BASE_SPIN_H
#define LE_BASE_SPIN_H

#include <stdint.h>

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

enum {
    LE_SPINS = 300,       /* what is waited for is usually less than a microsecond away (a pause takes up to 140 cycles) */
    LE_YIELD_FREE = 3000, /* ns: a yield that nobody else makes use of returns within one microsecond */
};

static inline void le_pause(void)
{
#if defined(__x86_64__) || defined(_M_X64)
    _mm_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Offer the core to others; `*now` (on le_clock_ns) is moved on, and the time that passed returned. */
int64_t le_yield(int64_t *now);

#endif
