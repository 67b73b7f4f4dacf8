/* SPDX-License-Identifier: MIT */
/* Published memory: model states by formula, what DeepSpeed's estimators print, and measured
 * peaks. Rows name a number of parameters and no shape, so a stand-in of about that size is
 * built and its bytes taken in proportion. */
#include "error.h"
#include "validate_estimator.h"
#include "validate_rows.h"
#include "validate_stand_in.h"

#include <string.h>

typedef struct {
    const CsvRow *row;
    const char *source, *model, *stage, *offload, *quantity, *kind, *note;
    double parameters, measured_bytes;
    gint64 dp;
} MemoryRow;

static gboolean memory_row_read(const CsvRow *row, MemoryRow *m, GError **error)
{
    double value_GB = 0;
    *m = (MemoryRow){.row = row,
                     .source = csv_row_text(row, "source"),
                     .model = csv_row_text(row, "model"),
                     .stage = csv_row_text(row, "stage"),
                     .offload = csv_row_text(row, "offload"),
                     .quantity = csv_row_text(row, "quantity"),
                     .kind = csv_row_text(row, "kind"),
                     .note = csv_row_text(row, "note"),
                     .dp = 1};
    if (!csv_row_double(row, "params", 1, 1e15, &m->parameters, error) ||
        !csv_row_double(row, "value_GB", 0, 1e12, &value_GB, error) ||
        !csv_row_int(row, "dp", 1, 1 << 20, &m->dp, error))
        return FALSE;
    const char *unit = csv_row_text(row, "unit_def");
    m->measured_bytes = value_GB * (g_str_has_prefix(unit, "2^30") ? 1073741824.0 : 1e9);
    return TRUE;
}

/* The number behind a word of the note; `missing` where the note doesn't have it. */
static double note_number(const MemoryRow *m, const char *word, double missing)
{
    const char *at = csv_text_find(m->note, word);
    char *end;
    if (at == NULL)
        return missing;
    const double number = g_ascii_strtod(at + strlen(word), &end);
    return end == at + strlen(word) ? missing : number;
}

/* The same behind the first of several words that the note has. */
static double note_number_of(const MemoryRow *m, const char *const *words)
{
    for (; *words != NULL; words++) {
        const double number = note_number(m, *words, 0);
        if (number > 0)
            return number;
    }
    return 0;
}

static gboolean note_has(const MemoryRow *m, const char *const *words)
{
    for (; *words != NULL; words++)
        if (csv_text_find(m->note, *words) != NULL)
            return TRUE;
    return FALSE;
}

/* ---- DeepSpeed's estimators ---- */

/* "largest layer 32M params" or "largest layer 125 MB (4 B/param)". */
static double largest_layer(const MemoryRow *m)
{
    const char *at = csv_text_find(m->note, "largest layer ");
    if (at == NULL)
        return 0;
    char *end;
    const double number = g_ascii_strtod(at + strlen("largest layer "), &end);
    return g_str_has_prefix(g_strchug(end), "MB") ? number * 1048576 / 4 : number * 1e6;
}

static gboolean predict_estimator(Outcome *outcome, const MemoryRow *m, GError **error)
{
    const double n_nodes = MAX(note_number(m, "estimator on ", 1), 1);
    const EstimatorInput in = {
        .parameters = m->parameters,
        .largest_layer_parameters = largest_layer(m),
        .n_gpus = (int)m->dp,
        .gpus_per_node = (int)((double)m->dp / n_nodes),
        .stage3 = strcmp(m->stage, "zero3") == 0,
        .offload_optimizer = csv_text_find(m->offload, "optimizer") != NULL,
        .offload_parameters = csv_text_find(m->offload, "params") != NULL,
        .zero_init = note_number(m, "zero_init=", 1) != 0,
        .old = csv_text_find(m->note, "4*p+16*p/n") != NULL,
    };
    if (in.stage3 && in.largest_layer_parameters == 0) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_UNMODELLED,
                    "the row doesn't say how large the largest layer is");
        return FALSE;
    }
    outcome->predicted =
        csv_text_find(m->quantity, "cpu") ? estimator_cpu_bytes(&in) : estimator_gpu_bytes(&in);
    return TRUE;
}

/* ---- simulated ---- */

typedef enum {
    PART_MODEL_STATES, /* as the ZeRO paper counts them */
    PART_PERSISTENT,   /* categories that stay between steps */
    PART_AT_PEAK,      /* categories at the step's peak */
    PART_PEAK,         /* all but the framework's own */
    PART_RESERVED,
} Part;

