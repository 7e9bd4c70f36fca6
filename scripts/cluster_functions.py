"""Clusters of near-duplicates among all extracted functions, as a keep-list per shard."""

from pathlib import Path

from selfalign.data.files import read_shard
from selfalign.data.job import run_script
from selfalign.dedup.clusters import write_keep_lists


def main(smk):
    cfg = smk.params.cfg["functions"]["near_dedup"]
    rows = (read_shard(path, ["id", "content"]) for path in smk.input.get("extracted", ()))
    texts = ((table["id"].to_pylist(), table["content"].to_pylist()) for table in rows)
    return write_keep_lists(smk.input.links, smk.input.bands, texts, cfg, smk.output.clusters, Path(smk.output.stats).parent)


if __name__ == "__main__":
    run_script(main, snakemake)  # noqa: F821
