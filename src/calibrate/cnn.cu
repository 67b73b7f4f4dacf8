/* SPDX-License-Identifier: MIT */
/* Convolution, batch norm and max pooling through cuDNN, channels last, 16-bit tensors, for the
 * shapes of convolutional networks. */
#include "bench.cuh"

#if HAVE_CUDNN

#include "cudnn_graph.cuh"

#include <cmath>
#include <cstring>
#include <memory>

namespace
{

using T = __nv_bfloat16;

struct Convolution {
    int64_t images, in, out, kernel, in_size, out_size, stride, padding;
    T *x, *w, *y;
};

/* Images, channels, height and width over memory ordered images, height, width, channels. */
CudnnTensor channels_last(int64_t n, int64_t c, int64_t h)
{
    return {{n, c, h, h}, {h * h * c, 1, h * c, c}, CUDNN_DATA_BFLOAT16, false, false};
}

Convolution convolution_of(Bench &bench, const Measurement &m)
{
    const int64_t *d = m.dimension;
    Convolution c = {d[0],        d[1],     d[2],    d[3],    d[4],   d[5],
                     d[4] / d[5], d[3] / 2, nullptr, nullptr, nullptr};
    if (m.type != TYPE_BF16)
        throw Absent("convolutions are measured in bf16 only");
    c.x = random_tensor<T>(bench, c.images * c.in * c.in_size * c.in_size);
    c.w = random_tensor<T>(bench, c.out * c.in * c.kernel * c.kernel);
    c.y = random_tensor<T>(bench, c.images * c.out * c.out_size * c.out_size);
    return c;
}

#define REFERENCE_THREADS 256

enum Pass { FORWARD, BACKWARD_INPUT, BACKWARD_WEIGHT };

/* One element of the pass's result in double precision, a block a sample; the results before
 * are what the library made. */
__global__ void reference_kernel(Convolution c, Pass pass, const int64_t *samples,
                                 double *pairs)
{
    __shared__ double share[REFERENCE_THREADS];
    const int64_t i = samples[blockIdx.x], k2 = c.kernel * c.kernel;
    double sum = 0;
    if (pass == FORWARD) {
        const int64_t o = i % c.out, column = i / c.out % c.out_size;
        const int64_t row = i / (c.out * c.out_size) % c.out_size;
        const int64_t image = i / (c.out * c.out_size * c.out_size);
        for (int64_t tap = 0; tap < k2; tap++) {
            const int64_t r = row * c.stride - c.padding + tap / c.kernel;
            const int64_t s = column * c.stride - c.padding + tap % c.kernel;
            if (r < 0 || s < 0 || r >= c.in_size || s >= c.in_size)
                continue;
            for (int64_t j = threadIdx.x; j < c.in; j += blockDim.x)
                sum += (double)to_float(
                           c.x[((image * c.in_size + r) * c.in_size + s) * c.in + j]) *
                       to_float(c.w[(o * k2 + tap) * c.in + j]);
        }
        pairs[2 * blockIdx.x] = to_float(c.y[i]);
    } else {
        const int64_t j = i % c.in, tap = i / c.in % k2, o = i / (c.in * k2);
        for (int64_t pixel = threadIdx.x; pixel < c.images * c.out_size * c.out_size;
             pixel += blockDim.x) {
            const int64_t column = pixel % c.out_size, row = pixel / c.out_size % c.out_size;
            const int64_t image = pixel / (c.out_size * c.out_size);
            const int64_t r = row * c.stride - c.padding + tap / c.kernel;
            const int64_t s = column * c.stride - c.padding + tap % c.kernel;
            if (r < 0 || s < 0 || r >= c.in_size || s >= c.in_size)
                continue;
            sum += (double)to_float(c.x[((image * c.in_size + r) * c.in_size + s) * c.in + j]) *
                   to_float(c.y[pixel * c.out + o]);
        }
        pairs[2 * blockIdx.x] = to_float(c.w[i]);
    }
    share[threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.x > 0)
        return;
    for (int t = 1; t < REFERENCE_THREADS; t++)
        sum += share[t];
    pairs[2 * blockIdx.x + 1] = sum;
}

#define N_SAMPLES 8

/* The gradient of the input shares its reference with neither: it is the forward's adjoint, and
 * is held to <dx, x> = <y, forward(x)> by the two others being right; not checked by itself. */
void check(const Convolution &c, Pass pass)
{
    if (pass == BACKWARD_INPUT)
        return;
    const int64_t n = pass == FORWARD ? c.images * c.out * c.out_size * c.out_size
                                      : c.out * c.in * c.kernel * c.kernel;
    int64_t host[N_SAMPLES];
    double pairs[2 * N_SAMPLES];
    void *memory = nullptr;
    for (int64_t i = 0; i < N_SAMPLES; i++)
        host[i] = i * 7919 % n;
    cuda_check(cudaMalloc(&memory, sizeof host + sizeof pairs), "samples");
    double *device_pairs =
        reinterpret_cast<double *>(static_cast<char *>(memory) + sizeof host);
    cudaMemcpy(memory, host, sizeof host, cudaMemcpyHostToDevice);
    reference_kernel<<<N_SAMPLES, REFERENCE_THREADS>>>(c, pass, static_cast<int64_t *>(memory),
                                                       device_pairs);
    const cudaError_t status =
        cudaMemcpy(pairs, device_pairs, sizeof pairs, cudaMemcpyDeviceToHost);
    cudaFree(memory);
    cuda_check(status, "reference");
    const double terms = pass == FORWARD
                             ? static_cast<double>(c.in * c.kernel * c.kernel)
                             : static_cast<double>(c.images * c.out_size * c.out_size);
    for (int i = 0; i < N_SAMPLES; i++)
        compare("convolution", {pairs[2 * i]}, {pairs[2 * i + 1]}, 1.6e-2,
                1.6e-2 * std::sqrt(terms));
}

template <Pass pass> Work convolution(Bench &bench, const Measurement &m)
{
    static const cudnnBackendDescriptorType_t kinds[] = {
        CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
        CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
        CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
    };
    const Convolution c = convolution_of(bench, m);
    auto graph = std::make_shared<CudnnGraph>(bench);
    const int x = graph->data(channels_last(c.images, c.in, c.in_size), c.x);
    const int w = graph->data(channels_last(c.out, c.in, c.kernel), c.w);
    const int y = graph->data(channels_last(c.images, c.out, c.out_size), c.y);
    graph->convolution(kinds[pass], x, w, y, c.padding, c.stride);
    char name[160];
    plan_describe(&m, name, sizeof name);
    graph->plan(name);
    Work work;
    work.implementation = "cuDNN, channels last";
    work.launch = [graph](cudaStream_t stream) { graph->execute(stream); };
    work.check = [c](cudaStream_t) { check(c, pass); };
    return work;
}

/* -- batch norm: rows are images x height x width */

struct Norm {
    cudnnTensorDescriptor_t x = nullptr, parameter = nullptr;
    T *in, *out, *gradient;
    float *scale, *bias, *mean, *inverse, *running_mean, *running_variance;
    int64_t rows, channels;

