"""Put the scores of the run beside the published ones."""

from pathlib import Path

from selfalign.data.job import run_script, say
from selfalign.report.scores import score_table
from selfalign.report.summary import read_evaluation


def main(smk):
    table = score_table(read_evaluation(smk.input.evaluation))
    Path(smk.output.table).write_text(table + "\n", encoding="utf-8")
    say(table)


if __name__ == "__main__":
    run_script(main, snakemake)  # noqa: F821
