/* Tiles of AMX: 16 rows of 64 bytes, which stay set up from one product of a thread to the next.
 *
 * Sums stand in tiles 0..3, rows of the caller in 4 and 5, weights in 6 and 7. A panel's weights of 64 bytes of inputs are a
 * tile as they stand, [16][nv][lanes][4 bytes], panels being filled up to that with zeros.
 */
#ifndef LE_AMX_BODY_H
#define LE_AMX_BODY_H

#include <string.h>

#include "kernels/kernels.h"
#include "kernels/vec_avx512.h"

enum { TILE_BYTES = 64, AMX_ROWS = 16, AMX_VECTOR = 64, MOST_ROWS = 2 * AMX_ROWS };

/* Rows of tiles 0 and 1 (4), and of 2 and 3 (5), that this thread has set up; 0: nothing. */
static _Thread_local int rows_set_up[2];

static void set_up(int first, int second)
{
    struct {
        uint8_t palette, start_row, unused[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } config;
    if (rows_set_up[0] == first && rows_set_up[1] == second)
        return;
    memset(&config, 0, sizeof config);
    config.palette = 1;
    for (int tile = 0; tile < 8; tile++) {
        const int own = tile >= 6 ? AMX_ROWS : tile == 2 || tile == 3 || tile == 5 ? second : first;
        config.row_bytes[tile] = own ? TILE_BYTES : 0;
        config.rows[tile] = (uint8_t)own;
    }
    _tile_loadconfig(&config);
    rows_set_up[0] = first;
    rows_set_up[1] = second;
}

/* Tiles that are in use are saved whenever the system changes to another thread. */
static void amx_finish(void)
{
    if (rows_set_up[0] == 0)
        return;
    _tile_release();
    rows_set_up[0] = rows_set_up[1] = 0;
}

/* Some rows of prepared bytes: tiles are read in equal steps, so rows that lie otherwise are copied first. */
typedef struct amx_rows {
    const char *at;
    size_t step;
} amx_rows;

static int equal_steps(size_t rows, const char *const *a)
{
    for (size_t r = 2; r < rows; r++)
        if (a[r] - a[r - 1] != a[1] - a[0])
            return 0;
    return rows < 2 || a[1] > a[0];
}

/* How the rows of a call go into one or two tiles at a time: nearly equal, so that no tile is nearly empty. */
typedef struct amx_split {
    size_t first, second;
} amx_split;

static amx_split split_rows(size_t rows)
{
    const size_t some = rows <= MOST_ROWS ? rows : MOST_ROWS;
    const size_t first = some <= AMX_ROWS ? some : (some + 1) / 2;
    return (amx_split){first, some - first};
}

static void fetch_panel(const char *next, size_t bytes)
{
    for (size_t at = 0; next && at < bytes; at += 64)
        __builtin_prefetch(next + at, 0, 3);
}

#endif
