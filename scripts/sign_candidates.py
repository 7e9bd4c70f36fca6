"""MinHash signatures of one shard of candidates: of the instruction, the response and the response's code."""

from selfalign.data.files import read_shard, write_table
from selfalign.data.job import run_script
from selfalign.dedup.signatures import sign, signature_schema
from selfalign.selection.candidates import texts_to_compare


def main(smk):
    cfg = smk.params.cfg["selection"]["near_dedup"]
    rows = read_shard(smk.input.candidates)
    for part, texts in texts_to_compare(rows).items():
        signatures = sign(rows["id"].to_pylist(), texts, cfg["ngram"], cfg["permutations"])
        write_table(signatures, smk.output[part], signature_schema(cfg["permutations"]))
    return {"rows_in": rows.num_rows}


if __name__ == "__main__":
    run_script(main, snakemake)  # noqa: F821
