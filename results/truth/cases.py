# SPDX-License-Identifier: MIT
"""The training steps that truth.py measures: models by their shapes with random weights, as
transformers and torchvision build them, and what varies between steps."""
import contextlib
import dataclasses
import functools

import torch

# (family, layers, width, heads, kv heads, inner, vocabulary, sequence)
SHAPES = {
    "gpt2": ("gpt2", 12, 768, 12, 12, 3072, 50257, 1024),
    "gpt2-medium": ("gpt2", 24, 1024, 16, 16, 4096, 50257, 1024),
    "gpt2-large": ("gpt2", 36, 1280, 20, 20, 5120, 50257, 1024),
    "llama-1b": ("llama", 16, 2048, 32, 8, 8192, 32000, 2048),
    "llama-3b": ("llama", 28, 3072, 24, 8, 8192, 32000, 2048),
    "bert-large": ("bert", 24, 1024, 16, 16, 4096, 30522, 512),
    "resnet50": ("resnet", 0, 0, 0, 0, 0, 1000, 1),
}

ATTENTION = {"eager": "eager", "sdpa": "sdpa", "flash": "sdpa"}


@dataclasses.dataclass
class Case:
    model: str
    micro_batch: int
    precision: str = "autocast-bf16"  # or bf16
    attention: str = "sdpa"  # flash: sdpa held to FlashAttention's kernels
    checkpointing: str = "none"
    optimizer: str = "fused"  # or foreach
    strategy: str = "ddp"
    n_gpus: int = 1
    stack: str = ""
    bucket_view: bool = True
    reshard: bool = True

    @property
    def name(self):
        parts = [
            self.model, f"b{self.micro_batch}", self.precision, self.attention,
            self.checkpointing, self.optimizer,
        ]
        if self.n_gpus > 1:
            parts += [self.strategy, str(self.n_gpus)]
            parts += [] if self.bucket_view else ["copied-buckets"]
            parts += [] if self.reshard else ["no-reshard"]
        return "truth-" + "-".join(parts)

    @property
    def sequence(self):
        return SHAPES[self.model][7]

    def build(self):
        model = FAMILIES[SHAPES[self.model][0]](self, *SHAPES[self.model][1:])
        if self.checkpointing == "full":
            model.gradient_checkpointing_enable({"use_reentrant": False})
        model.train()
        return model.to(torch.bfloat16) if self.precision == "bf16" else model

    def optimizer_of(self, model):
        how = {"fused": True} if self.optimizer == "fused" else {"foreach": True}
        return torch.optim.AdamW(model.parameters(), lr=1e-4, **how)

    def batch(self):
        vocabulary = SHAPES[self.model][6]
        if SHAPES[self.model][0] == "resnet":
            images = torch.randn(self.micro_batch, 3, 224, 224, device="cuda")
            images = images.to(memory_format=torch.channels_last)
            if self.precision == "bf16":
                images = images.to(torch.bfloat16)
            labels = torch.randint(vocabulary, (self.micro_batch,), device="cuda")
            return images, labels
        ids = torch.randint(vocabulary, (self.micro_batch, self.sequence), device="cuda")
        return ids, ids

    @contextlib.contextmanager
    def contexts(self):
        with contextlib.ExitStack() as stack:
            if self.precision == "autocast-bf16":
                stack.enter_context(torch.autocast("cuda", torch.bfloat16))
            if self.attention == "flash":
                from torch.nn.attention import SDPBackend, sdpa_kernel

                stack.enter_context(sdpa_kernel(SDPBackend.FLASH_ATTENTION))
            yield

    def columns(self, model):
        _, layers, width, heads, kv_heads, inner, vocabulary, sequence = SHAPES[self.model]
        n_parameters = sum(p.numel() for p in model.parameters())
        precision = "bf16 autocast" if self.precision == "autocast-bf16" else "bf16"
        note = f"AdamW {self.optimizer}, dropout 0"
        if self.n_gpus > 1:
            n_parameters = parameters_of(self)
            note += f", fake process group, gradient_as_bucket_view={self.bucket_view}"
            note += f", reshard_after_forward={self.reshard}"
        return {
            "id": self.name, "model": self.model, "params_B": n_parameters / 1e9,
            "n_layer": layers, "d_model": width, "n_head": heads, "n_kv_head": kv_heads,
            "d_ff": inner, "vocab": vocabulary, "seq_len": sequence, "precision": precision,
            "strategy": self.strategy, "micro_batch_per_gpu": self.micro_batch,
            "act_checkpoint": self.checkpointing, "attention_impl": self.attention,
            "optimizer": "adamw", "note": note,
        }

    def distribute(self):
        """The model and optimizer of rank 0 among n_gpus that aren't there."""
        import torch.distributed as dist
        from torch.testing._internal.distributed.fake_pg import FakeStore

        dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=self.n_gpus)
        return DISTRIBUTE[self.strategy](self)


@functools.cache
def parameters_of_shape(name):
    with torch.device("meta"):
        return sum(p.numel() for p in Case(name, 1).build().parameters())


def parameters_of(case):
    return parameters_of_shape(case.model)


# -- models


