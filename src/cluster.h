/* SPDX-License-Identifier: MIT */
/* The cluster: node and fabric presets written as SimGrid XML, and the facts of a platform that
 * the rest needs, one entry a GPU. Any XML that follows the convention of zerosim-platform(5)
 * gives the same facts. Contains no SimGrid: reading a platform is sim_platform.c's work. */
#pragma once

#include "experiment.h"

#include <glib.h>

G_BEGIN_DECLS

typedef enum { FABRIC_RAIL, FABRIC_FAT_TREE } Fabric;

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
    double nvlink_bytes_per_s; /* a GPU to the NVSwitch */
    double nvlink_latency_s;
    double pcie_bytes_per_s;    /* a NIC's slot */
    double nic_bytes_per_s;     /* line rate */
    double nic_efficiency_frac; /* of the line rate that payload gets */
    double nic_latency_s;       /* NIC to leaf */
    double switch_latency_s;    /* leaf to spine */
    int leaf_ports;             /* NICs that a leaf switch holds */
    char *cpu;                  /* "intel", "amd" or "other": NCCL's network overhead */
    GPtrArray *facts;           /* NodeFact *, as the file has them */
} NodeType;

/* A line of a node type's file, and the comment above it, which names its source. */
typedef struct {
    char *key, *value, *source;
    gboolean unverified;
} NodeFact;

typedef struct {
    NodeType *node;
    int n_nodes;
    int gpus_per_node; /* used of each node */
    Fabric fabric;
    double oversubscription; /* leaf down over leaf up; 1: none */
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
    char *name;     /* preset, or the XML's file name */
    char *xml_file; /* what SimGrid loads */
    gboolean xml_is_temporary;
    GArray *gpus;         /* ClusterGpu, rank order */
    GPtrArray *nic_hosts; /* char * */
    int n_nodes;
    int n_links;
    gboolean has_engine_links; /* each host has links "engine:<host>-up" and "-down" */
    double nvlink_bytes_per_s, nic_bytes_per_s; /* slowest of their class; 0: none */
    char *cpu;
} Cluster;

/* An installed preset's name, or a path (it has a "/" or ends in ".conf"). Every key is
 * required, and none other may be there. */
NodeType *node_type_load(const char *name_or_file, GError **error);
void node_type_free(NodeType *node);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(NodeType, node_type_free)

/* Names of the installed presets, sorted; owned strings. */
GPtrArray *node_type_list(void);

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
void cluster_free(Cluster *cluster); /* removes a temporary XML file */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Cluster, cluster_free)

int cluster_n_ranks(const Cluster *cluster);
const ClusterGpu *cluster_gpu(const Cluster *cluster, int rank);
LinkClass link_class_of(const char *link_name);
const char *link_class_name(LinkClass link_class);

G_END_DECLS
