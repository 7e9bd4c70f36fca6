"""Render the report."""

import csv
import json
from pathlib import Path

from selfalign.data.config import entry_of
from selfalign.data.job import run_script
from selfalign.report.examples import dropped_examples, final_examples
from selfalign.report.render import render


def main(smk):
    summary = json.loads(Path(smk.input.summary).read_text(encoding="utf-8"))
    with open(smk.input.loss, newline="", encoding="utf-8") as file:
        losses = [(int(row["step"]), float(row["loss"])) for row in csv.DictReader(file)]
    failures = {}
    for path in map(Path, smk.input.evaluation):
        benchmark, which = path.name.removesuffix(".json").rsplit(".", 1)
        items = json.loads(path.read_text(encoding="utf-8"))["items"]
        failures[benchmark, which] = [item for item in items if item["verdict"] != "passed"][:10]
    final = final_examples(smk.input.kept, count=10)
    dropped = dropped_examples(smk.input.kept, smk.input.dropped, per_reason=2, entry=entry_of(summary["config"]))
    Path(smk.output.report).write_text(render(summary, losses, final, dropped, failures), encoding="utf-8")


if __name__ == "__main__":
    run_script(main, snakemake)  # noqa: F821
