/* What a caller hands to a run, checked before anything is written. */
#ifndef LE_MODEL_CHECK_RUN_H
#define LE_MODEL_CHECK_RUN_H

#include "model/model.h"

/* LE_OK, or what is wrong with the sizes and threads. */
le_status le_check_sizes(const le_model *model, const le_run *run, le_error *error);
/* LE_OK, or what is wrong: sizes, threads, lengths outside 0..steps, token ids outside a vocabulary. */
le_status le_check_run(const le_model *model, const le_run *run, le_error *error);

#endif
