/* SPDX-License-Identifier: MIT */
/* A GPU kernel as the models describe it and as profiles measure it: an operation, a data type
 * and a shape, with the floating-point operations and the memory traffic that follow from them.
 * How long a kernel takes is the profile's business. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef enum { DTYPE_FP32, DTYPE_TF32, DTYPE_BF16, DTYPE_FP16, DTYPE_FP8, N_DTYPES } DType;

/* One row each in kernel.c's table: name, dimensions, flops, traffic, launches. A name ends in
 * _forward or _backward where both exist. */
typedef enum {
    KERNEL_GEMM,               /* batch m n k layout: C[m,n] = A[m,k] B[k,n], batch times */
    KERNEL_ATTENTION_FORWARD,  /* batch sequence heads kv_heads head_dim causal (fused) */
    KERNEL_ATTENTION_BACKWARD, /* same dimensions; flash: 2.5 times the forward */
    KERNEL_CUDNN_ATTENTION_FORWARD, /* same dimensions, cuDNN's kernels */
    KERNEL_CUDNN_ATTENTION_BACKWARD,
    KERNEL_WINDOW_ATTENTION_FORWARD, /* batch sequence heads kv_heads head_dim window: causal,
                                        each token sees the last `window` (FlashAttention) */
    KERNEL_WINDOW_ATTENTION_BACKWARD,
    KERNEL_FLASH1_ATTENTION_FORWARD, /* as attention_forward, FlashAttention 1 */
    KERNEL_FLASH1_ATTENTION_BACKWARD,
    KERNEL_CONVOLUTION_FORWARD, /* images in_channels out_channels kernel_size in_size out_size:
                                   square filters and maps */
    KERNEL_CONVOLUTION_BACKWARD_INPUT,
    KERNEL_CONVOLUTION_BACKWARD_WEIGHT,
    KERNEL_SOFTMAX_FORWARD, /* rows width, fp32 inside (eager attention) */
    KERNEL_SOFTMAX_BACKWARD,
    KERNEL_LAYERNORM_FORWARD, /* rows width */
    KERNEL_LAYERNORM_BACKWARD,
    KERNEL_RMSNORM_FORWARD, /* rows width, one fused kernel */
    KERNEL_RMSNORM_BACKWARD,
    KERNEL_RMSNORM_PYTHON_FORWARD, /* rows width: HF's fp32 chain of elementwise kernels */
    KERNEL_RMSNORM_PYTHON_BACKWARD,
    KERNEL_BATCHNORM_FORWARD, /* rows width: rows are images x pixels, width the channels */
    KERNEL_BATCHNORM_BACKWARD,
    KERNEL_MAXPOOL_FORWARD, /* images channels in_size out_size: square maps */
    KERNEL_MAXPOOL_BACKWARD,
    KERNEL_AVGPOOL_FORWARD, /* images channels in_size out_size */
    KERNEL_AVGPOOL_BACKWARD,
    KERNEL_RELU_FORWARD, /* rows width */
    KERNEL_RELU_BACKWARD,
    KERNEL_GELU_FORWARD, /* rows width */
    KERNEL_GELU_BACKWARD,
    KERNEL_GELU_PYTHON_FORWARD, /* rows width: gelu_new as a chain of elementwise kernels */
    KERNEL_GELU_PYTHON_BACKWARD,
    KERNEL_SWIGLU_FORWARD, /* rows width: silu(gate) * up, two elementwise kernels */
    KERNEL_SWIGLU_BACKWARD,
    KERNEL_ROPE_FORWARD, /* rows width: rotary embedding of q and k together */
    KERNEL_ROPE_BACKWARD,
    KERNEL_DROPOUT_FORWARD, /* rows width */
    KERNEL_DROPOUT_BACKWARD,
    KERNEL_ADD,          /* rows width: two reads, one write (residual, bias) */
    KERNEL_COLUMN_SUM,   /* rows width: sum over the rows (gradient of a bias) */
    KERNEL_TANH_FORWARD, /* rows width */
    KERNEL_TANH_BACKWARD,
    KERNEL_EMBEDDING_FORWARD,  /* rows width */
    KERNEL_EMBEDDING_BACKWARD, /* rows width vocabulary: dense gradient zeroed, then scattered
                                */
    KERNEL_CROSS_ENTROPY_FORWARD, /* rows width: 16-bit logits to fp32, log-softmax, loss */
    KERNEL_CROSS_ENTROPY_BACKWARD,
    KERNEL_COPY,       /* bytes: device to device, read once and written once */
    KERNEL_CAST,       /* elements read_bytes write_bytes (each per element) */
    KERNEL_FUSED,      /* same: what torch.compile makes of a chain of elementwise kernels */
    KERNEL_MEMSET,     /* bytes */
    KERNEL_SCALE,      /* bytes: read and written in place */
    KERNEL_ACCUMULATE, /* bytes: a += b */
    KERNEL_NORM,       /* bytes read: sum of squares */
    KERNEL_OPTIMIZER_STEP, /* elements traffic_bytes_per_element launches */
    N_KERNELS
} KernelOp;

