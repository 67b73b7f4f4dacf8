/* SPDX-License-Identifier: MIT */
/* Resolving how a model is trained: the experiment's keys over ds_config.json over the
 * framework's defaults. What DeepSpeed's file says is read in training_deepspeed.c, batch
 * arithmetic and precisions have files of their own. */
#include "training.h"

#include "error.h"
#include "training_batch.h"
#include "training_deepspeed.h"
#include "training_precision.h"
#include "training_pytorch.h"

#include <string.h>

/* What every step of the resolution needs. */
typedef struct {
    const Experiment *experiment;
    const DeepspeedConfig *config;
    int n_ranks;
    gboolean comparing;
    GPtrArray *warnings;
} Context;

const char *framework_name(Framework framework)
{
    static const char *const names[] = {"pytorch", "deepspeed", "paper"};
    return names[framework];
}

static const char *const strategy_names[N_STRATEGIES] = {"ddp", "zero1", "zero2", "zero3"};

const char *strategy_name(Strategy strategy)
{
    return strategy_names[strategy];
}

gboolean strategy_parse(const char *name, Strategy *strategy)
{
    for (int i = 0; i < N_STRATEGIES; i++)
        if (strcmp(name, strategy_names[i]) == 0) {
            *strategy = (Strategy)i;
            return TRUE;
        }
    return FALSE;
}

const char *checkpointing_name(Checkpointing checkpointing)
{
    static const char *const names[] = {"none", "selective", "full"};
    return names[checkpointing];
}

gboolean training_shards_optimizer_states(const Training *training)
{
    return training->strategy >= STRATEGY_ZERO1 ||
           (training->framework == FRAMEWORK_DEEPSPEED && training->deepspeed.bf16_optimizer);
}

gboolean training_shards_gradients(const Training *training)
{
    return training->strategy >= STRATEGY_ZERO2;
}

gboolean training_shards_parameters(const Training *training)
{
    return training->strategy >= STRATEGY_ZERO3 ||
           (training->framework == FRAMEWORK_PYTORCH && training->strategy == STRATEGY_ZERO2);
}

static G_GNUC_PRINTF(5, 6) gboolean
    fail(const Context *context, ErrorCode code, const char *name, GError **error,
         const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *what = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_autofree char *where = experiment_where(context->experiment, name);
    g_set_error(error, ZEROSIM_ERROR, (int)code, "%s: %s", where, what);
    return FALSE;
}

/* ---- what isn't modelled, what has no effect ---- */

/* A section of knobs and what it is for. */
static gboolean applies(const Training *training, const char *section)
{
    const gboolean pytorch = training->framework == FRAMEWORK_PYTORCH;
    if (strcmp(section, "ddp") == 0)
        return pytorch && !training_shards_parameters(training);
    if (strcmp(section, "fsdp") == 0)
        return pytorch && training_shards_parameters(training);
    if (strcmp(section, "deepspeed") == 0)
        return training->framework == FRAMEWORK_DEEPSPEED;
    return TRUE;
}

static void warn_without_effect(const Context *context, const Training *training)
{
    if (context->comparing || !context->warnings)
        return;
    for (int i = 0; i < experiment_n_keys; i++) {
        const ExperimentKey *key = &experiment_keys[i];
        g_autofree char *name = g_strconcat(key->section, ".", key->key, NULL);
        if (applies(training, key->section) || !experiment_is_own(context->experiment, name))
            continue;
        g_autofree char *where = experiment_where(context->experiment, name);
        g_ptr_array_add(context->warnings,
                        g_strdup_printf("%s: no effect with framework %s, strategy %s", where,
                                        framework_name(training->framework),
                                        strategy_name(training->strategy)));
    }
    if (!applies(training, "deepspeed") && json_object_size(context->experiment->deepspeed) > 0)
        g_ptr_array_add(
            context->warnings,
            g_strdup_printf("%s: [deepspeed]: no effect with framework %s",
                            context->experiment->file ? context->experiment->file : "-s",
                            framework_name(training->framework)));
}

/* ---- strategy ---- */

static PrecisionName choose_precision(const Context *context, Framework framework)
{
    const int name = experiment_choice(context->experiment, "training.precision");
    if (name >= 0)
        return (PrecisionName)name;
    if (context->config->bf16 > 0)
        return PRECISION_BF16;
    if (context->config->fp16 > 0)
        return PRECISION_FP16;
    return framework == FRAMEWORK_PAPER ? PRECISION_BF16 : PRECISION_FP32;
}

