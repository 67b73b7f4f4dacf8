/* SPDX-License-Identifier: MIT */
/* Measured rows, and what NCCL's model says of each. */
#include "nccl_rows.h"

#include "error.h"

static void row_clear(gpointer data)
{
    g_free(((NcclRow *)data)->id);
    g_free(((NcclRow *)data)->group);
    g_free(((NcclRow *)data)->source);
    g_free(((NcclRow *)data)->gpu);
    g_free(((NcclRow *)data)->platform);
}

GArray *nccl_rows_new(void)
{
    GArray *rows = g_array_new(FALSE, TRUE, sizeof(NcclRow));
    g_array_set_clear_func(rows, row_clear);
    return rows;
}

Cluster *nccl_rows_cluster(const NodeType *node, int n_nodes, int gpus_per_node,
                           double nic_bytes_per_s)
{
    Cluster *cluster = cluster_new(node->name, "");
    int n_nics = node_type_n_nic_hosts(node);
    for (int r = 0; r < n_nodes * gpus_per_node; r++) {
        int local = r % gpus_per_node;
        int gpu = node_type_gpu_of_rank(node, local);
        ClusterGpu one = {
            .gpu = g_strdup(node->gpu),
            .node = r / gpus_per_node,
            .local_rank = local,
            .nic =
                n_nics > 0 ? r / gpus_per_node * n_nics + node_type_nic_of_gpu(node, gpu) : -1,
            .speed = 1,
        };
        g_array_append_val(cluster->gpus, one);
    }
    cluster->n_nodes = n_nodes;
    cluster->nvlink_bytes_per_s = node->nvlink_bytes_per_s;
    cluster->nic_bytes_per_s =
        nic_bytes_per_s > 0
            ? nic_bytes_per_s * node->n_gpus / MAX(n_nics, 1) * node->nic_efficiency_frac
            : node_type_nic_payload_bytes_per_s(node);
    cluster->nic_latency_s = node->nic_latency_s;
    cluster->nccl = node->nccl;
    cluster->cpu = g_strdup(node->cpu);
    for (int i = 0; i < n_nodes; i++)
        g_ptr_array_add(cluster->node_rings,
                        g_strdup(node->nvlink == NVLINK_MESH ? node->nvlink_rings : ""));
    return cluster;
}

static gboolean row_plan(NcclRow *row, const NodeType *node, GError **error)
{
    int per_node = row->gpus_per_node > 0 ? row->gpus_per_node : node->n_gpus;
    per_node = MIN(MIN(per_node, row->n_gpus), node->n_gpus);
    if (row->n_gpus % per_node != 0) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                    "%s: %d GPUs don't fill nodes of %d: --platform or --gpus-per-node "
                    "must say what they ran on",
                    row->source, row->n_gpus, per_node);
        return FALSE;
    }
    g_autoptr(Cluster) cluster =
        nccl_rows_cluster(node, row->n_gpus / per_node, per_node, row->nic_bytes_per_s);
    g_autofree int *members = g_new(int, row->n_gpus);
    for (int r = 0; r < row->n_gpus; r++)
        members[r] = r;
    const CollectiveCall call = {
        .kind = row->kind, .payload_bytes = row->bytes, .averages = row->averages};
    const NcclOptions options = {
        .algorithm = row->algorithm, .protocol = -1, .version = row->version};
    g_autoptr(CollectivePlan) plan =
        collective_plan(cluster, members, row->n_gpus, &call, &options);
    row->model = plan->model;
    return TRUE;
}

gboolean nccl_rows_plan(GArray *rows, const NodeType *node, GError **error)
{
    g_autoptr(GHashTable) types =
        g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)node_type_free);
    for (guint i = 0; i < rows->len; i++) {
        NcclRow *row = &g_array_index(rows, NcclRow, i);
        NodeType *own = row->platform ? g_hash_table_lookup(types, row->platform) : NULL;
        if (row->platform && !own) {
            own = node_type_load(row->platform, error);
            if (!own)
                return FALSE;
            g_hash_table_insert(types, row->platform, own);
        }
        if (!row_plan(row, own ? own : node, error))
            return FALSE;
    }
    return TRUE;
}
