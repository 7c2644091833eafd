/* Tiles of AMX, registers that the system keeps for a thread while they are set up. */
#ifndef LE_BASE_TILES_H
#define LE_BASE_TILES_H

/* Whether the system lets this process use them, which Linux wants to be asked for; asked once. All threads may then, and
 * children. */
int le_tiles_permitted(void);

/* Rows of the two tiles of rows that this thread has set up (kernels/amx_body.h); 0: nothing. One state for all who set some
 * up, as there is one set of registers. */
extern _Thread_local int le_tile_rows[2];

/* Give them up: after a thread's last product for a while, for they are saved whenever the system changes to another thread,
 * and before code that is not ours runs on this one, which may have a use for them, too. */
void le_tiles_release(void);

#endif
