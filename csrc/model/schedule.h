/* How a run of one shape is done: who does what, in which blocks of steps, what is fetched ahead. Every such choice is
 * made in schedule.c, with its reason, when the workspace of the shape is made; nothing asks again. */
#ifndef LE_MODEL_SCHEDULE_H
#define LE_MODEL_SCHEDULE_H

#include "model/model.h"

/* Of a stage. */
typedef struct le_stage_schedule {
    size_t block;  /* steps of a time block */
    int by_layers; /* the members take layers, a block of steps behind each other */
} le_stage_schedule;

/* Of an operation. */
typedef struct le_op_schedule {
    int members;      /* threads that share its units */
    int fetch;        /* weights (of h, in a recurrent layer) are fetched ahead of their use */
    int fetch_inputs; /* recurrent: those of x too */
    int past_cache;   /* Dense: the output goes around the cache */
} le_op_schedule;

/* Either groups of rows, which threads claim one after the other (members is 1), or one group whose members share the
 * units of its layers, or take layers. */
typedef struct le_schedule {
    int groups, members;
    int threads;       /* that have something to do */
    int64_t alone_ns;  /* a guess at what one thread takes */
    le_stage_schedule *stages;
    le_op_schedule *ops;
} le_schedule;

/* Decide for at most run->threads threads. `schedule` has room for the model's stages and operations. */
void le_schedule_decide(const le_model *model, const le_run *run, le_schedule *schedule);

/* The operations first..last-1 of the stage that are a member's where members take layers, about equal in arithmetic. */
void le_stage_share(const le_model *model, const le_stage *stage, int member, int members, int *first, int *last);

#endif
