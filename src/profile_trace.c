/* SPDX-License-Identifier: MIT */
/* torch.profiler's Chrome trace as an overlay. An operator's record (cat "cpu_op") has the
 * shapes of its inputs; the kernels that it launched (cat "kernel") carry its External id and
 * their durations. Operators of the table below become measured kernels, at the median over
 * their calls; the others are left out, and a warning says which share of the kernels' time was
 * used. The trace must have been recorded with record_shapes=True. */
#include "profile_trace.h"

#include "error.h"

#include <string.h>

#define LARGEST_SIZE (G_GINT64_CONSTANT(1) << 50)
#define SECONDS_A_MICROSECOND 1e-6

typedef struct {
    const char *name;
    KernelOp op;
    int input;             /* the tensor that gives the shape */
    int causal;            /* attention: the argument that says so */
    gboolean heads_second; /* attention: batch, heads, sequence, depth; else sequence first */
    gboolean (*shape)(const json_t *args, const void *row, Kernel *kernel);
} OperatorRow;

static const json_t *member(const json_t *args, const char *name, int input)
{
    return json_array_get(json_object_get(args, name), (size_t)input);
}

/* 0 where there is no such dimension, which no kernel may have. */
static gint64 size_of(const json_t *args, int input, size_t axis)
{
    const gint64 size =
        json_integer_value(json_array_get(member(args, "Input Dims", input), axis));
    return size >= 0 && size <= LARGEST_SIZE ? size : 0;
}

static size_t n_axes(const json_t *args, int input)
{
    return json_array_size(member(args, "Input Dims", input));
}

static gboolean read_dtype(const json_t *args, int input, DType *dtype)
{
    static const struct {
        const char *name;
        DType dtype;
    } types[] = {
        {"c10::BFloat16", DTYPE_BF16}, {"c10::Half", DTYPE_FP16}, {"float", DTYPE_FP32}};
    const char *name = json_string_value(member(args, "Input type", input));
    for (gsize i = 0; name && i < G_N_ELEMENTS(types); i++) {
        if (strcmp(types[i].name, name) == 0) {
            *dtype = types[i].dtype;
            return TRUE;
        }
    }
    return FALSE;
}

static gint64 stride_of(const json_t *args, int input, size_t axis)
{
    return json_integer_value(json_array_get(member(args, "Input Strides", input), axis));
}

/* By which axis of each operand is contiguous; a trace without strides is read as forward. */
static GemmLayout layout_of(const json_t *args, int a, int b, size_t first)
{
    if (!json_object_get(args, "Input Strides") || stride_of(args, b, first) == 1)
        return GEMM_TN;
    return stride_of(args, a, first) == 1 ? GEMM_NT : GEMM_NN;
}

/* (batch) m k times (batch) k n; `input` is the first of the two. */
static gboolean product_shape(const json_t *args, const void *data, Kernel *kernel)
{
    const OperatorRow *row = data;
    const int a = row->input, b = row->input + 1;
    const size_t first = n_axes(args, a) == 3 ? 1 : 0;
    if (n_axes(args, a) != first + 2 || n_axes(args, b) != first + 2)
        return FALSE;
    kernel->dimension[0] = first ? size_of(args, a, 0) : 1;
    kernel->dimension[1] = size_of(args, a, first);
    kernel->dimension[2] = size_of(args, b, first + 1);
    kernel->dimension[3] = size_of(args, a, first + 1);
    kernel->dimension[4] = layout_of(args, a, b, first);
    return TRUE;
}

static gboolean attention_shape(const json_t *args, const void *data, Kernel *kernel)
{
    const OperatorRow *row = data;
    const size_t heads = row->heads_second ? 1 : 2, sequence = row->heads_second ? 2 : 1;
    const char *causal = json_string_value(member(args, "Concrete Inputs", row->causal));
    if (n_axes(args, row->input) != 4 || !causal)
        return FALSE;
    kernel->dimension[0] = size_of(args, row->input, 0);
    kernel->dimension[1] = size_of(args, row->input, sequence);
    kernel->dimension[2] = size_of(args, row->input, heads);
    kernel->dimension[3] = size_of(args, row->input + 1, heads);
    kernel->dimension[4] = size_of(args, row->input, 3);
    kernel->dimension[5] = strcmp(causal, "True") == 0;
    return TRUE;
}

