#include "layers/blocks.h"

#include <stdatomic.h>
#include <string.h>

#include "base/arena.h"
#include "base/status.h"

/* Stands before the weights, one cache line, so that they begin on the next. */
typedef struct block_head {
    atomic_size_t holders;
    size_t bytes;
    int note;
} block_head;

_Static_assert(sizeof(block_head) <= LE_ALIGN, "weights begin on a cache line");

static block_head *head_of(const char *data)
{
    return (block_head *)(data - LE_ALIGN);
}

static char *new_block(size_t bytes)
{
    char *memory = le_alloc(le_add(bytes, LE_ALIGN));
    if (memory == NULL)
        return NULL;
    block_head *head = (block_head *)memory;
    atomic_init(&head->holders, 1);
    head->bytes = bytes;
    head->note = 0;
    return memory + LE_ALIGN;
}

static void hold(char *data)
{
    atomic_fetch_add_explicit(&head_of(data)->holders, 1, memory_order_relaxed);
}

void le_block_drop(char *data)
{
    if (data != NULL && atomic_fetch_sub_explicit(&head_of(data)->holders, 1, memory_order_acq_rel) == 1)
        le_free(head_of(data));
}

void le_block_visit(const char *data, le_visit_block visit, void *context)
{
    if (data != NULL)
        visit(context, data, head_of(data)->bytes);
}

int *le_block_note(char *data)
{
    return &head_of(data)->note;
}

le_block_key le_block_key_of(le_layout layout, const le_kernels *kernels, size_t units, size_t k, const void *first)
{
    le_block_key key;
    memset(&key, 0, sizeof key);
    key.layout = layout;
    key.kernels = kernels;
    key.units = units;
    key.k = k;
    key.first = first;
    return key;
}

/* ---- the store: a hash table with open addressing, never more than half full ------------------------- */

typedef struct entry {
    le_block_key key;
    char *data; /* null: free */
} entry;

struct le_store {
    entry *entries;
    size_t places, taken; /* places: a power of two, or 0 */
};

le_status le_store_new(le_store **out, le_error *error)
{
    *out = le_calloc(sizeof **out);
    return *out ? LE_OK : le_fail(error, LE_ERROR_MEMORY, "out of memory");
}

void le_store_free(le_store *store)
{
    if (store == NULL)
        return;
    for (size_t i = 0; i < store->places; i++)
        le_block_drop(store->entries[i].data);
    le_free(store->entries);
    le_free(store);
}

/* FNV-1a. */
static size_t hash_of(const le_block_key *key)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < sizeof *key; i++)
        hash = (hash ^ ((const unsigned char *)key)[i]) * UINT64_C(1099511628211);
    return (size_t)(hash ^ hash >> 32);
}

/* Where the key stands, or the free place for it; null in a store without places. */
static entry *place_of(const le_store *store, const le_block_key *key)
{
    if (store->places == 0)
        return NULL;
    size_t at = hash_of(key) & (store->places - 1);
    while (store->entries[at].data && memcmp(&store->entries[at].key, key, sizeof *key) != 0)
        at = (at + 1) & (store->places - 1);
    return &store->entries[at];
}

static le_status grow(le_store *store)
{
    le_store larger = {.places = store->places ? 2 * store->places : 64, .taken = store->taken};
    larger.entries = le_calloc(le_mul(larger.places, sizeof *larger.entries));
    if (larger.entries == NULL)
        return LE_ERROR_MEMORY;
    for (size_t i = 0; i < store->places; i++)
        if (store->entries[i].data)
            *place_of(&larger, &store->entries[i].key) = store->entries[i];
    le_free(store->entries);
    *store = larger;
    return LE_OK;
}

int le_block_take(const le_packer *packer, const le_block_key *key, size_t bytes, char **data)
{
    entry *found = packer->store ? place_of(packer->store, key) : NULL;
    if (found && found->data) {
        hold(found->data);
        *data = found->data;
        return 1;
    }
    *data = new_block(bytes);
    return 0;
}

le_status le_block_share(const le_packer *packer, const le_block_key *key, char *data)
{
    le_store *store = packer->store;
    if (store == NULL)
        return LE_OK;
    if (2 * (store->taken + 1) > store->places && grow(store) != LE_OK)
        return LE_ERROR_MEMORY;
    *place_of(store, key) = (entry){*key, data};
    store->taken++;
    hold(data);
    return LE_OK;
}
