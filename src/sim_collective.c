/* SPDX-License-Identifier: MIT */
/* Runs collectives: the conductor sleeps the latency once and lets all workers go together;
 * each sends its ring link's bytes, and the last one that ends wakes the conductor. Plain
 * counters do what they can, since actors run one at a time and a simcall costs as much as all
 * of it. */
#include "sim_collective.h"

#include "sim_interference.h"
#include "sim_maxmin.h"

#include <simgrid/actor.h>
#include <simgrid/engine.h>
#include <stdlib.h>
#include <unistd.h>

static const CollectivePlan *plan_at(const SimConductor *conductor, int plan)
{
    return g_ptr_array_index(conductor->group->plans, plan);
}

/* Starts the host's flows of the running collective; returns how many, receptions first. */
static int player_start(SimPlayer *player, sg_comm_t *comms, int *n_in)
{
    int n = 0, plan = player->conductor->plan;
    for (guint i = 0; i < player->in->len; i++) {
        SimHop *hop = g_ptr_array_index(player->in, i);
        if (hop->wire_bytes[plan] > 0)
            comms[n++] = sg_mailbox_get_async(hop->mailbox, &hop->received);
    }
    *n_in = n;
    for (guint i = 0; i < player->out->len; i++) {
        SimHop *hop = g_ptr_array_index(player->out, i);
        if (hop->wire_bytes[plan] > 0)
            comms[n++] = sim_network_send(player->conductor->network, hop->mailbox, hop,
                                          hop->wire_bytes[plan]);
    }
    return n;
}

static void player_actor(int argc, char *argv[])
{
    (void)argc;
    (void)argv;
    SimPlayer *player = sg_actor_self_get_data();
    SimConductor *conductor = player->conductor;
    sg_comm_t *comms = player->comms;
    for (;;) {
        int n_in, n;
        sg_barrier_wait(conductor->start);
        if (conductor->is_over)
            return;
        n = player_start(player, comms, &n_in);
        for (int i = 0; i < n; i++) {
            sg_comm_wait(comms[i]);
            if (i < n_in && --conductor->n_flowing == 0)
                sg_sem_release(conductor->flowed);
        }
    }
}

static sg_host_t flow_end(const SimConductor *conductor, int rank, gboolean between_nodes)
{
    const ClusterGpu *gpu = cluster_gpu(conductor->replay->cluster, rank);
    return sim_network_host(conductor->network,
                            between_nodes && gpu->nic_host ? gpu->nic_host : gpu->gpu_host);
}

static SimPlayer *player_at(SimConductor *conductor, sg_host_t host)
{
    SimPlayer *player = g_hash_table_lookup(conductor->players, host);
    if (player)
        return player;
    player = g_new0(SimPlayer, 1);
    player->conductor = conductor;
    player->host = host;
    player->in = g_ptr_array_new();
    player->out = g_ptr_array_new();
    g_hash_table_insert(conductor->players, host, player);
    g_ptr_array_add(conductor->player_order, player);
    return player;
}

static SimHop *hop_new(SimConductor *conductor, const Flow *flow)
{
    g_autofree char *name = g_strdup_printf("%d %d %u", conductor->group->communicator,
                                            conductor->group->members[0], conductor->hops->len);
    SimHop *hop = g_new0(SimHop, 1);
    hop->flow = *flow;
    hop->route.from = flow_end(conductor, flow->from_rank, flow->between_nodes);
    hop->route.to = flow_end(conductor, flow->to_rank, flow->between_nodes);
    hop->wire_bytes = g_new0(double, conductor->group->plans->len);
    hop->mailbox = sg_mailbox_by_name(name);
    g_ptr_array_add(conductor->hops, hop);
    g_ptr_array_add(player_at(conductor, hop->route.from)->out, hop);
    g_ptr_array_add(player_at(conductor, hop->route.to)->in, hop);
    return hop;
}

