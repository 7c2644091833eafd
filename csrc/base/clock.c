#ifndef _WIN32
#define _POSIX_C_SOURCE 200809L
#endif
#include "base/clock.h"

#ifdef _WIN32
#include <windows.h>
#else
#include <time.h>
#endif

int64_t le_clock_ns(void)
{
#ifdef _WIN32
    LARGE_INTEGER count, frequency;
    QueryPerformanceCounter(&count);
    QueryPerformanceFrequency(&frequency);
    return (int64_t)((double)count.QuadPart * 1e9 / (double)frequency.QuadPart);
#else
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
#endif
}
