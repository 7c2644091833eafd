/* Tiles of AMX: 16 rows of 64 bytes, which stay set up from one product of a thread to the next.
 *
 * Sums stand in tiles 0..3, rows of the caller in 4 and 5, weights in 6 and 7. A panel's weights of 64 bytes of inputs are a
 * tile as they stand, [16][nv][lanes][4 bytes], panels being filled up to that with zeros.
 */
#ifndef LE_AMX_BODY_H
#define LE_AMX_BODY_H

#include <string.h>

#include "base/tiles.h"
#include "kernels/kernels.h"
#include "kernels/vec_avx512.h"

enum { TILE_BYTES = 64, AMX_ROWS = 16, AMX_VECTOR = 64, MOST_ROWS = 2 * AMX_ROWS };

/* The rows of tiles 4 and 5, and of the sums that theirs are. */
static void set_up(int first, int second)
{
    struct {
        uint8_t palette, start_row, unused[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } config;
    if (le_tile_rows[0] == first && le_tile_rows[1] == second)
        return;
    memset(&config, 0, sizeof config);
    config.palette = 1;
    for (int tile = 0; tile < 8; tile++) {
        const int later = second && (tile == 2 || tile == 3); /* sums of the second tile of rows */
        const int own = tile >= 6 ? AMX_ROWS : later || tile == 5 ? second : first;
        config.row_bytes[tile] = own ? TILE_BYTES : 0;
        config.rows[tile] = (uint8_t)own;
    }
    /* gcc's _tile_loadconfig tells the compiler of the first eight bytes that it reads alone. */
    __asm__ volatile("" : : "r"(&config) : "memory");
    _tile_loadconfig(&config);
    le_tile_rows[0] = first;
    le_tile_rows[1] = second;
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

/* A panel's weights in tiles: `blocks` of them one below the other, `step` bytes from one row to the next. */
typedef struct amx_weights {
    const char *at, *next; /* next: read after these, and fetched beside them; null: nothing is */
    size_t blocks, step;
} amx_weights;

/* Some vectors of a panel by one or two tiles of rows, into `out`, rows `width` bytes apart: four sums at a time, for each
 * waits for the one before it longer than a product takes. `tiles` and `vectors` are constants where this is inlined. */
LE_INLINE void amx_sum(const int tiles, const int vectors, const amx_rows *a, amx_split split, const amx_weights *weights,
                       char *out, size_t width)
{
    const char *const second = a->at + split.first * a->step, *w = weights->at, *next = weights->next;
    const size_t step = weights->step;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (size_t block = 0; block < weights->blocks; block++, w += AMX_ROWS * step) {
        _tile_loadd(4, a->at + block * TILE_BYTES, a->step);
        if (tiles == 2)
            _tile_loadd(5, second + block * TILE_BYTES, a->step);
        _tile_loadd(6, w, step);
        AMX_PRODUCT(0, 4, 6);
        if (tiles == 2)
            AMX_PRODUCT(2, 5, 6);
        if (vectors > 1) {
            _tile_loadd(7, w + AMX_VECTOR, step);
            AMX_PRODUCT(1, 4, 7);
            if (tiles == 2)
                AMX_PRODUCT(3, 5, 7);
        }
        if (tiles == 1 && vectors > 2) {
            _tile_loadd(6, w + 2 * AMX_VECTOR, step);
            AMX_PRODUCT(2, 4, 6);
        }
        if (tiles == 1 && vectors > 3) {
            _tile_loadd(7, w + 3 * AMX_VECTOR, step);
            AMX_PRODUCT(3, 4, 7);
        }
        if (next) {
            const size_t bytes = AMX_ROWS * (size_t)vectors * AMX_VECTOR;
            for (size_t at = 0; at < bytes; at += 64)
                __builtin_prefetch(next + at, 0, 3);
            next += bytes;
        }
    }
    char *const later = out + split.first * width;
    _tile_stored(0, out, width);
    if (vectors > 1)
        _tile_stored(1, out + AMX_VECTOR, width);
    if (tiles == 2)
        _tile_stored(2, later, width);
    if (tiles == 2 && vectors > 1)
        _tile_stored(3, later + AMX_VECTOR, width);
    if (tiles == 1 && vectors > 2)
        _tile_stored(2, out + 2 * AMX_VECTOR, width);
    if (tiles == 1 && vectors > 3)
        _tile_stored(3, out + 3 * AMX_VECTOR, width);
}

/* All vectors of a panel by the rows of a split. */
static void amx_panel(int nv, const amx_rows *a, amx_split split, amx_weights weights, char *out)
{
    const size_t width = (size_t)nv * AMX_VECTOR;
    set_up((int)split.first, (int)split.second);
    if (split.second) {
        amx_sum(2, nv > 1 ? 2 : 1, a, split, &weights, out, width);
        if (nv > 2) {
            const size_t fetched = weights.blocks * AMX_ROWS * 2 * AMX_VECTOR;
            weights.at += 2 * AMX_VECTOR;
            weights.next = weights.next ? weights.next + fetched : NULL;
            amx_sum(2, nv > 3 ? 2 : 1, a, split, &weights, out + 2 * AMX_VECTOR, width);
        }
        return;
    }
    switch (nv) {
    case 1:
        amx_sum(1, 1, a, split, &weights, out, width);
        break;
    case 2:
        amx_sum(1, 2, a, split, &weights, out, width);
        break;
    case 3:
        amx_sum(1, 3, a, split, &weights, out, width);
        break;
    default:
        amx_sum(1, 4, a, split, &weights, out, width);
    }
}

#endif