/* A hop for each pair of ranks that any plan joins. */
static void hops_add(SimConductor *conductor)
{
    g_autoptr(GHashTable) known = g_hash_table_new(flow_ends_hash, flow_ends_equal);
    for (guint p = 0; p < conductor->group->plans->len; p++) {
        const CollectivePlan *plan = plan_at(conductor, (int)p);
        for (guint i = 0; i < plan->flows->len; i++) {
            const Flow *flow = &g_array_index(plan->flows, Flow, i);
            SimHop *hop = g_hash_table_lookup(known, flow);
            if (!hop) {
                hop = hop_new(conductor, flow);
                g_hash_table_insert(known, &hop->flow, hop);
            }
            conductor->n_flows[p] += hop->wire_bytes[p] == 0;
            hop->wire_bytes[p] += flow->wire_bytes;
        }
    }
}

static void player_start_actor(SimPlayer *player)
{
    player->comms = g_new(sg_comm_t, player->in->len + player->out->len);
    sg_actor_t actor = sg_actor_init("nccl", player->host);
    sg_actor_set_data(actor, player);
    sg_actor_start(actor, player_actor, 0, NULL);
}

SimConductor *sim_conductor_new(const SimReplay *replay, const SimGroup *group,
                                SimNetwork *network)
{
    SimConductor *conductor = g_new0(SimConductor, 1);
    conductor->replay = replay;
    conductor->group = group;
    conductor->network = network;
    conductor->hops = g_ptr_array_new();
    conductor->links = g_array_new(FALSE, FALSE, sizeof(int));
    conductor->engines = g_array_new(FALSE, FALSE, sizeof(SimEngine));
    conductor->players = g_hash_table_new(NULL, NULL);
    conductor->player_order = g_ptr_array_new();
    conductor->uses = g_new0(SimPlanUse, group->plans->len + 1);
    conductor->flow_s = g_new0(double, group->plans->len + 1);
    conductor->channels_s = g_new(double, group->plans->len + 1);
    for (guint p = 0; p < group->plans->len; p++)
        conductor->channels_s[p] = -1;
    conductor->n_flows = g_new0(int, group->plans->len + 1);
    hops_add(conductor);
    return conductor;
}

/* Numbers the links that the hop crosses; number: by link of the network, 0: none yet. */
static void hop_number(SimConductor *conductor, SimHop *hop, int *number)
{
    int n = hop->route.n_links + hop->route.n_engine_links;
    hop->links = g_new(int, n);
    for (int l = 0; l < n; l++) {
        int link = hop->route.links[l];
        if (number[link] == 0) {
            g_array_append_val(conductor->links, link);
            number[link] = (int)conductor->links->len;
            SimEngine engine = {
                .link = link, .index = number[link] - 1, .of_nic = hop->flow.between_nodes};
            if (l >= hop->route.n_links)
                g_array_append_val(conductor->engines, engine);
        }
        hop->links[l] = number[link] - 1;
    }
}

static void conductor_route(SimConductor *conductor)
{
    g_autofree int *number = g_new0(int, conductor->network->links->len + 1);
    for (guint i = 0; i < conductor->hops->len; i++) {
        SimHop *hop = g_ptr_array_index(conductor->hops, i);
        conductor->replay->outcome->routing = hop->flow;
        if (!sim_network_route(conductor->network, &hop->route))
            _exit(EXIT_FAILURE); /* where others abort; the parent knows the ranks */
        hop_number(conductor, hop, number);
    }
}

static gboolean link_varies(const SimConductor *conductor, int link)
{
    const SimReplay *replay = conductor->replay;
    const SimLink *one = &g_array_index(conductor->network->links, SimLink, link);
    return replay->whole || g_hash_table_contains(replay->varying, sg_link_get_name(one->link));
}

/* Groups whose flows meet on a link are not alone; owner: by link, who crosses it. */
static void owners_note(SimConductor *conductor, SimConductor **owner)
{
    for (guint i = 0; i < conductor->links->len; i++) {
        int link = g_array_index(conductor->links, int, i);
        SimConductor **other = &owner[link];
        if (!sg_link_is_shared(g_array_index(conductor->network->links, SimLink, link).link) ||
            link_varies(conductor, link))
            conductor->is_alone = FALSE; /* each flow gets all of it, or not always the same */
        if (*other)
            (*other)->is_alone = conductor->is_alone = FALSE;
        *other = conductor;
    }
}

