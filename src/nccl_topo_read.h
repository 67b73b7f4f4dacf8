/* SPDX-License-Identifier: MIT */
/* The elements of NCCL's topology file that matter here. Private to nccl_topo*.c. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* <nvlink target="…" count="…" tclass="…"> */
typedef struct {
    char *target; /* bus of a GPU, or of a switch */
    int count;
} TopoLink;

typedef struct {
    char *bus, *device; /* PCI bus and device number */
    int line;
    int dev, sm;
    int cpu, bridge; /* CPU it hangs from, and outermost PCI bridge below that; -1: none */
    double slot_bytes_per_s;
    GArray *links;         /* TopoLink */
    gboolean has_switches; /* a link ends at a switch */
} TopoGpu;

typedef struct {
    char *name;
    int bridge;
    double bytes_per_s, slot_bytes_per_s;
} TopoNet;

typedef struct {
    GPtrArray *gpus; /* TopoGpu *, in order of dev */
    GPtrArray *nets; /* TopoNet *, each name once */
    int n_cpus, n_bridges;
    char *cpu; /* "intel", "amd" or "other" */
} Topo;

Topo *topo_read(const char *file, GError **error);
void topo_free(Topo *topo);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Topo, topo_free)

G_END_DECLS
