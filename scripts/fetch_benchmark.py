"""Fetch a benchmark from its address."""

from selfalign.data.job import run_script
from selfalign.evaluation.fetch import fetch_benchmark


def main(smk):
    return {"problems": fetch_benchmark(**smk.params.source, path=smk.output.data)}


if __name__ == "__main__":
    run_script(main, snakemake)  # noqa: F821
