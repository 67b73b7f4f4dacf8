#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Ground truth on one GPU: real training steps in PyTorch, timed and profiled, the memory of a
rank under PyTorch's fake process group, and the times of the attention kernels that PyTorch runs.

    python3 results/truth/truth.py --output results/truth/h100

writes h100-steps.csv and h100-memory.csv, which `zerosim validate` reads, and h100-overlay.json,
which `zerosim run --profile` lays over a profile. Run by hand by owners of a GPU; needs torch and
transformers, torchvision for the resnet. README.md says what the numbers are and aren't.
"""
import argparse
import csv
import datetime
import importlib.metadata
import itertools
import json
import re
import statistics
import subprocess
import sys
import time

import torch

import cases
import kernels

WARM_UP_STEPS = 4
MIN_STEPS, MAX_STEPS = 8, 20
MEASURE_S = 2.0

STEP_COLUMNS = [
    "id", "source_title", "source_locator", "year", "model", "params_B", "n_layer", "d_model",
    "n_head", "n_kv_head", "d_ff", "vocab", "seq_len", "gpu", "gpus_per_node", "n_gpus",
    "precision", "strategy", "micro_batch_per_gpu", "grad_accum", "global_batch_tokens",
    "act_checkpoint", "attention_impl", "optimizer", "cpu_offload", "tokens_per_s_per_gpu",
    "step_time_s", "peak_mem_GiB", "note", "quality",
    # phases and classes of kernels are compared too, where zerosim has the class
    "step_p10_s", "step_p90_s", "forward_s", "backward_s", "optimizer_s", "kernel_s",
    *[f"kernel_{name}_s" for name in kernels.CLASSES], "n_kernels",
    "peak_forward_GiB", "peak_backward_GiB", "peak_optimizer_GiB", "reserved_GiB",
    "sm_clock_mhz", "torch", "cuda", "driver", "date",
]


def version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def nvidia_smi(field):
    """One number or name of the driver's; empty where the program isn't there."""
    command = ["nvidia-smi", f"--query-gpu={field}", "--format=csv,noheader,nounits", "--id=0"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def provenance():
    return {
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "driver": nvidia_smi("driver_version"),
        "transformers": version("transformers"),
        "power_limit_w": nvidia_smi("power.limit"),
        "device": torch.cuda.get_device_name(0),
        "date": datetime.date.today().isoformat(),
    }


class Phases:
    """Events around forward, backward and optimizer, and the peak of each."""

    def __init__(self):
        self.events = [torch.cuda.Event(enable_timing=True) for _ in range(4)]
        self.peaks = []

    def mark(self, i, peaks):
        self.events[i].record()
        if not peaks:
            return
        torch.cuda.synchronize()
        if i > 0:
            self.peaks.append(torch.cuda.max_memory_allocated())
        torch.cuda.reset_peak_memory_stats()

    def seconds(self):
        torch.cuda.synchronize()
        pairs = itertools.pairwise(self.events)
        return [first.elapsed_time(second) / 1e3 for first, second in pairs]


def step(case, model, optimizer, batch, phases, peaks=False):
    phases.mark(0, peaks)
    with case.contexts():
        loss = cases.loss_of(model, batch)
    phases.mark(1, peaks)
    loss.backward()
    phases.mark(2, peaks)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    phases.mark(3, peaks)


def time_steps(case, model, optimizer, batch):
    """Wall time of steps in a row, host and gaps included, and their split on the GPU."""
    walls, splits = [], []
    begun = time.perf_counter()
    while len(walls) < MIN_STEPS or (
        len(walls) < MAX_STEPS and time.perf_counter() - begun < MEASURE_S
    ):
        phases = Phases()
        torch.cuda.synchronize()
        start = time.perf_counter()
        step(case, model, optimizer, batch, phases)
        torch.cuda.synchronize()
        walls.append(time.perf_counter() - start)
        splits.append(phases.seconds())
    return walls, splits


def gib(n):
    return n / 2**30


def quantile(values, part):
    ordered = sorted(values)
    return ordered[round(part * (len(ordered) - 1))]


def measure_case(case, record):
    """One row of the CSV; None where it doesn't fit."""
    torch.cuda.empty_cache()
    torch.manual_seed(0)
    model = case.build().cuda()
    optimizer = case.optimizer_of(model)
    batch = case.batch()
    for _ in range(WARM_UP_STEPS):
        step(case, model, optimizer, batch, Phases())
    walls, splits = time_steps(case, model, optimizer, batch)
    clock = nvidia_smi("clocks.sm")
    peaks = Phases()
    step(case, model, optimizer, batch, peaks, peaks=True)
    by_class, n_kernels = kernels.of_one_step(
        lambda: step(case, model, optimizer, batch, Phases())
    )
    row = case.columns(model)
    median_s = statistics.median(walls)
    forward_s, backward_s, optimizer_s = (statistics.median(part) for part in zip(*splits))
    tokens = case.micro_batch * case.sequence
    row.update(
        tokens_per_s_per_gpu=tokens / median_s,
        step_time_s=median_s,
        step_p10_s=quantile(walls, 0.1),
        step_p90_s=quantile(walls, 0.9),
        forward_s=forward_s,
        backward_s=backward_s,
        optimizer_s=optimizer_s,
        kernel_s=sum(by_class.values()),
        n_kernels=n_kernels,
        peak_mem_GiB=gib(max(peaks.peaks)),
        peak_forward_GiB=gib(peaks.peaks[0]),
        peak_backward_GiB=gib(peaks.peaks[1]),
        peak_optimizer_GiB=gib(peaks.peaks[2]),
        reserved_GiB=gib(torch.cuda.memory_reserved()),
        sm_clock_mhz=clock,
        **{f"kernel_{name}_s": seconds for name, seconds in by_class.items()},
    )
    return row | {key: record[key] for key in ("torch", "cuda", "driver", "date")}


