/* SPDX-License-Identifier: MIT */
/* A whole layer's forward kernels in a row, against the sum of the same kernels timed alone:
 * the ratio is what neighbours do to each other (a warm cache, the tail of one beside the head
 * of the next), stored as a factor of its name. */
#include "timing.cuh"

#include <cstdio>
#include <cstring>

namespace
{

struct Step {
    const char *op;
    int64_t dimension[PLAN_MAX_DIMENSIONS];
};

Measurement kernel_of(const Step &step, Type type)
{
    Measurement m = {};
    m.kind = MEASURE_KERNEL;
    m.op = plan_op_find(step.op);
    m.type = type;
    memcpy(m.dimension, step.dimension, sizeof m.dimension);
    return m;
}

/* Attention is left out: it stands for itself in every profile, and needs cuDNN. */
std::vector<Step> layer_of(const Measurement &m)
{
    const int64_t t = m.dimension[0], h = m.dimension[1], f = m.dimension[2];
    const int64_t q = m.dimension[3], k = m.dimension[4];
    const bool gated = m.dimension[5] != 0;
    std::vector<Step> steps;
    auto norm = [&] {
        steps.push_back({gated ? "rmsnorm_python_forward" : "layernorm_forward", {t, h}});
    };
    auto linear = [&](int64_t in, int64_t out) {
        steps.push_back({"gemm", {1, t, out, in, LAYOUT_TN}});
    };
    norm();
    for (int64_t width : {q, k, k})
        linear(h, width);
    if (gated)
        steps.push_back({"rope_forward", {t, q + k}});
    linear(q, h);
    steps.push_back({"add", {t, h}});
    norm();
    linear(h, f);
    if (gated)
        linear(h, f);
    steps.push_back({gated ? "swiglu_forward" : "gelu_forward", {t, f}});
    linear(f, h);
    steps.push_back({"add", {t, h}});
    return steps;
}

} // namespace

void chain_measure(Bench &bench, const Measurement &m, Result *result)
{
    double sum_s = 0;
    std::vector<Work> layer;
    const std::vector<Step> steps = layer_of(m);
    for (const Step &step : steps) {
        const Measurement kernel = kernel_of(step, m.type);
        const std::vector<Work> works = work_build(bench, kernel, build_find(kernel));
        sum_s += work_time(bench, works).median_s;
    }
    bench.arena.reset();
    for (const Step &step : steps) {
        const Measurement kernel = kernel_of(step, m.type);
        layer.push_back(build_find(kernel)(bench, kernel));
    }
    Work whole;
    whole.launch = [&layer](cudaStream_t stream) {
        for (const Work &work : layer)
            work.launch(stream);
    };
    const Timing timing = work_time(bench, {whole});
    result->time_s = timing.median_s;
    result->p10_s = timing.p10_s;
    result->p90_s = timing.p90_s;
    result_add(result, "sum_s", sum_s);
    result_add(result, "ratio", timing.median_s / sum_s);
    snprintf(result->implementation, sizeof result->implementation,
             "a layer's forward without attention");
}