/* What a quantity's text means: the first row whose word it contains. */
static const struct {
    const char *word;
    Part part;
    guint categories; /* bits */
    double factor;
    gboolean needs_batch; /* activations are part of it */
} quantities[] = {
#define BIT(category) (1u << (category))
    {"model states", PART_MODEL_STATES, 0, 1, FALSE},
    {"optimizer states", PART_PERSISTENT,
     BIT(MEMORY_OPTIMIZER_STATES) | BIT(MEMORY_MASTER_WEIGHTS), 1, FALSE},
    {"adamw m", PART_PERSISTENT, BIT(MEMORY_OPTIMIZER_STATES), 0.5, FALSE},
    {"adamw v", PART_PERSISTENT, BIT(MEMORY_OPTIMIZER_STATES), 0.5, FALSE},
    {"activation gradients", PART_AT_PEAK, 0, 1, FALSE},
    {"activations", PART_AT_PEAK, BIT(MEMORY_ACTIVATIONS), 1, TRUE},
    {"gradients", PART_AT_PEAK, BIT(MEMORY_GRADIENTS), 1, FALSE},
    {"parameters", PART_PERSISTENT, BIT(MEMORY_PARAMETERS), 1, FALSE},
    {"after creating model", PART_PERSISTENT, BIT(MEMORY_PARAMETERS), 1, FALSE},
    {"after ddp wrap", PART_AT_PEAK, BIT(MEMORY_PARAMETERS) | BIT(MEMORY_COMMUNICATION_BUFFERS),
     1, FALSE},
    {"before optimizer step", PART_AT_PEAK,
     BIT(MEMORY_PARAMETERS) | BIT(MEMORY_COMMUNICATION_BUFFERS) | BIT(MEMORY_GRADIENTS), 1,
     FALSE},
    {"after optimizer step", PART_PEAK, 0, 1, FALSE},
    {"nvidia-smi", PART_RESERVED, 0, 1, TRUE},
    {"reserved", PART_RESERVED, 0, 1, TRUE},
    {"peak", PART_PEAK, 0, 1, TRUE},
    {"allocated", PART_MODEL_STATES, 0, 1, FALSE},
#undef BIT
};

static int quantity_index(const MemoryRow *m)
{
    for (gsize i = 0; i < G_N_ELEMENTS(quantities); i++)
        if (csv_text_find(m->quantity, quantities[i].word) != NULL)
            return (int)i;
    return -1;
}

/* In proportion to parameters, but activations, which the batch decides. */
static double part_bytes(int quantity, const StandInMemory *memory, double scale)
{
    double bytes = 0;
    switch (quantities[quantity].part) {
    case PART_MODEL_STATES:
        return scale * memory->model_state_bytes;
    case PART_PERSISTENT:
    case PART_AT_PEAK:
        for (int k = 0; k < N_MEMORY_CATEGORIES; k++)
            if (quantities[quantity].categories & (1u << k))
                bytes += (k == MEMORY_ACTIVATIONS ? 1 : scale) *
                         (quantities[quantity].part == PART_PERSISTENT
                              ? memory->persistent_bytes[k]
                              : (double)memory->memory.by_category_at_peak[k]);
        return quantities[quantity].factor * bytes;
    case PART_PEAK:
        return scale * (double)(memory->memory.peak_bytes -
                                memory->memory.by_category_at_peak[MEMORY_FRAMEWORK]);
    case PART_RESERVED:
        return scale * (double)memory->memory.reserved_bytes;
    }
    g_assert_not_reached();
}

/* "fp32 Adam" is PyTorch's; else 16-bit training over fp32 states, DeepSpeed's where it says so
 * and shards, else as the ZeRO paper counts. */
static gboolean set_training(ValidateCase *c, const MemoryRow *m, GError **error)
{
    const gboolean fp32 = csv_text_find(m->note, "fp32 adam") != NULL;
    const gboolean fsdp = csv_text_find(m->quantity, "fsdp") != NULL;
    const gboolean sharded = g_str_has_prefix(m->stage, "zero");
    const gboolean measured = strcmp(m->kind, "measured") == 0;
    const gboolean deepspeed = measured && sharded && csv_text_find(m->source, "deepspeed");
    const char *stage = *m->stage != '\0' ? m->stage : "ddp";
    static const char *const checkpointed[] = {"activation ckpt", "activation checkpointing",
                                               "gradient checkpointing", "full recompute",
                                               NULL};
    static const char *const kept[] = {"no activation", "no gradient", "without activation",
                                       "without gradient", NULL};
    if (note_has(m, checkpointed) && !note_has(m, kept) &&
        !validate_case_set(c, error, "training.activation_checkpointing=full"))
        return FALSE;
    return validate_case_set(c, error, "training.strategy=%s", stage) &&
           validate_case_set(c, error, "training.framework=%s",
                             fp32 || fsdp ? "pytorch"
                             : deepspeed  ? "deepspeed"
                                          : "paper") &&
           validate_case_set(c, error, "training.precision=%s",
                             fp32        ? "fp32"
                             : fsdp      ? "autocast-bf16"
                             : deepspeed ? "fp16"
                                         : "bf16") &&
           validate_case_set(c, error, "training.optimizer=adam") &&
           /* PyTorch's recipe printed its figures before foreach was the default (1.12). */
           (!fp32 || validate_case_set(c, error, "training.optimizer_implementation=loop")) &&
           validate_case_set(c, error, "training.dropout=0");
}

