/* Every choice about dealing work to threads and cutting time, in one place, with its reason. */
#ifndef LE_MODEL_COST_H
#define LE_MODEL_COST_H

#include "model/model.h"

typedef struct le_deal {
    int groups;         /* groups of rows, each with its own crew */
    int members;        /* threads of a crew, which share hidden units */
    int by_layers;      /* the members take layers instead, a block of steps behind each other, in stages that allow it */
} le_deal;

/* How to deal a run to at most run->threads threads. */
le_deal le_choose_deal(const le_model *model, const le_run *run);

/* Whether the members take layers of this stage. */
int le_stage_by_layers(const le_model *model, const le_stage *stage, const le_deal *deal);

/* The operations first..last-1 of the stage that are a member's, about equal in arithmetic. */
void le_stage_share(const le_model *model, const le_stage *stage, int member, int members, int *first, int *last);

/* Steps of a time block for a group of `rows` rows on an axis of `steps` steps. */
size_t le_choose_block(const le_model *model, const le_run *run, const le_stage *stage, size_t rows, size_t steps,
                       const le_deal *deal);

/* Whether a layer fetches its weights ahead of their use: a member's share of them does not stay in its cache from step
 * to step. Inputs: the weights of a recurrent layer's x, read once a block. */
int le_choose_fetch(const le_op *op, const le_run *run, size_t block_steps, int members);
int le_choose_fetch_inputs(const le_op *op, const le_run *run, size_t block_steps, int members);

/* Whether a Dense layer's output goes around the cache. */
int le_choose_past_cache(const le_model *model, const le_run *run, const le_op *op);

#endif
