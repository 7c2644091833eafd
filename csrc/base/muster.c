#include "base/muster.h"

#include "base/clock.h"
#include "base/spin.h"

/* Long enough for a thread that sleeps to come, if its core is free. */
enum { PATIENCE_NS = 60000 };

void le_muster_init(le_muster *muster)
{
    atomic_init(&muster->here, 0);
    atomic_init(&muster->verdict, 0);
}

int le_muster_call(le_muster *muster, int others)
{
    const int64_t until = le_clock_ns() + PATIENCE_NS;
    int whole;
    do {
        for (int spin = 0; spin < LE_SPINS && atomic_load_explicit(&muster->here, memory_order_acquire) < others; spin++)
            le_pause();
        whole = atomic_load_explicit(&muster->here, memory_order_acquire) == others;
    } while (!whole && le_clock_ns() < until);
    atomic_store_explicit(&muster->verdict, whole ? 1 : -1, memory_order_release);
    return whole;
}

int le_muster_join(le_muster *muster)
{
    int verdict = atomic_load_explicit(&muster->verdict, memory_order_acquire);
    if (verdict == 0)
        atomic_fetch_add_explicit(&muster->here, 1, memory_order_acq_rel);
    int64_t now = 0;
    for (int spin = 0; verdict == 0; spin++) {
        if (spin < LE_SPINS)
            le_pause();
        else
            le_yield(&now);
        verdict = atomic_load_explicit(&muster->verdict, memory_order_acquire);
    }
    return verdict > 0;
}
