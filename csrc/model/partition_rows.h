/* Which rows of the batch each group takes, and in which order it takes them on each time axis. */
#ifndef LE_MODEL_PARTITION_ROWS_H
#define LE_MODEL_PARTITION_ROWS_H

#include "model/workspace.h"

/* Fill the orders and lengths of the groups: the same for the same lengths, every time. Without lengths what stands in
 * the workspace from a run before is right. */
le_status le_partition_rows(const le_model *model, const le_run *run, le_workspace *workspace);

#endif