/* The batch decides activations: a row that needs it and doesn't say is not predicted. */
static gboolean set_batch(ValidateCase *c, const MemoryRow *m, int quantity,
                          gint64 *sequence_length, GError **error)
{
    static const char *const batches[] = {
        "micro-batch ", "micro batch ", "mbs ",   "mbs=", "batch size ",
        "bs=",          "bs ",          "batch ", NULL};
    static const char *const lengths[] = {
        "sequence length ", "seq_len ", "seq len ", "seqlen ", "seq ", "x ", NULL};
    const double batch = note_number_of(m, batches);
    *sequence_length = 16;
    if (!quantities[quantity].needs_batch)
        return TRUE;
    *sequence_length = (gint64)note_number_of(m, lengths);
    if (batch < 1) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_UNMODELLED,
                    "the row gives no micro-batch, which activations depend on");
        return FALSE;
    }
    if (*sequence_length < 1) {
        *sequence_length = 1024;
        validate_case_assume(c, "sequences of 1024 tokens");
    }
    return validate_case_set(c, error, "training.micro_batch=%d", (int)batch);
}

/* Memory hardly depends on it. */
static const char *gpu_of_row(const MemoryRow *m)
{
    static const char *const gpus[] = {"V100-32GB", "V100", "H100",
                                       "H200",      "B200", "A100-40GB"};
    for (gsize i = 0; i < G_N_ELEMENTS(gpus); i++)
        if (csv_text_find(m->note, gpus[i]) != NULL ||
            csv_text_find(m->source, gpus[i]) != NULL)
            return i == 1 ? "V100-32GB" : gpus[i];
    return "A100-80GB";
}

/* Activations depend on the shape, so what was measured on a model that everybody knows is
 * compared with that one; model states don't. */
static ModelFacts model_of_row(ValidateCase *c, const MemoryRow *m, int quantity,
                               gint64 sequence_length)
{
    const ModelFacts facts = {
        .name = m->model, .parameters = m->parameters, .sequence_length = sequence_length};
    const gboolean shaped = quantities[quantity].needs_batch;
    g_autofree char *shipped = shaped ? validate_shipped_model(&facts) : NULL;
    if (shipped != NULL)
        return facts;
    validate_case_assume(c, "a GPT-2 of about as many parameters");
    return stand_in_model(m->parameters, sequence_length);
}

static gboolean case_build(ValidateCase *c, const MemoryRow *m, int quantity, GError **error)
{
    gint64 sequence_length;
    if (*m->offload != '\0' && strcmp(m->offload, "none") != 0) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_UNMODELLED,
                    "offload of the %s to the CPU is not modelled yet", m->offload);
        return FALSE;
    }
    if (!set_batch(c, m, quantity, &sequence_length, error))
        return FALSE;
    const ModelFacts model = model_of_row(c, m, quantity, sequence_length);
    return stand_in_platform(c, gpu_of_row(m), (int)m->dp, error) &&
           validate_case_model(c, &model, error) && set_training(c, m, error);
}

static gboolean predict_simulated(Outcome *outcome, const MemoryRow *m, GError **error)
{
    StandInMemory memory;
    const int quantity = quantity_index(m);
    if (quantity < 0 ||
        (quantities[quantity].part == PART_AT_PEAK && quantities[quantity].categories == 0)) {
        g_autofree char *quoted = error_quote(m->quantity);
        g_set_error(error, ZEROSIM_ERROR, ERROR_UNMODELLED, "the quantity %s is none of ours",
                    quoted);
        return FALSE;
    }
    g_autoptr(ValidateCase) c = validate_case_new(outcome, error);
    if (c == NULL || !case_build(c, m, quantity, error) || !stand_in_memory(c, &memory, error))
        return FALSE;
    outcome->predicted = part_bytes(quantity, &memory, m->parameters / memory.n_parameters);
    return TRUE;
}

/* ---- outcomes ---- */

static void describe(Outcome *outcome, const MemoryRow *m)
{
    const struct {
        char **text;
        const char *value;
    } texts[] = {{&outcome->source, m->source},
                 {&outcome->strategy, m->stage},
                 {&outcome->quality, csv_row_text(m->row, "quality")},
                 {&outcome->stack, m->kind}};
    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_free(*texts[i].text);
        *texts[i].text = g_strdup(texts[i].value);
    }
    outcome->n_gpus = (int)m->dp;
    outcome->parameters = m->parameters;
    if (m->measured_bytes > 0)
        outcome->measured = m->measured_bytes;
}

void validate_memory_row(const CsvRow *row, gboolean predict_it, GPtrArray *outcomes)
{
    MemoryRow m;
    GError *error = NULL;
    Outcome *outcome = outcome_new(VALIDATE_MEMORY, csv_row_text(row, "id"), "bytes", "B");
    g_ptr_array_add(outcomes, outcome);
    const gboolean read = memory_row_read(row, &m, &error);
    describe(outcome, &m);
    if (read && !predict_it)
        return;
    const gboolean estimator = csv_text_find(m.kind, "estimator") != NULL;
    if (!read || !(estimator ? predict_estimator(outcome, &m, &error)
                             : predict_simulated(outcome, &m, &error)))
        outcome_fail(outcome, error);
    outcome->parameters = m.parameters;
}
