/* SPDX-License-Identifier: MIT */
/* cuDNN's operation graphs through its backend API: tensors, a few kinds of operations, the
 * heuristic's first plan that works, execution. Only what this program measures is here. */
#pragma once

#include "bench.cuh"

#include <cudnn.h>

#include <map>
#include <memory>

struct CudnnTensor {
    int64_t dimensions[4], strides[4];
    cudnnDataType_t type;
    bool is_virtual, by_value;
};

/* Of rows x heads x sequence x depth, contiguous in that order. */
CudnnTensor cudnn_packed(int64_t a, int64_t b, int64_t c, int64_t d, cudnnDataType_t type);

/* What choosing an engine gives, which takes long: one for all sets of operands of a shape. */
struct CudnnPlan {
    std::vector<cudnnBackendDescriptor_t> descriptors; /* heuristic, configurations, plan */
    cudnnBackendDescriptor_t plan = nullptr;
    int64_t workspace_bytes = 0;
    ~CudnnPlan();
};

class CudnnGraph
{
  public:
    explicit CudnnGraph(Bench &bench);
    ~CudnnGraph();
    CudnnGraph(const CudnnGraph &) = delete;
    CudnnGraph &operator=(const CudnnGraph &) = delete;

    /* Tensors are named by number. One that isn't virtual needs data before the plan runs. */
    int tensor(const CudnnTensor &tensor);
    int data(const CudnnTensor &tensor, void *memory);
    int scalar(float value);
    int intermediate(CudnnTensor tensor);

    /* Negative: no such operand. `axis` for the index generators. */
    void pointwise(cudnnPointwiseMode_t mode, int x, int b, int t, int y, cudnnDataType_t math,
                   int64_t axis = -1);
    void matmul(int a, int b, int c);
    void reduction(cudnnReduceTensorOp_t how, int x, int y);
    void reshape(int x, int y);
    /* kind: one of the three convolution operations; x, w, y the tensors in forward's roles. */
    void convolution(cudnnBackendDescriptorType_t kind, int x, int w, int y, int64_t padding,
                     int64_t stride);

    /* Takes the heuristic's first engine that accepts the graph, and its workspace from the
     * arena; throws Absent when none does. Graphs of one name must be alike but for their
     * data: while one of them lives, the others take its engine. */
    void plan(const std::string &name);
    void execute(cudaStream_t stream);

  private:
    using Descriptor = cudnnBackendDescriptor_t;
    Descriptor make(cudnnBackendDescriptorType_t type);
    void set(Descriptor descriptor, cudnnBackendAttributeName_t name,
             cudnnBackendAttributeType_t type, int64_t count, const void *value);
    void set_tensor(Descriptor descriptor, cudnnBackendAttributeName_t name, int tensor);
    void finish(Descriptor descriptor, const char *what);
    Descriptor graph();
    std::vector<Descriptor> engine_configurations(Descriptor graph, cudnnBackendHeurMode_t mode,
                                                  CudnnPlan *plan);
    bool try_plan(Descriptor configuration, CudnnPlan *plan);
    std::shared_ptr<CudnnPlan> choose();

    Bench &bench_;
    std::vector<Descriptor> all_, tensors_, operations_;
    std::vector<int64_t> uids_; /* of tensors with data */
    std::vector<void *> data_;
    std::map<int, float> scalars_;
    std::shared_ptr<CudnnPlan> plan_;
    Descriptor pack_ = nullptr;
    void *workspace_ = nullptr;
};

cudnnHandle_t cudnn_handle(Bench &bench);
void cudnn_check(cudnnStatus_t status, const char *what);
