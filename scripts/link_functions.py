"""Near-duplicate pairs among all extracted functions, in some of the bands."""

from pathlib import Path

import numpy as np

from selfalign.data.files import read_shard
from selfalign.data.job import run_script
from selfalign.dedup.links import write_links


def main(smk):
    cfg = smk.params.cfg["functions"]["near_dedup"]
    rows = (read_shard(path, ["id", "content"]) for path in smk.input.get("extracted", ()))
    texts = ((table["id"].to_pylist(), table["content"].to_pylist()) for table in rows)
    group = int(smk.wildcards.g), smk.params.groups
    return write_links(smk.input.bands, texts, group, np.zeros(0, np.uint64), cfg, smk.output.links, Path(smk.output.stats).parent)


if __name__ == "__main__":
    run_script(main, snakemake)  # noqa: F821
