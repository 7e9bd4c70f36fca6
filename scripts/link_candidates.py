"""Near-duplicate pairs among the candidates in one of their texts, in some of the bands; copies and those that an earlier pass dropped left out."""

import numpy as np

from selfalign.data.files import read_shard, write_table
from selfalign.data.ids import numbers_of
from selfalign.data.job import run_script
from selfalign.dedup.clusters import dropped_ids
from selfalign.dedup.links import LINKS, link


def main(smk):
    cfg = smk.params.cfg["selection"]["near_dedup"]
    copies = numbers_of(read_shard(smk.input.copies)["id"].to_pylist())
    earlier = dropped_ids(map(read_shard, smk.input.get("earlier", ())))
    links = link(smk.input.bands, int(smk.wildcards.g), smk.params.groups, np.concatenate((copies, earlier)), cfg)
    write_table(links, smk.output.links, LINKS, sort_by=LINKS.names)
    return {"links": links.num_rows}


if __name__ == "__main__":
    run_script(main, snakemake)  # noqa: F821
