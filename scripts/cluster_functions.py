"""Near-duplicates among all extracted functions."""

from selfalign.data.files import read_shards, write_table
from selfalign.data.job import run_script
from selfalign.dedup.clusters import CLUSTERS, cluster, representatives


def main(smk):
    cfg = smk.params.cfg["functions"]["near_dedup"]
    signatures = read_shards(smk.input.signatures)
    clusters = cluster(signatures, cfg["threshold"], cfg["permutations"])
    write_table(clusters, smk.output.clusters, CLUSTERS)
    return {"rows_in": signatures.num_rows, "near_duplicates": len(representatives(clusters))}


if __name__ == "__main__":
    run_script(main, snakemake)  # noqa: F821
