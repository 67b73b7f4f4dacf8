/* SPDX-License-Identifier: MIT */
/* Fused attention through cuDNN's operation graph: the graphs that cudnn-frontend's SDPA nodes
 * expand to and PyTorch runs (aten/src/ATen/native/cudnn/MHA.cpp). Tensors lie as transformers
 * leaves them, batch, sequence, heads, depth. Dropout and masks other than the causal one are
 * left out. FlashAttention's own kernels are not here: they come from PyTorch, as an overlay.
 */
#include "bench.cuh"

#if HAVE_CUDNN

#include "cudnn_graph.cuh"

#include <cfloat>
#include <cmath>
#include <cstring>
#include <memory>

namespace
{

struct Shape {
    int64_t batch, sequence, heads, kv_heads, depth;
    bool causal;
    float scale;
    cudnnDataType_t type;
};

struct Tensors {
    void *q, *k, *v, *o, *d_o, *dq, *dk, *dv;
    float *statistics, *row_sums, *dq_sums;
};

Shape shape_of(const Measurement &m)
{
    const int64_t *d = m.dimension;
    if (m.type != TYPE_BF16 && m.type != TYPE_FP16)
        throw Absent("fused attention is measured in 16 bits only");
    return {d[0],
            d[1],
            d[2],
            d[3],
            d[4],
            d[5] != 0,
            1 / std::sqrt(static_cast<float>(d[4])),
            m.type == TYPE_BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_HALF};
}

/* Batch, heads, sequence, depth over memory ordered batch, sequence, heads, depth. */
CudnnTensor interleaved(const Shape &s, int64_t heads)
{
    const int64_t n = s.sequence, d = s.depth;
    return {{s.batch, heads, n, d}, {n * heads * d, d, heads * d, 1}, s.type, false, false};
}

CudnnTensor transposed(CudnnTensor t)
{
    std::swap(t.dimensions[2], t.dimensions[3]);
    std::swap(t.strides[2], t.strides[3]);
    return t;
}

CudnnTensor scores(const Shape &s, cudnnDataType_t type)
{
    return cudnn_packed(s.batch, s.heads, s.sequence, s.sequence, type);
}

CudnnTensor per_row(const Shape &s)
{
    return cudnn_packed(s.batch, s.heads, s.sequence, 1, CUDNN_DATA_FLOAT);
}

/* One virtual fp32 score matrix from another. */
int step(CudnnGraph &g, const Shape &s, cudnnPointwiseMode_t mode, int x, int b = -1,
         int t = -1)
{
    const int y = g.intermediate(scores(s, CUDNN_DATA_FLOAT));
    g.pointwise(mode, x, b, t, y, CUDNN_DATA_FLOAT);
    return y;
}

int row_step(CudnnGraph &g, const Shape &s, cudnnPointwiseMode_t mode, int x, int b = -1)
{
    const int y = g.intermediate(per_row(s));
    g.pointwise(mode, x, b, -1, y, CUDNN_DATA_FLOAT);
    return y;
}

/* Below the diagonal the score, above it as good as minus infinity. */
int causal_mask(CudnnGraph &g, const Shape &s, int x)
{
    if (!s.causal)
        return x;
    const int row = g.intermediate(scores(s, CUDNN_DATA_INT32));
    const int column = g.intermediate(scores(s, CUDNN_DATA_INT32));
    const int visible = g.intermediate(scores(s, CUDNN_DATA_BOOLEAN));
    g.pointwise(CUDNN_POINTWISE_GEN_INDEX, x, -1, -1, row, CUDNN_DATA_INT32, 2);
    g.pointwise(CUDNN_POINTWISE_GEN_INDEX, x, -1, -1, column, CUDNN_DATA_INT32, 3);
    g.pointwise(CUDNN_POINTWISE_CMP_GE, row, column, -1, visible, CUDNN_DATA_BOOLEAN);
    return step(g, s, CUDNN_POINTWISE_BINARY_SELECT, x, g.scalar(-FLT_MAX), visible);
}

void forward_graph(CudnnGraph &g, const Shape &s, const Tensors &t)
{
    const int q = g.data(interleaved(s, s.heads), t.q);
    const int k = g.data(transposed(interleaved(s, s.kv_heads)), t.k);
    const int v = g.data(interleaved(s, s.kv_heads), t.v);
    const int o = g.data(interleaved(s, s.heads), t.o);
    const int statistics = g.data(per_row(s), t.statistics);

    const int product = g.intermediate(scores(s, CUDNN_DATA_FLOAT));
    g.matmul(q, k, product);
    const int scaled = step(g, s, CUDNN_POINTWISE_MUL, product, g.scalar(s.scale));
    const int masked = causal_mask(g, s, scaled);
    const int highest = g.intermediate(per_row(s));
    g.reduction(CUDNN_REDUCE_TENSOR_MAX, masked, highest);
    const int shifted = step(g, s, CUDNN_POINTWISE_SUB, masked, highest);
    const int exponential = step(g, s, CUDNN_POINTWISE_EXP, shifted);
    const int sum = g.intermediate(per_row(s));
    g.reduction(CUDNN_REDUCE_TENSOR_ADD, exponential, sum);
    const int logarithm = row_step(g, s, CUDNN_POINTWISE_LOG, sum);
    g.pointwise(CUDNN_POINTWISE_ADD, highest, logarithm, -1, statistics, CUDNN_DATA_FLOAT);
    const int probability = g.intermediate(scores(s, s.type));
    g.pointwise(CUDNN_POINTWISE_DIV, exponential, sum, -1, probability, CUDNN_DATA_FLOAT);
    g.matmul(probability, v, o);
}

/* dK and dV of all query heads are summed over the heads that share a key. */
void key_gradient(CudnnGraph &g, const Shape &s, int left, int right, void *memory)
{
    const int result = g.data(interleaved(s, s.kv_heads), memory);
    if (s.heads == s.kv_heads) {
        g.matmul(left, right, result);
        return;
    }
    const int all = g.intermediate(cudnn_packed(s.batch, s.heads, s.sequence, s.depth, s.type));
    g.matmul(left, right, all);
    g.reduction(CUDNN_REDUCE_TENSOR_ADD, all, result);
}

/* In the operands' type, keys by queries. */
int turned(CudnnGraph &g, const Shape &s, int x)
{
    CudnnTensor t = scores(s, s.type);
    std::swap(t.strides[2], t.strides[3]);
    const int y = g.intermediate(t);
    g.reshape(x, y);
    return y;
}

void backward_graph(CudnnGraph &g, const Shape &s, const Tensors &t)
{
    const int q = g.data(interleaved(s, s.heads), t.q),
              o = g.data(interleaved(s, s.heads), t.o);
    const int k = g.data(transposed(interleaved(s, s.kv_heads)), t.k);
    const int v = g.data(transposed(interleaved(s, s.kv_heads)), t.v);
    const int d_o = g.data(interleaved(s, s.heads), t.d_o);
    const int statistics = g.data(per_row(s), t.statistics);
    const int row_sums = g.data(per_row(s), t.row_sums);

    CudnnTensor wide = interleaved(s, s.heads);
    wide.type = CUDNN_DATA_FLOAT;
    const int product = g.intermediate(wide), reduced = g.intermediate(per_row(s));
    g.pointwise(CUDNN_POINTWISE_MUL, d_o, o, -1, product, CUDNN_DATA_FLOAT);
    g.reduction(CUDNN_REDUCE_TENSOR_ADD, product, reduced);
    g.pointwise(CUDNN_POINTWISE_MUL, reduced, g.scalar(1), -1, row_sums, CUDNN_DATA_FLOAT);

    const int qk = g.intermediate(scores(s, CUDNN_DATA_FLOAT)), scale = g.scalar(s.scale);
    g.matmul(q, k, qk);
    const int scaled = step(g, s, CUDNN_POINTWISE_MUL, qk, scale);
    const int shifted = step(g, s, CUDNN_POINTWISE_SUB, scaled, statistics);
    const int p = step(g, s, CUDNN_POINTWISE_EXP, causal_mask(g, s, shifted));
    key_gradient(g, s, turned(g, s, p), d_o, t.dv);

    const int dp = g.intermediate(scores(s, CUDNN_DATA_FLOAT));
    g.matmul(d_o, v, dp);
    const int centred = step(g, s, CUDNN_POINTWISE_SUB, dp, row_sums);
    const int weighted = step(g, s, CUDNN_POINTWISE_MUL, centred, p);
    const int ds = step(g, s, CUDNN_POINTWISE_MUL, weighted, scale);
    key_gradient(g, s, turned(g, s, ds), q, t.dk);

    const int k_again = g.intermediate(interleaved(s, s.kv_heads));
    g.reshape(k, k_again);
    const int sums = g.data(
        cudnn_packed(s.batch, s.heads, s.sequence, s.depth, CUDNN_DATA_FLOAT), t.dq_sums);
    g.matmul(ds, k_again, sums);
    g.pointwise(CUDNN_POINTWISE_IDENTITY, sums, -1, -1, g.data(interleaved(s, s.heads), t.dq),
                CUDNN_DATA_FLOAT);
}

void *random_operand(Bench &bench, const Shape &s, int64_t heads)
{
    const int64_t n = s.batch * s.sequence * heads * s.depth;
    if (s.type == CUDNN_DATA_BFLOAT16)
        return random_tensor<__nv_bfloat16>(bench, n);
    return random_tensor<__half>(bench, n);
}

Tensors allocate(Bench &bench, const Shape &s, bool backward)
{
    const int64_t rows = s.batch * s.sequence * s.heads;
    Tensors t = {};
    t.q = random_operand(bench, s, s.heads);
    t.k = random_operand(bench, s, s.kv_heads);
    t.v = random_operand(bench, s, s.kv_heads);
    t.o = random_operand(bench, s, s.heads);
    t.statistics = bench.arena.take_n<float>(rows);
    if (!backward)
        return t;
    t.d_o = random_operand(bench, s, s.heads);
    t.dq = random_operand(bench, s, s.heads);
    t.dk = random_operand(bench, s, s.kv_heads);
    t.dv = random_operand(bench, s, s.kv_heads);
    t.row_sums = bench.arena.take_n<float>(rows);
    t.dq_sums = bench.arena.take_n<float>(rows * s.depth);
    return t;
}

/* -- reference: one query row, and its gradient, on the host in double precision */

std::vector<double> fetch_rows(const Shape &s, const void *tensor, int64_t heads, int64_t batch,
                               int64_t head, int64_t first, int64_t rows)
{
    std::vector<double> values;
    for (int64_t row = first; row < first + rows; row++) {
        const int64_t at = ((batch * s.sequence + row) * heads + head) * s.depth;
        const std::vector<double> one =
            s.type == CUDNN_DATA_BFLOAT16
                ? fetch(static_cast<const __nv_bfloat16 *>(tensor), at, s.depth)
                : fetch(static_cast<const __half *>(tensor), at, s.depth);
        values.insert(values.end(), one.begin(), one.end());
    }
    return values;
}

double dot(const double *a, const double *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

struct RowReference {
    std::vector<double> output, gradient;
};

/* Rows late in long sequences would need too many small copies: `row` is small. */
RowReference reference(const Shape &s, const Tensors &t, int64_t batch, int64_t head,
                       int64_t row)
{
    const int64_t kv = head / (s.heads / s.kv_heads), d = s.depth;
    const int64_t n = s.causal ? row + 1 : s.sequence;
    const std::vector<double> q = fetch_rows(s, t.q, s.heads, batch, head, row, 1);
    const std::vector<double> k = fetch_rows(s, t.k, s.kv_heads, batch, kv, 0, n);
    const std::vector<double> v = fetch_rows(s, t.v, s.kv_heads, batch, kv, 0, n);
    RowReference r = {std::vector<double>(d), std::vector<double>(d)};
    std::vector<double> p(n);
    double highest = -1e300, sum = 0;
    for (int64_t j = 0; j < n; j++)
        highest = std::max(highest, p[j] = s.scale * dot(q.data(), &k[j * d], d));
    for (int64_t j = 0; j < n; j++)
        sum += p[j] = std::exp(p[j] - highest);
    for (int64_t j = 0; j < n; j++)
        for (int64_t i = 0; i < d; i++)
            r.output[i] += p[j] / sum * v[j * d + i];
    if (!t.d_o)
        return r;
    const std::vector<double> d_o = fetch_rows(s, t.d_o, s.heads, batch, head, row, 1);
    const double mean = dot(d_o.data(), r.output.data(), d);
    for (int64_t j = 0; j < n; j++) {
        const double ds = p[j] / sum * (dot(d_o.data(), &v[j * d], d) - mean) * s.scale;
        for (int64_t i = 0; i < d; i++)
            r.gradient[i] += ds * k[j * d + i];
    }
    return r;
}

void check(const Shape &s, const Tensors &t)
{
    const int64_t rows[] = {0, std::min<int64_t>(s.sequence - 1, 200)};
    const int64_t batch = s.batch - 1, head = s.heads - 1;
    if (!s.causal && s.sequence > 1024)
        return; /* the shorter ones of the same head stand for it */
    for (int64_t row : rows) {
        const RowReference r = reference(s, t, batch, head, row);
        compare("attention", fetch_rows(s, t.o, s.heads, batch, head, row, 1), r.output, 2e-2,
                1e-2);
        if (t.d_o)
            compare("gradient of attention's queries",
                    fetch_rows(s, t.dq, s.heads, batch, head, row, 1), r.gradient, 4e-2, 1e-2);
    }
}

template <bool backward> Work build(Bench &bench, const Measurement &m)
{
    const Shape s = shape_of(m);
    const Tensors t = allocate(bench, s, backward);
    auto forward = std::make_shared<CudnnGraph>(bench);
    forward_graph(*forward, s, t);
    char name[160];
    plan_describe(&m, name, sizeof name);
    forward->plan(std::string("forward of ") + name);
    std::shared_ptr<CudnnGraph> graph = forward;
    if (backward) { /* needs what forward leaves: output and statistics */
        graph = std::make_shared<CudnnGraph>(bench);
        backward_graph(*graph, s, t);
        graph->plan(name);
        forward->execute(bench.stream);
    }
    Work work;
    work.implementation = "cuDNN fused SDPA";
    /* Until 9.5 the sums of dQ had to be zeroed first, as cudnn-frontend did. */
    const size_t zeroed =
        backward && cudnnGetVersion() < 90500
            ? static_cast<size_t>(s.batch * s.sequence * s.heads * s.depth) * sizeof(float)
            : 0;
    work.launch = [graph, t, zeroed](cudaStream_t stream) {
        if (zeroed > 0)
            cudaMemsetAsync(t.dq_sums, 0, zeroed, stream);
        graph->execute(stream);
    };
    work.check = [s, t](cudaStream_t) { check(s, t); };
    return work;
}

} // namespace

Build attention_build(const Measurement &m)
{
    return strcmp(m.op->name, "cudnn_attention_forward") == 0 ? build<false> : build<true>;
}

#else

Build attention_build(const Measurement &)
{
    throw Absent("this program was built without cuDNN");
}

#endif
