"""Instructions for one shard of concepts (C->I)."""

from selfalign.data.job import run_script
from selfalign.generation.instructions import write_instructions
from selfalign.generation.job import run_step


def main(smk):
    return run_step(smk, write_instructions, "concepts", "instructions")


if __name__ == "__main__":
    run_script(main, snakemake)  # noqa: F821
