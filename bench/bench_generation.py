"""Prompt tokens computed per row, and rows per second: few-shot draws for each row (the published way) against shared ones, in one run.

    make bench-generation                     # or, in an environment with vLLM:
    python bench/bench_generation.py [--rows 60] [--prefixes 4] [--examples 8] [--engines transformers,vllm] [--model FOLDER]

For S->C and C->I, with the examples of prompts/fewshot.yaml. 60 rows on 4 draws are the 15 rows per draw that a job of the preset for
StarCoder2-15B has (976 rows on 64 draws). The model has the bundled one's shape but random weights and a context of 8,192 tokens, so
that 8 examples fit; it makes about as many tokens as the steps do: 32 and 96. Both ways ask for the same rows. On a busy machine the ratio
by CPU time, of all processes together, is the fairer one; the load is printed.
"""

import argparse
import ast
import json
import os
import sysconfig
import tempfile
import time
from pathlib import Path

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from selfalign.data.config import defaults
from selfalign.data.ids import content_id, generator
from selfalign.generation.concepts import ask_for_concepts
from selfalign.generation.draws import PER_ROW, draw_prompts
from selfalign.generation.engines import open_engine
from selfalign.generation.fewshot import FewShot, load_fewshot
from selfalign.generation.instructions import ask_for_instructions

STEPS = {"concepts": (ask_for_concepts, 32), "instructions": (ask_for_instructions, 96)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="a folder; the default is made on the fly")
    parser.add_argument("--rows", type=int, default=60)
    parser.add_argument("--prefixes", type=int, default=4)
    parser.add_argument("--examples", type=int, default=8)
    parser.add_argument("--engines", default="transformers,vllm")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    # Threads where the system puts them: vLLM binds them to cores otherwise, which another process may hold.
    os.environ |= {"VLLM_CPU_KVCACHE_SPACE": "4", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    os.environ |= {"VLLM_LOGGING_LEVEL": "ERROR", "OMP_NUM_THREADS": str(args.threads)}
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    fewshot = load_fewshot("prompts/fewshot.yaml")
    with tempfile.TemporaryDirectory() as folder:
        model = {"path": args.model or _random_model(folder), "revision": "", "context": 0}
        for kind in args.engines.split(","):
            part = {"kind": kind, "dtype": args.dtype, "device": args.device, "batch_size": args.batch_size, "threads": args.threads}
            engine = open_engine(model, {**defaults("engine"), **part}, None)
            for step in STEPS:
                _compare(engine, kind, step, fewshot, args)
            engine.close()
    print(f"load of the machine: {', '.join(f'{load:.1f}' for load in os.getloadavg())} on {os.cpu_count()} cores")


def _compare(engine, kind: str, step: str, fewshot: FewShot, args: argparse.Namespace) -> None:
    """One line for each way, and their ratio."""
    found = {}
    list(engine.complete(_requests(step, fewshot, PER_ROW, 2, args)))  # loads, compiles
    for way in (PER_ROW, args.prefixes):
        requests = _requests(step, fewshot, way, args.rows, args)
        start, cpu = time.perf_counter(), _cpu_seconds()
        done = list(engine.complete(requests))
        wall, cpu = time.perf_counter() - start, _cpu_seconds() - cpu
        assert {c.id for c in done} == {r.id for r in requests} and {c.finish_reason for c in done} <= {"length", "stop"}, "rows were lost"
        computed, rate = sum(c.computed_tokens for c in done) / len(done), len(done) / wall
        found[way] = computed, rate, len(done) / cpu
        tokens = sum(c.prompt_tokens for c in done) / len(done), sum(c.output_tokens for c in done) / len(done)
        name = "a draw per row" if way == PER_ROW else f"{way} shared draws"
        print(
            f"{kind}, {step}, {name}: {tokens[0]:,.0f} prompt tokens per row, {computed:,.0f} computed; {tokens[1]:.0f} output tokens; "
            f"{rate:.2f} rows/s ({wall:.1f} s wall, {cpu:.1f} s CPU)",
            flush=True,
        )
    tokens, wall, cpu = (alone / shared if at == 0 else shared / alone for at, (alone, shared) in enumerate(zip(*found.values(), strict=True)))
    print(f"{kind}, {step}: {tokens:.1f} times fewer prompt tokens computed, {wall:.1f} times the rows/s ({cpu:.1f} by CPU time)", flush=True)


def _requests(step: str, fewshot: FewShot, prefixes: int | str, rows: int, args: argparse.Namespace) -> list:
    ask, tokens = STEPS[step]
    cfg = {"examples": args.examples, "prefixes": prefixes, "draws": 1, "temperature": 0.7, "max_new_tokens": tokens}
    whole = {step: cfg, "seed": 0, "categories": ["code generation (function implementation)"], "difficulties": ["easy", "medium", "hard"]}
    prompts = json.loads(json.dumps(draw_prompts(fewshot, step, cfg, 0)))
    if step == "concepts":
        parents = [{"id": content_id(code), "content": code} for code in _functions(rows)]
    else:
        words = sorted({concept for example in fewshot.examples for concept in example.concepts})
        parents = [{"id": content_id(f"{at}"), "concepts": generator(0, f"{at}", "bench").sample(words, 5)} for at in range(rows)]
    return [row.request for row in ask(parents, prompts, whole)]


def _functions(count: int) -> list[str]:
    """Functions of the standard library with a docstring, of at most 40 lines, by hash of their source."""
    found = {}
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        text = path.read_text(encoding="utf-8")
        for node in ast.parse(text).body:
            code = ast.get_source_segment(text, node)
            if isinstance(node, ast.FunctionDef) and ast.get_docstring(node) and code.count("\n") < 40:
                found[content_id(code)] = code
    return [found[key] for key in sorted(found)[:count]]


def _random_model(folder: str) -> str:
    """The bundled model's shape with random weights and a longer context."""
    torch.manual_seed(0)
    config = AutoConfig.from_pretrained("models/tiny", max_position_embeddings=8192)
    AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(folder)
    AutoTokenizer.from_pretrained("models/tiny").save_pretrained(folder)
    return folder


def _cpu_seconds() -> float:
    """Of this process and of those that it has started: vLLM computes in one of its own."""
    total, ticks = 0, os.sysconf("SC_CLK_TCK")
    for pid in _family(os.getpid()):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
        except OSError:
            continue
    return total / ticks


def _family(pid: int) -> list[int]:
    try:
        children = [int(child) for thread in Path(f"/proc/{pid}/task").iterdir() for child in (thread / "children").read_text().split()]
    except OSError:
        return [pid]
    return [pid, *(member for child in children for member in _family(child))]


if __name__ == "__main__":
    main()
