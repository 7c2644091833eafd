#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* syscall */
#endif

#include "base/tiles.h"

#include <stdatomic.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

_Thread_local int le_tile_rows[2];

int le_tiles_permitted(void)
{
#if defined(__linux__) && defined(__x86_64__) && defined(SYS_arch_prctl)
    enum { ASK_FOR_STATE = 0x1023, TILE_DATA = 18, NOT_ASKED = 0, GRANTED = 1, REFUSED = 2 };
    static atomic_int answer;
    int known = atomic_load_explicit(&answer, memory_order_relaxed);
    if (known == NOT_ASKED) {
        known = syscall(SYS_arch_prctl, ASK_FOR_STATE, TILE_DATA) == 0 ? GRANTED : REFUSED;
        atomic_store_explicit(&answer, known, memory_order_relaxed);
    }
    return known == GRANTED;
#else
    return 0;
#endif
}

void le_tiles_release(void)
{
    if (le_tile_rows[0] == 0)
        return;
#if defined(__x86_64__)
    __asm__ volatile(".byte 0xc4, 0xe2, 0x78, 0x49, 0xc0"); /* tilerelease, which only files for AMX may spell */
#endif
    le_tile_rows[0] = le_tile_rows[1] = 0;
}
