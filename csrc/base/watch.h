/* Whether a run goes on: its caller is asked now and then, and all threads of the run see the answer. */
#ifndef LE_BASE_WATCH_H
#define LE_BASE_WATCH_H

#include <stdatomic.h>
#include <stdint.h>

typedef struct le_watch {
    atomic_int cancelled;
    char apart[128]; /* the caller writes what follows all the time: not in the cache line that the others read */
    int (*poll)(void *context); /* nonzero cancels; may be null. Called from the caller's thread alone. */
    void *context;
    double work;   /* arithmetic operations of the caller's thread since the clock was last looked at */
    int64_t asked; /* when the caller was last asked, on le_clock_ns; -1 before the first look at it */
} le_watch;

void le_watch_begin(le_watch *watch, int (*poll)(void *context), void *context);

/* The slow way of le_watch_stops: looks at the clock, and asks if it is time. */
void le_watch_ask(le_watch *watch);

/* Whether to leave the rest undone, asked before `work` operations. `caller`: whether this is the caller's thread. */
static inline int le_watch_stops(le_watch *watch, int caller, double work)
{
    /* Some 0.3 ms of arithmetic at the most a core does, 20 ms of portable C: then a look at the clock costs nothing. */
    const double between_looks = 5e7;
    if (caller) {
        watch->work += work;
        if (watch->work > between_looks)
            le_watch_ask(watch);
    }
    return atomic_load_explicit(&watch->cancelled, memory_order_relaxed);
}

#endif
