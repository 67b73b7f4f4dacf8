/* SPDX-License-Identifier: MIT */
/* How much NCCL's algorithms on NVSwitches move at a time (src/enqueue.cc, calcCollChunking):
 * each thread block a chunk for each GPU of the node, in turn; small payloads have smaller
 * chunks. What multi-node NVLS does on slow networks is left out, and so are the chunks of
 * rings and trees, which measured times don't show. */
#include "collective_tuner.h"

#define DEFAULT_CHUNK_BYTES 131072   /* NCCL_NVLS_CHUNKSIZE */
#define MANY_NODES 4                 /* from so many on, trees of NVSwitches have */
#define MANY_NODES_CHUNK_BYTES 65536 /* chunks of at most so much */

/* Payloads of fewer loops than this have chunks of at most so many bytes, rule after rule. */
typedef struct {
    int n_loops, chunk_bytes;
} ChunkRule;

static const ChunkRule nvls_rules[] = {{64, 65536}, {8, 32768}, {2, 16384}};
static const ChunkRule nvls_tree_rules[] = {{32, 262144}, {16, 131072}, {4, 65536}, {1, 32768}};

static gint64 chunk_limit(const Comm *comm, Algorithm algorithm)
{
    const double *plugin = comm->nccl.value;
    double chunk =
        plugin[NCCL_NVLS_CHUNK_BYTES] > 0 ? plugin[NCCL_NVLS_CHUNK_BYTES] : DEFAULT_CHUNK_BYTES;
    if (algorithm == ALGORITHM_NVLS)
        return (gint64)chunk;
    if (plugin[NCCL_NVLS_TREE_CHUNK_BYTES] > 0)
        return (gint64)MIN(chunk, plugin[NCCL_NVLS_TREE_CHUNK_BYTES]);
    return (gint64)(comm->n_nodes >= MANY_NODES ? MIN(chunk, MANY_NODES_CHUNK_BYTES) : chunk);
}

gint64 tuner_loop_bytes(const Comm *comm, const ChannelGraph *graph, Algorithm algorithm,
                        gint64 payload_bytes)
{
    gboolean tree = algorithm == ALGORITHM_NVLS_TREE;
    const ChunkRule *rules = tree ? nvls_tree_rules : nvls_rules;
    gsize n_rules = tree ? G_N_ELEMENTS(nvls_tree_rules) : G_N_ELEMENTS(nvls_rules);
    if (algorithm != ALGORITHM_NVLS && !tree)
        return 0;
    gint64 n_chunks = (gint64)graph->blocks * comm->ranks_per_node;
    gint64 chunk = chunk_limit(comm, algorithm);
    for (gsize i = 0; i < n_rules; i++)
        if (payload_bytes < rules[i].n_loops * n_chunks * chunk)
            chunk = MIN(chunk, rules[i].chunk_bytes);
    return n_chunks * chunk;
}
