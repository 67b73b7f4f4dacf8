/* SPDX-License-Identifier: MIT */
/* cuDNN's backend descriptors, as cudnn-frontend sets them. */
#include "cudnn_graph.cuh"

void cudnn_check(cudnnStatus_t status, const char *what)
{
    if (status == CUDNN_STATUS_SUCCESS)
        return;
    const std::string text = std::string("cuDNN ") + what + ": " + cudnnGetErrorString(status);
    throw Absent(text);
}

cudnnHandle_t cudnn_handle(Bench &bench)
{
    if (!bench.cudnn) {
        cudnnHandle_t handle = nullptr;
        cudnn_check(cudnnCreate(&handle), "start");
        bench.cudnn = handle;
    }
    return static_cast<cudnnHandle_t>(bench.cudnn);
}

CudnnTensor cudnn_packed(int64_t a, int64_t b, int64_t c, int64_t d, cudnnDataType_t type)
{
    return {{a, b, c, d}, {b * c * d, c * d, d, 1}, type, false, false};
}

CudnnGraph::CudnnGraph(Bench &bench) : bench_(bench)
{
    cudnn_handle(bench);
}

CudnnGraph::~CudnnGraph()
{
    for (auto descriptor = all_.rbegin(); descriptor != all_.rend(); ++descriptor)
        cudnnBackendDestroyDescriptor(*descriptor);
}

CudnnGraph::Descriptor CudnnGraph::make(cudnnBackendDescriptorType_t type)
{
    Descriptor descriptor = nullptr;
    cudnn_check(cudnnBackendCreateDescriptor(type, &descriptor), "descriptor");
    all_.push_back(descriptor);
    return descriptor;
}

void CudnnGraph::set(Descriptor descriptor, cudnnBackendAttributeName_t name,
                     cudnnBackendAttributeType_t type, int64_t count, const void *value)
{
    cudnn_check(cudnnBackendSetAttribute(descriptor, name, type, count, value), "attribute");
}

void CudnnGraph::set_tensor(Descriptor descriptor, cudnnBackendAttributeName_t name, int tensor)
{
    if (tensor >= 0)
        set(descriptor, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &tensors_[tensor]);
}

void CudnnGraph::finish(Descriptor descriptor, const char *what)
{
    cudnn_check(cudnnBackendFinalize(descriptor), what);
}