static double engine_ceiling_bytes_per_s(const SimEngine *engine, const CollectivePlan *plan)
{
    return engine->of_nic ? plan->nic_engine_bytes_per_s : plan->engine_bytes_per_s;
}

/* By link of the conductor's: what it lets through while the plan's flows are alone on it. */
static double *capacities_new(const SimConductor *conductor, const CollectivePlan *plan)
{
    double *bytes_per_s = g_new(double, conductor->links->len + 1);
    for (guint i = 0; i < conductor->links->len; i++)
        bytes_per_s[i] = g_array_index(conductor->network->links, SimLink,
                                       g_array_index(conductor->links, int, i))
                             .bandwidth_bytes_per_s;
    for (guint i = 0; i < conductor->engines->len; i++) {
        const SimEngine *engine = &g_array_index(conductor->engines, SimEngine, i);
        double ceiling = engine_ceiling_bytes_per_s(engine, plan);
        if (ceiling > 0)
            bytes_per_s[engine->index] = ceiling;
    }
    return bytes_per_s;
}

/* What the plan's flows take. */
static double flows_time_s(const SimConductor *conductor, int p)
{
    g_autofree double *bytes_per_s = capacities_new(conductor, plan_at(conductor, p));
    g_autofree SimMaxMinFlow *flows = g_new(SimMaxMinFlow, conductor->hops->len + 1);
    for (guint i = 0; i < conductor->hops->len; i++) {
        const SimHop *hop = g_ptr_array_index(conductor->hops, i);
        flows[i] = (SimMaxMinFlow){.links = hop->links,
                                   .n_links = hop->route.n_links + hop->route.n_engine_links,
                                   .bytes = hop->wire_bytes[p]};
    }
    return sim_maxmin_time_s(flows, (int)conductor->hops->len, bytes_per_s,
                             (int)conductor->links->len);
}

void sim_conductors_route(GPtrArray *conductors)
{
    g_autofree SimConductor **owner = NULL;
    for (guint c = 0; c < conductors->len; c++) {
        SimConductor *conductor = g_ptr_array_index(conductors, c);
        conductor_route(conductor);
        if (!owner)
            owner = g_new0(SimConductor *, conductor->network->links->len + 1);
        conductor->is_alone = !conductor->replay->whole;
        owners_note(conductor, owner);
    }
    for (guint c = 0; c < conductors->len; c++) {
        SimConductor *conductor = g_ptr_array_index(conductors, c);
        for (guint p = 0; conductor->is_alone && p < conductor->group->plans->len; p++)
            conductor->flow_s[p] = flows_time_s(conductor, (int)p);
    }
}

char *sim_conductor_behaviour(const SimConductor *conductor)
{
    if (!conductor->is_alone)
        return NULL;
    GString *text = g_string_new(NULL);
    for (guint k = 0; k < conductor->group->plan_of->len; k++) {
        int p = g_array_index(conductor->group->plan_of, int, k);
        const CollectivePlan *plan = plan_at(conductor, p);
        g_string_append_printf(text, "%a %a %a %d,", plan->latency_s, plan->time_s,
                               conductor->flow_s[p], plan->channels);
    }
    char *sum = g_compute_checksum_for_string(G_CHECKSUM_SHA256, text->str, (gssize)text->len);
    g_string_free(text, TRUE);
    return sum;
}

void sim_conductor_imitate(SimConductor *conductor, const SimConductor *other)
{
    g_free(conductor->uses);
    conductor->uses = other->uses;
}

void sim_conductor_start(SimConductor *conductor)
{
    if (conductor->is_alone)
        return;
    conductor->start = sg_barrier_init(conductor->player_order->len + 1);
    conductor->flowed = sg_sem_init(0);
    for (guint i = 0; i < conductor->player_order->len; i++)
        player_start_actor(g_ptr_array_index(conductor->player_order, i));
}

void sim_conductor_end(SimConductor *conductor)
{
    conductor->is_over = TRUE;
    if (conductor->is_alone)
        return;
    sg_barrier_wait(conductor->start);
}

