/* SPDX-License-Identifier: MIT */
/* NCCL's topology files: machines with NVSwitches, with NVLinks from GPU to GPU and with
 * neither become node types; what is broken is refused with its line. */
#include "error.h"
#include "nccl_topo.h"
#include "scratch.h"
#include "suite_run.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static char *file;

static void set_up(void)
{
    scratch_set_up();
    file = scratch_path("machine.xml");
}

static void tear_down(void)
{
    g_clear_pointer(&file, g_free);
    scratch_tear_down();
}

static NodeType *load(const char *text, const char *gpu, GError **error)
{
    ck_assert(g_file_set_contents(file, text, -1, NULL));
    return nccl_topo_load(file, gpu, error);
}

static NodeType *load_well(const char *text)
{
    g_autoptr(GError) error = NULL;
    NodeType *node = load(text, NULL, &error);
    ck_assert_msg(node != NULL, "%s", error ? error->message : "");
    return node;
}

#define BRIDGE                                                                                 \
    "<pci busid=\"0000:%02x:00.0\" class=\"0x060400\" link_speed=\"32.0 GT/s PCIe\" "          \
    "link_width=\"16\">"
#define GPU                                                                                    \
    "<pci busid=\"0000:%02x:00.0\" class=\"0x030200\" device=\"%s\" link_speed=\"%s GT/s "     \
    "PCIe\" link_width=\"16\"><gpu dev=\"%d\" sm=\"%d\" rank=\"%d\" gdr=\"1\">%s</gpu></pci>"
#define NET                                                                                    \
    "<pci busid=\"0000:%02x:00.0\" class=\"0x020700\" link_speed=\"32.0 GT/s PCIe\" "          \
    "link_width=\"16\"><nic><net name=\"mlx5_%d\" dev=\"%d\" speed=\"%d\" port=\"1\" "         \
    "gdr=\"1\"/></nic></pci>"

/* Eight H100s on four NVSwitches, two CPUs, a NIC beside each and a slow one more. */
static char *switched_machine(void)
{
    GString *text = g_string_new("<system version=\"1\">\n");
    for (int cpu = 0; cpu < 2; cpu++) {
        g_string_append(text, "<cpu numaid=\"0\" vendor=\"GenuineIntel\">\n");
        for (int i = 4 * cpu; i < 4 * cpu + 4; i++) {
            g_string_append_printf(text, BRIDGE "\n", 0x10 + i);
            g_string_append_printf(text, GPU "\n", 0x20 + i, "0x2330", "32.0", i, 90, i,
                                   "<nvlink target=\"0000:05:00.0\" count=\"9\" "
                                   "tclass=\"0x068000\"/><nvlink target=\"0000:06:00.0\" "
                                   "count=\"9\" tclass=\"0x068000\"/>");
            g_string_append_printf(text, NET "</pci>\n", 0x40 + i, i, i, 400000);
        }
        g_string_append(text, "<nic><net name=\"eth0\" dev=\"8\" speed=\"10000\"/></nic>\n"
                              "</cpu>\n");
    }
    g_string_append(text, "</system>\n");
    return g_string_free(text, FALSE);
}

START_TEST(a_switched_machine)
{
    g_autofree char *text = switched_machine();
    g_autoptr(NodeType) node = load_well(text);
    ck_assert_str_eq(node->name, "machine");
    ck_assert_str_eq(node->gpu, "h100-sxm5-80gb");
    ck_assert_str_eq(node->cpu, "intel");
    ck_assert_int_eq(node->n_gpus, 8);
    ck_assert_int_eq(node->n_nics, 8);
    ck_assert_int_eq(node->nvlink, NVLINK_SWITCH);
    ck_assert_double_eq_tol(node->nvlink_bytes_per_s, 450e9, 1);
    ck_assert_double_eq_tol(node->nic_bytes_per_s, 50e9, 1);
    ck_assert_double_eq_tol(node->pcie_bytes_per_s, 63e9, 0.1e9);
}
END_TEST

/* A cluster of it can be written. */
START_TEST(a_cluster_of_such_machines)
{
    g_autofree char *text = switched_machine();
    ClusterSpec spec = {
        .node = load_well(text), .n_nodes = 2, .fabric = FABRIC_RAIL, .oversubscription = 1};
    g_autofree char *xml = cluster_spec_write(&spec);
    ck_assert_ptr_nonnull(strstr(xml, "node-0001-gpu-7"));
    node_type_free(spec.node);
}
END_TEST

/* Four V100s, each joined to each by one, two or three links: every wire is in a ring. */
START_TEST(a_mesh_has_its_rings)
{
    static const int wires[4][4] = {{0, 2, 1, 2}, {2, 0, 2, 1}, {1, 2, 0, 2}, {2, 1, 2, 0}};
    g_autoptr(GString) text = g_string_new("<system><cpu vendor=\"GenuineIntel\">");
    for (int i = 0; i < 4; i++) {
        g_autoptr(GString) links = g_string_new(NULL);
        for (int j = 0; j < 4; j++)
            if (wires[i][j] > 0)
                g_string_append_printf(
                    links, "<nvlink target=\"0000:%02X:00.0\" count=\"%d\" tclass=\"0x0302\"/>",
                    0xa0 + j, wires[i][j]);
        g_string_append_printf(text, GPU, 0xa0 + i, "0x1db5", "8.0", i, 70, i, links->str);
    }
    g_string_append_printf(text, NET "</cpu></system>", 0x50, 0, 0, 100000);
    g_autoptr(NodeType) node = load_well(text->str);
    ck_assert_int_eq(node->nvlink, NVLINK_MESH);
    ck_assert_str_eq(node->gpu, "v100-sxm2-32gb");
    ck_assert_double_eq_tol(node->nvlink_bytes_per_s, 125e9, 1);
    ck_assert_int_eq(node->wires[0 * 4 + 3], 2);
    ck_assert_int_eq(node->wires[0 * 4 + 2], 1);
    ck_assert_str_eq(node->nvlink_rings, "0-1-2-3:2");
    ck_assert_double_eq_tol(node->pcie_gpu_bytes_per_s, 15.75e9, 0.01e9);
}
END_TEST

