/* SPDX-License-Identifier: MIT */
/* PyTorch's CUDACachingAllocator (c10/cuda/CUDACachingAllocator.cpp): two pools, best fit
 * within a stream and pool, splitting, merging, and one flush of the cache before giving up.
 * Addresses only order blocks; a segment is a doubly linked list of its blocks. */
#include "memory_allocator.h"

#define MIB ((gint64)1 << 20)

/* Constants of the same names in CUDACachingAllocator.cpp. */
#define MIN_BLOCK_BYTES 512
#define SMALL_SIZE_BYTES (1 * MIB)
#define SMALL_BUFFER_BYTES (2 * MIB)
#define LARGE_BUFFER_BYTES (20 * MIB)
#define MIN_LARGE_ALLOC_BYTES (10 * MIB)
#define ROUND_LARGE_BYTES (2 * MIB)

typedef enum { POOL_SMALL, POOL_LARGE, N_POOLS } Pool;

struct MemoryBlock {
    gint64 address;
    gint64 bytes;
    int stream;
    Pool pool;
    gboolean in_use;
    MemoryBlock *previous, *next; /* neighbours in the segment */
};

static gint64 round_up(gint64 bytes, gint64 unit)
{
    return (bytes + unit - 1) / unit * unit;
}

static Pool pool_of(gint64 bytes)
{
    return bytes <= SMALL_SIZE_BYTES ? POOL_SMALL : POOL_LARGE;
}

static gint64 segment_bytes_for(gint64 bytes)
{
    if (bytes <= SMALL_SIZE_BYTES)
        return SMALL_BUFFER_BYTES;
    if (bytes < MIN_LARGE_ALLOC_BYTES)
        return LARGE_BUFFER_BYTES;
    return round_up(bytes, ROUND_LARGE_BYTES);
}

static gboolean should_split(Pool pool, gint64 remainder)
{
    return pool == POOL_SMALL ? remainder >= MIN_BLOCK_BYTES : remainder > SMALL_SIZE_BYTES;
}

static int compare_blocks(gconstpointer a, gconstpointer b, gpointer unused)
{
    const MemoryBlock *x = a, *y = b;
    (void)unused;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? -1 : 1;
    return (x->address > y->address) - (x->address < y->address);
}

MemoryAllocator *memory_allocator_new(int n_streams, gint64 capacity_bytes)
{
    MemoryAllocator *allocator = g_new0(MemoryAllocator, 1);
    allocator->capacity_bytes = capacity_bytes;
    allocator->n_streams = n_streams;
    allocator->free_blocks = g_new0(GTree *, n_streams * N_POOLS);
    for (int i = 0; i < n_streams * N_POOLS; i++)
        allocator->free_blocks[i] = g_tree_new_full(compare_blocks, NULL, NULL, NULL);
    return allocator;
}

static gboolean free_block(gpointer block, gpointer value, gpointer data)
{
    (void)value, (void)data;
    g_free(block);
    return FALSE;
}

void memory_allocator_free(MemoryAllocator *allocator)
{
    if (allocator == NULL)
        return;
    for (int i = 0; i < allocator->n_streams * N_POOLS; i++) {
        g_tree_foreach(allocator->free_blocks[i], free_block, NULL);
        g_tree_unref(allocator->free_blocks[i]);
    }
    g_free(allocator->free_blocks);
    g_free(allocator);
}

static GTree *free_blocks_of(const MemoryAllocator *allocator, int stream, Pool pool)
{
    g_assert(stream >= 0 && stream < allocator->n_streams);
    return allocator->free_blocks[stream * N_POOLS + (int)pool];
}

static gint64 reserved_bytes(const MemoryAllocator *allocator)
{
    return allocator->segment_bytes + allocator->outside_bytes;
}

static void note_reserved(MemoryAllocator *allocator)
{
    gint64 reserved = reserved_bytes(allocator);
    allocator->peak_reserved_bytes = MAX(allocator->peak_reserved_bytes, reserved);
    if (reserved > allocator->capacity_bytes)
        allocator->out_of_memory = TRUE;
}

static gboolean collect_whole_segment(gpointer key, gpointer value, gpointer found)
{
    const MemoryBlock *block = key;
    (void)value;
    if (block->previous == NULL && block->next == NULL)
        g_ptr_array_add(found, key);
    return FALSE;
}

