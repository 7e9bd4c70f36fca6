"""Clusters of near-duplicates among all extracted functions, as a keep-list per shard."""

from selfalign.data.job import run_script
from selfalign.dedup.clusters import write_keep_lists


def main(smk):
    return write_keep_lists(smk.input.links, smk.output.clusters)


if __name__ == "__main__":
    run_script(main, snakemake)  # noqa: F821
