/* SPDX-License-Identifier: MIT */
/* The table of constants. */
#include "constants.h"

static const Constant constants[N_CONSTANTS] = {
    [CONSTANT_HOST_LAUNCH_S] =
        {"host_launch", "s", 10e-6, 5e-6, 25e-6,
         "the host's time to issue a kernel from PyTorch in eager mode: Python, dispatcher, "
         "autograd, cudaLaunchKernel",
         "PyTorch issue 41383 (7 us for the simplest operation without a GPU) and tritonbench "
         "pull request 1017 (3 us for a launch); not fitted"},
    [CONSTANT_HOST_COLLECTIVE_S] =
        {"host_collective", "s", 30e-6, 10e-6, 100e-6,
         "the host's time to issue a collective: c10d's bookkeeping, events, NCCL's enqueue",
         "assumed, unverified"},
    [CONSTANT_HOST_PARAMETER_S] =
        {"host_parameter", "s", 20e-6, 5e-6, 60e-6,
         "the host's time for each parameter that FSDP's or ZeRO-3's Python turns from a shard "
         "into the whole and back, or whose gradient ZeRO's hook takes over",
         "PyTorch pull request 96958: 4.27 + 1.07 + 2.75 ms for the 400 parameters of an FSDP1 "
         "unit; taken for FSDP2 (issue 173680 shows 1 ms a unit) and DeepSpeed too; not "
         "fitted"},
    [CONSTANT_GPU_SPREAD_FRAC] =
        {"gpu_spread", "1", 0.015, 0.005, 0.04,
         "the standard deviation of the times that equal GPUs take for equal work: the slowest "
         "of a job sets the pace of all",
         "Sinha et al., \"Not All GPUs Are Created Equal\" (SC22, arXiv 2208.11035): 8 % "
         "between "
         "the ends of a cluster's distribution, outliers aside, on average over clusters; the "
         "whiskers of a normal distribution are 5.4 standard deviations apart; not fitted"},
    [CONSTANT_TORCH_BENCH_S] =
        {"torch_bench", "s", 20e-6, 5e-6, 50e-6,
         "of a time by ml-engineering's all_reduce_bench.py, torch.distributed's way to NCCL "
         "between two CUDA events: no step time depends on it",
         "stasB200 less vultr8-ar, the same collective on the same GPUs by nccl-tests, "
         "median of 64 KiB to 2 MiB"},
    [CONSTANT_XLA_BENCH_S] =
        {"xla_bench", "s", 14e-6, 2e-6, 40e-6,
         "of a time by XLA's collective benchmark, its way to NCCL: no step time depends on it",
         "xla-sm_90 and xla-sm_100_B200 with the constants of nccl-tests' rows held; by GPU "
         "and collective 5 to 19 us"},
};

const Constant *constant_of(ConstantId id)
{
    return &constants[id];
}

double constant(ConstantId id)
{
    return constants[id].value;
}
