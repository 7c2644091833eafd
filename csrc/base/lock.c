#include "base/lock.h"

#include <stdatomic.h>

#include "base/clock.h"
#include "base/spin.h"

static atomic_flag shared_lock = ATOMIC_FLAG_INIT;

void le_lock(void)
{
    int64_t now = 0;
    while (atomic_flag_test_and_set_explicit(&shared_lock, memory_order_acquire))
        le_yield(&now);
}

void le_unlock(void)
{
    atomic_flag_clear_explicit(&shared_lock, memory_order_release);
}
