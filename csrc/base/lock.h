/* One lock for the short lists shared by all models; it is taken around fork(), so a child never finds it held. */
#ifndef LE_BASE_LOCK_H
#define LE_BASE_LOCK_H

void le_lock(void);
void le_unlock(void);

#endif
