/* Whether a crew is whole before it begins: its members meet at every step, so one that the system does not let run
 * would hold the others. The caller waits for them a few microseconds and decides. */
#ifndef LE_BASE_MUSTER_H
#define LE_BASE_MUSTER_H

#include <stdatomic.h>

typedef struct le_muster {
    atomic_int here;    /* members that have come, but the caller */
    atomic_int verdict; /* 0: not decided; 1: begin; -1: stand down */
} le_muster;

void le_muster_init(le_muster *muster);

/* The caller's side: whether all `others` came in time. */
int le_muster_call(le_muster *muster, int others);

/* A member's side: whether to begin. */
int le_muster_join(le_muster *muster);

#endif