/* Rows of the last axis. */
static gboolean rows_shape(const json_t *args, const void *data, Kernel *kernel)
{
    const OperatorRow *row = data;
    const size_t n = n_axes(args, row->input);
    double rows = 1;
    if (n < 2)
        return FALSE;
    for (size_t axis = 0; axis + 1 < n; axis++)
        rows *= (double)size_of(args, row->input, axis);
    if (rows > (double)LARGEST_SIZE)
        return FALSE;
    kernel->dimension[0] = (gint64)rows;
    kernel->dimension[1] = size_of(args, row->input, n - 1);
    return TRUE;
}

/* Both of one shape: anything else broadcasts. */
static gboolean sum_shape(const json_t *args, const void *data, Kernel *kernel)
{
    return json_equal(member(args, "Input Dims", 0), member(args, "Input Dims", 1)) &&
           rows_shape(args, data, kernel);
}

/* The innermost operators, which own the kernels (aten/src/ATen/native/native_functions.yaml).
 */
static const OperatorRow operators[] = {
    {"aten::mm", KERNEL_GEMM, 0, 0, FALSE, product_shape},
    {"aten::addmm", KERNEL_GEMM, 1, 0, FALSE, product_shape},
    {"aten::bmm", KERNEL_GEMM, 0, 0, FALSE, product_shape},
    {"aten::_flash_attention_forward", KERNEL_ATTENTION_FORWARD, 0, 8, FALSE, attention_shape},
    {"aten::_flash_attention_backward", KERNEL_ATTENTION_BACKWARD, 1, 11, FALSE,
     attention_shape},
    {"aten::_cudnn_attention_forward", KERNEL_CUDNN_ATTENTION_FORWARD, 0, 10, TRUE,
     attention_shape},
    {"aten::_cudnn_attention_backward", KERNEL_CUDNN_ATTENTION_BACKWARD, 1, 14, TRUE,
     attention_shape},
    /* Of releases whose operator above isn't there yet, or is a part of this one. */
    {"aten::_scaled_dot_product_cudnn_attention", KERNEL_CUDNN_ATTENTION_FORWARD, 0, 6, TRUE,
     attention_shape},
    {"aten::_scaled_dot_product_cudnn_attention_backward", KERNEL_CUDNN_ATTENTION_BACKWARD, 1,
     14, TRUE, attention_shape},
    /* flash_attn/flash_attn_interface.py of the flash-attn package */
    {"flash_attn::_flash_attn_forward", KERNEL_ATTENTION_FORWARD, 0, 5, FALSE, attention_shape},
    {"flash_attn::_flash_attn_backward", KERNEL_ATTENTION_BACKWARD, 1, 11, FALSE,
     attention_shape},
    {"aten::native_layer_norm", KERNEL_LAYERNORM_FORWARD, 0, 0, FALSE, rows_shape},
    {"aten::native_layer_norm_backward", KERNEL_LAYERNORM_BACKWARD, 0, 0, FALSE, rows_shape},
    {"aten::gelu", KERNEL_GELU_FORWARD, 0, 0, FALSE, rows_shape},
    {"aten::gelu_backward", KERNEL_GELU_BACKWARD, 0, 0, FALSE, rows_shape},
    {"aten::native_dropout", KERNEL_DROPOUT_FORWARD, 0, 0, FALSE, rows_shape},
    {"aten::native_dropout_backward", KERNEL_DROPOUT_BACKWARD, 0, 0, FALSE, rows_shape},
    {"aten::add", KERNEL_ADD, 0, 0, FALSE, sum_shape},
};

static gboolean shape_is_whole(const Kernel *kernel)
{
    const char *const *names = kernel_dimension_names(kernel->op);
    for (int i = 0; i < KERNEL_MAX_DIMENSIONS && names[i]; i++) {
        const gboolean may_be_zero =
            kernel_dimension_is_optional(names[i]) || strcmp(names[i], "causal") == 0;
        if (kernel->dimension[i] <= 0 && !may_be_zero)
            return FALSE;
    }
    return TRUE;
}

