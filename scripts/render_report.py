"""Render the report."""

from pathlib import Path

from selfalign.data.job import run_script
from selfalign.report.collect import collect
from selfalign.report.render import render


def main(smk):
    files = smk.input
    facts = collect(files.summary, files.kept, files.dropped, files.clusters, files.prompts, files.loss, files.evaluation)
    Path(smk.output.report).write_text(render(facts), encoding="utf-8")


if __name__ == "__main__":
    run_script(main, snakemake)  # noqa: F821
