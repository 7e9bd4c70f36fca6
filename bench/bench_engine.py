"""Tokens per second of the transformers engine against plain `generate`, same model, rows and thread, in one run.

    python bench/bench_engine.py [--rows 128] [--new-tokens 100] ...

Every row gets a prompt of a shared prefix and a part of its own, of random tokens, and makes exactly `--new-tokens` tokens. CPU seconds
are printed beside wall seconds: on a busy machine they are the fairer of the two.
"""

import argparse
import time

import torch
from transformers import AutoModelForCausalLM

from selfalign.generation.engines import Request
from selfalign.generation.engines.transformers import TransformersEngine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="models/tiny")
    parser.add_argument("--rows", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--prefixes", type=int, default=4)
    parser.add_argument("--prefix-tokens", type=int, default=250)
    parser.add_argument("--own-tokens", type=int, default=100)
    parser.add_argument("--new-tokens", type=int, default=100)
    parser.add_argument("--dtype", default="float64")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--no-generate", action="store_true", help="leave plain generate out")
    args = parser.parse_args()

    cfg = {"device": args.device, "dtype": args.dtype, "batch_size": args.batch_size, "threads": args.threads}
    engine = TransformersEngine({"path": args.model, "revision": "", "context": 0}, cfg)
    draw = torch.Generator().manual_seed(0)
    prefixes = [_text(engine, args.prefix_tokens, draw) for _ in range(args.prefixes)]
    requests = [
        Request(f"{at}", prefixes[at % args.prefixes], _text(engine, args.own_tokens, draw), at, 0.7, args.new_tokens, ()) for at in range(args.rows)
    ]
    engine.model  # noqa: B018  (loaded before the clock starts)
    engine._ends = set()  # rows of one length, as in generate below

    def ours() -> int:
        return sum(completion.output_tokens for completion in engine.complete(requests))

    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=getattr(torch, args.dtype)).to(args.device).eval()

    def plain() -> int:
        made = 0
        engine.tokenizer.padding_side, engine.tokenizer.pad_token = "left", engine.tokenizer.eos_token
        for start in range(0, len(requests), args.batch_size):
            texts = [request.prefix + request.prompt for request in requests[start : start + args.batch_size]]
            batch = engine.tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False).to(args.device)
            batch.pop("token_type_ids", None)
            with torch.inference_mode():
                out = model.generate(
                    **batch, do_sample=True, temperature=0.7, top_k=0, max_new_tokens=args.new_tokens, min_new_tokens=args.new_tokens, pad_token_id=0
                )
            made += (out.shape[1] - batch["input_ids"].shape[1]) * out.shape[0]
        return made

    rates = [_timed("selfalign", ours)]
    if not args.no_generate:
        rates.append(_timed("generate", plain))
        print(f"ratio: {rates[0][0] / rates[1][0]:.2f} by wall time, {rates[0][1] / rates[1][1]:.2f} by CPU time")


def _timed(name: str, work) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    tokens = work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{name}: {tokens:,} tokens, {wall:.1f} s wall, {cpu:.1f} s CPU, {tokens / wall:,.0f} tokens/s, {tokens / cpu:,.0f} tokens per CPU second")
    return tokens / wall, tokens / cpu


def _text(engine: TransformersEngine, tokens: int, draw: torch.Generator) -> str:
    """A text of about so many tokens."""
    ids = torch.randint(5, len(engine.tokenizer), (tokens,), generator=draw).tolist()
    return engine.tokenizer.decode(engine.tokenizer.encode(engine.tokenizer.decode(ids), add_special_tokens=False)[:tokens])


if __name__ == "__main__":
    main()
