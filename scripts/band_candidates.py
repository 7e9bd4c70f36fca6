"""Bands of one shard of candidates' signatures, for each of their texts."""

from selfalign.data.files import read_shard, write_table
from selfalign.data.job import run_script
from selfalign.dedup.bands import band, band_schema


def main(smk):
    cfg = smk.params.cfg["selection"]["near_dedup"]
    rows = 0
    for part in smk.params.parts:
        bands = band(read_shard(smk.input[part]), cfg)
        write_table(bands, smk.output[part], band_schema(cfg))
        rows = bands.num_rows  # the same in each part
    return {"rows_in": rows}


if __name__ == "__main__":
    run_script(main, snakemake)  # noqa: F821
