"""Near-duplicate pairs among the candidates in one of their texts, in some of the bands; copies and those that an earlier pass dropped left out."""

from pathlib import Path

import numpy as np

from selfalign.data.files import read_shard
from selfalign.data.ids import numbers_of
from selfalign.data.job import run_script
from selfalign.dedup.clusters import dropped_ids
from selfalign.dedup.links import write_links
from selfalign.selection.candidates import texts_to_compare


def main(smk):
    cfg = smk.params.cfg["selection"]["near_dedup"]
    copies = numbers_of(read_shard(smk.input.copies)["id"].to_pylist())
    earlier = dropped_ids(map(read_shard, smk.input.get("earlier", ())))
    rows = map(read_shard, smk.input.get("candidates", ()))
    texts = ((table["id"].to_pylist(), texts_to_compare(table)[smk.wildcards.part]) for table in rows)
    group = int(smk.wildcards.g), smk.params.groups
    excluded = np.concatenate((copies, earlier))
    return write_links(smk.input.bands, texts, group, excluded, cfg, smk.output.links, Path(smk.output.stats).parent)


if __name__ == "__main__":
    run_script(main, snakemake)  # noqa: F821
