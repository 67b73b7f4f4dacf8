# SPDX-License-Identifier: MIT
"""Kernel times as PyTorch's own kernels have them: by class for one step, and the attention
kernels one by one as an overlay of a zerosim profile."""
import json
import re
import statistics
import time

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

# In this order: the first pattern that fits a kernel's name is its class.
CLASSES = {
    "attention": r"flash|fmha|sdpa|attention|cunn_SoftMax|softmax_warp",
    "gemm": r"gemm|cutlass|xmma|nvjet|sm\d+_.*_tn|sm\d+_.*_nn|sm\d+_.*_nt|splitK",
    "convolution": r"conv|wgrad|dgrad|fprop|implicit|nchw|nhwc",
    "norm": r"layer_norm|LayerNorm|RMSNorm|batch_norm|bn_",
    "optimizer": r"multi_tensor|FusedAdam|adam",
    "loss": r"LogSoftMax|log_softmax|nll_loss|cross_entropy",
    "embedding": r"embedding|index|sort|scatter|gather",
    "copy": r"Memcpy|Memset|copy_kernel|CatArray",
    "elementwise": r"elementwise|vectorized|reduce_kernel|unrolled",
    "other": r"",
}


def class_of(name):
    for kind, pattern in CLASSES.items():
        if re.search(pattern, name, re.IGNORECASE):
            return kind
    return "other"


def of_one_step(run):
    """Seconds of each class, and how many kernels there were."""
    from torch.profiler import ProfilerActivity, profile

    by_class = dict.fromkeys(CLASSES, 0.0)
    n = 0
    with profile(activities=[ProfilerActivity.CUDA, ProfilerActivity.CPU]) as profiler:
        run()
        torch.cuda.synchronize()
    for event in profiler.events():
        if event.device_type != torch.autograd.DeviceType.CUDA:
            continue
        if getattr(event, "is_user_annotation", False):
            continue  # the optimizer's own mark spans its kernels
        by_class[class_of(event.name)] += event.time_range.elapsed_us() * 1e-6
        n += 1
    return by_class, n


# (batch, sequence, heads, kv heads, head dim, causal), as models of 4,096 and 8,192 tokens have it
ATTENTION_SHAPES = [
    (tokens // min(sequence, tokens), min(sequence, tokens), heads, kv_heads, depth, causal)
    for tokens in (4096, 8192)
    for sequence, heads, kv_heads, depth, causal in [
        (4096, 32, 32, 128, 1),
        (8192, 32, 8, 128, 1),
        (4096, 40, 40, 128, 1),
        (4096, 64, 8, 128, 1),
        (2048, 32, 8, 64, 1),
        (2048, 24, 8, 128, 1),
        (1024, 12, 12, 64, 1),
        (1024, 16, 16, 64, 1),
        (1024, 20, 20, 64, 1),
        (1024, 25, 25, 64, 1),
        (512, 16, 16, 64, 0),
        (512, 12, 12, 64, 0),
    ]
] + [
    (max(1, 8192 // sequence), sequence, 16, 16, 128, causal)
    for sequence in (512, 1024, 2048, 4096, 8192, 16384, 32768)
    for causal in (0, 1)
]

WARM_UPS, SAMPLES, SETS = 3, 15, 3


def times_of(run):
    """Median, p10 and p90 of single runs, by events."""
    samples = []
    for i in range(WARM_UPS + SAMPLES):
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run(i % SETS)
        stop.record()
        torch.cuda.synchronize()
        if i >= WARM_UPS:
            samples.append(start.elapsed_time(stop) * 1e-3)
    samples.sort()
    return {
        "time_s": statistics.median(samples),
        "p10_s": samples[round(0.1 * (SAMPLES - 1))],
        "p90_s": samples[round(0.9 * (SAMPLES - 1))],
    }


def attention_entries(shape):
    batch, sequence, heads, kv_heads, depth, causal = shape

    def tensor(n_heads):
        made = torch.randn(batch, sequence, n_heads, depth, device="cuda", dtype=torch.bfloat16)
        return made.transpose(1, 2).requires_grad_()

    sets = [(tensor(heads), tensor(kv_heads), tensor(kv_heads)) for _ in range(SETS)]
    gradient = torch.randn(batch, heads, sequence, depth, device="cuda", dtype=torch.bfloat16)

    def forward(i):
        q, k, v = sets[i]
        grouped = {"enable_gqa": True} if heads != kv_heads else {}  # from PyTorch 2.5 on
        return torch.nn.functional.scaled_dot_product_attention(
            q, k, v, is_causal=bool(causal), **grouped
        )

    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        forward_times = times_of(forward)
        outputs = [forward(i) for i in range(SETS)]
        backward_times = times_of(
            lambda i: torch.autograd.grad(outputs[i], sets[i], gradient, retain_graph=True)
        )
    dimensions = dict(
        zip(("batch", "sequence", "heads", "kv_heads", "head_dim", "causal"), shape)
    )
    for op, times in (("forward", forward_times), ("backward", backward_times)):
        yield {
            "op": f"attention_{op}",
            "dtype": "bf16",
            "dimensions": dimensions,
            **times,
            "implementation": "FlashAttention-2 of PyTorch " + torch.__version__,
        }


def host_launch():
    """What the host takes to issue a kernel: small additions that the GPU is done with at once,
    forward and backward, as autograd records them."""
    n = 2000
    samples = []
    for _ in range(5):
        x = torch.zeros(16, device="cuda", requires_grad=True)
        y = x
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(n):
            y = y + x
        y.sum().backward()
        samples.append((time.perf_counter() - start) / (2 * n))
        torch.cuda.synchronize()
    return {
        "op": "launch_framework",
        "dtype": "fp32",
        "time_s": statistics.median(samples),
        "implementation": "additions in PyTorch " + torch.__version__,
    }


def write_overlay(file, record, deadline):
    entries, seen = [], set()
    for shape in ATTENTION_SHAPES:
        if shape in seen or time.monotonic() > deadline:
            continue
        seen.add(shape)
        try:
            entries += attention_entries(shape)
        except (RuntimeError, TypeError, torch.cuda.OutOfMemoryError):
            torch.cuda.empty_cache()  # what the backend refuses is left out
    with open(file, "w", encoding="utf-8") as out:
        out.write('{\n  "format": "zerosim-profile", "version": 1, "overlay": true,\n')
        out.write(f'  "provenance": {json.dumps(record)},\n  "kernels": [\n')
        out.write(",\n".join("    " + json.dumps(entry) for entry in entries))
        out.write(f'\n  ],\n  "launch": [{json.dumps(host_launch())}]\n}}\n')
