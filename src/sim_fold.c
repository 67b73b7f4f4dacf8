/* SPDX-License-Identifier: MIT */
/* Partition refinement: ranks and groups begin with the colours of what they are, and get new
 * ones by the colours of whom they meet, until that tells no more of them apart. */
#include "sim_fold.h"

#include "error.h"

#include <string.h>

/* SimGrid's attributes that change over time, of elements that make one host or link of that
 * name. */
static const struct {
    const char *element, *attribute;
} varying_attributes[] = {
    {"host", "speed_file"},
    {"host", "availability_file"},
    {"link", "bandwidth_file"},
    {"link", "latency_file"},
};

typedef struct {
    const SimReplay *replay;
    int n_groups;
    int *rank_colour, *group_colour;
    int n_rank_colours, n_group_colours;
    int *group_of[MAX_COMMUNICATORS]; /* by rank: index of its group; -1: none */
} Refinement;

/* SimGrid would share links by their latency, and ends what runs where something fails. */
static const char *const refused_attributes[] = {"state_file", "latency_file"};
static const char *const refused_kinds[] = {"HOST_AVAIL", "LINK_AVAIL", "LATENCY"};

typedef struct {
    const char *file;
    GHashTable *names;
    gboolean any; /* <trace_connect> gives profiles by name, a <cluster> makes many hosts */
} Varying;

static const char *value_of(const char *attribute, const char **names, const char **values)
{
    for (; *names; names++, values++)
        if (g_str_equal(*names, attribute))
            return *values;
    return NULL;
}

static gboolean is_known_to_vary(const char *element, const char *attribute)
{
    for (gsize i = 0; i < G_N_ELEMENTS(varying_attributes); i++)
        if (g_str_equal(element, varying_attributes[i].element) &&
            g_str_equal(attribute, varying_attributes[i].attribute))
            return TRUE;
    return FALSE;
}

static void refuse(GMarkupParseContext *context, const Varying *varying, const char *what,
                   const char *id, GError **error)
{
    int line;
    if (*error)
        return;
    g_markup_parse_context_get_position(context, &line, NULL);
    g_autofree char *quoted = error_quote(id ? id : "");
    g_set_error(
        error, ZEROSIM_ERROR, ERROR_UNMODELLED,
        "%s:%d: %s of %s is not modelled: only speeds and bandwidths may change over time",
        varying->file, line, what, quoted);
}

static void element_begins(GMarkupParseContext *context, const char *element,
                           const char **names, const char **values, gpointer data,
                           GError **error)
{
    Varying *varying = data;
    const char *id = value_of("id", names, values);
    if (g_str_equal(element, "trace_connect")) {
        const char *kind = value_of("kind", names, values);
        varying->any = TRUE;
        for (gsize i = 0; kind && i < G_N_ELEMENTS(refused_kinds); i++)
            if (g_str_equal(kind, refused_kinds[i]))
                refuse(context, varying, kind, value_of("element", names, values), error);
    }
    for (const char **name = names; *name; name++) {
        if (!g_str_has_suffix(*name, "_file"))
            continue;
        for (gsize i = 0; i < G_N_ELEMENTS(refused_attributes); i++)
            if (g_str_equal(*name, refused_attributes[i]))
                refuse(context, varying, *name, id, error);
        varying->any |= id == NULL || !is_known_to_vary(element, *name);
        if (id == NULL)
            continue;
        g_hash_table_add(varying->names, g_strdup(id));
        g_hash_table_add(varying->names, g_strconcat(id, "_UP", NULL)); /* SPLITDUPLEX */
        g_hash_table_add(varying->names, g_strconcat(id, "_DOWN", NULL));
    }
}

/* What GMarkup can't read, a document type of its own or another encoding, may hold anything.
 */
