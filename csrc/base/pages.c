/* Memory that nobody reads any more, given back to the system before its owner frees it. */
#if !defined(_DEFAULT_SOURCE)
#define _DEFAULT_SOURCE /* madvise */
#endif
#include <stdint.h>

#include "le.h"

#ifdef __linux__
#include <sys/mman.h>
#include <unistd.h>

void le_pages_drop(void *from, size_t bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const uintptr_t begin = ((uintptr_t)from + page - 1) / page * page, end = ((uintptr_t)from + bytes) / page * page;
    /* A system that refuses leaves the pages where they are: they go when their owner frees them. */
    if (begin < end)
        (void)madvise((char *)from + (begin - (uintptr_t)from), end - begin, MADV_DONTNEED);
}
#else
void le_pages_drop(void *from, size_t bytes)
{
    (void)from;
    (void)bytes;
}
#endif
