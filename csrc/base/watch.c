#include "base/watch.h"

#include <stddef.h>

#include "base/clock.h"
#include "base/tiles.h"

/* A caller in Python has to take the interpreter's lock to answer, which others may hold for 5 ms. */
enum { BETWEEN_QUESTIONS = 20000000 }; /* ns */

void le_watch_begin(le_watch *watch, int (*poll)(void *context), void *context)
{
    atomic_init(&watch->cancelled, 0);
    watch->poll = poll;
    watch->context = context;
    watch->work = 0;
    watch->asked = -1;
}

void le_watch_ask(le_watch *watch)
{
    watch->work = 0;
    if (watch->poll == NULL || atomic_load_explicit(&watch->cancelled, memory_order_relaxed))
        return;
    const int64_t now = le_clock_ns();
    if (watch->asked < 0)
        watch->asked = now; /* short runs never look at the clock: time counts from the first look on */
    if (now - watch->asked < BETWEEN_QUESTIONS)
        return;
    watch->asked = now;
    le_tiles_release(); /* it may run handlers of signals, which may use tiles as well */
    if (watch->poll(watch->context))
        atomic_store(&watch->cancelled, 1);
}
