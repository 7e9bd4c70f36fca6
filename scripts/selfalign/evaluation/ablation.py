"""The paper's comparison: is it better to train on responses that pass their tests than on random or failing ones?

Three training sets of equal size, one response per instruction each, differ in nothing but which responses they take. (SelfCodeAlign,
section 4.2, has 65.2, 61.6 and 57.9 on HumanEval+ for CodeQwen1.5-7B.)
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import mean, stdev
from typing import Any

import pyarrow as pa

from selfalign.data.errors import ConfigError, InputError
from selfalign.data.ids import generator
from selfalign.data.job import say
from selfalign.evaluation.evaluate import evaluate_model
from selfalign.generation.sections import SectionError, code_blocks, split_sections
from selfalign.selection.assertions import bound_names, parse
from selfalign.selection.candidates import implementation_of
from selfalign.selection.dataset import vary_form
from selfalign.selection.decontamination import Decontamination
from selfalign.training.trainer import train_model

ARMS = ("passing", "random", "failing")


@dataclass
class Pool:
    """Responses (dicts with id, instruction, instruction_id, response) by instruction, and how many were left out why."""

    passing: dict[str, list[dict]] = field(default_factory=lambda: defaultdict(list))
    failing: dict[str, list[dict]] = field(default_factory=lambda: defaultdict(list))
    left_out: Counter[str] = field(default_factory=Counter)

    def of(self, arm: str) -> dict[str, list[dict]]:
        """What an arm draws from."""
        if arm != "random":
            return self.passing if arm == "passing" else self.failing
        both = {**self.passing, **self.failing}
        return {key: sorted(self.passing.get(key, []) + self.failing.get(key, []), key=lambda row: row["id"]) for key in both}


def make_pool(instructions: pa.Table, responses: pa.Table, verdicts: dict[str, str], benchmarks: Decontamination) -> Pool:
    """All responses that an arm may take. verdicts: of every response by id.

    Left out are those that contain a benchmark problem (as in the final dataset), have no four sections to vary, or whose sandbox failed.
    """
    instruction_of = dict(zip(instructions["id"].to_pylist(), instructions["instruction"].to_pylist(), strict=True))
    rows = sorted(responses.select(["id", "instruction_id", "response"]).to_pylist(), key=lambda row: row["id"])
    needed = sorted({row["instruction_id"] for row in rows})
    hits = dict(zip(needed, benchmarks.find([instruction_of[key] for key in needed]), strict=True))
    pool = Pool()
    for row, hit in zip(rows, benchmarks.find([row["response"] for row in rows]), strict=True):
        if verdicts[row["id"]] == "infrastructure":
            pool.left_out["infrastructure"] += 1
        elif hit or hits[row["instruction_id"]]:
            pool.left_out["contaminated"] += 1
        elif not _has_sections(row["response"]):
            pool.left_out["sections"] += 1
        else:
            side = pool.passing if verdicts[row["id"]] == "passed" else pool.failing
            side[row["instruction_id"]].append({**row, "instruction": instruction_of[row["instruction_id"]]})
    return pool


def draw_arms(pool: Pool, size: int, selection: dict, seed: int) -> dict[str, list[dict]]:
    """Per arm `size` rows (id, instruction, response; 0: as many as all arms allow), in varied form.

    Every arm takes the same instructions, those that have both a passing and a failing response, and fills up with others of its own.
    """
    most = min(len(pool.passing), len(pool.failing))
    if not most:
        raise InputError(f"nothing to compare: {len(pool.passing)} instructions have a passing and {len(pool.failing)} a failing response")
    if size > most:
        raise ConfigError(f"ablation.size: {size} is more than the {most} rows that all training sets allow; lower it, or set it to 0")
    shared = set(pool.passing) & set(pool.failing)
    arms = {}
    for arm in ARMS:
        rows = pool.of(arm)
        # Drawn per instruction, so that an instruction has the same place in every arm.
        order = sorted(rows, key=lambda key: (key not in shared, generator(seed, key, "ablation order").random()))
        chosen = [generator(seed, key, f"ablation {arm}").choice(rows[key]) for key in order[: size or most]]
        arms[arm] = [_varied(row, selection, seed) for row in chosen]
    return arms


def ablate(pool: Pool, cfg: dict, benchmarks: Sequence[Sequence[str]], cache_dir: str) -> dict[str, Any]:
    """Train and evaluate every arm for every seed.

    cfg: the config's model, engine, execution, training, evaluation, selection, ablation and seed. benchmarks: the files of each
    of cfg["evaluation"]["benchmarks"].
    """
    passed = {row["id"] for rows in pool.passing.values() for row in rows}
    runs = []
    for number in range(cfg["ablation"]["seeds"]):
        seed = cfg["seed"] + number
        for arm, rows in draw_arms(pool, cfg["ablation"]["size"], cfg["selection"], seed).items():
            label = f"ablate {arm} {number + 1}/{cfg['ablation']['seeds']}"
            trained = train_model(pa.Table.from_pylist(rows), {**cfg, "seed": seed}, cache_dir, label)
            run: dict[str, Any] = {"arm": arm, "seed": seed, "rows": len(rows), "passing_rows": sum(row["id"] in passed for row in rows)}
            run |= {"steps": trained.facts["steps"], "last_loss": trained.facts["last_loss"], "scores": {}}
            for benchmark, data in zip(cfg["evaluation"]["benchmarks"], benchmarks, strict=True):
                one = {**cfg, "evaluation": {**cfg["evaluation"], "benchmarks": [benchmark]}}
                result, _ = evaluate_model(one, data, str(trained.model), cache_dir)
                run["scores"][benchmark["name"]] = {"greedy": result["greedy"]["score"], "mean": (result["mean"] or {}).get("score")}
            scores = [(name, score["greedy"]) for name, score in run["scores"].items()]
            say(f"{label}: {', '.join(f'{name} {greedy:.1%}' for name, greedy in scores)}")
            runs.append(run)
    return {
        "rows": runs[0]["rows"],
        "instructions": {
            "passing": len(pool.passing),
            "failing": len(pool.failing),
            "both": len(set(pool.passing) & set(pool.failing)),
        },
        "left_out": dict(sorted(pool.left_out.items())),
        "arms": {arm: _summary([run for run in runs if run["arm"] == arm]) for arm in ARMS},
        "runs": runs,
    }


def _summary(runs: Sequence[dict]) -> dict[str, Any]:
    """Per benchmark the mean over the seeds and its spread (standard deviation), of the greedy score and of the samples' mean."""
    summary: dict[str, Any] = {}
    for name in runs[0]["scores"]:
        for kind in ("greedy", "mean"):
            values = [run["scores"][name][kind] for run in runs]
            known = None not in values
            summary.setdefault(name, {})[kind] = {"mean": mean(values), "spread": stdev(values) if len(values) > 1 else 0.0} if known else None
    return summary


def _varied(row: dict, selection: dict, seed: int) -> dict[str, str]:
    """The row in the form of the final dataset. Tests that do not parse give no assertion to append."""
    sections = split_sections(row["response"])
    tests = code_blocks(sections.tests)
    code = implementation_of(sections.implementation)
    if not tests or not _parse_all([tests[0], code]):
        selection, names = {**selection, "append_tests": 0.0}, []
    else:
        names = bound_names(code)
    instruction, response = vary_form(row, names, selection, seed)
    return {"id": row["id"], "instruction": instruction, "response": response}


def _parse_all(texts: Iterable[str]) -> bool:
    try:
        for text in texts:
            parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return False
    return True


def _has_sections(response: str) -> bool:
    try:
        split_sections(response)
    except SectionError:
        return False
    return True
