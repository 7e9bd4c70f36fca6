"""Tokens per second, peak memory and model FLOP utilisation of the packed training loop against the published loop, on the same rows.

    make bench-training                                      # on CPU, a small model
    make bench-training ARGS='--shape 3b --device cuda'      # on a GPU, StarCoder2's shape with random weights; also 15b

The published loop: one example per forward pass, 64 of them accumulated, the logits of every token, the model's own attention (sdpa). Ours:
training/trainer.py's step. Both train full weights with Adafactor from the same random weights on rows of random tokens whose lengths
are drawn from a log-normal distribution with a mean of about 500, cut at 1,280. FLOPs count 6 per weight and token and those of attention; of
recomputed activations none. --peak names the device's dense bf16 peak in TFLOP/s (989 for an H100); without it no utilisation is printed.
"""

import argparse
import os
import random
import resource
import time
from functools import partial

import torch
from transformers import Starcoder2Config, Starcoder2ForCausalLM

from selfalign.training.attention import NAME
from selfalign.training.examples import Example
from selfalign.training.loss import TokenLosses
from selfalign.training.model import set_dropout
from selfalign.training.optimizer import make_optimizer
from selfalign.training.trainer import step_on

SHAPES = {
    "small": {"hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 6, "num_attention_heads": 8, "num_key_value_heads": 2},
    "3b": {"hidden_size": 3072, "intermediate_size": 12288, "num_hidden_layers": 30, "num_attention_heads": 24, "num_key_value_heads": 2},
    "15b": {"hidden_size": 6144, "intermediate_size": 24576, "num_hidden_layers": 40, "num_attention_heads": 48, "num_key_value_heads": 4},
}
VOCABULARY = 49_152  # StarCoder2's


def make_rows(count: int, vocabulary: int) -> list[Example]:
    """Examples of random tokens; a third of each is its prompt."""
    rng = random.Random(0)
    rows = []
    for number in range(count):
        length = max(32, min(1280, round(rng.lognormvariate(6.05, 0.55))))
        tokens = tuple(rng.randrange(vocabulary) for _ in range(length))
        rows.append(Example(str(number), tokens, length // 3))
    return rows


def published_step(model, optimizer, settings: dict, batch: list[Example]) -> float:
    """One step of the published loop."""
    optimizer.zero_grad(set_to_none=True)
    total = 0.0
    for example in batch:
        ids = torch.tensor([example.tokens], device=settings["device"])
        labels = ids.clone()
        labels[:, : example.prompt] = -100
        loss = model(input_ids=ids, labels=labels, use_cache=False).loss / len(batch)
        loss.backward()
        total += loss.item()
    optimizer.step()
    return total


def packed_step(model, optimizer, settings: dict, batch: list[Example]) -> float:
    """One step of ours."""
    return step_on(batch, TokenLosses(model), optimizer, settings["learning_rate"], settings)


def make_model(shape: str, attention: str, device: str, dtype: torch.dtype, checkpointing: bool):
    """A random StarCoder2 in training mode without dropout."""
    vocabulary = 4096 if shape == "small" else VOCABULARY
    config = Starcoder2Config(vocab_size=vocabulary, max_position_embeddings=16384, sliding_window=4096, **SHAPES[shape])
    config._attn_implementation = attention
    torch.manual_seed(0)
    torch.set_default_dtype(dtype)
    with torch.device(device):
        model = Starcoder2ForCausalLM(config)
    torch.set_default_dtype(torch.float32)
    set_dropout(model, 0.0)
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    return model.train()


def flops(model, batch: list[Example]) -> float:
    """Floating point operations of a step: forward and backward, as if nothing were computed twice."""
    config = model.config
    weights = sum(parameter.numel() for parameter in model.parameters()) - model.get_input_embeddings().weight.numel()
    attention = sum(12 * config.num_hidden_layers * config.hidden_size * len(example.tokens) ** 2 / 2 for example in batch)
    return 6 * weights * sum(len(example.tokens) for example in batch) + attention


def measure(name: str, step, model, batches: list, device: str, peak: float) -> float:
    """Tokens per second of `step` over all batches but the first, which warms up. Prints a line."""
    on_gpu = device.startswith("cuda")
    first = step(batches[0])
    if on_gpu:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    start, cpu = time.perf_counter(), time.process_time()
    for batch in batches[1:]:
        step(batch)
    if on_gpu:
        torch.cuda.synchronize()
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    seconds = wall if on_gpu else cpu  # on a busy machine CPU time says more
    tokens = sum(len(example.tokens) for batch in batches[1:] for example in batch)
    memory = torch.cuda.max_memory_allocated() / 1e9 if on_gpu else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    used = f", {sum(flops(model, batch) for batch in batches[1:]) / seconds / peak / 1e12:.1%} of peak" if peak else ""
    unit = "second" if on_gpu else "CPU second"
    print(f"{name}: {tokens / seconds:,.0f} tokens per {unit} ({tokens / wall:,.0f} per second){used}, {memory:.1f} GB, first loss {first:.4f}")
    return tokens / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="small")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, default=2, help="measured steps, after one that warms up")
    parser.add_argument("--batch-size", type=int, default=0, help="examples per step (64; 8 for the small shape)")
    parser.add_argument("--micro-batch", type=int, default=8)
    parser.add_argument("--loss-chunk", type=int, default=0)
    parser.add_argument("--gradient-checkpointing", action="store_true")
    parser.add_argument("--peak", type=float, default=0.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", choices=["published", "packed"], help="one loop alone, where both do not fit")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    dtype = torch.bfloat16 if arguments.device.startswith("cuda") else torch.float32
    size = arguments.batch_size or (8 if arguments.shape == "small" else 64)
    rows = make_rows(size * (arguments.steps + 1), 4096 if arguments.shape == "small" else VOCABULARY)
    batches = [rows[start : start + size] for start in range(0, len(rows), size)]
    lengths = [len(example.tokens) for example in rows]
    print(f"{len(rows)} rows of {sum(lengths) / len(lengths):.0f} tokens on average, {size} per step; load {os.getloadavg()[0]:.1f}")
    settings = {"optimizer": "adafactor", "learning_rate": 1e-5, "micro_batch": arguments.micro_batch, "loss": "per_example", "max_grad_norm": 0.0}
    settings |= {"device": arguments.device, "loss_chunk": arguments.loss_chunk}
    rates = {}
    for name, attention in (("published", "sdpa"), ("packed", NAME)):
        if arguments.only not in (None, name):
            continue
        model = make_model(arguments.shape, attention, arguments.device, dtype, arguments.gradient_checkpointing)
        optimizer = make_optimizer(model.parameters(), settings)
        one = partial(published_step if name == "published" else packed_step, model, optimizer, settings)
        rates[name] = measure(name, one, model, batches, arguments.device, arguments.peak)
        del model, optimizer
    if len(rates) == 2:
        print(f"packed makes {rates['packed'] / rates['published']:.2f} times the tokens")


if __name__ == "__main__":
    main()
