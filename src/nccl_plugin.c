/* SPDX-License-Identifier: MIT */
/* The table of names. */
#include "nccl_plugin.h"

const NcclPluginKey nccl_plugin_keys[N_NCCL_PLUGIN_FACTS] = {
    [NCCL_NET_LATENCY_S] = {"nccl_net_latency_s", 1},
    [NCCL_ONLY_SIMPLE] = {"nccl_only_simple", 1},
    [NCCL_NVLS_CHUNK_BYTES] = {"nccl_nvls_chunk_bytes", 1 << 22},
    [NCCL_NVLS_TREE_CHUNK_BYTES] = {"nccl_nvls_tree_chunk_bytes", 1 << 22},
};
