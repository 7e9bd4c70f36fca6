"""What the model steps of a run will take, from a sample of its functions: requests, tokens, hours, cost, rows.

The sample goes through all four steps with the config's engine, without the request cache. Each step's numbers are then scaled
from the rows that the sample gave it to the rows that the run is expected to give it. Few-shot draws are scaled down with the rows of a job, so
that a prefix is shared by as many rows of the sample as of a job, and costs as much per row.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from selfalign.data.errors import InputError
from selfalign.generation.concepts import extract_concepts
from selfalign.generation.draws import PER_ROW, draw_prompts
from selfalign.generation.engines import CachedEngine, Request
from selfalign.generation.fewshot import FewShot
from selfalign.generation.instructions import write_instructions
from selfalign.generation.judge import judge_seeds
from selfalign.generation.responses import write_responses

STEPS: dict[str, Callable] = {
    "judge": judge_seeds,
    "concepts": extract_concepts,
    "instructions": write_instructions,
    "responses": write_responses,
}
_TOKENS = ("requests", "prompt_tokens", "computed_tokens", "output_tokens")


@dataclass(frozen=True)
class Forecast:
    """One step of the run; all numbers but `sampled` are of the whole run. cost is None without prices."""

    step: str
    sampled: int  # completions of the sample behind these numbers
    rows_in: int
    requests: int
    prompt_tokens: int
    computed_tokens: int
    output_tokens: int
    kept: int
    seconds: float  # of all jobs together, without loading the model
    gpu_hours: float
    cost: float | None


def forecast(cfg: dict[str, Any], functions: pa.Table, total: int, fewshot: FewShot, engine: CachedEngine) -> tuple[list[Forecast], float]:
    """(a forecast of each step, seconds for loading the model once). `functions` is the sample of a run over `total` functions.

    InputError if a step keeps no row of the sample: the steps after it cannot be forecast.
    """
    start = time.monotonic()
    list(engine.complete([Request("load", "", "def", 0, 0.0, 1, ())]))
    loading = time.monotonic() - start
    found: list[Forecast] = []
    rows, expected = functions, float(total)
    for step, work in STEPS.items():
        part = cfg[step]
        asked = rows.num_rows * part["draws"]
        if part["prefixes"] != PER_ROW:
            of_a_job = expected * part["draws"] / cfg["shards"]
            part = {**part, "prefixes": min(part["prefixes"], max(1, round(part["prefixes"] * asked / of_a_job)))}
        chat = {"path": cfg["model"]["path"], "revision": cfg["model"]["revision"]} if cfg["model"]["chat"] else None
        prompts = draw_prompts(fewshot, step, part, cfg["seed"], chat)
        before, start = asdict(engine.usage), time.monotonic()
        kept, _ = work(rows, prompts, engine, {**cfg, step: part})
        seconds, after = time.monotonic() - start, asdict(engine.usage)
        scale = expected / rows.num_rows
        counts = {name: round((after[name] - before[name]) * scale) for name in _TOKENS}
        hours = seconds * scale * engine.gpus / 3600
        cost = step_cost(cfg["prices"], counts, hours)
        found.append(
            Forecast(step, asked, round(expected), **counts, kept=round(kept.num_rows * scale), seconds=seconds * scale, gpu_hours=hours, cost=cost)
        )
        if not kept.num_rows and step != "responses":
            raise InputError(f"{step}: none of {asked} completions of the sample can be used, so later steps have no forecast; take more --rows")
        rows, expected = kept, kept.num_rows * scale
    return found, loading


def step_cost(prices: dict[str, float], tokens: dict[str, int], gpu_hours: float) -> float | None:
    """In the unit of `prices` (the config's part); None if all of them are 0."""
    if not any(prices.values()):
        return None
    return gpu_hours * prices["gpu_hour"] + sum(tokens[name] * prices[name] for name in ("prompt_tokens", "output_tokens")) / 1e6


def render(found: list[Forecast], loading: float, jobs: int, batch_size: int) -> str:
    """The forecast as a table for a terminal."""
    names = ("rows in", "requests", "prompt tok.", "computed", "output", "kept", "hours", "GPU h", "cost")
    lines = [f"{'step':<14}" + "".join(f"{name:>{width}}" for name, width in zip(names, (10, 11, 15, 15, 14, 11, 9, 9, 11), strict=True))]
    for row in found:
        lines.append(
            f"{row.step:<14}{row.rows_in:>10,}{row.requests:>11,}{row.prompt_tokens:>15,}{row.computed_tokens:>15,}{row.output_tokens:>14,}"
            f"{row.kept:>11,}{row.seconds / 3600:>9.2f}{row.gpu_hours:>9.2f}{_price(row.cost):>11}"
        )
    sums = {name: sum(getattr(row, name) for row in found) for name in (*_TOKENS, "seconds", "gpu_hours")}
    cost = None if found[0].cost is None else sum(row.cost or 0 for row in found)
    lines.append(
        f"{'all':<14}{'':>10}{sums['requests']:>11,}{sums['prompt_tokens']:>15,}{sums['computed_tokens']:>15,}{sums['output_tokens']:>14,}"
        f"{found[-1].kept:>11,}{sums['seconds'] / 3600:>9.2f}{sums['gpu_hours']:>9.2f}{_price(cost):>11}"
    )
    if found[-1].kept:
        tokens = (sums["computed_tokens"] + sums["output_tokens"]) / found[-1].kept
        lines.append(f"{tokens:,.0f} tokens computed for each response that is kept (before the execution filter)")
    lines.append(f"hours are of one job after the other on such an engine; each of {jobs:,} jobs also loads the model, here in {loading:.0f} s")
    if small := [row.step for row in found if row.sampled < batch_size]:
        lines.append(f"the sample did not fill a batch of {batch_size} for {', '.join(small)}: the run will be faster; more --rows tell better")
    return "\n".join(lines)


def _price(cost: float | None) -> str:
    return "-" if cost is None else f"{cost:,.2f}"
