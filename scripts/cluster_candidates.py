"""Near-duplicates among the candidates in one of their texts, those that an earlier pass dropped left out."""

from selfalign.data.files import read_shard, read_shards, write_table
from selfalign.data.job import run_script
from selfalign.dedup.clusters import CLUSTERS, cluster, representatives, without


def main(smk):
    cfg = smk.params.cfg["selection"]["near_dedup"]
    signatures = read_shards(smk.input.signatures)
    for earlier in smk.input.get("earlier", ()):
        signatures = without(signatures, representatives(read_shard(earlier)))
    clusters = cluster(signatures, cfg["threshold"], cfg["permutations"])
    write_table(clusters, smk.output.clusters, CLUSTERS)
    return {"rows_in": signatures.num_rows, "near_duplicates": len(representatives(clusters))}


if __name__ == "__main__":
    run_script(main, snakemake)  # noqa: F821
