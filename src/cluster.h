/* SPDX-License-Identifier: MIT */
/* The cluster: node and fabric presets written as SimGrid XML, and the facts of a platform that
 * the rest needs, one entry a GPU. Any XML that follows the convention of zerosim-platform(5)
 * gives the same facts. Contains no SimGrid: reading a platform is sim_platform.c's work. */
#pragma once

#include "experiment.h"
#include "nccl_plugin.h"
#include "node_wires.h"

#include <glib.h>

G_BEGIN_DECLS

typedef enum {
    FABRIC_RAIL,       /* a leaf a NIC index, one spine */
    FABRIC_FAT_TREE,   /* leaves of whole nodes, one spine */
    FABRIC_FAT_TREE_3, /* leaves, pods of leaves, one core */
    FABRIC_DRAGONFLY,  /* SimGrid's: groups, chassis, routers, NICs */
    FABRIC_TORUS,      /* SimGrid's: each NIC a crossing */
    N_FABRICS
} Fabric;

/* How GPUs of a node meet: each at all NVSwitches, by cables from GPU to GPU, or over PCIe. */
typedef enum { NVLINK_SWITCH, NVLINK_MESH, NVLINK_NONE } NvlinkKind;

/* Link classes by name prefix: "nvlink:…". ENGINE is zerosim's own: the ceiling that NCCL's
 * channels put on a GPU or NIC, one a direction; it carries no statistics. */
typedef enum {
    LINK_NVLINK,
    LINK_PCIE,
    LINK_NIC,
    LINK_LEAF,
    LINK_SPINE,
    LINK_WAN,
    LINK_ENGINE,
    LINK_OTHER,
    N_LINK_CLASSES
} LinkClass;

/* A node type: platforms/nodes/<name>.conf. Rates are one direction. */
typedef struct {
    char *name;
    char *gpu; /* profile name */
    int n_gpus, n_nics;
    NvlinkKind nvlink;
    double nvlink_bytes_per_s; /* all NVLinks of a GPU together; 0: none */
    double nvlink_latency_s;   /* to the NVSwitch, or to the GPU at the cable's other end */
    char *nvlink_wires;        /* of a mesh: "0-1 0-3:2", GPUs and how many links join them */
    char *nvlink_rings;        /* NCCL's rings on it: "0-3-2-1:2", GPUs and links each way */
    int *wires;                /* the same, read: links from GPU i to j at [i * n_gpus + j] */
    GPtrArray *rings;          /* NodeRing * */
    /* The PCIe tree, where GPUs talk over it: slot, switch (0 switches: the socket itself),
     * socket, and a link each way between any two sockets. */
    int n_pcie_switches, n_sockets;
    double pcie_gpu_bytes_per_s, pcie_uplink_bytes_per_s, socket_bytes_per_s;
    double pcie_latency_s; /* GPU to switch or socket */
    /* A NIC's slot, and that of the GPU beside it, which all NICs of one GPU share. */
    double pcie_bytes_per_s;
    double nic_bytes_per_s;     /* line rate */
    double nic_efficiency_frac; /* of the line rate that payload gets */
    double nic_latency_s;       /* NIC to leaf */
    NcclPlugin nccl;
    double switch_latency_s; /* leaf to spine */
    int leaf_ports;          /* NICs that a leaf switch holds */
    int n_trays;             /* hosts that the node is made of; 0: 1 */
    char *cpu;               /* "intel", "amd" or "other": NCCL's network overhead */
    GPtrArray *facts;        /* NodeFact *, as the file has them */
    /* Not of the file: among faster GPUs of another kind. 0: as the profile says. */
    double gpu_speed;
    gint64 gpu_memory_bytes;
} NodeType;

/* A line of a node type's file, and the comment above it, which names its source. */
typedef struct {
    char *key, *value, *source;
    gboolean unverified;
} NodeFact;

typedef struct {
    NodeType *node;
    int n_nodes;
} NodeGroup;

typedef struct {
    NodeType *node;
    int n_nodes;
    GArray *others;    /* NodeGroup: nodes of other types behind those; NULL: none */
    int gpus_per_node; /* used of each node; 0: all */
    Fabric fabric;
    double oversubscription;       /* leaf down over leaf up; 1: none */
    double spine_oversubscription; /* the same of a pod of a three-level tree; 0: 1 */
    double ecmp_efficiency;        /* of uplinks, what flows hashed to cables get; 0: 1 */
    double gpu_spread_frac;        /* deviation of equal GPUs' times; 0: all alike */
    const char *topology;          /* of a dragonfly or torus: "2,1;2,1;2,1;4", "4,4,2" */
} ClusterSpec;

/* Most GPUs of a cluster that is written here. */
#define CLUSTER_MAX_GPUS (1 << 20)

/* One GPU of the platform; rank r is the r-th by (node, local rank). */
typedef struct {
    char *gpu_host; /* SimGrid host name */
    char *nic_host; /* NULL: none (single node) */
    char *gpu;      /* profile name */
    int node;       /* 0 … n_nodes-1, in order */
    int local_rank;
    int nic;             /* index in Cluster.nic_hosts, -1: none */
    double speed;        /* 1: as the profile says; below: a slow GPU */
    gint64 memory_bytes; /* 0: the profile's */
} ClusterGpu;

