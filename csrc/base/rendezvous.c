#include "base/rendezvous.h"

#include "base/clock.h"
#include "base/spin.h"

/* Long enough for a thread that sleeps to come, if its core is free. */
enum { PATIENCE_NS = 60000 };

void le_rendezvous_init(le_rendezvous *rendezvous)
{
    atomic_init(&rendezvous->here, 0);
    atomic_init(&rendezvous->verdict, 0);
}

int le_rendezvous_call(le_rendezvous *rendezvous, int others)
{
    const int64_t until = le_clock_ns() + PATIENCE_NS;
    int whole;
    do {
        for (int spin = 0; spin < LE_SPINS && atomic_load_explicit(&rendezvous->here, memory_order_acquire) < others; spin++)
            le_pause();
        whole = atomic_load_explicit(&rendezvous->here, memory_order_acquire) == others;
    } while (!whole && le_clock_ns() < until);
    atomic_store_explicit(&rendezvous->verdict, whole ? 1 : -1, memory_order_release);
    return whole;
}

int le_rendezvous_call_off(le_rendezvous *rendezvous)
{
    atomic_store_explicit(&rendezvous->verdict, -1, memory_order_release);
    return 0;
}

int le_rendezvous_join(le_rendezvous *rendezvous)
{
    int verdict = atomic_load_explicit(&rendezvous->verdict, memory_order_acquire);
    if (verdict == 0)
        atomic_fetch_add_explicit(&rendezvous->here, 1, memory_order_acq_rel);
    int64_t now = 0;
    for (int spin = 0; verdict == 0; spin++) {
        if (spin < LE_SPINS)
            le_pause();
        else
            le_yield(&now);
        verdict = atomic_load_explicit(&rendezvous->verdict, memory_order_acquire);
    }
    return verdict > 0;
}
