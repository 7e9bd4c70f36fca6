"""MinHash signatures of one shard of extracted functions."""

from selfalign.data.files import read_shard, write_table
from selfalign.data.job import run_script
from selfalign.dedup.signatures import sign, signature_schema


def main(smk):
    cfg = smk.params.cfg["functions"]["near_dedup"]
    rows = read_shard(smk.input.extracted, ["id", "content"])
    signatures = sign(rows["id"].to_pylist(), rows["content"].to_pylist(), cfg["ngram"], cfg["permutations"])
    write_table(signatures, smk.output.signatures, signature_schema(cfg["permutations"]))
    return {"rows_in": rows.num_rows, "signed": signatures.num_rows}


if __name__ == "__main__":
    run_script(main, snakemake)  # noqa: F821