typedef struct {
    char *name;           /* preset, or the XML's file name */
    char *xml_file;       /* what SimGrid loads */
    int xml_descriptor;   /* of an XML file in memory; -1: it is a user's */
    GArray *gpus;         /* ClusterGpu, rank order */
    GPtrArray *nic_hosts; /* char * */
    int n_nodes;
    int n_links;
    gboolean has_engine_links; /* each host has links "engine:<host>-up" and "-down" */
    /* What the slowest GPU sends over all its NVLinks, and the slowest NIC; 0: none. A node
     * whose GPUs meet on PCIe has no NVLink. */
    double nvlink_bytes_per_s, nic_bytes_per_s;
    double nic_latency_s; /* the longest of a NIC's link */
    NcclPlugin nccl;
    /* What the links between nodes (NIC, leaf, spine, WAN) carry instead of what the XML says,
     * as a multiple; 0: that. nic_bytes_per_s is to be multiplied too. */
    double internode_scale;
    char *cpu;
    /* By node: the rings that its point-to-point NVLinks form, as NCCL uses them, local ranks
     * and links each way ("0-1-2-3:2 0-2-1-3", node_rings_parse()). "": any order will do. */
    GPtrArray *node_rings;
} Cluster;

/* An installed preset's name, or a path (it has a "/" or ends in ".conf"). Every key that the
 * kind of node needs is required, and none other may be there. */
NodeType *node_type_load(const char *name_or_file, GError **error);
void node_type_free(NodeType *node);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(NodeType, node_type_free)

/* Names of the installed presets, sorted; owned strings. */
GPtrArray *node_type_list(void);

/* NICs that collectives see: several beside one GPU are used as one, as NCCL's network plugins
 * for such nodes do (aws-ofi-nccl groups them by PCIe switch). */
int node_type_n_nic_hosts(const NodeType *node);
/* What such a NIC's links give to payload. */
double node_type_nic_payload_bytes_per_s(const NodeType *node);
/* The NIC host beside a GPU. */
int node_type_nic_of_gpu(const NodeType *node, int gpu);
/* The GPU that is local rank `rank`: ranks of a mesh follow its first ring, so that
 * neighbours have a cable. */
int node_type_gpu_of_rank(const NodeType *node, int rank);

int cluster_spec_n_nodes(const ClusterSpec *spec);
const NodeType *cluster_spec_node(const ClusterSpec *spec, int node);
int cluster_spec_gpus_of(const ClusterSpec *spec, const NodeType *node);
/* How fast the slowest GPU of the job is expected to be beside a typical one, which profiles
 * describe: 1 / (1 + spread x the expected largest of as many normal deviates as there are
 * GPUs, after Blom, "Statistical Estimates and Transformed Beta-Variables", 1958). All wait for
 * it in each step, so all get its speed. */
double cluster_spec_pace(const ClusterSpec *spec);
const char *fabric_name(Fabric fabric);

/* Reads "2*dgx-h100+2*dgx-a100-80gb" (or one preset alone) into node, n_nodes and others of the
 * spec; n_nodes is 0 where no count is given and there is one type. Owned by the caller:
 * cluster_spec_clear(). */
gboolean cluster_spec_parse(const char *platform, ClusterSpec *spec, GError **error);
/* Nodes of unlike GPUs: each kind gets its own memory, and unless each has a profile of its own
 * the slower kinds get a speed beside the fastest, from their profiles' achievable matmul
 * rates. Says so in `warnings`. */
gboolean cluster_spec_balance(ClusterSpec *spec, gboolean own_profiles, GPtrArray *warnings,
                              GError **error);
void cluster_spec_clear(ClusterSpec *spec);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ClusterSpec, cluster_spec_clear)

/* Whether the counts make a cluster. `prefix` stands before the name of the count that is out
 * of range: "FILE: cluster.". */
gboolean cluster_spec_validate(const ClusterSpec *spec, const char *prefix, GError **error);

/* The platform as SimGrid XML (cluster_xml.c). */
char *cluster_spec_write(const ClusterSpec *spec);
/* Leaf switches of its fabric; 0 for a single node. */
int cluster_spec_n_leaves(const ClusterSpec *spec);

/* An empty cluster for sim_platform_read(). */
Cluster *cluster_new(const char *name, const char *xml_file);

/* The experiment's cluster.* keys → a platform that SimGrid has loaded once in a probe. */
Cluster *cluster_build(const Experiment *experiment, GPtrArray *warnings, GError **error);
/* Likewise of a spec that is complete and valid. */
Cluster *cluster_build_spec(const char *name, const ClusterSpec *spec, GPtrArray *warnings,
                            GError **error);
void cluster_free(Cluster *cluster);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Cluster, cluster_free)

int cluster_n_ranks(const Cluster *cluster);
const ClusterGpu *cluster_gpu(const Cluster *cluster, int rank);
LinkClass link_class_of(const char *link_name);
const char *link_class_name(LinkClass link_class);
/* Whether links of the class join nodes. */
gboolean link_class_is_internode(LinkClass link_class);

G_END_DECLS