static void engines_set(const SimConductor *conductor, const CollectivePlan *plan,
                        void (*set)(const SimNetwork *network, int link, double bytes_per_s))
{
    for (guint i = 0; i < conductor->engines->len; i++) {
        const SimEngine *engine = &g_array_index(conductor->engines, SimEngine, i);
        double ceiling_bytes_per_s = engine_ceiling_bytes_per_s(engine, plan);
        if (ceiling_bytes_per_s > 0)
            set(conductor->network, engine->link, ceiling_bytes_per_s);
    }
}

/* A platform without engine links holds back no flow; the collective still ends no earlier than
 * its channels let it. */
static void ceiling_sleep(const SimConductor *conductor, const CollectivePlan *plan,
                          double start_s)
{
    double left_s = start_s + plan->time_s - simgrid_get_clock();
    if (!conductor->replay->cluster->has_engine_links && left_s > 0)
        sg_actor_sleep_for(left_s);
}

double sim_conductor_interference_frac(const SimConductor *conductor, int k)
{
    int plan = g_array_index(conductor->group->plan_of, int, k);
    return sim_interference_frac(&conductor->replay->interference, plan_at(conductor, plan));
}

/* By its channels alone, whatever the links; 0 where nothing is known of them. */
static double channels_time_s(const SimConductor *conductor, int p)
{
    const CollectivePlan *plan = plan_at(conductor, p);
    g_autofree double *bytes = g_new0(double, conductor->links->len + 1);
    double longest_s = 0;
    for (guint i = 0; i < conductor->hops->len; i++) {
        const SimHop *hop = g_ptr_array_index(conductor->hops, i);
        for (int l = 0; l < hop->route.n_links + hop->route.n_engine_links; l++)
            bytes[hop->links[l]] += hop->wire_bytes[p];
    }
    for (guint e = 0; e < conductor->engines->len; e++) {
        const SimEngine *engine = &g_array_index(conductor->engines, SimEngine, e);
        const double ceiling_bytes_per_s = engine_ceiling_bytes_per_s(engine, plan);
        if (ceiling_bytes_per_s > 0)
            longest_s = MAX(longest_s, bytes[engine->index] / ceiling_bytes_per_s);
    }
    return longest_s;
}

/* Beside kernels the channels stream less than alone; links that carry less than that still
 * may decide. */
static void stretch_sleep(SimConductor *conductor, int p, double start_s)
{
    const SimInterference *interference = &conductor->replay->interference;
    if (!interference->is_measured)
        return;
    if (conductor->channels_s[p] < 0)
        conductor->channels_s[p] = channels_time_s(conductor, p);
    const double left_s = start_s - simgrid_get_clock() +
                          sim_interference_stretch(interference, plan_at(conductor, p)) *
                              conductor->channels_s[p];
    if (left_s > 0)
        sg_actor_sleep_for(left_s);
}

static void flows_run(SimConductor *conductor, const CollectivePlan *plan)
{
    engines_set(conductor, plan, sim_network_engage);
    conductor->n_flowing = conductor->n_flows[conductor->plan];
    sg_barrier_wait(conductor->start);
    sg_sem_acquire(conductor->flowed);
    engines_set(conductor, plan, sim_network_disengage);
}

void sim_conductor_run(SimConductor *conductor, int k, SimBeside beside, const void *data,
                       gboolean is_last_step)
{
    double start_s = simgrid_get_clock();
    conductor->plan = g_array_index(conductor->group->plan_of, int, k);
    const CollectivePlan *plan = plan_at(conductor, conductor->plan);
    if (plan->flows->len == 0)
        return;
    sg_actor_sleep_for(plan->latency_s);
    const double flow_start_s = simgrid_get_clock();
    const gboolean are_beside = beside(data);
    if (conductor->is_alone)
        sg_actor_sleep_for(conductor->flow_s[conductor->plan]);
    else
        flows_run(conductor, plan);
    if (are_beside)
        stretch_sleep(conductor, conductor->plan, flow_start_s);
    ceiling_sleep(conductor, plan, start_s);
    if (!is_last_step)
        return;
    SimPlanUse *use = &conductor->uses[conductor->plan];
    double took_s = simgrid_get_clock() - start_s;
    use->shortest_s = use->n_runs == 0 ? took_s : MIN(use->shortest_s, took_s);
    use->n_runs++;
}