/* What kernels of one kind have in common when time is split among them. */
typedef enum {
    KERNEL_CLASS_GEMM,
    KERNEL_CLASS_ATTENTION,
    KERNEL_CLASS_CONVOLUTION,
    KERNEL_CLASS_NORM,
    KERNEL_CLASS_OPTIMIZER,
    KERNEL_CLASS_LOSS,
    KERNEL_CLASS_EMBEDDING,
    KERNEL_CLASS_COPY,
    KERNEL_CLASS_ELEMENTWISE,
    N_KERNEL_CLASSES
} KernelClass;

#define KERNEL_MAX_DIMENSIONS 6

/* How a matrix product's operands lie in memory, by cuBLAS's (column-major) names: products of
 * one shape are different kernels. */
typedef enum {
    GEMM_TN, /* B is stored [n,k]: forward of a linear layer */
    GEMM_NN, /* as written: the gradient of its input */
    GEMM_NT, /* A is stored [k,m]: the gradient of its weight */
} GemmLayout;

typedef struct {
    KernelOp op;
    DType dtype; /* of the operands; of the tensor-core instruction for GEMM and attention */
    gint64 dimension[KERNEL_MAX_DIMENSIONS]; /* meaning as listed above; unused ones are 0 */
} Kernel;

int dtype_bytes(DType dtype); /* TF32 operands are stored as 4 bytes */
const char *dtype_name(DType dtype);
gboolean dtype_parse(const char *name, DType *dtype);

const char *kernel_op_name(KernelOp op);
gboolean kernel_op_parse(const char *name, KernelOp *op);
KernelClass kernel_class(KernelOp op);
const char *kernel_class_name(KernelClass kernel_class);
/* Names of the dimensions, KERNEL_MAX_DIMENSIONS long, NULL where unused. */
const char *const *kernel_dimension_names(KernelOp op);
/* A file may leave it out; it is 0 then. */
gboolean kernel_dimension_is_optional(const char *name);

/* Counted in bytes, whatever they hold: copies, casts, fills. The data type says nothing there.
 */
gboolean kernel_is_of_bytes(KernelOp op);

/* Equal operation, data type and shape; for GHashTable with Kernel keys. */
guint kernel_hash(gconstpointer kernel);
gboolean kernel_equal(gconstpointer a, gconstpointer b);

/* Floating-point operations of matrix products, 2 per multiply-add; causal attention counts
 * half. Elementwise kernels and reductions count 0: memory bounds them. */
double kernel_flops(const Kernel *kernel);
/* Bytes moved between the GPU and its memory when every operand is read or written once. */
double kernel_bytes(const Kernel *kernel);
/* The matrix product that computes it: itself, or a convolution's implicit product (NVIDIA,
 * "Convolutional Layers User's Guide"). FALSE: it isn't one. */
gboolean kernel_as_gemm(const Kernel *kernel, Kernel *gemm);
/* Kernel launches that PyTorch issues for it. */
int kernel_n_launches(const Kernel *kernel);

G_END_DECLS