static gboolean check_stage(const Context *context, const Training *training, GError **error)
{
    const int stage = context->config->stage;

    if (context->comparing)
        return TRUE;
    if (stage >= 0 && stage != (int)training->strategy)
        return fail(context, ERROR_INPUT, "training.strategy", error,
                    "%s contradicts \"stage\": %d of the DeepSpeed configuration",
                    strategy_name(training->strategy), stage);
    return TRUE;
}

static gboolean resolve_strategy(const Context *context, Training *training, GError **error)
{
    const Experiment *experiment = context->experiment;
    int strategy = experiment_choice(experiment, "training.strategy");

    training->framework = (Framework)experiment_choice(experiment, "training.framework");
    if (strategy < 0)
        strategy = context->config->stage;
    if (strategy < 0)
        return fail(context, ERROR_INPUT, "training.strategy", error,
                    "missing: must be one of ddp, zero1, zero2, zero3");
    training->strategy = (Strategy)strategy;
    if (training->framework != FRAMEWORK_DEEPSPEED)
        return TRUE;
    return check_stage(context, training, error);
}

/* ---- precision ---- */

/* _MixedPrecision(param_dtype): low-precision copies of fp32 parameters, gradients reduced in
 * that type and widened behind the reduction. */
static gboolean resolve_native_mixed_precision(const Context *context, Training *training,
                                               GError **error)
{
    static const DType dtypes[] = {DTYPE_FP32, DTYPE_BF16, DTYPE_FP16};
    const int choice = experiment_choice(context->experiment, "ddp.mixed_precision");
    Precision *precision = &training->precision;

    if (choice <= 0 || !applies(training, "ddp"))
        return TRUE;
    if (precision->parameter != DTYPE_FP32 || precision->autocast)
        return fail(context, ERROR_INPUT, "ddp.mixed_precision", error,
                    "casts fp32 parameters itself: say training.precision = fp32");
    precision->forward = precision->compute = precision->reduce = dtypes[choice];
    return TRUE;
}

/* The types on the wire of a gradient reduction and of accumulated gradients. */
static gboolean resolve_reduce_dtype(const Context *context, Training *training, GError **error)
{
    static const DType dtypes[] = {DTYPE_FP32, DTYPE_BF16, DTYPE_FP16};
    const int choice = experiment_choice(context->experiment, "training.reduce_dtype");
    const gboolean deepspeed = training->framework == FRAMEWORK_DEEPSPEED;
    Precision *precision = &training->precision;

    if (deepspeed && context->config->communication_data_type >= 0)
        precision->reduce = (DType)context->config->communication_data_type;
    const gboolean native_ddp =
        applies(training, "ddp") && precision->forward != precision->parameter;
    if (choice >= 0 && (deepspeed || native_ddp || applies(training, "fsdp")))
        precision->reduce = dtypes[choice];
    else if (choice >= 0 && !context->comparing)
        return fail(context, ERROR_INPUT, "training.reduce_dtype", error,
                    "has no meaning with framework %s, strategy %s",
                    framework_name(training->framework), strategy_name(training->strategy));
    training->deepspeed.communication_data_type = precision->reduce;
    return TRUE;
}

static gboolean resolve_precision(const Context *context, Training *training, GError **error)
{
    g_autoptr(GError) reason = NULL;
    const Framework framework = training->framework;
    PrecisionName name = choose_precision(context, framework);

    if (!precision_resolve(framework, training->strategy, name, &training->precision, &reason))
        return fail(context, (ErrorCode)reason->code, "training.precision", error, "%s",
                    reason->message);
    /* The row of a comparison that DeepSpeed has no counterpart of. */
    if (context->comparing && framework == FRAMEWORK_DEEPSPEED &&
        training->strategy == STRATEGY_DDP) {
        static const PrecisionName autocast[N_PRECISIONS] = {
            PRECISION_FP32,          PRECISION_AUTOCAST_BF16, PRECISION_AUTOCAST_FP16,
            PRECISION_AUTOCAST_BF16, PRECISION_AUTOCAST_FP16, PRECISION_FP8};
        training->framework = FRAMEWORK_PYTORCH;
        name = autocast[name];
        if (!precision_resolve(FRAMEWORK_PYTORCH, STRATEGY_DDP, name, &training->precision,
                               error))
            return FALSE;
    }
    if (!resolve_native_mixed_precision(context, training, error) ||
        !resolve_reduce_dtype(context, training, error))
        return FALSE;
    const char *file = experiment_string(context->experiment, "training.deepspeed_config");
    return training->framework != FRAMEWORK_DEEPSPEED ||
           deepspeed_rules_apply(context->config, file ? file : "deepspeed", training,
                                 context->warnings, error);
}

/* ---- batch ---- */

static const BatchNames batch_keys = {
    NULL, "training.micro_batch", "training.gradient_accumulation", "training.global_batch"};

