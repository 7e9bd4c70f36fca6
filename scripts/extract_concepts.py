"""Concepts for one shard of seeds (S->C)."""

from selfalign.data.job import run_script
from selfalign.generation.concepts import extract_concepts
from selfalign.generation.job import run_step


def main(smk):
    return run_step(smk, extract_concepts, "seeds", "concepts")


if __name__ == "__main__":
    run_script(main, snakemake)  # noqa: F821
