"""Clusters of near-duplicates among the candidates in one of their texts, as a keep-list per shard."""

from pathlib import Path

from selfalign.data.files import read_shard
from selfalign.data.job import run_script
from selfalign.dedup.clusters import write_keep_lists
from selfalign.selection.candidates import texts_to_compare


def main(smk):
    cfg = smk.params.cfg["selection"]["near_dedup"]
    rows = map(read_shard, smk.input.get("candidates", ()))
    texts = ((table["id"].to_pylist(), texts_to_compare(table)[smk.wildcards.part]) for table in rows)
    return write_keep_lists(smk.input.links, smk.input.bands, texts, cfg, smk.output.clusters, Path(smk.output.stats).parent)


if __name__ == "__main__":
    run_script(main, snakemake)  # noqa: F821