/* 0: not given. By the user, or by a launcher's file. */
static gint64 given_int(const Context *context, const char *name, gboolean own)
{
    return experiment_is_set(context->experiment, name) &&
                   experiment_is_own(context->experiment, name) == own
               ? experiment_int(context->experiment, name)
               : 0;
}

static Batch given_batch(const Context *context, const BatchNames *names, gboolean own)
{
    return (Batch){given_int(context, names->micro_batch, own),
                   given_int(context, names->accumulation, own),
                   given_int(context, names->global_batch, own)};
}

/* What a launcher's file says must agree before the user's own sizes go on top. */
static gboolean resolve_imported_batch(const Context *context, Batch *imported, Batch *batch,
                                       GError **error)
{
    const char *file = experiment_string(context->experiment, "training.torchtitan_config");
    const BatchNames members = {file, "training.local_batch_size", "accumulation",
                                "training.global_batch_size"};
    *imported = given_batch(context, &batch_keys, FALSE);
    return (!imported->micro_batch && !imported->global_batch) ||
           batch_resolve(batch, imported, context->n_ranks, &members, error);
}

static gboolean resolve_batch(const Context *context, Training *training, GError **error)
{
    BatchNames names = batch_keys;
    Batch given = given_batch(context, &names, TRUE), batch = context->config->batch, imported;

    names.place = context->experiment->file ? context->experiment->file : "-s";
    /* With the other two given there is but one micro-batch to choose from. */
    training->micro_batch_auto =
        given.micro_batch < 0 && !(given.accumulation && given.global_batch);
    if (given.micro_batch < 0)
        given.micro_batch = training->micro_batch_auto ? 1 : 0;
    if (!resolve_imported_batch(context, &imported, &batch, error))
        return FALSE;
    /* A launcher that fixes the global batch derives the accumulation. */
    if (imported.global_batch && !given.accumulation && !given.global_batch)
        given.global_batch = imported.global_batch;
    if (!batch_resolve(&batch, &given, context->n_ranks, &names, error))
        return FALSE;
    training->micro_batch = batch.micro_batch;
    training->gradient_accumulation = batch.accumulation;
    training->global_batch = batch.global_batch;
    training->global_batch_fixed = given.global_batch > 0;
    return TRUE;
}

gboolean training_set_micro_batch(Training *training, int n_ranks, gint64 micro_batch,
                                  GError **error)
{
    static const BatchNames names = {"training", "micro_batch", "gradient_accumulation",
                                     "global_batch"};
    Batch batch = {0, training->gradient_accumulation, 0};
    const Batch given = {micro_batch, 0,
                         training->global_batch_fixed ? training->global_batch : 0};

    if (!batch_resolve(&batch, &given, n_ranks, &names, error))
        return FALSE;
    training->micro_batch = batch.micro_batch;
    training->gradient_accumulation = batch.accumulation;
    training->global_batch = batch.global_batch;
    return TRUE;
}

/* ---- optimizer ---- */

/* DeepSpeed's engine (_configure_basic_optimizer): Adam is AdamW unless adam_w_mode is false,
 * and FusedAdam unless torch_adam is true. */
static OptimizerKind choose_optimizer(const Context *context)
{
    const DeepspeedConfig *config = context->config;
    const int kind = experiment_choice(context->experiment, "training.optimizer");

    if (experiment_is_set(context->experiment, "training.optimizer") || config->optimizer < 0)
        return (OptimizerKind)kind;
    if (config->optimizer == OPTIMIZER_ADAM && config->adam_w_mode != FALSE)
        return OPTIMIZER_ADAMW;
    return (OptimizerKind)config->optimizer;
}

static double choose_weight_decay(const Context *context, OptimizerKind kind)
{
    if (experiment_is_set(context->experiment, "training.weight_decay"))
        return experiment_double(context->experiment, "training.weight_decay");
    if (context->config->weight_decay >= 0)
        return context->config->weight_decay;
    return kind == OPTIMIZER_ADAMW ? 0.01 : 0;
}

static gboolean resolve_optimizer(const Context *context, Training *training, GError **error)
{
    const char *key = "training.optimizer_implementation";
    const int choice = experiment_choice(context->experiment, key);
    const gboolean foreach = training->framework == FRAMEWORK_PYTORCH ||
                             (choice < 0 && context->config->torch_adam > 0);
    Optimizer *optimizer = &training->optimizer;

    optimizer->kind = choose_optimizer(context);
    optimizer->weight_decay = choose_weight_decay(context, optimizer->kind);
    optimizer->implementation = foreach ? IMPLEMENTATION_FOREACH : IMPLEMENTATION_FUSED;
    /* The frameworks take what there is, too. */
    if (!optimizer_has(optimizer->kind, optimizer->implementation))
        optimizer->implementation = foreach ? IMPLEMENTATION_FUSED : IMPLEMENTATION_FOREACH;
    if (choice >= 0)
        optimizer->implementation = (Implementation)choice;
    if (!optimizer_has(optimizer->kind, optimizer->implementation))
        return fail(
            context, ERROR_INPUT, key, error, "there is no %s %s: must be %s",
            implementation_name(optimizer->implementation), optimizer_name(optimizer->kind),
            optimizer->implementation == IMPLEMENTATION_FUSED ? "foreach or loop" : "fused");
    return TRUE;
}

