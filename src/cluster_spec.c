/* SPDX-License-Identifier: MIT */
/* What a cluster is to be: node types and counts, the fabric and its ratios. Writing it as XML
 * is cluster_xml*.c's work. */
#include "cluster_xml.h"
#include "error.h"
#include "profile.h"

#include <gsl/gsl_cdf.h>
#include <string.h>

static const char *const fabric_names[N_FABRICS] = {"rail", "fat-tree", "fat-tree-3",
                                                    "dragonfly", "torus"};

const char *fabric_name(Fabric fabric)
{
    return fabric_names[fabric];
}

static guint n_groups(const ClusterSpec *spec)
{
    return 1 + (spec->others ? spec->others->len : 0);
}

static NodeGroup group_at(const ClusterSpec *spec, guint i)
{
    return i == 0 ? (NodeGroup){spec->node, spec->n_nodes}
                  : g_array_index(spec->others, NodeGroup, i - 1);
}

int cluster_spec_n_nodes(const ClusterSpec *spec)
{
    int n_nodes = 0;
    for (guint i = 0; i < n_groups(spec); i++)
        n_nodes += group_at(spec, i).n_nodes;
    return n_nodes;
}

const NodeType *cluster_spec_node(const ClusterSpec *spec, int node)
{
    guint i = 0;
    while (node >= group_at(spec, i).n_nodes)
        node -= group_at(spec, i++).n_nodes;
    return group_at(spec, i).node;
}

int cluster_spec_gpus_of(const ClusterSpec *spec, const NodeType *node)
{
    return spec->gpus_per_node > 0 ? spec->gpus_per_node : node->n_gpus;
}

double cluster_spec_pace(const ClusterSpec *spec)
{
    gint64 n_gpus = 0;
    for (guint i = 0; i < n_groups(spec); i++)
        n_gpus += (gint64)group_at(spec, i).n_nodes *
                  cluster_spec_gpus_of(spec, group_at(spec, i).node);
    double rank = ((double)n_gpus - 0.375) / ((double)n_gpus + 0.25);
    return 1 / (1 + spec->gpu_spread_frac * gsl_cdf_ugaussian_Pinv(rank));
}

static gboolean ratio_check(double ratio, const char *prefix, const char *key, GError **error)
{
    if (ratio >= 1 && ratio <= 1000)
        return TRUE;
    g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT, "%s%s must be from 1 to 1000, not %g",
                prefix, key, ratio);
    return FALSE;
}

static gboolean fabric_check(const ClusterSpec *spec, const char *prefix, GError **error)
{
    if (cluster_fabric_is_direct(spec) && !cluster_direct_check(spec, prefix, error))
        return FALSE;
    if (spec->topology && !cluster_fabric_is_direct(spec)) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                    "%stopology goes with fabric = dragonfly or torus, not %s", prefix,
                    fabric_name(spec->fabric));
        return FALSE;
    }
    if (spec->spine_oversubscription > 1 && spec->fabric != FABRIC_FAT_TREE_3) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                    "%sspine_oversubscription goes with fabric = fat-tree-3, not %s", prefix,
                    fabric_name(spec->fabric));
        return FALSE;
    }
    if (!(spec->ecmp_efficiency >= 0 && spec->ecmp_efficiency <= 1)) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                    "%secmp_efficiency must be above 0 and up to 1, not %g", prefix,
                    spec->ecmp_efficiency);
        return FALSE;
    }
    if (!(spec->gpu_spread_frac >= 0 && spec->gpu_spread_frac <= 1)) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                    "%sgpu_spread must be from 0 to 1, not %g", prefix, spec->gpu_spread_frac);
        return FALSE;
    }
    double spine = spec->spine_oversubscription;
    return ratio_check(spec->oversubscription, prefix, "oversubscription", error) &&
           ratio_check(spine == 0 ? 1 : spine, prefix, "spine_oversubscription", error);
}

static gboolean counts_check(const ClusterSpec *spec, const char *prefix, GError **error)
{
    gint64 n_gpus = 0;
    for (guint i = 0; i < n_groups(spec); i++) {
        NodeGroup group = group_at(spec, i);
        int used = cluster_spec_gpus_of(spec, group.node);
        if (spec->gpus_per_node < 0 || used > group.node->n_gpus) {
            g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                        "%sgpus_per_node must be from 1 to %d, the GPUs of %s, not %d", prefix,
                        group.node->n_gpus, group.node->name, MAX(spec->gpus_per_node, 0));
            return FALSE;
        }
        n_gpus += (gint64)used * group.n_nodes;
        if (group.n_nodes < 1 || n_gpus > CLUSTER_MAX_GPUS) {
            g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                        "%snodes must be from 1 to %d, not %d", prefix, CLUSTER_MAX_GPUS / used,
                        group.n_nodes);
            return FALSE;
        }
    }
    return TRUE;
}

