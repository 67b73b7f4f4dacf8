/* SPDX-License-Identifier: MIT */
/* Reads the NVLinks of nodes without NVSwitch, and the rings on them. Finding rings is left
 * out: a node type's file names those that NCCL's own search prints. */
#include "node_wires.h"
#include "error.h"

#include <string.h>

#define MAX_LINKS 1024

G_GNUC_PRINTF(2, 3)
static gboolean fail(GError **error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error_literal(error, ZEROSIM_ERROR, ERROR_INPUT, text);
    return FALSE;
}

/* "0-3-2-1:2" → the GPUs, and the links behind the colon (1 when there is none). */
static GArray *way_parse(const char *word, int n_gpus, int *n_links, GError **error)
{
    g_autoptr(GArray) gpus = g_array_new(FALSE, FALSE, sizeof(int));
    g_auto(GStrv) halves = g_strsplit(word, ":", 2);
    g_auto(GStrv) numbers = g_strsplit(halves[0], "-", -1);
    gint64 number = 1;
    gboolean ok =
        !halves[1] || g_ascii_string_to_signed(halves[1], 10, 1, MAX_LINKS, &number, NULL);
    *n_links = (int)number;
    for (char **text = numbers; ok && *text; text++) {
        ok = g_ascii_string_to_signed(*text, 10, 0, n_gpus - 1, &number, NULL);
        int gpu = (int)number;
        for (guint i = 0; ok && i < gpus->len; i++)
            ok = g_array_index(gpus, int, i) != gpu;
        g_array_append_val(gpus, gpu);
    }
    if (ok)
        return g_steal_pointer(&gpus);
    g_autofree char *quoted = error_quote(word);
    fail(error, "%s must be different GPUs from 0 to %d like 0-1, or 0-1:2 for two links",
         quoted, n_gpus - 1);
    return NULL;
}

int node_wires_degree(const int *wires, int n_gpus)
{
    int degree = 0;
    for (int i = 0; i < n_gpus; i++)
        degree += wires[i];
    return degree;
}

static gboolean degrees_check(const int *wires, int n_gpus, GError **error)
{
    int degree = node_wires_degree(wires, n_gpus);
    for (int i = 0; i < n_gpus; i++) {
        int other = node_wires_degree(wires + (size_t)i * n_gpus, n_gpus);
        if (other != degree)
            return fail(error, "GPU %d has %d links and GPU 0 has %d: all must have as many", i,
                        other, degree);
    }
    return degree > 0 ? TRUE : fail(error, "GPUs have no links");
}

int *node_wires_parse(const char *text, int n_gpus, GError **error)
{
    g_autofree int *wires = g_new0(int, (gsize)n_gpus *n_gpus);
    g_auto(GStrv) words = g_strsplit(text, " ", -1);
    for (char **word = words; *word; word++) {
        int n_links;
        g_autoptr(GArray) pair = **word ? way_parse(*word, n_gpus, &n_links, error) : NULL;
        if (**word && !pair)
            return NULL;
        if (!pair)
            continue;
        int one = g_array_index(pair, int, 0);
        int other = pair->len == 2 ? g_array_index(pair, int, 1) : one;
        if (other == one || wires[one * n_gpus + other]) {
            fail(error, "%s must be a pair of GPUs, and there once", *word);
            return NULL;
        }
        wires[one * n_gpus + other] = wires[other * n_gpus + one] = n_links;
    }
    return degrees_check(wires, n_gpus, error) ? g_steal_pointer(&wires) : NULL;
}

GPtrArray *node_rings_parse(const char *text, int n_gpus, GError **error)
{
    g_autoptr(GPtrArray) rings = g_ptr_array_new_with_free_func(g_free);
    g_auto(GStrv) words = g_strsplit(text, " ", -1);
    for (char **word = words; *word; word++) {
        int n_links;
        g_autoptr(GArray) gpus = **word ? way_parse(*word, n_gpus, &n_links, error) : NULL;
        if (**word && !gpus)
            return NULL;
        if (!gpus)
            continue;
        if ((int)gpus->len != n_gpus) {
            fail(error, "ring %s must visit all %d GPUs", *word, n_gpus);
            return NULL;
        }
        NodeRing *ring = g_malloc(sizeof(NodeRing) + gpus->len * sizeof(int));
        ring->n_links = n_links;
        ring->n_gpus = n_gpus;
        memcpy(ring->gpus, gpus->data, gpus->len * sizeof(int));
        g_ptr_array_add(rings, ring);
    }
    if (rings->len > 0)
        return g_steal_pointer(&rings);
    fail(error, "there is no ring");
    return NULL;
}

gboolean node_rings_check(const GPtrArray *rings, const int *wires, int n_gpus, GError **error)
{
    g_autofree int *used = g_new0(int, (gsize)n_gpus *n_gpus);
    for (guint r = 0; r < rings->len; r++) {
        const NodeRing *ring = g_ptr_array_index(rings, r);
        for (int i = 0; i < n_gpus; i++) {
            int from = ring->gpus[i], to = ring->gpus[(i + 1) % n_gpus];
            used[from * n_gpus + to] += ring->n_links;
            used[to * n_gpus + from] += ring->n_links;
        }
    }
    for (int i = 0; i < n_gpus * n_gpus; i++)
        if (used[i] > wires[i])
            return fail(error, "rings use %d links from GPU %d to GPU %d, which has %d",
                        used[i], i / n_gpus, i % n_gpus, wires[i]);
    return TRUE;
}
