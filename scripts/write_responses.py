"""Responses to one shard of instructions (I->R)."""

from selfalign.data.job import run_script
from selfalign.generation.job import run_step
from selfalign.generation.responses import write_responses


def main(smk):
    return run_step(smk, write_responses, "instructions", "responses")


if __name__ == "__main__":
    run_script(main, snakemake)  # noqa: F821
