"""One well-formed, clean response per instruction of one shard."""

from selfalign.data.files import read_shard, write_dropped, write_shard
from selfalign.data.job import run_script
from selfalign.selection.candidates import choose_responses
from selfalign.selection.decontamination import Decontamination, load_benchmark


def main(smk):
    cfg = smk.params.cfg
    executed = read_shard(smk.input.executed)
    benchmarks = Decontamination(map(load_benchmark, smk.input.benchmarks), cfg["decontamination"]["ngram"])
    kept, dropped = choose_responses(executed, read_shard(smk.input.instructions), benchmarks, cfg["selection"]["policy"], cfg["seed"])
    write_shard(kept, smk.output.candidates, "candidates")
    write_dropped(dropped, smk.output.dropped)
    return {"rows_in": executed.num_rows, "kept": kept.num_rows, "dropped": dropped.num_rows}


if __name__ == "__main__":
    run_script(main, snakemake)  # noqa: F821
