/* A barrier for a fixed number of members that are all running. It spins for a bounded time, then yields the core. */
#ifndef LE_BASE_BARRIER_H
#define LE_BASE_BARRIER_H

#include <stdalign.h>
#include <stdatomic.h>

typedef struct le_barrier {
    alignas(64) atomic_uint arrived;
    alignas(64) atomic_uint phase;
    unsigned members;
    atomic_llong longest; /* ns that a member yielded its core at one wait, the most of all waits */
    atomic_llong given;   /* ns that cores were someone else's meanwhile, of all members */
} le_barrier;

void le_barrier_init(le_barrier *barrier, int members);
void le_barrier_wait(le_barrier *barrier);

#endif
