"""The judge on one shard of functions."""

from selfalign.data.job import run_script
from selfalign.generation.job import run_step
from selfalign.generation.judge import judge_seeds


def main(smk):
    return run_step(smk, judge_seeds, "functions", "seeds")


if __name__ == "__main__":
    run_script(main, snakemake)  # noqa: F821
