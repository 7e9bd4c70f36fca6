"""Bands of one shard of functions' signatures."""

from selfalign.data.files import read_shard, write_table
from selfalign.data.job import run_script
from selfalign.dedup.bands import band, band_schema


def main(smk):
    cfg = smk.params.cfg["functions"]["near_dedup"]
    signatures = read_shard(smk.input.signatures)
    write_table(band(signatures, cfg), smk.output.bands, band_schema(cfg))
    return {"rows_in": signatures.num_rows}


if __name__ == "__main__":
    run_script(main, snakemake)  # noqa: F821