gboolean cluster_spec_validate(const ClusterSpec *spec, const char *prefix, GError **error)
{
    return counts_check(spec, prefix, error) && fabric_check(spec, prefix, error);
}

/* "2*dgx-h100", or the name alone: 0 nodes. */
static gboolean group_parse(const char *text, NodeGroup *group, GError **error)
{
    const char *star = strchr(text, '*');
    gint64 n_nodes = 0;
    if (star) {
        g_autofree char *count = g_strndup(text, (gsize)(star - text));
        if (!g_ascii_string_to_signed(g_strstrip(count), 10, 1, CLUSTER_MAX_GPUS, &n_nodes,
                                      NULL)) {
            g_autofree char *quoted = error_quote(text);
            g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                        "platform %s: what stands before * must be a number of nodes", quoted);
            return FALSE;
        }
    }
    g_autofree char *name = g_strdup(star ? star + 1 : text);
    group->node = node_type_load(g_strstrip(name), error);
    group->n_nodes = (int)n_nodes;
    return group->node != NULL;
}

/* A path is never a list: "+" may stand in it. */
static gboolean is_list(const char *platform)
{
    return strpbrk(platform, "+*") && !strchr(platform, '/') &&
           !g_str_has_suffix(platform, ".conf");
}

gboolean cluster_spec_parse(const char *platform, ClusterSpec *spec, GError **error)
{
    if (!is_list(platform)) {
        spec->n_nodes = 0;
        return (spec->node = node_type_load(platform, error)) != NULL;
    }
    g_auto(GStrv) words = g_strsplit(platform, "+", -1);
    for (char **word = words; *word; word++) {
        NodeGroup group;
        if (!group_parse(*word, &group, error))
            return FALSE;
        if (words[1])
            group.n_nodes = MAX(group.n_nodes, 1);
        if (word == words) {
            spec->node = group.node;
            spec->n_nodes = group.n_nodes;
            continue;
        }
        if (!spec->others)
            spec->others = g_array_new(FALSE, FALSE, sizeof(NodeGroup));
        g_array_append_val(spec->others, group);
    }
    return TRUE;
}

void cluster_spec_clear(ClusterSpec *spec)
{
    g_clear_pointer(&spec->node, node_type_free);
    for (guint i = 0; spec->others && i < spec->others->len; i++)
        node_type_free(g_array_index(spec->others, NodeGroup, i).node);
    g_clear_pointer(&spec->others, g_array_unref);
}

/* What a GPU gets of large products, in the type that it computes them in. */
static gboolean matmul_read(const NodeType *node, double *flop_per_s, gint64 *memory_bytes,
                            GError **error)
{
    g_autofree char *base = g_strconcat(node->gpu, ".json", NULL);
    g_autofree char *file =
        g_build_filename(experiment_data_dir(), "platforms", "gpus", base, NULL);
    g_autoptr(Profile) profile = profile_load(file, error);
    if (!profile)
        return FALSE;
    *flop_per_s = MAX(profile->achievable_flop_per_s[DTYPE_BF16],
                      profile->achievable_flop_per_s[DTYPE_FP16]);
    *memory_bytes = profile->memory_bytes;
    return TRUE;
}

static gboolean is_mixed(const ClusterSpec *spec)
{
    for (guint i = 1; i < n_groups(spec); i++)
        if (strcmp(group_at(spec, i).node->gpu, spec->node->gpu) != 0)
            return TRUE;
    return FALSE;
}

gboolean cluster_spec_balance(ClusterSpec *spec, gboolean own_profiles, GPtrArray *warnings,
                              GError **error)
{
    const char *fastest = NULL;
    double best_flop_per_s = 0;
    if (!is_mixed(spec))
        return TRUE;
    for (guint i = 0; i < n_groups(spec); i++) {
        NodeType *node = group_at(spec, i).node;
        if (!matmul_read(node, &node->gpu_speed, &node->gpu_memory_bytes, error))
            return FALSE;
        if (node->gpu_speed > best_flop_per_s) {
            best_flop_per_s = node->gpu_speed;
            fastest = node->gpu;
        }
    }
    for (guint i = 0; i < n_groups(spec); i++) {
        NodeType *node = group_at(spec, i).node;
        node->gpu_speed = own_profiles ? 1 : node->gpu_speed / best_flop_per_s;
        if (node->gpu_speed < 1)
            g_ptr_array_add(warnings,
                            g_strdup_printf("every kernel takes %.3g times as long on %s as on "
                                            "%s, the ratio of their matrix products: "
                                            "gpu.profile = %s goes with it",
                                            1 / node->gpu_speed, node->gpu, fastest, fastest));
    }
    return TRUE;
}