    Norm(Bench &bench, const Measurement &m) : rows(m.dimension[0]), channels(m.dimension[1])
    {
        const int c = static_cast<int>(channels);
        cudnn_check(cudnnCreateTensorDescriptor(&x), "tensor");
        cudnn_check(cudnnCreateTensorDescriptor(&parameter), "tensor");
        cudnn_check(cudnnSetTensor4dDescriptor(x, CUDNN_TENSOR_NHWC, CUDNN_DATA_BFLOAT16,
                                               static_cast<int>(rows), c, 1, 1),
                    "tensor");
        cudnn_check(cudnnSetTensor4dDescriptor(parameter, CUDNN_TENSOR_NHWC, CUDNN_DATA_FLOAT,
                                               1, c, 1, 1),
                    "tensor");
        in = random_tensor<T>(bench, rows * channels);
        gradient = random_tensor<T>(bench, rows * channels);
        out = bench.arena.take_n<T>(rows * channels);
        for (float **p : {&scale, &bias, &mean, &inverse, &running_mean, &running_variance})
            *p = random_tensor<float>(bench, channels);
    }
    ~Norm()
    {
        cudnnDestroyTensorDescriptor(x);
        cudnnDestroyTensorDescriptor(parameter);
    }
};

void norm_forward_launch(cudnnHandle_t handle, const Norm &n)
{
    const float one = 1, zero = 0;
    cudnn_check(cudnnBatchNormalizationForwardTraining(
                    handle, CUDNN_BATCHNORM_SPATIAL_PERSISTENT, &one, &zero, n.x, n.in, n.x,
                    n.out, n.parameter, n.scale, n.bias, 0.1, n.running_mean,
                    n.running_variance, 1e-5, n.mean, n.inverse),
                "batch norm");
}

void check_norm(const Norm &n)
{
    const int64_t channel = n.channels - 1, rows = std::min<int64_t>(n.rows, 8);
    const double mean = fetch(n.mean, channel, 1)[0], inverse = fetch(n.inverse, channel, 1)[0];
    const double scale = fetch(n.scale, channel, 1)[0], bias = fetch(n.bias, channel, 1)[0];
    for (int64_t row = 0; row < rows; row++) {
        const double x = fetch(n.in, row * n.channels + channel, 1)[0];
        compare("batch norm", fetch(n.out, row * n.channels + channel, 1),
                {(x - mean) * inverse * scale + bias}, 2e-2, 2e-2);
    }
    compare("mean of unit normals", {mean}, {0}, 0, 8 / std::sqrt(static_cast<double>(n.rows)));
}

Work norm_forward(Bench &bench, const Measurement &m)
{
    const cudnnHandle_t handle = cudnn_handle(bench);
    auto norm = std::make_shared<Norm>(bench, m);
    Work work;
    work.implementation = "cuDNN, persistent, channels last";
    work.launch = [=](cudaStream_t stream) {
        cudnn_check(cudnnSetStream(handle, stream), "stream");
        norm_forward_launch(handle, *norm);
    };
    work.check = [=](cudaStream_t) { check_norm(*norm); };
    return work;
}

Work norm_backward(Bench &bench, const Measurement &m)
{
    const cudnnHandle_t handle = cudnn_handle(bench);
    auto norm = std::make_shared<Norm>(bench, m);
    float *scale_gradient = random_tensor<float>(bench, norm->channels);
    float *bias_gradient = random_tensor<float>(bench, norm->channels);
    cudnn_check(cudnnSetStream(handle, bench.stream), "stream");
    norm_forward_launch(handle, *norm);
    Work work;
    work.implementation = "cuDNN, persistent, channels last";
    work.launch = [=](cudaStream_t stream) {
        const float one = 1, zero = 0;
        cudnn_check(cudnnSetStream(handle, stream), "stream");
        cudnn_check(cudnnBatchNormalizationBackward(
                        handle, CUDNN_BATCHNORM_SPATIAL_PERSISTENT, &one, &zero, &one, &zero,
                        norm->x, norm->in, norm->x, norm->gradient, norm->x, norm->out,
                        norm->parameter, norm->scale, scale_gradient, bias_gradient, 1e-5,
                        norm->mean, norm->inverse),
                    "batch norm");
    };
    work.check = [=](cudaStream_t) { /* the bias's gradient is the gradient's sum */
                                     if (norm->rows > 1 << 16)
                                         return;
                                     double sum = 0;
                                     for (double g :
                                          fetch(norm->gradient, 0, norm->rows * norm->channels))
                                         sum += g;
                                     double total = 0;
                                     for (double g : fetch(bias_gradient, 0, norm->channels))
                                         total += g;
                                     compare("gradient of batch norm", {total}, {sum}, 1e-3,
                                             1e-2 * std::sqrt(static_cast<double>(
                                                        norm->rows * norm->channels)));
    };
    return work;
}

/* -- max pooling: a window of 3, as the CNNs of the time */

struct Pool {
    cudnnPoolingDescriptor_t how = nullptr;
    cudnnTensorDescriptor_t x = nullptr, y = nullptr;
    T *in, *out, *in_gradient, *out_gradient;

