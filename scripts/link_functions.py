"""Near-duplicate pairs among all extracted functions, in some of the bands."""

import numpy as np

from selfalign.data.files import write_table
from selfalign.data.job import run_script
from selfalign.dedup.links import LINKS, link


def main(smk):
    cfg = smk.params.cfg["functions"]["near_dedup"]
    links = link(smk.input.bands, int(smk.wildcards.g), smk.params.groups, np.zeros(0, np.uint64), cfg)
    write_table(links, smk.output.links, LINKS, sort_by=LINKS.names)
    return {"links": links.num_rows}


if __name__ == "__main__":
    run_script(main, snakemake)  # noqa: F821