/* ---- knobs ---- */

static void resolve_deepspeed(const Context *context, Training *training)
{
    const int overlap = context->config->overlap_comm;

    training->deepspeed = context->config->knobs;
    training->deepspeed.leaf_modules =
        (LeafModules)experiment_choice(context->experiment, "deepspeed.leaf_modules");
    training->deepspeed.overlap_comm =
        overlap >= 0 ? overlap : training->strategy == STRATEGY_ZERO3;
}

static void resolve_rest(const Context *context, Training *training)
{
    const Experiment *experiment = context->experiment;

    training->compile = experiment_bool(experiment, "training.compile");
    training->checkpointing =
        (Checkpointing)experiment_choice(experiment, "training.activation_checkpointing");
    training->checkpointing_early_stop =
        experiment_is_set(experiment, "training.checkpointing_early_stop")
            ? experiment_bool(experiment, "training.checkpointing_early_stop")
            : training->framework == FRAMEWORK_PYTORCH;
    training->fp8_except = experiment_string(experiment, "training.fp8_except");
    training->attention = (Attention)experiment_choice(experiment, "training.attention");
    training->gradient_clipping = experiment_double(experiment, "training.gradient_clipping");
    if (!experiment_is_set(experiment, "training.gradient_clipping") &&
        context->config->gradient_clipping >= 0)
        training->gradient_clipping = context->config->gradient_clipping;
    training->dropout = experiment_is_set(experiment, "training.dropout")
                            ? experiment_double(experiment, "training.dropout")
                            : -1;
    training->sequence_length = experiment_int(experiment, "model.sequence_length");
}

static gboolean read_deepspeed(const Context *context, gint64 hidden_size,
                               DeepspeedConfig *config, GError **error)
{
    const char *name = "training.deepspeed_config";
    const Experiment *experiment = context->experiment;

    if (experiment_choice(experiment, "training.framework") == FRAMEWORK_DEEPSPEED)
        return deepspeed_config_read(experiment, context->n_ranks, hidden_size,
                                     context->warnings, config, error);
    if (experiment_is_set(experiment, name))
        return fail(context, ERROR_INPUT, name, error, "needs training.framework = deepspeed");
    deepspeed_config_init(config);
    return TRUE;
}

Training *training_build(const Experiment *experiment, int n_ranks, gint64 hidden_size,
                         gboolean comparing, GPtrArray *warnings, GError **error)
{
    g_autoptr(Training) training = g_new0(Training, 1);
    DeepspeedConfig config;
    const Context context = {experiment, &config, n_ranks, comparing, warnings};

    g_assert(n_ranks > 0 && hidden_size >= 0);
    if (!read_deepspeed(&context, hidden_size, &config, error) ||
        !resolve_strategy(&context, training, error))
        return NULL;
    resolve_deepspeed(&context, training);
    if (!resolve_precision(&context, training, error) ||
        !resolve_batch(&context, training, error) ||
        !resolve_optimizer(&context, training, error))
        return NULL;
    training->deepspeed.loss_scaling =
        training->framework == FRAMEWORK_DEEPSPEED && training->precision.compute == DTYPE_FP16;
    if (!training_ddp_resolve(experiment, &training->ddp, error))
        return NULL;
    training_fsdp_resolve(experiment, training->strategy, &training->fsdp);
    resolve_rest(&context, training);
    warn_without_effect(&context, training);
    if (!comparing && warnings && training->framework == FRAMEWORK_DEEPSPEED)
        deepspeed_warn_without_effect(training, warnings);
    return g_steal_pointer(&training);
}

void training_free(Training *training)
{
    g_free(training);
}

ModelOptions training_model_options(const Training *training)
{
    return (ModelOptions){
        .micro_batch = training->micro_batch,
        .sequence_length = training->sequence_length,
        .parameter = training->precision.forward,
        .compute = training->precision.compute,
        .autocast = training->precision.autocast,
        .attention = training->attention,
        .dropout = training->dropout,
        .compile = training->compile,
        .fp8_except = training->fp8_except,
    };
}
