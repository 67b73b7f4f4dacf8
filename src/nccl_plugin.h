/* SPDX-License-Identifier: MIT */
/* What a system's network plug-in tells NCCL: facts of a node type, and properties of a
 * platform's outermost zone by the same names after "zs_". */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef enum {
    NCCL_NET_LATENCY_S,         /* of a hop between nodes, as declared; 0: nothing */
    NCCL_ONLY_SIMPLE,           /* 1: no LL and LL128, whose stores could overtake each other */
    NCCL_NVLS_CHUNK_BYTES,      /* NCCL_NVLS_CHUNKSIZE; 0: NCCL's own */
    NCCL_NVLS_TREE_CHUNK_BYTES, /* NCCL_NVLSTREE_MAX_CHUNKSIZE; 0: NCCL's own */
    N_NCCL_PLUGIN_FACTS
} NcclPluginFact;

/* Indexed by fact. */
typedef struct {
    double value[N_NCCL_PLUGIN_FACTS];
} NcclPlugin;

typedef struct {
    const char *name; /* "nccl_net_latency_s"; a property is "zs_" and this */
    double maximum;   /* from 0 */
} NcclPluginKey;

extern const NcclPluginKey nccl_plugin_keys[N_NCCL_PLUGIN_FACTS];

G_END_DECLS