/* release_cached_blocks(): gives every segment without a block in use back to CUDA. */
static void release_cached_segments(MemoryAllocator *allocator)
{
    for (int i = 0; i < allocator->n_streams * N_POOLS; i++) {
        g_autoptr(GPtrArray) found = g_ptr_array_new_with_free_func(g_free);
        g_tree_foreach(allocator->free_blocks[i], collect_whole_segment, found);
        for (guint j = 0; j < found->len; j++) {
            allocator->segment_bytes -= ((MemoryBlock *)found->pdata[j])->bytes;
            g_tree_remove(allocator->free_blocks[i], found->pdata[j]);
        }
    }
}

static MemoryBlock *new_segment(MemoryAllocator *allocator, int stream, Pool pool, gint64 bytes)
{
    gint64 segment = segment_bytes_for(bytes);
    if (reserved_bytes(allocator) + segment > allocator->capacity_bytes)
        release_cached_segments(allocator);
    allocator->segment_bytes += segment;
    note_reserved(allocator);

    MemoryBlock *block = g_new0(MemoryBlock, 1);
    *block = (MemoryBlock){
        .address = allocator->next_address, .bytes = segment, .stream = stream, .pool = pool};
    allocator->next_address += segment;
    return block;
}

/* Best fit: the smallest free block that holds `bytes`, lowest address first. */
static MemoryBlock *take_cached(MemoryAllocator *allocator, int stream, Pool pool, gint64 bytes)
{
    GTree *free_blocks = free_blocks_of(allocator, stream, pool);
    MemoryBlock wanted = {.bytes = bytes, .address = -1};
    GTreeNode *node = g_tree_lower_bound(free_blocks, &wanted);
    if (node == NULL)
        return NULL;
    MemoryBlock *block = g_tree_node_key(node);
    g_tree_remove(free_blocks, block);
    return block;
}

static void split(MemoryAllocator *allocator, MemoryBlock *block, gint64 bytes)
{
    MemoryBlock *rest = g_new0(MemoryBlock, 1);
    *rest = *block;
    rest->address += bytes;
    rest->bytes -= bytes;
    rest->previous = block;
    if (rest->next != NULL)
        rest->next->previous = rest;
    block->bytes = bytes;
    block->next = rest;
    g_tree_insert(free_blocks_of(allocator, rest->stream, rest->pool), rest, rest);
}

MemoryBlock *memory_allocator_take(MemoryAllocator *allocator, int stream, gint64 bytes)
{
    g_assert(bytes > 0);
    gint64 rounded = round_up(bytes, MIN_BLOCK_BYTES);
    Pool pool = pool_of(rounded);
    MemoryBlock *block = take_cached(allocator, stream, pool, rounded);
    if (block == NULL)
        block = new_segment(allocator, stream, pool, rounded);
    if (should_split(pool, block->bytes - rounded))
        split(allocator, block, rounded);
    block->in_use = TRUE;
    return block;
}

/* Appends the free block `right` to its left neighbour. */
static MemoryBlock *merge(MemoryBlock *left, MemoryBlock *right)
{
    left->bytes += right->bytes;
    left->next = right->next;
    if (left->next != NULL)
        left->next->previous = left;
    g_free(right);
    return left;
}

void memory_allocator_give_back(MemoryAllocator *allocator, MemoryBlock *block)
{
    GTree *free_blocks = free_blocks_of(allocator, block->stream, block->pool);
    g_assert(block->in_use);
    block->in_use = FALSE;
    if (block->next != NULL && !block->next->in_use) {
        g_tree_remove(free_blocks, block->next);
        block = merge(block, block->next);
    }
    if (block->previous != NULL && !block->previous->in_use) {
        g_tree_remove(free_blocks, block->previous);
        block = merge(block->previous, block);
    }
    g_tree_insert(free_blocks, block, block);
}

void memory_allocator_take_outside(MemoryAllocator *allocator, gint64 bytes)
{
    if (bytes > 0 && reserved_bytes(allocator) + bytes > allocator->capacity_bytes)
        release_cached_segments(allocator);
    allocator->outside_bytes += bytes;
    note_reserved(allocator);
}
