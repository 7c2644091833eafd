/* Whether a thread group is whole before it begins: its members wait for each other at every step, so one that the
 * system does not let run would hold the others. The caller waits for them a few microseconds and decides. */
#ifndef LE_BASE_RENDEZVOUS_H
#define LE_BASE_RENDEZVOUS_H

#include <stdatomic.h>

typedef struct le_rendezvous {
    atomic_int here;    /* members that have come, but the caller */
    atomic_int verdict; /* 0: not decided; 1: begin; -1: stand down */
} le_rendezvous;

void le_rendezvous_init(le_rendezvous *rendezvous);

/* The caller's side: whether all `others` came in time. */
int le_rendezvous_call(le_rendezvous *rendezvous, int others);

/* The caller's side where fewer were had than it takes: nobody is waited for. Gives 0. */
int le_rendezvous_call_off(le_rendezvous *rendezvous);

/* A member's side: whether to begin. */
int le_rendezvous_join(le_rendezvous *rendezvous);

#endif
