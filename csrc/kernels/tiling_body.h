/* Rows in tiles that fit the registers, and the weights that are fetched beside them. */
#ifndef LE_TILING_BODY_H
#define LE_TILING_BODY_H

#include <stddef.h>

/* Weights that are read next, to be fetched while others are multiplied: `lines` cache lines beside each k. */
typedef struct fetch {
    const char *at;
    int lines; /* 0: nothing */
} fetch;

enum { CACHE_LINE = 64 };

#if TILE_ROWS == 6
#define LE_EACH_TILE_SIZE(X) X(1) X(2) X(3) X(4) X(5) X(6)
#elif TILE_ROWS == 3
#define LE_EACH_TILE_SIZE(X) X(1) X(2) X(3)
#elif TILE_ROWS == 2
#define LE_EACH_TILE_SIZE(X) X(1) X(2)
#else
#error "no list of tile sizes for TILE_ROWS"
#endif

/* Rows are cut into nearly equal tiles: an uneven cut would leave a tile with few rows, which wastes its loads. The next
 * block of weights is fetched a share beside each tile. */
typedef struct tiling {
    size_t tiles, least, larger; /* the first `larger` tiles have one row more than `least` */
    size_t left;                 /* lines of the next block not yet fetched */
    fetch next;
} tiling;

LE_INLINE tiling tiles_of(const int nv, size_t rows, const void *next, size_t count)
{
    const size_t lines = (nv * LANES * sizeof(real) + CACHE_LINE - 1) / CACHE_LINE;
    tiling t = {.tiles = 1, .least = rows, .next = {next, 0}};
    if (rows > TILE_ROWS) {
        t.tiles = (rows + TILE_ROWS - 1) / TILE_ROWS;
        t.least = rows / t.tiles;
        t.larger = rows % t.tiles;
    }
    if (next) {
        t.left = lines * count;
        t.next.lines = t.tiles >= lines ? 1 : t.tiles > 1 ? 2 : (int)lines;
    }
    return t;
}

LE_INLINE size_t tile_rows(const tiling *t, size_t tile)
{
    return t->least + (tile < t->larger);
}

LE_INLINE void tile_fetched(tiling *t, size_t count)
{
    const size_t lines = (size_t)t->next.lines * count;
    t->next.at += lines * CACHE_LINE;
    t->left = t->left > lines ? t->left - lines : 0;
    if (t->left == 0)
        t->next.lines = 0;
}

#endif