    Pool(Bench &bench, const Measurement &m)
    {
        const int n = static_cast<int>(m.dimension[0]), c = static_cast<int>(m.dimension[1]);
        const int h = static_cast<int>(m.dimension[2]), o = static_cast<int>(m.dimension[3]);
        const int stride = h / o;
        cudnn_check(cudnnCreatePoolingDescriptor(&how), "pooling");
        cudnn_check(cudnnCreateTensorDescriptor(&x), "tensor");
        cudnn_check(cudnnCreateTensorDescriptor(&y), "tensor");
        cudnn_check(cudnnSetPooling2dDescriptor(how, CUDNN_POOLING_MAX, CUDNN_PROPAGATE_NAN, 3,
                                                3, 1, 1, stride, stride),
                    "pooling");
        cudnn_check(
            cudnnSetTensor4dDescriptor(x, CUDNN_TENSOR_NHWC, CUDNN_DATA_BFLOAT16, n, c, h, h),
            "tensor");
        cudnn_check(
            cudnnSetTensor4dDescriptor(y, CUDNN_TENSOR_NHWC, CUDNN_DATA_BFLOAT16, n, c, o, o),
            "tensor");
        in = random_tensor<T>(bench, (int64_t)n * c * h * h);
        out = bench.arena.take_n<T>((int64_t)n * c * o * o);
        in_gradient = bench.arena.take_n<T>((int64_t)n * c * h * h);
        out_gradient = random_tensor<T>(bench, (int64_t)n * c * o * o);
    }
    ~Pool()
    {
        cudnnDestroyPoolingDescriptor(how);
        cudnnDestroyTensorDescriptor(x);
        cudnnDestroyTensorDescriptor(y);
    }
};

template <bool backward> Work pool(Bench &bench, const Measurement &m)
{
    const cudnnHandle_t handle = cudnn_handle(bench);
    auto p = std::make_shared<Pool>(bench, m);
    const int64_t channels = m.dimension[1], size = m.dimension[2];
    const float one = 1, zero = 0;
    cudnn_check(cudnnSetStream(handle, bench.stream), "stream");
    cudnn_check(cudnnPoolingForward(handle, p->how, &one, p->x, p->in, &zero, p->y, p->out),
                "pooling");
    Work work;
    work.implementation = "cuDNN, channels last";
    work.launch = [=](cudaStream_t stream) {
        cudnn_check(cudnnSetStream(handle, stream), "stream");
        cudnn_check(backward ? cudnnPoolingBackward(handle, p->how, &one, p->y, p->out, p->y,
                                                    p->out_gradient, p->x, p->in, &zero, p->x,
                                                    p->in_gradient)
                             : cudnnPoolingForward(handle, p->how, &one, p->x, p->in, &zero,
                                                   p->y, p->out),
                    "pooling");
    };
    work.check =
        [=](cudaStream_t) { /* the first window: a corner of 2 x 2 */
                            std::vector<double> wanted = fetch(p->in, 0, channels);
                            for (int64_t at :
                                 {channels, size * channels, (size + 1) * channels}) {
                                const std::vector<double> x = fetch(p->in, at, channels);
                                for (int64_t i = 0; i < channels; i++)
                                    wanted[i] = std::max(wanted[i], x[i]);
                            }
                            compare("max pooling", fetch(p->out, 0, channels), wanted, 0, 0);
        };
    return work;
}

const struct {
    const char *op;
    Build build;
} rows[] = {
    {"convolution_forward", convolution<FORWARD>},
    {"convolution_backward_input", convolution<BACKWARD_INPUT>},
    {"convolution_backward_weight", convolution<BACKWARD_WEIGHT>},
    {"batchnorm_forward", norm_forward},
    {"batchnorm_backward", norm_backward},
    {"maxpool_forward", pool<false>},
    {"maxpool_backward", pool<true>},
};

} // namespace

Build cnn_build(const Measurement &m)
{
    for (const auto &row : rows) {
        if (strcmp(row.op, m.op->name) == 0)
            return row.build;
    }
    throw Absent("no kernel of this program");
}

#else

Build cnn_build(const Measurement &)
{
    throw Absent("this program was built without cuDNN");
}

#endif