gboolean sim_fold_varying(const Cluster *cluster, GHashTable **found, GError **error)
{
    static const GMarkupParser parser = {.start_element = element_begins};
    g_autoptr(GHashTable) names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GError) cause = NULL;
    Varying varying = {.file = cluster->xml_file, .names = names};
    gsize length;
    g_autofree char *xml = NULL;
    g_autoptr(GMarkupParseContext) context =
        g_markup_parse_context_new(&parser, G_MARKUP_DEFAULT_FLAGS, &varying, NULL);
    gboolean is_read = g_file_get_contents(cluster->xml_file, &xml, &length, NULL) &&
                       g_markup_parse_context_parse(context, xml, (gssize)length, &cause) &&
                       g_markup_parse_context_end_parse(context, &cause);
    *found = is_read && !varying.any ? g_steal_pointer(&names) : NULL;
    if (!cause || cause->domain != ZEROSIM_ERROR)
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&cause));
    return FALSE;
}

/* Colours are numbered by first use; takes the key. */
static int colour_of(GHashTable *colours, char *key)
{
    gpointer found;
    if (g_hash_table_lookup_extended(colours, key, NULL, &found)) {
        g_free(key);
        return GPOINTER_TO_INT(found);
    }
    int colour = (int)g_hash_table_size(colours);
    g_hash_table_insert(colours, key, GINT_TO_POINTER(colour));
    return colour;
}

static GHashTable *colours_new(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
}

static const SimGroup *group_at(const Refinement *refinement, int g)
{
    return g_ptr_array_index(refinement->replay->groups, g);
}

static char *rank_key_first(const Refinement *refinement, int rank)
{
    const SimReplay *replay = refinement->replay;
    const char *host = cluster_gpu(replay->cluster, rank)->gpu_host;
    if (replay->whole || (host && g_hash_table_contains(replay->varying, host)))
        return g_strdup_printf("rank %d", rank);
    return g_strdup_printf("%d %a", replay->job->program_of_rank[rank],
                           cluster_gpu(replay->cluster, rank)->speed);
}

static void colours_first(Refinement *refinement, const GPtrArray *behaviours)
{
    g_autoptr(GHashTable) ranks = colours_new();
    g_autoptr(GHashTable) groups = colours_new();
    for (int r = 0; r < refinement->replay->job->n_ranks; r++)
        refinement->rank_colour[r] = colour_of(ranks, rank_key_first(refinement, r));
    for (int g = 0; g < refinement->n_groups; g++) {
        const char *behaviour = g_ptr_array_index(behaviours, g);
        char *key = behaviour ? g_strdup_printf("%d %s", group_at(refinement, g)->communicator,
                                                behaviour)
                              : g_strdup_printf("group %d", g);
        refinement->group_colour[g] = colour_of(groups, key);
    }
    refinement->n_rank_colours = (int)g_hash_table_size(ranks);
    refinement->n_group_colours = (int)g_hash_table_size(groups);
}

static int int_compare(gconstpointer one, gconstpointer other)
{
    return *(const int *)one - *(const int *)other;
}

/* The members' colours in order, each once. */
static GArray *member_colours(const Refinement *refinement, int g)
{
    const SimGroup *group = group_at(refinement, g);
    GArray *colours = g_array_new(FALSE, FALSE, sizeof(int));
    guint n = 0;
    for (int m = 0; m < group->n_members; m++)
        g_array_append_val(colours, refinement->rank_colour[group->members[m]]);
    g_array_sort(colours, int_compare);
    for (guint i = 0; i < colours->len; i++)
        if (n == 0 || g_array_index(colours, int, i) != g_array_index(colours, int, n - 1))
            g_array_index(colours, int, n++) = g_array_index(colours, int, i);
    g_array_set_size(colours, n);
    return colours;
}

static int groups_recolour(Refinement *refinement)
{
    g_autoptr(GHashTable) colours = colours_new();
    for (int g = 0; g < refinement->n_groups; g++) {
        g_autoptr(GArray) members = member_colours(refinement, g);
        GString *key = g_string_new(NULL);
        g_string_append_printf(key, "%d:", refinement->group_colour[g]);
        for (guint i = 0; i < members->len; i++)
            g_string_append_printf(key, " %d", g_array_index(members, int, i));
        refinement->group_colour[g] = colour_of(colours, g_string_free(key, FALSE));
    }
    return (int)g_hash_table_size(colours);
}