/* No NVLinks: PCIe, and a NIC that isn't on PCI. */
START_TEST(a_machine_without_nvlink)
{
    g_autoptr(GString) text = g_string_new("<system><cpu vendor=\"AuthenticAMD\">");
    for (int i = 0; i < 4; i++)
        g_string_append_printf(text, GPU, 0x20 + i, "0x2684", "16.0", i, 89, i, "");
    g_string_append(text, "<nic><net name=\"eth0\" dev=\"0\" speed=\"100000\"/></nic>"
                          "</cpu></system>");
    g_autoptr(NodeType) node = load_well(text->str);
    ck_assert_int_eq(node->nvlink, NVLINK_NONE);
    ck_assert_str_eq(node->gpu, "rtx4090");
    ck_assert_str_eq(node->cpu, "amd");
    ck_assert_int_eq(node->n_sockets, 1);
    ck_assert_int_eq(node->n_nics, 1);
    ck_assert_double_eq_tol(node->nic_bytes_per_s, 12.5e9, 1);
}
END_TEST

#define ONE_GPU                                                                                \
    "<system>\n<cpu>\n<pci busid=\"0\" class=\"0x030200\" device=\"0x2330\">\n<gpu dev=\"0\" " \
    "sm=\"90\"/>\n</pci>\n"
static const struct {
    const char *text, *where, *what;
} bad[] = {
    {"", ": ", ""},
    {"<system>", ":1: ", ""},
    {"<topology/>", ":1: ", "<system>"},
    {"<system>\n<cpu>\n<gpu dev=\"0\" sm=\"90\"/>\n</cpu></system>", ":3: ", "inside a <pci>"},
    {"<system>\n<cpu><pci>\n<gpu dev=\"x\" sm=\"90\"/></pci></cpu></system>",
     ":3: ", "<gpu dev>"},
    {"<system>\n<cpu><pci>\n<gpu dev=\"0\"/></pci></cpu></system>", ":3: ", "<gpu sm>"},
    {"<system>\n<cpu><nic>\n<net name=\"a\" speed=\"-4\"/></nic></cpu></system>",
     ":3: ", "<net speed>"},
    {"<system>\n<cpu></pci></system>", ":2: ", ""},
    {"<system><cpu/></system>", ": ", "no <gpu>"},
    {"<system><cpu><pci class=\"0x030200\"/><pci class=\"0x020700\"/></cpu></system>", ": ",
     "NCCL_TOPO_DUMP_FILE"},
    {"<system><cpu><pci device=\"0x2330\"><gpu dev=\"0\" sm=\"90\"/></pci>"
     "<pci device=\"0x2330\"><gpu dev=\"1\" sm=\"90\"/></pci></cpu></system>",
     ": ", "no <nvlink>"},
    {ONE_GPU "</cpu></system>", ": ", "no <net>"},
    {"<system>\n<cpu>\n<pci device=\"0xffff\">\n<gpu dev=\"0\" "
     "sm=\"90\"/></pci></cpu></system>",
     "line 4", "--gpu"},
    {ONE_GPU "<pci device=\"0x2330\">\n<gpu dev=\"1\" sm=\"80\"/></pci></cpu></system>",
     "line 7", "another kind"},
    {ONE_GPU "<pci device=\"0x2330\">\n<gpu dev=\"0\" sm=\"90\"/></pci></cpu></system>",
     "lines 4 and 7", "GPU 0 is there twice"},
};

START_TEST(a_broken_file_is_refused)
{
    g_autoptr(GError) error = NULL;
    ck_assert_ptr_null(load(bad[_i].text, NULL, &error));
    ck_assert_int_eq(error_exit_status(error), 2);
    ck_assert_msg(g_str_has_prefix(error->message, file), "%s", error->message);
    ck_assert_msg(strstr(error->message, bad[_i].where) != NULL, "%s", error->message);
    ck_assert_msg(strstr(error->message, bad[_i].what) != NULL, "%s", error->message);
    ck_assert_ptr_null(strchr(error->message, '\n'));
}
END_TEST

START_TEST(pairs_of_gpus_are_not_modelled)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GString) text = g_string_new("<system><cpu>");
    for (int i = 0; i < 4; i++) {
        g_autofree char *link = g_strdup_printf(
            "<nvlink target=\"0000:%02x:00.0\" count=\"12\" tclass=\"0x0302\"/>",
            0x20 + (i ^ 1));
        g_string_append_printf(text, GPU, 0x20 + i, "0x20b5", "16.0", i, 80, i, link);
    }
    g_string_append_printf(text, NET "</cpu></system>", 0x50, 0, 0, 100000);
    ck_assert_ptr_null(load(text->str, "a100-sxm4-80gb", &error));
    ck_assert(g_error_matches(error, ZEROSIM_ERROR, ERROR_UNMODELLED));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("nccl_topo");
    TCase *tcase = tcase_create("files");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, a_switched_machine);
    tcase_add_test(tcase, a_cluster_of_such_machines);
    tcase_add_test(tcase, a_mesh_has_its_rings);
    tcase_add_test(tcase, a_machine_without_nvlink);
    tcase_add_loop_test(tcase, a_broken_file_is_refused, 0, G_N_ELEMENTS(bad));
    tcase_add_test(tcase, pairs_of_gpus_are_not_modelled);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