def guarded(case, measure):
    """An error of one case, most often memory, is no reason to lose the others."""
    try:
        return measure()
    except torch.cuda.OutOfMemoryError:
        print(f"{case.name}: does not fit", file=sys.stderr)
    except Exception as error:  # whatever a library throws is this case's alone
        first = (str(error).splitlines() or [""])[0][:120]
        print(f"{case.name}: {type(error).__name__}: {first}", file=sys.stderr)
    return None


def shape_columns(case, record):
    """What every row says of where it comes from. No path, no host."""
    return {
        "source_title": "zerosim results/truth, PyTorch " + case.stack,
        "source_locator": "results/truth/truth.py",
        "year": record["date"][:4],
        "gpu": record["device"],
        "gpus_per_node": min(case.n_gpus, 8),
        "n_gpus": case.n_gpus,
        "grad_accum": 1,
        "global_batch_tokens": case.micro_batch * case.sequence * case.n_gpus,
        "cpu_offload": "none",
        "quality": "A",
    }


def write_csv(file, rows):
    with open(file, "w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, STEP_COLUMNS, restval="", extrasaction="raise")
        writer.writeheader()
        for row in rows:
            writer.writerow(
                {k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()}
            )
    print(f"{file}: {len(rows)} rows", file=sys.stderr)


def run_steps(deadline, record, pattern, file):
    rows = []
    wanted = [case for case in cases.steps() if re.search(pattern, case.name)]
    for i, case in enumerate(wanted):
        if time.monotonic() > deadline:
            print(f"the budget ends: {len(wanted) - i} steps left out", file=sys.stderr)
            break
        print(f"[{i + 1}/{len(wanted)}] {case.name}", file=sys.stderr)
        row = guarded(case, lambda case=case: measure_case(case, record))
        if row:
            rows.append(shape_columns(case, record) | row)
            write_csv(file, rows)  # what ends the program early loses one case
    return rows


def memory_row(case, record):
    """Each in a process of its own: a process group can't be taken back."""
    command = [sys.executable, __file__, "--memory-case", case.name]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=180)
    if answer.returncode != 0:
        raise RuntimeError((answer.stderr.strip().splitlines() or ["no answer"])[-1])
    row = json.loads(answer.stdout.strip().splitlines()[-1])
    return shape_columns(case, record) | row | {
        key: record[key] for key in ("torch", "cuda", "driver", "date")
    }


def run_memory(deadline, record, pattern):
    rows = []
    for case in cases.memory():
        if time.monotonic() > deadline or not re.search(pattern, case.name):
            continue
        print(f"memory: {case.name}", file=sys.stderr)
        row = guarded(case, lambda case=case: memory_row(case, record))
        if row:
            rows.append(row)
    return rows


def run_memory_case(name):
    """In the child: three steps under the fake group, then the fourth's peak."""
    case = next(case for case in cases.memory() if case.name == name)
    model, optimizer = case.distribute()
    batch = case.batch()
    for _ in range(3):
        step(case, model, optimizer, batch, Phases())
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    step(case, model, optimizer, batch, Phases())
    torch.cuda.synchronize()
    row = case.columns(model)
    row["peak_mem_GiB"] = gib(torch.cuda.max_memory_allocated())
    print(json.dumps(row))


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", default="truth", help="prefix of the files to write")
    parser.add_argument("--budget", type=float, default=600, help="seconds (600; 60 is a smoke test)")
    parser.add_argument("--only", default="", help="cases whose name matches")
    parser.add_argument("--parts", default="steps,memory,overlay", help="what to measure")
    parser.add_argument("--list", action="store_true", help="print the cases and stop")
    parser.add_argument("--memory-case", help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    if arguments.list:
        print("\n".join(case.name for case in [*cases.steps(), *cases.memory()]))
        return 0
    if not torch.cuda.is_available():
        print("truth.py: no GPU", file=sys.stderr)
        return 77
    if arguments.memory_case:
        run_memory_case(arguments.memory_case)
        return 0
    parts = arguments.parts.split(",")
    record = provenance()
    begun = time.monotonic()
    if "overlay" in parts:
        file = arguments.output + "-overlay.json"
        kernels.write_overlay(file, record, begun + 0.2 * arguments.budget)
        print(f"{file}: written", file=sys.stderr)
    if "memory" in parts:
        file = arguments.output + "-memory.csv"
        write_csv(file, run_memory(begun + 0.4 * arguments.budget, record, arguments.only))
    if "steps" in parts:
        file = arguments.output + "-steps.csv"
        write_csv(file, run_steps(begun + arguments.budget, record, arguments.only, file))
    return 0


if __name__ == "__main__":
    sys.exit(main())