static gboolean kernel_of(const json_t *event, Kernel *kernel)
{
    const char *name = json_string_value(json_object_get(event, "name"));
    const json_t *args = json_object_get(event, "args");
    for (gsize i = 0; name && i < G_N_ELEMENTS(operators); i++) {
        const OperatorRow *row = &operators[i];
        if (strcmp(row->name, name) != 0)
            continue;
        *kernel = (Kernel){.op = row->op};
        return read_dtype(args, row->input, &kernel->dtype) && row->shape(args, row, kernel) &&
               shape_is_whole(kernel);
    }
    return FALSE;
}

/* One call of an operator. */
typedef struct {
    Kernel kernel;
    double time_s; /* of the kernels it launched */
} Call;

static gboolean category_is(const json_t *event, const char *category)
{
    const char *is = json_string_value(json_object_get(event, "cat"));
    return is && strcmp(is, category) == 0;
}

/* NCCL's kernels wait for other ranks; a profile is of one GPU. */
static gboolean is_collective(const json_t *event)
{
    const char *name = json_string_value(json_object_get(event, "name"));
    return name && g_str_has_prefix(name, "nccl");
}

static gint64 external_id(const json_t *event)
{
    return json_integer_value(json_object_get(json_object_get(event, "args"), "External id"));
}

static void add_call(GHashTable *calls, const json_t *event)
{
    Call call = {.time_s = 0};
    if (kernel_of(event, &call.kernel)) {
        gint64 *id = g_new(gint64, 1);
        *id = external_id(event);
        g_hash_table_insert(calls, id, g_memdup2(&call, sizeof call));
    }
}

/* Returns the kernel's seconds, and how many of them have found their operator. */
static double add_kernel(GHashTable *calls, const json_t *event, double *used_s)
{
    const double time_s =
        json_number_value(json_object_get(event, "dur")) * SECONDS_A_MICROSECOND;
    const gint64 id = external_id(event);
    Call *call = g_hash_table_lookup(calls, &id);
    if (!(time_s > 0))
        return 0;
    if (call) {
        call->time_s += time_s;
        *used_s += time_s;
    }
    return time_s;
}

static int compare_times(gconstpointer a, gconstpointer b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void add_entries(GHashTable *calls, Profile *profile)
{
    g_autoptr(GHashTable) times =
        g_hash_table_new_full(kernel_hash, kernel_equal, g_free, (GDestroyNotify)g_array_unref);
    GHashTableIter iter;
    gpointer key, value;
    g_hash_table_iter_init(&iter, calls);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const Call *call = value;
        GArray *list = g_hash_table_lookup(times, &call->kernel);
        if (call->time_s <= 0)
            continue;
        if (!list) {
            list = g_array_new(FALSE, FALSE, sizeof(double));
            g_hash_table_insert(times, g_memdup2(&call->kernel, sizeof(Kernel)), list);
        }
        g_array_append_val(list, call->time_s);
    }
    g_hash_table_iter_init(&iter, times);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        GArray *list = value;
        g_array_sort(list, compare_times);
        const double median_s = g_array_index(list, double, list->len / 2);
        const ProfileEntry entry = {.kernel = *(Kernel *)key,
                                    .time_s = median_s,
                                    .sustained_s = median_s, /* a step is a long run */
                                    .source = TIME_MEASURED};
        profile_add_entry(profile, &entry);
    }
}

gboolean profile_trace_read(const JsonIn *root, Profile *profile, GPtrArray *warnings,
                            GError **error)
{
    const json_t *events = json_object_get(root->object, "traceEvents");
    g_autoptr(GHashTable) calls =
        g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free);
    double used_s = 0, all_s = 0;
    for (size_t i = 0; i < json_array_size(events); i++) {
        if (category_is(json_array_get(events, i), "cpu_op"))
            add_call(calls, json_array_get(events, i));
    }
    for (size_t i = 0; i < json_array_size(events); i++) {
        if (category_is(json_array_get(events, i), "kernel") &&
            !is_collective(json_array_get(events, i)))
            all_s += add_kernel(calls, json_array_get(events, i), &used_s);
    }
    if (used_s <= 0) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                    "%s: traceEvents: no kernel belongs to an operator that is known; record "
                    "the trace of a step with record_shapes=True",
                    root->file);
        return FALSE;
    }
    add_entries(calls, profile);
    g_ptr_array_add(warnings, g_strdup_printf("%s: kernels of %.0f %% of the traced time are "
                                              "used, the others have no place in a profile",
                                              root->file, 100 * used_s / all_s));
    return TRUE;
}
