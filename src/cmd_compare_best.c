/* SPDX-License-Identifier: MIT */
/* Memory says what is feasible, without simulation; of that, recomputing less at the same
 * micro-batch is never slower, so there is one candidate a micro-batch. They are simulated in
 * the order of their kernels' time, until that alone is longer than the best step. */
#include "cmd_compare_best.h"

#define N_CHECKPOINTINGS (CHECKPOINTING_FULL + 1)

typedef struct {
    Inputs *inputs;
    Strategy strategy;
    gint64 global_batch;
    gint64 largest[N_CHECKPOINTINGS]; /* micro-batch that fits; 0: none */
} Search;

static gint64 batch_per_rank(const Search *search)
{
    return search->global_batch / cluster_n_ranks(search->inputs->cluster);
}

static gboolean configure(const Search *search, gint64 micro_batch, Checkpointing checkpointing,
                          GError **error)
{
    const char *name = checkpointing_name(checkpointing);
    g_autofree char *strategy =
        g_strconcat("training.strategy=", strategy_name(search->strategy), NULL);
    g_autofree char *micro =
        g_strdup_printf("training.micro_batch=%" G_GINT64_FORMAT, micro_batch);
    g_autofree char *accumulation =
        g_strdup_printf("training.gradient_accumulation=%" G_GINT64_FORMAT,
                        batch_per_rank(search) / micro_batch);
    g_autofree char *global =
        g_strdup_printf("training.global_batch=%" G_GINT64_FORMAT, search->global_batch);
    g_autofree char *recompute = g_strconcat("training.activation_checkpointing=", name, NULL);
    const char *const assignments[] = {strategy, micro, accumulation, global, recompute, NULL};
    return inputs_set(search->inputs, assignments, error);
}

static gboolean find_largest(Search *search, GError **error)
{
    for (int c = 0; c < N_CHECKPOINTINGS; c++)
        if (!configure(search, 1, (Checkpointing)c, error) ||
            !inputs_largest_micro_batch(search->inputs, &search->largest[c], error))
            return FALSE;
    return TRUE;
}

/* The least checkpointing with which micro_batch fits; N_CHECKPOINTINGS: none. */
static int least_checkpointing(const Search *search, gint64 micro_batch)
{
    int c = 0;
    while (c < N_CHECKPOINTINGS && search->largest[c] < micro_batch)
        c++;
    return c;
}

typedef struct {
    gint64 micro_batch;
    Checkpointing checkpointing;
    double shortest_s; /* kernels alone */
} Candidate;

static int compare_candidates(gconstpointer a, gconstpointer b)
{
    const Candidate *x = a, *y = b;
    if (x->shortest_s != y->shortest_s)
        return x->shortest_s < y->shortest_s ? -1 : 1;
    return (x->micro_batch < y->micro_batch) - (x->micro_batch > y->micro_batch);
}

static gboolean add_candidate(const Search *search, gint64 micro_batch, int checkpointing,
                              GArray *candidates, GError **error)
{
    Candidate candidate = {.micro_batch = micro_batch,
                           .checkpointing = (Checkpointing)checkpointing};
    if (!configure(search, micro_batch, candidate.checkpointing, error) ||
        !predict_shortest_s(search->inputs, &candidate.shortest_s, error))
        return FALSE;
    g_array_append_val(candidates, candidate);
    return TRUE;
}

static GArray *find_candidates(const Search *search, GError **error)
{
    g_autoptr(GArray) candidates = g_array_new(FALSE, FALSE, sizeof(Candidate));
    gint64 per_rank = batch_per_rank(search);
    for (gint64 micro_batch = per_rank; micro_batch >= 1; micro_batch--) {
        int checkpointing = least_checkpointing(search, micro_batch);
        if (per_rank % micro_batch != 0 || checkpointing == N_CHECKPOINTINGS)
            continue;
        if (!add_candidate(search, micro_batch, checkpointing, candidates, error))
            return NULL;
    }
    if (candidates->len == 0 &&
        !add_candidate(search, 1, CHECKPOINTING_FULL, candidates, error))
        return NULL;
    g_array_sort(candidates, compare_candidates);
    return g_steal_pointer(&candidates);
}

/* Replaces *best when the candidate is faster. */
static gboolean try_candidate(const Search *search, const Candidate *candidate, Result **best,
                              GError **error)
{
    if (!configure(search, candidate->micro_batch, candidate->checkpointing, error))
        return FALSE;
    Result *result = predict(search->inputs, error);
    if (result == NULL)
        return FALSE;
    if (*best != NULL && (*best)->step_time_s <= result->step_time_s) {
        result_free(result);
        return TRUE;
    }
    result_free(*best);
    *best = result;
    return TRUE;
}

Result *cmd_compare_best(Inputs *inputs, Strategy strategy, gint64 global_batch,
                         CmdProgress *progress, GError **error)
{
    Search search = {.inputs = inputs, .strategy = strategy, .global_batch = global_batch};
    g_autofree char *what = g_strconcat("searching ", strategy_name(strategy), NULL);
    cmd_progress_set(progress, (int)strategy, N_STRATEGIES, what);
    if (!find_largest(&search, error))
        return NULL;
    g_autoptr(GArray) candidates = find_candidates(&search, error);
    if (candidates == NULL)
        return NULL;
    g_autoptr(Result) best = NULL;
    for (guint i = 0; i < candidates->len; i++) {
        const Candidate *candidate = &g_array_index(candidates, Candidate, i);
        if (best != NULL && candidate->shortest_s >= best->step_time_s)
            break;
        if (!try_candidate(&search, candidate, &best, error))
            return NULL;
    }
    return g_steal_pointer(&best);
}
