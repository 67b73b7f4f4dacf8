/* SPDX-License-Identifier: MIT */
/* Finds classes of equal ranks by what their timelines can depend on. Links don't count: what
 * they do to a rank reaches it through its groups' collectives alone. */
#include "sim_fold.h"

#include <string.h>

/* SimGrid's attributes of hosts and links that change over time. */
static const char *const varying_attributes[] = {"speed_file", "state_file", "bandwidth_file",
                                                 "latency_file", "availability_file"};

gboolean sim_fold_platform_varies(const Cluster *cluster)
{
    g_autofree char *xml = NULL;
    if (!g_file_get_contents(cluster->xml_file, &xml, NULL, NULL))
        return TRUE;
    for (guint i = 0; i < G_N_ELEMENTS(varying_attributes); i++)
        if (strstr(xml, varying_attributes[i]))
            return TRUE;
    return FALSE;
}

static char *rank_key(const Cluster *cluster, const Job *job, int rank)
{
    const ClusterGpu *gpu = cluster_gpu(cluster, rank);
    GString *key = g_string_new(NULL);
    g_string_append_printf(key, "%d %a", job->program_of_rank[rank], gpu->speed);
    for (int c = 0; c < (int)job->communicators->len; c++)
        g_string_append_printf(key, " %d", job_communicator(job, c)->group_of_rank[rank]);
    return g_string_free(key, FALSE);
}

SimFold *sim_fold_new(const Cluster *cluster, const Job *job, gboolean whole)
{
    SimFold *fold = g_new0(SimFold, 1);
    g_autoptr(GHashTable) classes =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    fold->class_of_rank = g_new(int, job->n_ranks);
    fold->leader = g_new(int, job->n_ranks);
    for (int rank = 0; rank < job->n_ranks; rank++) {
        char *key = rank_key(cluster, job, rank);
        gpointer found;
        if (!whole && g_hash_table_lookup_extended(classes, key, NULL, &found)) {
            fold->class_of_rank[rank] = GPOINTER_TO_INT(found);
            g_free(key);
            continue;
        }
        g_hash_table_insert(classes, key, GINT_TO_POINTER(fold->n_classes));
        fold->class_of_rank[rank] = fold->n_classes;
        fold->leader[fold->n_classes++] = rank;
    }
    return fold;
}

void sim_fold_free(SimFold *fold)
{
    if (!fold)
        return;
    g_free(fold->class_of_rank);
    g_free(fold->leader);
    g_free(fold);
}
