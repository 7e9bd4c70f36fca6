"""Read the sources: every top-level function with a docstring, in shards by id."""

from pathlib import Path

from selfalign.data.files import remove_stale_shards, write_dropped, write_shard
from selfalign.data.job import Progress, run_script
from selfalign.seeds.extract import extract_functions


def main(smk):
    cfg = smk.params.cfg
    spool = Path(smk.output.shards[0]).parent
    spool.mkdir(parents=True, exist_ok=True)
    progress = Progress("extract functions: files")
    facts = {"rows_in": 0, "kept": 0, "dropped": 0}
    tables = extract_functions(cfg["sources"], cfg["licences"], cfg["shards"], str(spool.parent), progress.advance, smk.threads)
    for (kept, dropped), shard, rest in zip(tables, smk.output.shards, smk.output.dropped, strict=True):
        write_shard(kept, shard, "extracted")
        write_dropped(dropped, rest)
        facts["kept"] += kept.num_rows
        facts["dropped"] += dropped.num_rows
    remove_stale_shards(spool.parent, cfg["shards"])
    facts["rows_in"] = facts["kept"] + facts["dropped"]
    return facts


if __name__ == "__main__":
    run_script(main, snakemake)  # noqa: F821
