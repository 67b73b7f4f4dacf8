/* SPDX-License-Identifier: MIT */
/* PyTorch's CUDACachingAllocator in its default configuration: how many bytes of segments a
 * sequence of allocations and frees reserves, and whether the GPU runs out. A block is free for
 * reuse as soon as it is freed; record_stream's delays, expandable segments and
 * max_split_size_mb are left out. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct {
    gint64 capacity_bytes;
    gint64 segment_bytes;       /* reserved now */
    gint64 outside_bytes;       /* on the GPU, but not the allocator's: context, NCCL */
    gint64 peak_reserved_bytes; /* of segment_bytes + outside_bytes */
    gboolean out_of_memory;     /* some allocation found no room; it went on beyond capacity */
    GTree **free_blocks;        /* by stream and pool, ordered by size, then address */
    int n_streams;
    gint64 next_address;
} MemoryAllocator;

typedef struct MemoryBlock MemoryBlock;

MemoryAllocator *memory_allocator_new(int n_streams, gint64 capacity_bytes);
/* Frees the cached blocks too; blocks in use must have been freed. */
void memory_allocator_free(MemoryAllocator *allocator);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MemoryAllocator, memory_allocator_free)

/* `bytes` is positive. Blocks never move between streams. */
MemoryBlock *memory_allocator_take(MemoryAllocator *allocator, int stream, gint64 bytes);
void memory_allocator_give_back(MemoryAllocator *allocator, MemoryBlock *block);

/* Memory of the GPU that others take, or with a negative number give back. */
void memory_allocator_take_outside(MemoryAllocator *allocator, gint64 bytes);

G_END_DECLS