static int ranks_recolour(Refinement *refinement)
{
    g_autoptr(GHashTable) colours = colours_new();
    for (int r = 0; r < refinement->replay->job->n_ranks; r++) {
        GString *key = g_string_new(NULL);
        g_string_append_printf(key, "%d:", refinement->rank_colour[r]);
        for (int c = 0; c < MAX_COMMUNICATORS; c++) {
            int g = refinement->group_of[c][r];
            g_string_append_printf(key, " %d", g < 0 ? -1 : refinement->group_colour[g]);
        }
        refinement->rank_colour[r] = colour_of(colours, g_string_free(key, FALSE));
    }
    return (int)g_hash_table_size(colours);
}

/* A colour once told apart stays so: when their numbers are the same, so are the partitions. */
static void refine(Refinement *refinement)
{
    int n_before;
    do {
        n_before = refinement->n_rank_colours + refinement->n_group_colours;
        refinement->n_group_colours = groups_recolour(refinement);
        refinement->n_rank_colours = ranks_recolour(refinement);
    } while (refinement->n_rank_colours + refinement->n_group_colours != n_before);
}

static void groups_index(Refinement *refinement)
{
    int n_ranks = refinement->replay->job->n_ranks;
    for (int c = 0; c < MAX_COMMUNICATORS; c++) {
        refinement->group_of[c] = g_new(int, n_ranks);
        for (int r = 0; r < n_ranks; r++)
            refinement->group_of[c][r] = -1;
    }
    for (int g = 0; g < refinement->n_groups; g++) {
        const SimGroup *group = group_at(refinement, g);
        for (int m = 0; m < group->n_members; m++)
            refinement->group_of[group->communicator][group->members[m]] = g;
    }
}

static SimFold *fold_of(const Refinement *refinement)
{
    SimFold *fold = g_new0(SimFold, 1);
    int n_ranks = refinement->replay->job->n_ranks;
    g_autofree int *first_of_colour = g_new(int, refinement->n_group_colours + 1);
    int n_seen = 0;
    fold->class_of_rank = g_memdup2(refinement->rank_colour, sizeof(int) * (gsize)n_ranks);
    fold->leader = g_new(int, refinement->n_rank_colours);
    for (int r = 0; r < n_ranks; r++)
        if (fold->class_of_rank[r] == fold->n_classes)
            fold->leader[fold->n_classes++] = r;
    fold->like = g_new(guint, refinement->n_groups + 1);
    fold->classes_of_group = g_ptr_array_new_with_free_func((GDestroyNotify)g_array_unref);
    for (int g = 0; g < refinement->n_groups; g++) {
        int colour = refinement->group_colour[g];
        if (colour == n_seen)
            first_of_colour[n_seen++] = g;
        fold->like[g] = (guint)first_of_colour[colour];
        g_ptr_array_add(fold->classes_of_group, member_colours(refinement, g));
    }
    return fold;
}

SimFold *sim_fold_new(const SimReplay *replay, const GPtrArray *behaviours)
{
    Refinement refinement = {.replay = replay, .n_groups = (int)replay->groups->len};
    g_autofree int *rank_colour = g_new(int, replay->job->n_ranks);
    g_autofree int *group_colour = g_new(int, refinement.n_groups + 1);
    refinement.rank_colour = rank_colour;
    refinement.group_colour = group_colour;
    groups_index(&refinement);
    colours_first(&refinement, behaviours);
    refine(&refinement);
    SimFold *fold = fold_of(&refinement);
    for (int c = 0; c < MAX_COMMUNICATORS; c++)
        g_free(refinement.group_of[c]);
    return fold;
}

void sim_fold_free(SimFold *fold)
{
    if (!fold)
        return;
    g_free(fold->class_of_rank);
    g_free(fold->leader);
    g_free(fold->like);
    g_ptr_array_unref(fold->classes_of_group);
    g_free(fold);
}
