"""results/summary.json: what a run made, what it dropped and why, what it cost, and how its models score."""

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from selfalign.report.environment import environment
from selfalign.report.funnel import count_steps
from selfalign.report.generation import STEPS as GENERATION
from selfalign.report.generation import generation_costs

_COST = ("seconds", "cpu_seconds", "peak_memory_mb")
_NOT_ADDED = ("rule", "shard", "requested", "rows_in", "kept", "dropped", *_COST)


def summarize(
    cfg: dict[str, Any], kept: Sequence[str], dropped: Sequence[str], stats: Iterable[str], loss: str, evaluation: Iterable[str], notice: str
) -> dict[str, Any]:
    """The summary of a run from its files. What the run did not make is left out; LostRowsError if rows of a step do not add up."""
    steps = count_steps(kept, dropped, cfg)
    jobs = [_read(path) for path in stats if Path(path).exists()]
    by_rule: dict[str, list[dict]] = {}
    for job in jobs:
        by_rule.setdefault(job["rule"], []).append(job)
    costs = {rule: _cost(rows) for rule, rows in by_rule.items()}
    for step in steps:
        if step["step"] in costs:
            step["cost"] = costs[step["step"]]
    fewshot = {step: costs[step].pop("fewshot") for step in GENERATION if "fewshot" in costs.get(step, {})}
    executed = next((step for step in steps if step["step"] == "execute_responses"), None)
    return {
        "final_rows": next((step["kept"] for step in steps if step["dataset"] == "dataset"), 0),
        "steps": steps,
        "verdicts": {"passed": executed["kept"], **executed["reasons"]} if executed else {},
        "training": _training(by_rule.get("train_model", []), loss),
        "evaluation": read_evaluation(path for path in evaluation if Path(path).exists()),
        "generation": generation_costs(steps, cfg["prices"]),
        "fewshot": fewshot,
        "cost": {
            "seconds": round(sum(job.get("seconds", 0) for job in jobs), 3),
            "cpu_seconds": round(sum(job.get("cpu_seconds", 0) for job in jobs), 3),
            "peak_memory_mb": max((job.get("peak_memory_mb", 0) for job in jobs), default=0),
            "rules": costs,
        },
        "licences": {"sources": [{key: source[key] for key in ("name", "kind", "licence")} for source in cfg["sources"]], "notice": notice},
        "environment": environment(jobs),
        "config": cfg,
    }


def _cost(jobs: list[dict]) -> dict[str, Any]:
    """What the jobs of a rule cost together: times and numbers (tokens, requests) added up, memory of the largest."""
    total: dict[str, Any] = {"jobs": len(jobs)}
    total |= {name: round(sum(job.get(name, 0) for job in jobs), 3) for name in ("seconds", "cpu_seconds")}
    total["peak_memory_mb"] = max(job.get("peak_memory_mb", 0) for job in jobs)
    for job in jobs:
        _add(total, {name: value for name, value in job.items() if name not in _NOT_ADDED})
    return total


def _add(total: dict[str, Any], facts: dict[str, Any]) -> None:
    """Add the numbers of `facts`, those in nested dicts too, to `total`; texts and lists are left out."""
    for name, value in facts.items():
        if isinstance(value, dict):
            _add(total.setdefault(name, {}), value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            total[name] = total.get(name, 0) + value


def _training(jobs: Sequence[dict[str, Any]], loss: str) -> dict[str, Any]:
    if not jobs or not Path(loss).exists():
        return {}
    with open(loss, newline="", encoding="utf-8") as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    facts = {key: value for key, value in jobs[0].items() if key not in ("rule", "shard", "requested")}
    return {**facts, "loss": {"steps": len(losses), "first": losses[0], "last": losses[-1]} if losses else {"steps": 0}}


def read_evaluation(paths: Iterable[str]) -> dict[str, dict[str, Any]]:
    """By benchmark and model: problems, form, greedy and mean with intervals, and the gain of the tuned model in points."""
    table: dict[str, dict[str, Any]] = {}
    for path in paths:
        benchmark, which = Path(path).name.removesuffix(".json").rsplit(".", 1)
        result = _read(path)
        table.setdefault(benchmark, {})[which] = {
            key: result[key] for key in ("problems", "form", "greedy", "mean", "groups", "forms") if key in result
        }
    for models in table.values():
        if {"base", "tuned"} <= models.keys():
            models["gain"] = {kind: _gain(models["base"][kind], models["tuned"][kind]) for kind in ("greedy", "mean")}
    return table


def _gain(base: dict | None, tuned: dict | None) -> float | None:
    return round(100 * (tuned["score"] - base["score"]), 2) if base and tuned else None


def config_text(config: dict[str, Any]) -> str:
    """The complete config of a run as YAML, to run it again with."""
    return "# The complete config of this run: .venv/bin/snakemake --configfile THIS_FILE makes it again.\n" + yaml.safe_dump(
        json.loads(json.dumps(config)), sort_keys=False, allow_unicode=True, width=140
    )


def _read(path: str) -> Any:
    return json.loads(Path(path).read_text(encoding="utf-8"))
