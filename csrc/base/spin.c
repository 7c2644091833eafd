#include "base/spin.h"

#include "base/clock.h"

#if defined(_WIN32)
#include <windows.h>
#else
#include <sched.h>
#endif

int64_t le_yield(int64_t *now)
{
    const int64_t before = *now;
#if defined(_WIN32)
    SwitchToThread();
#else
    sched_yield();
#endif
    *now = le_clock_ns();
    return *now - before;
}
