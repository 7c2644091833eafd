/* A run under way, as the call (run.c) and those who walk through the model (walk.c) see it. */
#ifndef LE_MODEL_RUNNING_H
#define LE_MODEL_RUNNING_H

#include "base/rendezvous.h"
#include "base/watch.h"
#include "model/workspace.h"

typedef struct le_running {
    le_model *model;
    le_run *run;
    le_workspace *workspace;
    le_watch watch;
    le_rendezvous rendezvous; /* of a thread group */
    atomic_int claimed;      /* groups of rows that somebody has begun */
    atomic_int joined;       /* threads besides the caller's that have begun one */
    int own;                 /* groups that the caller has done */
    int64_t own_ns;          /* and the time it took for them */
    int stood_down;          /* the thread group was not whole */
} le_running;

/* Walk through all stages with the rows of group g, as the member of its thread group that is numbered `member`; `caller`: on the
 * caller's thread. */
void le_walk_group(le_running *all, int g, int member, int caller);

/* Hand out the states after the last step of every row. */
void le_walk_states(le_running *all);

#endif
