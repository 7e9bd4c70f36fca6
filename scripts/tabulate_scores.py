"""Put the scores of the run beside the published ones."""

from selfalign.data.job import run_script, say, write_text
from selfalign.report.scores import score_table
from selfalign.report.summary import read_evaluation


def main(smk):
    table = score_table(read_evaluation(smk.input.evaluation))
    write_text(table + "\n", smk.output.table)
    say(table)


if __name__ == "__main__":
    run_script(main, snakemake)  # noqa: F821
