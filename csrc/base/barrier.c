#include "base/barrier.h"

#include "base/clock.h"
#include "base/spin.h"

void le_barrier_init(le_barrier *barrier, int members)
{
    atomic_init(&barrier->arrived, 0);
    atomic_init(&barrier->phase, 0);
    atomic_init(&barrier->longest, 0);
    atomic_init(&barrier->given, 0);
    barrier->members = (unsigned)members;
}

/* The one waited for is not running, and may want this very core. */
static void wait_long(le_barrier *barrier, unsigned phase)
{
    long long waited = 0, given = 0;
    int64_t now = le_clock_ns();
    while (atomic_load_explicit(&barrier->phase, memory_order_acquire) == phase) {
        const int64_t one = le_yield(&now);
        waited += one;
        given += one > LE_YIELD_FREE ? one : 0;
    }
    if (given > 0)
        atomic_fetch_add_explicit(&barrier->given, given, memory_order_relaxed);
    if (waited > atomic_load_explicit(&barrier->longest, memory_order_relaxed))
        atomic_store_explicit(&barrier->longest, waited, memory_order_relaxed);
}

void le_barrier_wait(le_barrier *barrier)
{
    if (barrier->members <= 1)
        return;
    const unsigned phase = atomic_load_explicit(&barrier->phase, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&barrier->arrived, 1, memory_order_acq_rel) + 1 == barrier->members) {
        atomic_store_explicit(&barrier->arrived, 0, memory_order_relaxed);
        atomic_store_explicit(&barrier->phase, phase + 1, memory_order_release);
        return;
    }
    for (int spin = 0; spin < LE_SPINS; spin++) {
        if (atomic_load_explicit(&barrier->phase, memory_order_acquire) != phase)
            return;
        le_pause();
    }
    wait_long(barrier, phase);
}
