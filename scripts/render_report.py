"""Render the report."""

from selfalign.data.job import run_script, write_text
from selfalign.report.collect import collect
from selfalign.report.render import render


def main(smk):
    files = smk.input
    facts = collect(files.summary, files.kept, files.dropped, files.clusters, files.prompts, files.loss, files.evaluation)
    write_text(render(facts), smk.output.report)


if __name__ == "__main__":
    run_script(main, snakemake)  # noqa: F821
