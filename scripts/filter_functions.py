"""Static filters, decontamination and type-check on one shard of extracted functions."""

from selfalign.data.files import read_shard, write_dropped, write_shard
from selfalign.data.job import Progress, run_script
from selfalign.dedup.clusters import representatives
from selfalign.seeds.filters import filter_functions
from selfalign.selection.decontamination import Decontamination, load_benchmark


def main(smk):
    cfg = smk.params.cfg
    rows = read_shard(smk.input.extracted)
    duplicates = representatives(read_shard(smk.input.clusters))
    benchmarks = Decontamination(map(load_benchmark, smk.input.benchmarks), cfg["decontamination"]["ngram"])
    progress = Progress(f"filter functions {smk.wildcards.s}", rows.num_rows)
    python = cfg["execution"]["python"]
    kept, dropped = filter_functions(rows, duplicates, benchmarks, cfg["functions"], smk.params.cache_dir, progress.advance, python)
    write_shard(kept, smk.output.functions, "functions")
    write_dropped(dropped, smk.output.dropped)
    return {"rows_in": rows.num_rows, "kept": kept.num_rows, "dropped": dropped.num_rows}


if __name__ == "__main__":
    run_script(main, snakemake)  # noqa: F821