int CudnnGraph::tensor(const CudnnTensor &t)
{
    const int number = static_cast<int>(tensors_.size());
    const int64_t uid = number + 1, alignment = 16;
    const Descriptor descriptor = make(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    set(descriptor, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &t.type);
    set(descriptor, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, t.dimensions);
    set(descriptor, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, t.strides);
    set(descriptor, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &uid);
    set(descriptor, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment);
    set(descriptor, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &t.is_virtual);
    set(descriptor, CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, 1, &t.by_value);
    finish(descriptor, "tensor");
    tensors_.push_back(descriptor);
    return number;
}

int CudnnGraph::data(const CudnnTensor &t, void *memory)
{
    const int number = tensor(t);
    uids_.push_back(number + 1);
    data_.push_back(memory);
    return number;
}

int CudnnGraph::scalar(float value)
{
    CudnnTensor t = cudnn_packed(1, 1, 1, 1, CUDNN_DATA_FLOAT);
    t.by_value = true;
    const int number = tensor(t);
    scalars_[number] = value; /* a map's values don't move */
    uids_.push_back(number + 1);
    data_.push_back(&scalars_[number]);
    return number;
}

int CudnnGraph::intermediate(CudnnTensor t)
{
    t.is_virtual = true;
    return tensor(t);
}

void CudnnGraph::pointwise(cudnnPointwiseMode_t mode, int x, int b, int t, int y,
                           cudnnDataType_t math, int64_t axis)
{
    const Descriptor how = make(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    set(how, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
    set(how, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &math);
    if (axis >= 0)
        set(how, CUDNN_ATTR_POINTWISE_AXIS, CUDNN_TYPE_INT64, 1, &axis);
    finish(how, "pointwise");
    const Descriptor operation = make(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    set(operation, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, CUDNN_TYPE_BACKEND_DESCRIPTOR,
        1, &how);
    set_tensor(operation, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x);
    set_tensor(operation, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b);
    set_tensor(operation, CUDNN_ATTR_OPERATION_POINTWISE_TDESC, t);
    set_tensor(operation, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
    finish(operation, "pointwise operation");
    operations_.push_back(operation);
}

void CudnnGraph::matmul(int a, int b, int c)
{
    const cudnnDataType_t math = CUDNN_DATA_FLOAT;
    const Descriptor how = make(CUDNN_BACKEND_MATMUL_DESCRIPTOR);
    set(how, CUDNN_ATTR_MATMUL_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &math);
    finish(how, "matmul");
    const Descriptor operation = make(CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR);
    set(operation, CUDNN_ATTR_OPERATION_MATMUL_DESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &how);
    set_tensor(operation, CUDNN_ATTR_OPERATION_MATMUL_ADESC, a);
    set_tensor(operation, CUDNN_ATTR_OPERATION_MATMUL_BDESC, b);
    set_tensor(operation, CUDNN_ATTR_OPERATION_MATMUL_CDESC, c);
    finish(operation, "matmul operation");
    operations_.push_back(operation);
}

void CudnnGraph::reduction(cudnnReduceTensorOp_t with, int x, int y)
{
    const cudnnDataType_t math = CUDNN_DATA_FLOAT;
    const Descriptor how = make(CUDNN_BACKEND_REDUCTION_DESCRIPTOR);
    set(how, CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, 1, &with);
    set(how, CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &math);
    finish(how, "reduction");
    const Descriptor operation = make(CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR);
    set(operation, CUDNN_ATTR_OPERATION_REDUCTION_DESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &how);
    set_tensor(operation, CUDNN_ATTR_OPERATION_REDUCTION_XDESC, x);
    set_tensor(operation, CUDNN_ATTR_OPERATION_REDUCTION_YDESC, y);
    finish(operation, "reduction operation");
    operations_.push_back(operation);
}

void CudnnGraph::reshape(int x, int y)
{
    const Descriptor operation = make(CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR);
    set_tensor(operation, CUDNN_ATTR_OPERATION_RESHAPE_XDESC, x);
    set_tensor(operation, CUDNN_ATTR_OPERATION_RESHAPE_YDESC, y);
    finish(operation, "reshape operation");
    operations_.push_back(operation);
}

namespace
{

/* The names of one kind of convolution's attributes. */
struct ConvolutionNames {
    cudnnBackendDescriptorType_t kind;
    cudnnBackendAttributeName_t how, x, w, y, alpha, beta;
};

const ConvolutionNames convolution_names[] = {
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA},
};

} // namespace

void CudnnGraph::convolution(cudnnBackendDescriptorType_t kind, int x, int w, int y,
                             int64_t padding, int64_t stride)
{
    const cudnnDataType_t math = CUDNN_DATA_FLOAT;
    const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    const int64_t spatial = 2, paddings[2] = {padding, padding}, strides[2] = {stride, stride};
    const int64_t dilations[2] = {1, 1};
    const float one = 1, zero = 0;
    const Descriptor how = make(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
    set(how, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &math);
    set(how, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
    set(how, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &spatial);
    set(how, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, paddings);
    set(how, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, paddings);
    set(how, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, dilations);
    set(how, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, strides);
    finish(how, "convolution");
    for (const ConvolutionNames &names : convolution_names) {
        if (names.kind != kind)
            continue;
        const Descriptor operation = make(kind);
        set(operation, names.how, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &how);
        set_tensor(operation, names.x, x);
        set_tensor(operation, names.w, w);
        set_tensor(operation, names.y, y);
        set(operation, names.alpha, CUDNN_TYPE_FLOAT, 1, &one);
        set(operation, names.beta, CUDNN_TYPE_FLOAT, 1, &zero);
        finish(operation, "convolution operation");
        operations_.push_back(operation);
    }
}

CudnnGraph::Descriptor CudnnGraph::graph()
{
    const cudnnHandle_t handle = cudnn_handle(bench_);
    const Descriptor graph = make(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    set(graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
        static_cast<int64_t>(operations_.size()), operations_.data());
    set(graph, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle);
    finish(graph, "operation graph");
    return graph;
}

namespace
{

cudnnBackendDescriptor_t make_for(CudnnPlan *plan, cudnnBackendDescriptorType_t type)
{
    cudnnBackendDescriptor_t descriptor = nullptr;
    cudnn_check(cudnnBackendCreateDescriptor(type, &descriptor), "descriptor");
    plan->descriptors.push_back(descriptor);
    return descriptor;
}

/* Plans of the graphs that live, by name. */
std::map<std::string, std::weak_ptr<CudnnPlan>> living_plans;

} // namespace

CudnnPlan::~CudnnPlan()
{
    for (auto descriptor = descriptors.rbegin(); descriptor != descriptors.rend(); ++descriptor)
        cudnnBackendDestroyDescriptor(*descriptor);
}

std::vector<CudnnGraph::Descriptor>
CudnnGraph::engine_configurations(Descriptor graph, cudnnBackendHeurMode_t mode,
                                  CudnnPlan *plan)
{
    int64_t n = 0;
    std::vector<Descriptor> configurations;
    const Descriptor heuristic = make_for(plan, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    set(heuristic, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
        &graph);
    set(heuristic, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
    if (cudnnBackendFinalize(heuristic) != CUDNN_STATUS_SUCCESS ||
        cudnnBackendGetAttribute(heuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                 CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &n,
                                 nullptr) != CUDNN_STATUS_SUCCESS)
        return configurations;
    for (int64_t i = 0; i < n; i++)
        configurations.push_back(make_for(plan, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR));
    cudnn_check(cudnnBackendGetAttribute(heuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                         CUDNN_TYPE_BACKEND_DESCRIPTOR, n, &n,
                                         configurations.data()),
                "heuristic");
    configurations.resize(static_cast<size_t>(n));
    return configurations;
}

bool CudnnGraph::try_plan(Descriptor configuration, CudnnPlan *plan)
{
    const cudnnHandle_t handle = cudnn_handle(bench_);
    int64_t count = 0;
    const Descriptor candidate = make_for(plan, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    set(candidate, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle);
    set(candidate, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
        &configuration);
    if (cudnnBackendFinalize(candidate) != CUDNN_STATUS_SUCCESS ||
        cudnnBackendGetAttribute(candidate, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE,
                                 CUDNN_TYPE_INT64, 1, &count,
                                 &plan->workspace_bytes) != CUDNN_STATUS_SUCCESS ||
        plan->workspace_bytes > static_cast<int64_t>(bench_.arena.free()))
        return false;
    plan->plan = candidate;
    return true;
}

std::shared_ptr<CudnnPlan> CudnnGraph::choose()
{
    const Descriptor of_graph = graph();
    auto plan = std::make_shared<CudnnPlan>();
    for (cudnnBackendHeurMode_t mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK})
        for (Descriptor configuration : engine_configurations(of_graph, mode, plan.get()))
            if (try_plan(configuration, plan.get()))
                return plan;
    throw Absent("cuDNN has no engine for it");
}

void CudnnGraph::plan(const std::string &name)
{
    plan_ = living_plans[name].lock();
    if (!plan_)
        living_plans[name] = plan_ = choose();
    const int64_t workspace_bytes = plan_->workspace_bytes;
    workspace_ =
        bench_.arena.take(static_cast<size_t>(std::max<int64_t>(workspace_bytes, 256)));
    pack_ = make(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    set(pack_, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR,
        static_cast<int64_t>(data_.size()), data_.data());
    set(pack_, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64,
        static_cast<int64_t>(uids_.size()), uids_.data());
    set(pack_, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace_);
    finish(pack_, "data");
}

void CudnnGraph::execute(cudaStream_t stream)
{
    const cudnnHandle_t handle = cudnn_handle(bench_);
    cudnn_check(cudnnSetStream(handle, stream), "stream");
    cudnn_check(cudnnBackendExecute(handle, plan_->plan, pack_), "execution");
}
