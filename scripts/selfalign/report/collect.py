"""Reads a run's files for the report. What the run did not make is left out."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from selfalign.data.ids import content_id
from selfalign.report.distributions import cluster_facts, concept_counts, length_counts, origin_counts, property_counts
from selfalign.report.examples import collect_examples
from selfalign.report.render import Facts

EXAMPLES = 10  # rows of each step, kept and dropped
_CONCEPTS = 25  # of the most frequent ones


def collect(
    summary: str, kept: Sequence[str], dropped: Sequence[str], clusters: Sequence[str], prompts: Sequence[str], loss: str, evaluation: Sequence[str]
) -> Facts:
    """The facts of a run from its summary and its files, of which only the summary must exist."""
    facts = json.loads(Path(summary).read_text(encoding="utf-8"))
    asked = {Path(path).stem: json.loads(Path(path).read_text(encoding="utf-8")) for path in prompts if Path(path).exists()}
    return Facts(
        summary=facts,
        losses=read_losses(loss),
        examples=collect_examples(kept, dropped, asked, facts["config"], EXAMPLES),
        failures=read_failures(evaluation),
        clusters=cluster_facts(clusters, kept),
        concepts=concept_counts(kept, _CONCEPTS),
        properties=property_counts(kept),
        lengths=length_counts(kept),
        origins=origin_counts(kept),
    )


def read_losses(path: str) -> list[tuple[int, float, float]]:
    """(step, epoch, loss) of each optimizer step."""
    if not Path(path).exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return [(int(row["step"]), float(row.get("epoch") or 0), float(row["loss"])) for row in csv.DictReader(file)]


def read_failures(paths: Sequence[str]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """By (benchmark, model): problems that were not solved, drawn by the hash of their names."""
    failures = {}
    for path in map(Path, paths):
        if path.exists():
            benchmark, which = path.name.removesuffix(".json").rsplit(".", 1)
            items = json.loads(path.read_text(encoding="utf-8")).get("items", [])
            failed = [item for item in items if item.get("verdict") != "passed"]
            failures[benchmark, which] = sorted(failed, key=lambda item: content_id(str(item["task_id"])))[:EXAMPLES]
    return failures