def build_gpt2(case, layers, width, heads, _kv_heads, inner, vocabulary, sequence):
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(
        GPT2Config(
            n_layer=layers, n_embd=width, n_head=heads, n_inner=inner, vocab_size=vocabulary,
            n_positions=sequence, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0, use_cache=False,
            attn_implementation=ATTENTION[case.attention],
        )
    )


def build_llama(case, layers, width, heads, kv_heads, inner, vocabulary, sequence):
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(
            num_hidden_layers=layers, hidden_size=width, num_attention_heads=heads,
            num_key_value_heads=kv_heads, intermediate_size=inner, vocab_size=vocabulary,
            max_position_embeddings=sequence, tie_word_embeddings=False, use_cache=False,
            attn_implementation=ATTENTION[case.attention],
        )
    )


def build_bert(case, layers, width, heads, _kv_heads, inner, vocabulary, sequence):
    from transformers import BertConfig, BertForMaskedLM

    return BertForMaskedLM(
        BertConfig(
            num_hidden_layers=layers, hidden_size=width, num_attention_heads=heads,
            intermediate_size=inner, vocab_size=vocabulary, max_position_embeddings=sequence,
            hidden_dropout_prob=0, attention_probs_dropout_prob=0,
            attn_implementation=ATTENTION[case.attention],
        )
    )


def build_resnet(_case, *_shape):
    from torchvision.models import resnet50

    return resnet50().to(memory_format=torch.channels_last)


FAMILIES = {
    "gpt2": build_gpt2, "llama": build_llama, "bert": build_bert, "resnet": build_resnet,
}


def loss_of(model, batch):
    inputs, labels = batch
    if inputs.dim() == 4:
        return torch.nn.functional.cross_entropy(model(inputs), labels)
    return model(input_ids=inputs, labels=labels).loss


# -- strategies on the fake process group


def distribute_ddp(case):
    from torch.nn.parallel import DistributedDataParallel

    model = case.build().cuda()
    model = DistributedDataParallel(
        model, device_ids=[0], gradient_as_bucket_view=case.bucket_view
    )
    return model, case.optimizer_of(model)


def distribute_zero1(case):
    from torch.distributed.optim import ZeroRedundancyOptimizer
    from torch.nn.parallel import DistributedDataParallel

    model = DistributedDataParallel(
        case.build().cuda(), device_ids=[0], gradient_as_bucket_view=case.bucket_view
    )
    optimizer = ZeroRedundancyOptimizer(
        model.parameters(), torch.optim.AdamW, lr=1e-4, fused=True
    )
    return model, optimizer


def blocks_of(model):
    for path in ("transformer.h", "model.layers", "bert.encoder.layer"):
        try:
            return model.get_submodule(path)
        except AttributeError:
            continue
    raise ValueError("a model without blocks")


def distribute_fsdp2(case):
    try:
        from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
    except ImportError:  # before PyTorch 2.6
        from torch.distributed._composable.fsdp import MixedPrecisionPolicy, fully_shard

    model = case.build().cuda()
    policy = MixedPrecisionPolicy()
    if case.precision == "autocast-bf16":
        policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16)
    for block in blocks_of(model):
        fully_shard(block, mp_policy=policy, reshard_after_forward=case.reshard)
    fully_shard(model, mp_policy=policy, reshard_after_forward=case.reshard)
    return model, case.optimizer_of(model)


DISTRIBUTE = {
    "ddp": distribute_ddp,
    "zero1": distribute_zero1,
    "zero2": distribute_fsdp2,
    "zero3": distribute_fsdp2,
}


# -- the cases


def steps():
    """The usual case of every model first, then what varies, so that a budget buys breadth."""
    usual = {
        "gpt2": 8, "gpt2-medium": 8, "gpt2-large": 4, "llama-1b": 4, "llama-3b": 2,
        "bert-large": 32, "resnet50": 128,
    }
    found = []
    for model, batch in usual.items():
        found += [Case(model, batch), Case(model, batch, precision="bf16")]
    for model, batch in usual.items():
        if model == "resnet50":
            continue
        found += [
            Case(model, batch, precision="bf16", attention="eager"),
            Case(model, batch, precision="bf16", attention="flash"),
            Case(model, batch, precision="bf16", checkpointing="full"),
            Case(model, batch, precision="bf16", optimizer="foreach"),
        ]
    for model, batch in usual.items():
        for factor in (0.25, 0.5, 2, 4):
            if batch * factor >= 1:
                found.append(Case(model, int(batch * factor), precision="bf16"))
    return found


def memory():
    found = []
    for model, n_gpus in (("gpt2-medium", 8), ("gpt2-medium", 64), ("llama-1b", 8)):
        base = {"model": model, "micro_batch": 2, "n_gpus": n_gpus, "stack": "ddp"}
        found += [
            Case(**base),
            Case(**base, bucket_view=False),
            Case(**base, strategy="zero1"),
        ]
        base["stack"] = "fsdp2"
        found += [
            Case(**base, strategy="zero3"),
            Case(**base, strategy="zero2", reshard=False),
            Case(**base, strategy="zero3", checkpointing="full"),
        ]
    return found
